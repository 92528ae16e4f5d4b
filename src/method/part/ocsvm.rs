//! One-class support vector machine with a radial kernel, solved exactly (Schölkopf et al. 2001; pairs chosen by
//! second order as Fan, Chen and Lin 2005).

use anyhow::{Result, ensure};

/// Gap of the optimality conditions at which a solution counts as one.
const TOLERANCE: f64 = 1e-7;

/// Share of the bound within which a weight counts as 0 or as at its bound.
const SLACK: f64 = 1e-6;

/// Points, row by row.
#[derive(Clone, Debug)]
pub struct Points {
    values: Vec<f64>,
    dimensions: usize,
}

impl Points {
    /// # Errors
    /// Values that do not fill whole rows.
    pub fn new(values: Vec<f64>, dimensions: usize) -> Result<Points> {
        ensure!(dimensions > 0 && values.len().is_multiple_of(dimensions), "points are not whole rows");
        Ok(Points { values, dimensions })
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimensions
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The coordinates of one point.
    pub fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.dimensions..(index + 1) * self.dimensions]
    }
}

/// Weights `alpha` that sum to 1 and are at most `bound = 1 / (nu n)`, and the threshold.
#[derive(Clone, Debug)]
pub struct Dual {
    /// One weight per point.
    pub alpha: Vec<f64>,
    /// The most that a point can weigh.
    pub bound: f64,
    /// Mean of `K alpha` over points whose weight is neither 0 nor at its bound.
    pub rho: f64,
}

impl Dual {
    /// Whether a point's weight is neither 0 nor at its bound, so that the point lies on the margin.
    pub fn is_free(&self, index: usize) -> bool {
        let slack = SLACK * self.bound;
        slack < self.alpha[index] && self.alpha[index] < self.bound - slack
    }
}

/// A machine that has seen its points.
pub struct OneClass {
    points: Points,
    gamma: f64,
    dual: Dual,
}

impl OneClass {
    /// # Errors
    /// No points, or `nu` outside 0 to 1.
    pub fn fit(points: Points, gamma: f64, nu: f64) -> Result<OneClass> {
        let column = |index: usize| {
            (0..points.len()).map(|other| radial(points.row(other), points.row(index), gamma)).collect()
        };
        let dual = solve(points.len(), nu, column)?;
        Ok(OneClass { points, gamma, dual })
    }

    /// `sum of alpha k(x_i, x) - rho`: negative outside.
    pub fn decide(&self, point: &[f64]) -> f64 {
        let of = |(index, alpha): (usize, &f64)| match *alpha > 0.0 {
            true => alpha * radial(self.points.row(index), point, self.gamma),
            false => 0.0,
        };
        self.dual.alpha.iter().enumerate().map(of).sum::<f64>() - self.dual.rho
    }

    /// The solution it was built from.
    pub fn dual(&self) -> &Dual {
        &self.dual
    }
}

/// `exp(-gamma |a - b|^2)`
pub fn radial(a: &[f64], b: &[f64], gamma: f64) -> f64 {
    let distance: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    (-gamma * distance).exp()
}

/// Minimises `alpha' K alpha / 2` over weights that sum to 1, each 0 to `1 / (nu n)`. `column` gives columns of
/// `K`; it is called once for every point that gains weight.
///
/// # Errors
/// No points, or `nu` outside 0 to 1.
pub fn solve(n: usize, nu: f64, column: impl Fn(usize) -> Vec<f64>) -> Result<Dual> {
    ensure!(n > 0, "a one-class machine needs points");
    ensure!(nu > 0.0 && nu <= 1.0, "nu must be above 0 and at most 1, it is {nu}");
    let mut descent = Descent::new(n, 1.0 / (nu * n as f64), column);
    // Far more than it takes; a bound for kernels that are not positive.
    for _ in 0..1000 * n.max(100) {
        if !descent.improve() {
            break;
        }
    }
    Ok(descent.finish())
}

/// Sequential minimal optimisation.
struct Descent<F> {
    bound: f64,
    alpha: Vec<f64>,
    /// `K alpha`
    gradient: Vec<f64>,
    columns: Vec<Option<Vec<f64>>>,
    column: F,
}

