//! Logistic regression with a ridge penalty, and its predictions: out of fold, and of the pictures it was fitted on.
//!
//! The penalty is half the squared length of the coefficients, of numbers scaled to deviation 1 by the pictures
//! that are fitted; the intercept has none. So scikit-learn's `StandardScaler` and `LogisticRegression()` state it.

use super::two_level::Sample;

/// Newton's steps at most; a convex loss with a ridge needs about ten.
const STEPS: usize = 100;
/// Steps end where no coefficient moves further.
const SETTLED: f64 = 1e-10;
/// Folds of the out-of-fold predictions.
pub const N_FOLDS: usize = 5;

/// A fitted regression.
#[derive(Clone, Debug)]
pub struct Logistic {
    /// Of each number: mean and deviation over the pictures that were fitted.
    scales: Vec<(f64, f64)>,
    /// The intercept first.
    coefficients: Vec<f64>,
}

impl Logistic {
    /// Of pictures' numbers, all equally many, and whether each is anomalous. `None` without pictures of both
    /// classes, or with a number that is not finite.
    pub fn fit(numbers: &[&[f64]], is_anomalous: &[bool]) -> Option<Logistic> {
        let both = [false, true].iter().all(|class| is_anomalous.contains(class));
        if !both || numbers.iter().copied().flatten().any(|number| !number.is_finite()) {
            return None;
        }
        let width = numbers.first()?.len();
        let scales: Vec<(f64, f64)> = (0..width).map(|column| scale(numbers, column)).collect();
        let scaled: Vec<Vec<f64>> = numbers.iter().map(|row| scaled(row, &scales)).collect();
        let mut coefficients = vec![0.0; width + 1];
        for _ in 0..STEPS {
            let step = newton(&scaled, is_anomalous, &coefficients)?;
            let settled = step.iter().all(|step| step.abs() < SETTLED);
            // A long first step may overshoot where the classes are far apart.
            let length = step.iter().map(|step| step * step).sum::<f64>().sqrt();
            let share = (4.0 / length).min(1.0);
            coefficients.iter_mut().zip(step).for_each(|(value, step)| *value += share * step);
            if settled {
                return Some(Logistic { scales, coefficients });
            }
        }
        None
    }

    /// The chance that a picture with these numbers is anomalous, as a logit.
    pub fn logit(&self, numbers: &[f64]) -> f64 {
        dot(&self.coefficients, &scaled(numbers, &self.scales))
    }
}

/// A logit for each picture by a regression on the other folds: no picture is judged by one that has seen it, nor
/// by one that has seen its patient. `None` where a class comes from fewer than [`N_FOLDS`] patients or pictures.
pub fn out_of_fold(numbers: &[Vec<f64>], sample: &Sample, purpose: &str) -> Option<Vec<f64>> {
    let folds = sample.folds(N_FOLDS, purpose)?;
    let mut logits = vec![0.0; numbers.len()];
    for fold in 0..N_FOLDS {
        let others = |&index: &usize| folds[index] != fold;
        let rows: Vec<usize> = (0..numbers.len()).filter(others).collect();
        let of = |&index: &usize| numbers[index].as_slice();
        let classes: Vec<bool> = rows.iter().map(|&index| sample.is_anomalous()[index]).collect();
        let fitted = Logistic::fit(&rows.iter().map(of).collect::<Vec<_>>(), &classes)?;
        for index in (0..numbers.len()).filter(|&index| folds[index] == fold) {
            logits[index] = fitted.logit(&numbers[index]);
        }
    }
    Some(logits)
}

/// A logit for each picture by one regression on all of them. As a judge of pictures it has seen them; as a
/// propensity it balances what the numbers tell between these very pictures, where predictions out of fold
/// leave part of it. `None` as [`Logistic::fit`].
pub fn in_sample(numbers: &[Vec<f64>], is_anomalous: &[bool]) -> Option<Vec<f64>> {
    let rows: Vec<&[f64]> = numbers.iter().map(Vec::as_slice).collect();
    let fitted = Logistic::fit(&rows, is_anomalous)?;
    Some(rows.iter().map(|row| fitted.logit(row)).collect())
}

/// Mean and deviation of a column; a number that never changes has deviation 1, so that it counts as 0.
fn scale(rows: &[&[f64]], column: usize) -> (f64, f64) {
    let n = rows.len() as f64;
    let mean = rows.iter().map(|row| row[column]).sum::<f64>() / n;
    let variance = rows.iter().map(|row| (row[column] - mean).powi(2)).sum::<f64>() / n;
    let is_constant = variance.sqrt() <= 1e-12 * mean.abs().max(1.0);
    (mean, if is_constant { 1.0 } else { variance.sqrt() })
}

