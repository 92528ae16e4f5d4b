//! Short vectors that stand for long ones: two sketches are never further apart than the vectors they are of, so that
//! most pairs that are not near are ruled out by a few numbers.

use rayon::prelude::*;

/// Numbers of a sketch: places along axes, and last how far from all axes the vector lies.
const LENGTH: usize = 64;
const N_AXES: usize = LENGTH - 1;
/// Numbers that are compared at once.
const STEP: usize = 8;
/// Vectors that the axes are learnt from, at most.
const N_LEARNT_FROM: usize = 512;
/// Rounds in which axes turn towards where the vectors differ most.
const ROUNDS: usize = 3;
/// Shorter than this share of its length, what is left of a direction beside the axes is rounding.
const NEGLIGIBLE: f64 = 1e-8;

/// What stands for one vector.
pub(super) struct Sketch([f32; LENGTH]);

impl Sketch {
    /// The place along the axis of the greatest differences.
    pub(super) fn first(&self) -> f32 {
        self.0[0]
    }

    /// Whether the vectors may lie within a distance, given as its square.
    pub(super) fn may_lie_within(&self, other: &Sketch, squared: f32) -> bool {
        let mut sum = 0.0;
        self.0.chunks_exact(STEP).zip(other.0.chunks_exact(STEP)).all(|(a, b)| {
            let squares: [f32; STEP] = std::array::from_fn(|place| (a[place] - b[place]).powi(2));
            sum += squares.iter().sum::<f32>();
            sum <= squared
        })
    }
}

/// Axes at right angles. Whichever they are, no pair is ruled out that is near; the better they are, the more others.
pub(super) struct Axes {
    mean: Vec<f64>,
    axes: Vec<Vec<f64>>,
}

impl Axes {
    /// Axes along which `vectors`, all of one length, differ much: orthogonal iteration on some of them.
    pub(super) fn of(vectors: &[&[f32]]) -> Axes {
        let some: Vec<&[f32]> =
            vectors.iter().copied().step_by(vectors.len().div_ceil(N_LEARNT_FROM).max(1)).collect();
        let mut mean = vec![0.0; some.first().map_or(0, |vector| vector.len())];
        for vector in &some {
            add(&mut mean, 1.0 / some.len() as f64, vector.iter().map(|&value| f64::from(value)));
        }
        let centred: Vec<Vec<f64>> = some.iter().map(|vector| centred(vector, &mean)).collect();
        let mut axes =
            orthonormal(centred.iter().step_by((centred.len() / N_AXES).max(1)).take(N_AXES).cloned());
        for _ in 0..ROUNDS {
            let turned = |axis: &Vec<f64>| {
                let mut sum = vec![0.0; axis.len()];
                centred.iter().for_each(|vector| add(&mut sum, dot(vector, axis), vector.iter().copied()));
                sum
            };
            axes = orthonormal(axes.par_iter().map(turned).collect::<Vec<_>>());
        }
        Axes { mean, axes }
    }

    /// What stands for a vector of that length.
    pub(super) fn sketch(&self, vector: &[f32]) -> Sketch {
        let vector = centred(vector, &self.mean);
        let mut sketch = [0.0; LENGTH];
        let mut beside = dot(&vector, &vector);
        for (number, axis) in sketch.iter_mut().zip(&self.axes) {
            let along = dot(&vector, axis);
            beside -= along * along;
            *number = along as f32;
        }
        sketch[N_AXES] = beside.max(0.0).sqrt() as f32;
        Sketch(sketch)
    }
}

/// Vectors of length 1 at right angles, of which the first span what the first of `directions` span.
fn orthonormal(directions: impl IntoIterator<Item = Vec<f64>>) -> Vec<Vec<f64>> {
    let mut axes: Vec<Vec<f64>> = Vec::new();
    for mut direction in directions {
        let whole = dot(&direction, &direction).sqrt();
        // What rounding leaves along the axes goes the second time.
        for axis in axes.iter().chain(&axes) {
            let along = dot(&direction, axis);
            add(&mut direction, -along, axis.iter().copied());
        }
        let length = dot(&direction, &direction).sqrt();
        if length > NEGLIGIBLE * whole {
            direction.iter_mut().for_each(|value| *value /= length);
            axes.push(direction);
        }
    }
    axes
}

fn centred(vector: &[f32], mean: &[f64]) -> Vec<f64> {
    vector.iter().zip(mean).map(|(&value, mean)| f64::from(value) - mean).collect()
}

/// Adds `factor` times the other vector.
fn add(sum: &mut [f64], factor: f64, vector: impl Iterator<Item = f64>) {
    sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += factor * value);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Eight sums at once: one alone would wait for each addition before the next.
    let mut sums = [0.0; STEP];
    let (a, b) = (a.chunks_exact(STEP), b.chunks_exact(STEP));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for place in 0..STEP {
            sums[place] += a[place] * b[place];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// Unit vectors near a plane of a few directions, as pictures of one kind are.
    fn vectors(seed: u64, n: usize, length: usize) -> Vec<Vec<f32>> {
        let mut stream = Stream::new(seed, "vectors", 0);
        let mut value = || stream.below(2001) as f64 / 1000.0 - 1.0;
        let directions: Vec<Vec<f64>> = (0..5).map(|_| (0..length).map(|_| value()).collect()).collect();
        let mut vector = || {
            let mut vector: Vec<f64> = (0..length).map(|_| 0.2 * value()).collect();
            directions.iter().for_each(|direction| add(&mut vector, value(), direction.iter().copied()));
            let norm = dot(&vector, &vector).sqrt();
            vector.iter().map(|value| (value / norm) as f32).collect()
        };
        (0..n).map(|_| vector()).collect()
    }

    fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
    }

    fn axes(vectors: &[Vec<f32>]) -> Axes {
        Axes::of(&vectors.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[test]
    fn axes_stand_at_right_angles_also_where_vectors_are_equal_or_few() {
        for vectors in
            [vectors(1, 700, 50), vectors(2, 3, 50), vectors(3, 40, 7), vec![vec![0.5; 9]; 4], vec![]]
        {
            let Axes { axes, .. } = axes(&vectors);
            assert!(axes.len() <= N_AXES);
            for (place, a) in axes.iter().enumerate() {
                for (other, b) in axes.iter().enumerate() {
                    assert!(
                        (dot(a, b) - f64::from(u8::from(place == other))).abs() < 1e-12,
                        "{place} {other}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_pair_is_ruled_out_at_its_own_distance_and_far_ones_are() {
        for (seed, n, length) in [(1, 120, 64), (2, 9, 300), (3, 60, 13)] {
            let vectors = vectors(seed, n, length);
            let axes = axes(&vectors);
            let sketches: Vec<Sketch> = vectors.iter().map(|vector| axes.sketch(vector)).collect();
            let (mut n_near, mut n_out) = (0, 0);
            for (a, first) in vectors.iter().enumerate() {
                for (b, second) in vectors.iter().enumerate() {
                    let squared = squared_distance(first, second);
                    let may = |squared: f64| sketches[a].may_lie_within(&sketches[b], squared as f32);
                    assert!(may(squared + 1e-5), "{seed}: {a} and {b} at {squared}");
                    n_near += 1;
                    n_out += usize::from(!may(0.5 * squared - 1e-5));
                }
            }
            assert!(n_out * 10 > n_near * 9, "{seed}: {n_out} of {n_near}");
        }
    }
}