impl<F: Fn(usize) -> Vec<f64>> Descent<F> {
    /// Begins with the first points at their bound.
    fn new(n: usize, bound: f64, column: F) -> Descent<F> {
        let (mut alpha, mut left) = (vec![0.0; n], 1.0);
        for value in &mut alpha {
            *value = bound.min(left);
            left -= *value;
        }
        // What rounding left over.
        alpha[n - 1] += left.max(0.0);
        let mut descent =
            Descent { bound, alpha, gradient: vec![0.0; n], columns: (0..n).map(|_| None).collect(), column };
        for index in 0..n {
            if descent.alpha[index] > 0.0 {
                descent.add(index, descent.alpha[index]);
            }
        }
        descent
    }

    fn column(&mut self, index: usize) -> &[f64] {
        self.columns[index].get_or_insert_with(|| (self.column)(index))
    }

    /// The gradient after the weight of `index` grew by `amount`.
    fn add(&mut self, index: usize, amount: f64) {
        let mut gradient = std::mem::take(&mut self.gradient);
        gradient.iter_mut().zip(self.column(index)).for_each(|(sum, k)| *sum += amount * k);
        self.gradient = gradient;
    }

    fn can_grow(&self, index: usize) -> bool {
        self.alpha[index] < self.bound * (1.0 - 1e-12)
    }

    fn can_shrink(&self, index: usize) -> bool {
        self.alpha[index] > 0.0
    }

    /// Shifts weight between the pair that gains most; false at the optimum.
    fn improve(&mut self) -> bool {
        let n = self.alpha.len();
        let by_gradient = |a: &usize, b: &usize| self.gradient[*a].total_cmp(&self.gradient[*b]);
        let Some(to) = (0..n).filter(|&index| self.can_grow(index)).min_by(by_gradient) else { return false };
        let worst = (0..n).filter(|&index| self.can_shrink(index)).max_by(by_gradient);
        if worst.is_none_or(|worst| self.gradient[worst] - self.gradient[to] < TOLERANCE) {
            return false;
        }
        let row = self.column(to).to_vec();
        let mut best = (0.0, to, 0.0);
        for (index, between) in row.iter().enumerate() {
            let gap = self.gradient[index] - self.gradient[to];
            if !self.can_shrink(index) || gap <= 0.0 {
                continue;
            }
            // What has weight has a column.
            let own = self.columns[index].as_ref().map_or(row[to], |column| column[index]);
            let curvature = (row[to] + own - 2.0 * between).max(1e-12);
            if gap * gap / curvature > best.0 {
                best = (gap * gap / curvature, index, gap / curvature);
            }
        }
        let (_, from, step) = best;
        let step = step.min(self.alpha[from]).min(self.bound - self.alpha[to]);
        self.alpha[to] += step;
        self.alpha[from] = if step == self.alpha[from] { 0.0 } else { self.alpha[from] - step };
        self.add(to, step);
        self.add(from, -step);
        true
    }

    fn finish(self) -> Dual {
        let mut dual = Dual { alpha: self.alpha, bound: self.bound, rho: 0.0 };
        let gradients = |keep: &dyn Fn(usize) -> bool| -> Vec<f64> {
            (0..dual.alpha.len()).filter(|&index| keep(index)).map(|index| self.gradient[index]).collect()
        };
        let free = gradients(&|index| dual.is_free(index));
        dual.rho = if free.is_empty() {
            // Any value between what lies outside and what lies inside will do.
            let is_outside = |index: usize| dual.alpha[index] > dual.bound / 2.0;
            let highest = gradients(&is_outside).into_iter().fold(f64::NEG_INFINITY, f64::max);
            let lowest = gradients(&|index| !is_outside(index)).into_iter().fold(f64::INFINITY, f64::min);
            if lowest.is_finite() { (highest + lowest) / 2.0 } else { highest }
        } else {
            free.iter().sum::<f64>() / free.len() as f64
        };
        dual
    }
}
