//! What PatchCore holds beside the teacher, planned to stay within a budget.

use anyhow::{Result, ensure};

use super::coreset::PROJECTED;
use crate::method::part::search_cost;

/// Rows moved or projected at once.
pub const MOVED: usize = 256;

/// What a bank is made of and searched with.
#[derive(Clone, Copy, Debug)]
pub struct BankSize {
    /// Values in a row.
    pub channels: usize,
    /// Rows of one picture.
    pub positions: usize,
    /// Normals.
    pub pictures: usize,
    /// Neighbours searched for at once.
    pub neighbours: usize,
    /// Pixels along a side, and queries at once: their maps.
    pub side: usize,
    /// Queries at once.
    pub queries: usize,
}

/// How the budget is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Rows that the bank may hold at any time.
    pub capacity: usize,
    /// Scratch bytes of a search.
    pub room: usize,
    /// All of it, in bytes.
    pub bytes: usize,
}

impl BankSize {
    /// Bytes of one row: itself, and either what choosing a coreset takes (its projection and five numbers) or
    /// its place in the smaller bank that replaces a large one ([`BankSize::may_copy`]).
    fn row(&self) -> usize {
        4 * self.channels + 4 * self.working()
    }

    /// Single-precision numbers beside the row.
    fn working(&self) -> usize {
        (self.channels.min(PROJECTED) + 5).max(self.channels / 8) + 2
    }

    /// Whether `kept` of `filled` rows can be copied where the coreset's working arrays were.
    pub fn may_copy(&self, kept: usize, filled: usize) -> bool {
        kept * self.channels <= filled * (self.working() - 2)
    }

    /// Bytes whatever the bank holds: one picture's features while layers are joined, the projection, rows being
    /// moved or projected, maps.
    fn fixed(&self) -> usize {
        let joining = 6 * 4 * self.positions * self.channels;
        let projection = 3 * 4 * self.channels * self.channels.min(PROJECTED);
        let moving = 6 * 4 * MOVED * self.channels;
        let maps = 16 * self.queries * (self.side * self.side + self.positions);
        joining + projection + moving + maps
    }

    /// The least bytes with which pictures can be taken up one after another.
    fn least(&self) -> usize {
        let rows = self.positions * self.pictures.min(2);
        self.fixed() + search_cost::least_room(self.channels, self.neighbours) + rows * self.row()
    }

    /// Spends `budget` bytes: at most a quarter of what is spare on scratch, the rest on rows.
    ///
    /// # Errors
    /// A budget below the least.
    pub fn plan(&self, budget: usize) -> Result<Plan> {
        let least = self.least();
        ensure!(
            budget >= least,
            "patchcore: memory_mib = {} is too little for {} positions of {} channels; at least {} are needed",
            budget >> 20,
            self.positions,
            self.channels,
            least.div_ceil(1 << 20)
        );
        let least_room = search_cost::least_room(self.channels, self.neighbours);
        let room = (least_room + (budget - least) / 4).min(search_cost::MAX_BYTES.max(least_room));
        let affordable = (budget - self.fixed() - room) / self.row();
        let capacity = affordable.min(self.positions * self.pictures);
        Ok(Plan { capacity, room, bytes: self.fixed() + room + capacity * self.row() })
    }
}
