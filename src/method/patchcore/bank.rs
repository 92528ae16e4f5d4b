//! The bank as it fills: normals' rows taken up picture by picture, reduced whenever they fill the memory.

use std::cell::OnceCell;

use tch::{Device, Kind, Tensor};

use super::coreset::{PROJECTED, greedy, projection};
use super::memory::{BankSize, MOVED, Plan};
use crate::random::Stream;

/// Rows of one buffer that never grows.
pub struct BankBuilder {
    bank_size: BankSize,
    /// `[capacity, c]`, the first `filled` of them in use.
    buffer: Tensor,
    filled: usize,
    /// Rows taken up so far, reduced or not.
    seen: usize,
    /// `[c, 128]`, where rows are longer than that; drawn when it is first needed.
    projection: OnceCell<Tensor>,
    seed: u64,
    n_reductions: u64,
}

impl BankBuilder {
    /// An empty bank on `device`; `seed` draws the projection and every reduction.
    pub fn new(bank_size: BankSize, plan: Plan, seed: u64, device: Device) -> BankBuilder {
        let size = [plan.capacity as i64, bank_size.channels as i64];
        BankBuilder {
            bank_size,
            buffer: Tensor::empty(size, (Kind::Float, device)),
            filled: 0,
            seen: 0,
            projection: OnceCell::new(),
            seed,
            n_reductions: 0,
        }
    }

    /// Takes up `rows` `[m, c]`, at most half of the capacity unless all fit.
    pub fn add(&mut self, rows: &Tensor) {
        let n_rows = rows.size()[0] as usize;
        let capacity = self.buffer.size()[0] as usize;
        if self.filled + n_rows > capacity {
            self.reduce(capacity / 2);
        }
        self.buffer.narrow(0, self.filled as i64, n_rows as i64).copy_(rows);
        self.filled += n_rows;
        self.seen += n_rows;
    }

    /// The bank: `ratio` of all rows that were taken up, or as many of them as the memory holds.
    pub fn finish(mut self, ratio: f64) -> Tensor {
        let target = ((ratio * self.seen as f64).ceil() as usize).max(1);
        let before = self.filled;
        if target < before {
            self.reduce(target);
        }
        let bank = self.buffer.narrow(0, 0, self.filled as i64);
        if self.bank_size.may_copy(self.filled, before) { bank.copy() } else { bank }
    }

    /// Keeps a coreset of `count` rows at the front of the buffer.
    fn reduce(&mut self, count: usize) {
        let mut stream = Stream::new(self.seed, "patchcore coreset", self.n_reductions);
        self.n_reductions += 1;
        let kept = greedy(self.projected(), count, &mut stream);
        // Places ascend, so no row is overwritten before it has moved.
        for (group, places) in kept.chunks(MOVED).enumerate() {
            let places = Tensor::from_slice(places).to_device(self.buffer.device());
            let rows = self.buffer.index_select(0, &places);
            self.buffer.narrow(0, (group * MOVED) as i64, rows.size()[0]).copy_(&rows);
        }
        self.filled = kept.len();
    }

    /// `[filled, at most 128]`.
    fn projected(&self) -> Tensor {
        let rows = self.buffer.narrow(0, 0, self.filled as i64);
        if self.bank_size.channels <= PROJECTED {
            return rows.copy();
        }
        let projection = self.projection.get_or_init(|| {
            let mut stream = Stream::new(self.seed, "patchcore projection", 0);
            projection(self.bank_size.channels, PROJECTED, &mut stream).to_device(rows.device())
        });
        let size = [self.filled as i64, PROJECTED as i64];
        let projected = Tensor::empty(size, (Kind::Float, rows.device()));
        for (to, from) in projected.split(MOVED as i64, 0).iter_mut().zip(rows.split(MOVED as i64, 0)) {
            to.copy_(&from.matmul(projection));
        }
        projected
    }
}
