//! Hashes that differ in few bits, found without comparing all: multi-index hashing (Norouzi, Punjani and Fleet,
//! CVPR 2012). Of [`N_PARTS`] parts of two such hashes, one differs in no more than its share of the bits (the
//! pigeonhole principle), so that it is enough to look where one part is nearly the same.

/// Parts of a hash, of 16 bits each.
const N_PARTS: u32 = 4;
const PART_BITS: u32 = u64::BITS / N_PARTS;
/// Values that a part can have.
const N_VALUES: usize = 1 << PART_BITS;
/// The lowest bit of each part, and the highest.
const ONES: u64 = 0x0001_0001_0001_0001;
const TOP_BITS: u64 = ONES << (PART_BITS - 1);

/// Rows by their hashes, for all that differ in a given number of bits at most from another hash.
pub(super) struct Hashes {
    at_most: u32,
    /// Bits in which one of the parts differs at most.
    of_part: u32,
    /// All differences of so many bits.
    differences: Vec<u16>,
    parts: [Part; N_PARTS as usize],
}

/// Rows in order of the value of one part of their hashes, and in their own order where it is the same.
struct Part {
    rows: Vec<(u64, u32)>,
    /// Where the rows of each value begin, and the end of all.
    starts: Vec<u32>,
    /// The values that there are, ascending, and a bit for each of them.
    values: Vec<u16>,
    is_there: Vec<u64>,
}

impl Hashes {
    /// Of rows 0, 1, 2 ..., to find those that differ in `at_most` bits.
    pub(super) fn of(hashes: &[u64], at_most: u32) -> Hashes {
        let at_most = at_most.min(u64::BITS);
        let of_part = at_most / N_PARTS;
        let differences =
            (0..N_VALUES).map(|value| value as u16).filter(|value| value.count_ones() <= of_part);
        Hashes {
            at_most,
            of_part,
            differences: differences.collect(),
            parts: std::array::from_fn(|part| Part::of(hashes, part as u32)),
        }
    }

    /// Adds to `found` each row before `end` whose hash differs from this one in few bits, once, in no order.
    pub(super) fn near(&self, hash: u64, end: u32, found: &mut Vec<u32>) {
        for (part, index) in (0..).zip(&self.parts) {
            let value = part_of(hash, part);
            let mut look = |other: u16| self.look(hash, part, index.rows_of(other, end), found);
            if self.differences.len() < index.values.len() {
                let others = self.differences.iter().map(|difference| value ^ difference);
                others.filter(|&other| index.has(other)).for_each(&mut look);
            } else {
                let is_near = |other: &&u16| (value ^ **other).count_ones() <= self.of_part;
                index.values.iter().filter(is_near).for_each(|&other| look(other));
            }
        }
    }

    /// Adds those of `rows` that are near and of whose parts this is the first that shows it. Which these are is
    /// not to be foreseen, so that no branch hangs on it.
    fn look(&self, hash: u64, part: u32, rows: &[(u64, u32)], found: &mut Vec<u32>) {
        let mut n_found = found.len();
        found.resize(n_found + rows.len(), 0);
        let earlier = TOP_BITS & ((1 << (part * PART_BITS)) - 1);
        for &(candidate, row) in rows {
            let counts = counts(hash ^ candidate);
            let is_near = counts.wrapping_mul(ONES) >> (u64::BITS - PART_BITS) <= u64::from(self.at_most);
            // A part's top bit is set where it differs in more than `of_part` bits.
            let beyond = counts + ONES * u64::from((1 << (PART_BITS - 1)) - 1 - self.of_part);
            found[n_found] = row;
            n_found += usize::from(is_near) & usize::from(beyond & earlier == earlier);
        }
        found.truncate(n_found);
    }
}

/// How many bits of each part are set, in its place.
fn counts(hash: u64) -> u64 {
    let twos = hash - (hash >> 1 & 0x5555_5555_5555_5555);
    let fours = (twos & 0x3333_3333_3333_3333) + (twos >> 2 & 0x3333_3333_3333_3333);
    let eights = (fours + (fours >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    (eights + (eights >> 8)) & 0x00ff_00ff_00ff_00ff
}

impl Part {
    fn of(hashes: &[u64], part: u32) -> Part {
        let mut rows: Vec<(u64, u32)> = hashes.iter().copied().zip(0..).collect();
        rows.sort_by_key(|(hash, _)| part_of(*hash, part));
        let mut starts = vec![0; N_VALUES + 1];
        rows.iter().for_each(|(hash, _)| starts[usize::from(part_of(*hash, part)) + 1] += 1);
        let (mut values, mut is_there) = (Vec::new(), vec![0; N_VALUES / 64]);
        for value in 0..N_VALUES {
            if starts[value + 1] > 0 {
                values.push(value as u16);
                is_there[value / 64] |= 1 << (value % 64);
            }
            starts[value + 1] += starts[value];
        }
        Part { rows, starts, values, is_there }
    }

    /// Looked up most often, and nearly always in vain: in 8 KB, which a processor keeps at hand.
    fn has(&self, value: u16) -> bool {
        self.is_there[usize::from(value / 64)] >> (value % 64) & 1 == 1
    }

    /// Rows of this value before `end`.
    fn rows_of(&self, value: u16, end: u32) -> &[(u64, u32)] {
        let value = usize::from(value);
        let rows = &self.rows[self.starts[value] as usize..self.starts[value + 1] as usize];
        &rows[..rows.partition_point(|(_, row)| *row < end)]
    }
}

fn part_of(hash: u64, part: u32) -> u16 {
    (hash >> (part * PART_BITS)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// Hashes of which each second one is an earlier one with some bits turned over.
    fn hashes(seed: u64, n: usize) -> Vec<u64> {
        let mut stream = Stream::new(seed, "hashes", 0);
        let mut hashes: Vec<u64> = Vec::new();
        for row in 0..n {
            let mut hash = if row % 2 == 0 { stream.bits() } else { hashes[stream.below(row)] };
            for _ in 0..(row % 2) * stream.below(4) * stream.below(8) {
                hash ^= 1 << stream.below(64);
            }
            hashes.push(hash);
        }
        hashes
    }

    #[test]
    fn the_index_finds_what_comparing_all_finds_and_each_row_once() {
        for (seed, n) in [(1, 0), (2, 1), (3, 90), (4, 1500)] {
            let hashes = hashes(seed, n);
            for at_most in [0, 3, 4, 12, 13, 30, 64, u32::MAX] {
                let index = Hashes::of(&hashes, at_most);
                let mut n_found = 0;
                for (end, &hash) in hashes.iter().enumerate().step_by(1 + n / 100 * 2) {
                    let mut found = Vec::new();
                    index.near(hash, end as u32, &mut found);
                    found.sort_unstable();
                    let is_near = |row: &u32| (hashes[*row as usize] ^ hash).count_ones() <= at_most;
                    let all: Vec<u32> = (0..end as u32).filter(is_near).collect();
                    assert_eq!(found, all, "{seed} {at_most} {end}");
                    n_found += found.len();
                }
                assert!(n < 900 || n_found > 0, "{seed} {at_most}: nothing was planted");
            }
        }
    }
}
