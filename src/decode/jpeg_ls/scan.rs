//! Samples out of the bits of one scan: T.87, annex A. Names in capital letters are the standard's.

use anyhow::{Result, ensure};

use super::bits::Bits;
use super::{Interleave, Preset};

/// Order of the runs that one bit stands for, by run index (J).
const RUN_ORDERS: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Contexts of three gradients of either sign, the flat one among them.
const N_CONTEXTS: usize = 365;

/// Numbers that a whole scan is coded with.
#[derive(Clone, Copy)]
pub(super) struct Coding {
    /// MAXVAL.
    greatest: i32,
    /// NEAR, how far a sample may be off.
    near: i32,
    /// T1, T2, T3.
    thresholds: [i32; 3],
    /// RESET, after how many samples a context's counts are halved.
    reset: i64,
    /// RANGE, and its bits, qbpp.
    range: i32,
    range_bits: u32,
    /// LIMIT, the longest code.
    limit: u32,
}

impl Coding {
    /// Stated parameters, and defaults for those that are not (T.87, C.2.4.1.1).
    pub(super) fn of(precision: u8, preset: Option<Preset>, near: i32) -> Result<Coding> {
        let most = (1 << precision) - 1;
        let stated = preset.unwrap_or(Preset { greatest: 0, thresholds: [0; 3], reset: 0 });
        let or = |stated: i32, default: i32| if stated == 0 { default } else { stated };
        let greatest = or(stated.greatest, most);
        let defaults = thresholds(greatest, near);
        let thresholds: [i32; 3] = std::array::from_fn(|place| or(stated.thresholds[place], defaults[place]));
        let reset = or(stated.reset, 64);
        let [t1, t2, t3] = thresholds;
        ensure!(
            (1..=most).contains(&greatest)
                && (0..=greatest.min(510) / 2).contains(&near)
                && near < t1
                && t1 <= t2
                && t2 <= t3
                && t3 <= greatest.max(near + 1)
                && (3..=greatest.max(255)).contains(&reset),
            "JPEG-LS parameters out of range: MAXVAL {greatest}, NEAR {near}, T {thresholds:?}, RESET {reset}"
        );
        let range = (greatest + 2 * near) / (2 * near + 1) + 1;
        let bits = bits_of(greatest).max(2);
        let range_bits = bits_of(range - 1);
        let limit = 2 * (bits + bits.max(8));
        Ok(Coding { greatest, near, thresholds, reset: reset.into(), range, range_bits, limit })
    }

    /// One of nine steps of a gradient.
    fn step(&self, gradient: i32) -> i32 {
        let [t1, t2, t3] = self.thresholds;
        let size = gradient.abs();
        let step = match size {
            _ if size <= self.near => 0,
            _ if size < t1 => 1,
            _ if size < t2 => 2,
            _ if size < t3 => 3,
            _ => 4,
        };
        if gradient < 0 { -step } else { step }
    }

    /// The sample that is off its prediction by a coded error.
    fn restored(&self, predicted: i32, error: i32) -> i32 {
        let (near, width) = (self.near, 2 * self.near + 1);
        let mut sample = predicted + error * width;
        if sample < -near {
            sample += self.range * width;
        } else if sample > self.greatest + near {
            sample -= self.range * width;
        }
        sample.clamp(0, self.greatest)
    }
}

/// Bits that hold the numbers up to `greatest`.
fn bits_of(greatest: i32) -> u32 {
    32 - greatest.leading_zeros()
}

fn thresholds(greatest: i32, near: i32) -> [i32; 3] {
    let within = |number: i32, least: i32| if number > greatest || number < least { least } else { number };
    let basic = if greatest >= 128 {
        let factor = (greatest.min(4095) + 128) / 256;
        [factor + 2 + 3 * near, 4 * factor + 3 + 5 * near, 17 * factor + 4 + 7 * near]
    } else {
        let factor = 256 / (greatest + 1);
        [(3 / factor + 3 * near).max(2), (7 / factor + 5 * near).max(3), (21 / factor + 7 * near).max(4)]
    };
    let t1 = within(basic[0], near + 1);
    let t2 = within(basic[1], t1);
    [t1, t2, within(basic[2], t2)]
}

/// What was learnt of samples in one surrounding.
#[derive(Clone, Copy)]
struct Context {
    /// A: sum of the sizes of errors.
    sizes: i64,
    /// B: sum of errors. Of a context of interrupted runs: how many were below 0 (Nn).
    errors: i64,
    /// C: correction of the prediction.
    correction: i32,
    /// N: how often it occurred.
    count: i64,
}

