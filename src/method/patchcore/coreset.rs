//! The greedy coreset: few rows to which no other row is far (Gonzalez 1985; PatchCore, section 3.2).

use tch::{Kind, Tensor};

use crate::random::Stream;

/// Dimensions in which distances are measured.
pub const PROJECTED: usize = 128;

/// Random rows, the row furthest from which is taken first.
const STARTING_POINTS: usize = 10;

/// Places of `count` of `points` `[n, d]`, ascending: each is the furthest from those taken before. The largest
/// distance of any point to the taken ones is at most twice the least that `count` points can have.
///
/// The first is the furthest, on average, from ten random points (drawn from `stream`). The published code
/// keeps that average beside the distances to taken points, which loses the guarantee; here it is dropped.
pub fn greedy(points: Tensor, count: usize, stream: &mut Stream) -> Vec<i64> {
    let n = points.size()[0];
    let mut points = points;
    points -= points.mean_dim(0, false, None::<Kind>);
    let lengths = points.split(1024, 0).iter().map(squared_lengths).collect::<Vec<_>>();
    let lengths = Tensor::cat(&lengths, 0);
    let squares_to = |place: i64| {
        let point = points.get(place);
        let from = lengths.get(place).double_value(&[]);
        lengths.addmv(&points, &(point * -2.0)).g_add_scalar_(from).clamp_min_(0.0)
    };
    let mut average = Tensor::zeros([n], (points.kind(), points.device()));
    for _ in 0..STARTING_POINTS {
        average += squares_to(stream.below(n as usize) as i64).sqrt_();
    }
    let mut taken = vec![average.argmax(0, false).int64_value(&[])];
    let mut nearest = squares_to(taken[0]);
    while taken.len() < count.min(n as usize) {
        // Taken points are never the furthest, not even among copies of them.
        let _ = nearest.get(taken[taken.len() - 1]).fill_(-1.0);
        let next = nearest.argmax(0, false).int64_value(&[]);
        taken.push(next);
        nearest = nearest.minimum(&squares_to(next));
    }
    taken.sort_unstable();
    taken
}

/// A Gaussian projection `[c, d]` that keeps squared lengths on average.
pub fn projection(c: usize, d: usize, stream: &mut Stream) -> Tensor {
    let scale = 1.0 / (d as f64).sqrt();
    let values: Vec<f32> = (0..c * d).map(|_| (scale * stream.normal()) as f32).collect();
    Tensor::from_slice(&values).view([c as i64, d as i64])
}

fn squared_lengths(rows: &Tensor) -> Tensor {
    rows.square().sum_dim_intlist(1, false, None::<Kind>)
}
