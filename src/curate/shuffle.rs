//! A published division made by CPython's `random.shuffle`, repeated to the letter.

use rand_mt::Mt;

use crate::source::Side;
use crate::spec::Shuffle;

/// Sides of `n` normal pictures, in the owner's order: the first `train` of the shuffled ones train.
pub fn divide(shuffle: Shuffle, n: usize) -> Vec<Side> {
    let mut order: Vec<usize> = (0..n).collect();
    cpython(shuffle.seed, &mut order);
    let mut sides = vec![Side::Test; n];
    for &index in order.iter().take(shuffle.train) {
        sides[index] = Side::Train;
    }
    sides
}

/// `random.seed(seed); random.shuffle(items)` of CPython 3: MT19937 seeded with the array `[seed]`, and
/// numbers below a bound drawn from the highest bits that hold it, again and again until one is.
fn cpython<T>(seed: u32, items: &mut [T]) {
    let mut generator = Mt::new_with_key([seed]);
    for last in (1..items.len()).rev() {
        let bound = last as u32 + 1;
        let unused = bound.leading_zeros();
        let drawn = loop {
            let number = generator.next_u32() >> unused;
            if number < bound {
                break number;
            }
        };
        items.swap(last, drawn as usize);
    }
}