/// With a 1 for the intercept in front.
fn scaled(row: &[f64], scales: &[(f64, f64)]) -> Vec<f64> {
    let values = row.iter().zip(scales).map(|(value, (mean, deviation))| (value - mean) / deviation);
    std::iter::once(1.0).chain(values).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Newton's step of the penalised loss from `coefficients`.
fn newton(rows: &[Vec<f64>], is_anomalous: &[bool], coefficients: &[f64]) -> Option<Vec<f64>> {
    let width = coefficients.len();
    let mut slope: Vec<f64> = (0..width).map(|at| if at == 0 { 0.0 } else { -coefficients[at] }).collect();
    let mut curvature = vec![vec![0.0; width]; width];
    curvature.iter_mut().enumerate().skip(1).for_each(|(at, row)| row[at] = 1.0);
    for (row, &class) in rows.iter().zip(is_anomalous) {
        let chance = 1.0 / (1.0 + (-dot(coefficients, row)).exp());
        let (miss, weight) = (f64::from(u8::from(class)) - chance, chance * (1.0 - chance));
        for i in 0..width {
            slope[i] += miss * row[i];
            for j in 0..=i {
                curvature[i][j] += weight * row[i] * row[j];
            }
        }
    }
    solve(curvature, slope)
}

/// Solves a symmetric positive definite system, of which the lower half is given, after Cholesky.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let n = right.len();
    for i in 0..n {
        for j in 0..=i {
            let rest: f64 = (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum();
            let value = matrix[i][j] - rest;
            if i == j && value <= 0.0 {
                return None;
            }
            matrix[i][j] = if i == j { value.sqrt() } else { value / matrix[j][j] };
        }
    }
    for i in 0..n {
        let rest: f64 = (0..i).map(|k| matrix[i][k] * right[k]).sum();
        right[i] = (right[i] - rest) / matrix[i][i];
    }
    for i in (0..n).rev() {
        let rest: f64 = (i + 1..n).map(|k| matrix[k][i] * right[k]).sum();
        right[i] = (right[i] - rest) / matrix[i][i];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::auroc::auroc;
    use crate::random::Stream;

    /// scikit-learn 1.9.1: `StandardScaler`, then `LogisticRegression(solver="newton-cholesky", tol=1e-14)`.
    #[test]
    fn coefficients_are_those_of_another_program() {
        let rows: [[f64; 2]; 8] = [
            [1.0, 20.0],
            [2.0, 21.0],
            [3.0, 19.0],
            [4.0, 25.0],
            [2.5, 30.0],
            [5.0, 28.0],
            [6.0, 22.0],
            [7.0, 33.0],
        ];
        let classes = [false, false, false, true, false, true, true, true];
        let rows: Vec<&[f64]> = rows.iter().map(<[f64; 2]>::as_slice).collect();
        let fitted = Logistic::fit(&rows, &classes).expect("both classes");
        assert_eq!(fitted.coefficients.len(), EXPECTED.len());
        for (value, expected) in fitted.coefficients.iter().zip(EXPECTED) {
            assert!((value - expected).abs() < 1e-8, "{:?}", fitted.coefficients);
        }
        assert!(Logistic::fit(&rows, &[true; 8]).is_none(), "one class says nothing");
    }

    const EXPECTED: [f64; 3] = [0.051258984639, 1.270241286162, 0.348963441109];

    fn drawn(n: usize, shift: f64) -> (Vec<Vec<f64>>, Sample) {
        let mut stream = Stream::new(3, "logistic", 0);
        let classes: Vec<bool> = (0..n).map(|index| index % 2 == 1).collect();
        let row = |&class: &bool| {
            (0..4).map(|at| stream.normal() + if class && at == 2 { shift } else { 0.0 }).collect()
        };
        let rows = classes.iter().map(row).collect();
        (rows, Sample::new(classes, &vec![None; n]))
    }

    fn reached(rows: &[Vec<f64>], sample: &Sample) -> f64 {
        let logits = out_of_fold(rows, sample, "test").expect("enough pictures");
        let of = |class: bool| -> Vec<f64> {
            let pairs = logits.iter().zip(sample.is_anomalous());
            pairs.filter(|(_, is)| **is == class).map(|(logit, _)| *logit).collect()
        };
        auroc(&of(false), &of(true)).expect("both classes")
    }

    #[test]
    fn predictions_know_what_numbers_tell_and_no_more() {
        let (rows, sample) = drawn(400, 2.0);
        // Two normal distributions 2 deviations apart: Phi(2 / sqrt 2) = 0.921.
        assert!((reached(&rows, &sample) - 0.921).abs() < 0.03);
        let (rows, sample) = drawn(400, 0.0);
        assert!((reached(&rows, &sample) - 0.5).abs() < 0.08);
    }

    #[test]
    fn a_number_that_never_changes_and_classes_far_apart_are_no_trouble() {
        let rows: Vec<Vec<f64>> = (0..40).map(|index| vec![8.0, f64::from(index % 2) * 1e6]).collect();
        let sample = Sample::new((0..40).map(|index| index % 2 == 1).collect(), &vec![None; 40]);
        assert_eq!(reached(&rows, &sample), 1.0);
    }
}