impl Context {
    /// k, the number of a code's plain bits.
    fn order(&self, sizes: i64) -> u32 {
        (0..24).find(|&k| self.count << k >= sizes).unwrap_or(24)
    }

    fn halve(&mut self, reset: i64) {
        if self.count == reset {
            self.sizes >>= 1;
            self.errors >>= 1;
            self.count >>= 1;
        }
        self.count += 1;
    }

    /// Takes in an error of a regular sample (T.87, A.6).
    fn learn(&mut self, error: i32, coding: &Coding) {
        self.errors += i64::from(error) * i64::from(2 * coding.near + 1);
        self.sizes += i64::from(error.abs());
        self.halve(coding.reset);
        if self.errors <= -self.count {
            self.errors = (self.errors + self.count).max(1 - self.count);
            self.correction = (self.correction - 1).max(-128);
        } else if self.errors > 0 {
            self.errors = (self.errors - self.count).min(0);
            self.correction = (self.correction + 1).min(127);
        }
    }
}

/// A line of one component, with one sample before its start and one after its end.
type Line = Vec<i32>;

/// A scan while it is decoded, line by line.
pub(super) struct Scan<'a> {
    coding: Coding,
    bits: Bits<'a>,
    columns: usize,
    contexts: [Context; N_CONTEXTS],
    /// Of interrupted runs: samples above differ, samples above are alike.
    runs: [Context; 2],
    /// `RUNindex`, for each component where these come line by line.
    run_indices: Vec<usize>,
    /// The line before and this one, for each component.
    before: Vec<Line>,
    lines: Vec<Line>,
}

/// Samples round the one that is decoded: to the left (Ra), above (Rb), above to the left (Rc) and right (Rd).
#[derive(Clone, Copy)]
struct Around {
    left: i32,
    above: i32,
    above_left: i32,
    above_right: i32,
}

