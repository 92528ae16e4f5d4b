//! The normal distribution.

/// Between the mean and this many deviations on either side lie 95 % of it.
pub const Z_95: f64 = 1.959_963_984_540_054;

/// The chance of a value at least as far from the mean, on either side, as `z` deviations.
pub fn two_sided(z: f64) -> f64 {
    libm::erfc(z.abs() / std::f64::consts::SQRT_2)
}