impl<'a> Scan<'a> {
    pub(super) fn new(coding: Coding, bits: Bits<'a>, columns: usize, components: usize) -> Scan<'a> {
        let sizes = i64::from((coding.range + 32) / 64).max(2);
        let context = Context { sizes, errors: 0, correction: 0, count: 1 };
        let lines = vec![vec![0; columns + 2]; components];
        Scan {
            coding,
            bits,
            columns,
            contexts: [context; N_CONTEXTS],
            runs: [context; 2],
            run_indices: vec![0; components],
            before: lines.clone(),
            lines,
        }
    }

    /// The next line of each component.
    ///
    /// # Errors
    /// A scan that ends early or holds a code that cannot be.
    pub(super) fn lines(&mut self, interleave: Interleave) -> Result<impl Iterator<Item = &[i32]>> {
        std::mem::swap(&mut self.before, &mut self.lines);
        for (line, before) in self.lines.iter_mut().zip(&mut self.before) {
            // Outside the picture stands what T.87, A.2.1 says.
            line[0] = before[1];
            before[self.columns + 1] = before[self.columns];
        }
        let components = self.lines.len();
        match interleave {
            Interleave::None | Interleave::Line => {
                (0..components).try_for_each(|component| self.line(component, 1))?;
            }
            Interleave::Sample => self.line(0, components)?,
        }
        Ok(self.lines.iter().map(|line| &line[1..=self.columns]))
    }

    /// The place after the scan.
    pub(super) fn end(&self) -> usize {
        self.bits.end()
    }

    /// A line of `n` components from `first` on, which are decoded sample by sample.
    fn line(&mut self, first: usize, n: usize) -> Result<()> {
        let mut column = 1;
        while column <= self.columns {
            let contexts: [i32; 4] =
                std::array::from_fn(|place| if place < n { self.context(first + place, column) } else { 0 });
            if contexts == [0; 4] {
                column = self.run(first, n, column)?;
                continue;
            }
            for (place, context) in contexts.into_iter().take(n).enumerate() {
                let around = self.around(first + place, column);
                self.lines[first + place][column] = self.regular(around, context)?;
            }
            column += 1;
        }
        Ok(())
    }

    fn around(&self, component: usize, column: usize) -> Around {
        let (line, before) = (&self.lines[component], &self.before[component]);
        Around {
            left: line[column - 1],
            above: before[column],
            above_left: before[column - 1],
            above_right: before[column + 1],
        }
    }

    /// The number of a sample's surroundings, below 0 where they are turned over (T.87, A.3.4).
    fn context(&self, component: usize, column: usize) -> i32 {
        let Around { left, above, above_left, above_right } = self.around(component, column);
        let step = |gradient| self.coding.step(gradient);
        81 * step(above_right - above) + 9 * step(above - above_left) + step(above_left - left)
    }

    fn regular(&mut self, around: Around, context: i32) -> Result<i32> {
        let Around { left, above, above_left, .. } = around;
        let sign = if context < 0 { -1 } else { 1 };
        let place = context.unsigned_abs() as usize;
        let (low, high) = (left.min(above), left.max(above));
        let edge = match above_left {
            _ if above_left >= high => low,
            _ if above_left <= low => high,
            _ => left + above - above_left,
        };
        let Context { sizes, errors, correction, count } = self.contexts[place];
        let predicted = (edge + sign * correction).clamp(0, self.coding.greatest);
        let order = self.contexts[place].order(sizes);
        let mapped = self.code(order, self.coding.limit)?;
        // Where most errors are below 0, they have the shorter codes (T.87, A.5.2).
        let is_turned = self.coding.near == 0 && order == 0 && 2 * errors <= -count;
        let half = (mapped >> 1) as i32;
        let error = if (mapped & 1 == 1) == is_turned { half } else { -half - 1 };
        self.contexts[place].learn(error, &self.coding);
        Ok(self.coding.restored(predicted, sign * error))
    }

    /// The number that a code of at most `limit` bits stands for (T.87, A.5.3).
    fn code(&mut self, order: u32, limit: u32) -> Result<u32> {
        let most = limit.saturating_sub(self.coding.range_bits + 1);
        let zeros = self.bits.zeros(most)?;
        let number = match zeros < most {
            true => zeros << order | self.bits.number(order)?,
            false => self.bits.number(self.coding.range_bits)? + 1,
        };
        ensure!(number <= 2 * self.coding.range as u32, "an error that no sample can have");
        Ok(number)
    }

    /// Samples that repeat those to their left, and what interrupts them; the column after them (T.87, A.7).
    fn run(&mut self, first: usize, n: usize, start: usize) -> Result<usize> {
        let end = self.columns + 1;
        let mut column = start;
        loop {
            let order = RUN_ORDERS[self.run_indices[first]];
            if !self.bits.bit()? {
                column += self.bits.number(order)? as usize;
                break;
            }
            let length = (1 << order).min(end - column);
            column += length;
            if length == 1 << order && self.run_indices[first] < 31 {
                self.run_indices[first] += 1;
            }
            if column == end {
                break;
            }
        }
        ensure!(column <= end, "a run beyond its line");
        for line in &mut self.lines[first..first + n] {
            let repeated = line[start - 1];
            line[start..column].fill(repeated);
        }
        if column == end {
            return Ok(end);
        }
        for component in first..first + n {
            self.lines[component][column] = self.interruption(component, column, n, first)?;
        }
        self.run_indices[first] = self.run_indices[first].saturating_sub(1);
        Ok(column + 1)
    }

    /// The sample that ends a run (T.87, A.7.2).
    fn interruption(&mut self, component: usize, column: usize, n: usize, first: usize) -> Result<i32> {
        let Around { left, above, .. } = self.around(component, column);
        let is_alike = n == 1 && (left - above).abs() <= self.coding.near;
        let kind = i32::from(is_alike);
        let context = self.runs[usize::from(is_alike)];
        let sizes = context.sizes + if is_alike { context.count >> 1 } else { 0 };
        let order = context.order(sizes);
        let limit = self.coding.limit - RUN_ORDERS[self.run_indices[first]] - 1;
        let coded = self.code(order, limit)? as i32;
        let mapped = coded + kind;
        let is_odd = mapped & 1 == 1;
        let size = (mapped + 1) / 2;
        let is_negative = is_odd == (order != 0 || 2 * context.errors >= context.count);
        let error = if is_negative { -size } else { size };
        let context = &mut self.runs[usize::from(is_alike)];
        context.errors += i64::from(error < 0);
        context.sizes += i64::from((coded + 1 - kind) >> 1);
        context.halve(self.coding.reset);
        let (predicted, sign) = match (is_alike, left > above) {
            (true, _) => (left, 1),
            (false, true) => (above, -1),
            (false, false) => (above, 1),
        };
        Ok(self.coding.restored(predicted, sign * error))
    }
}
