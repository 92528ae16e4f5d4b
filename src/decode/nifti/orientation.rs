//! Which stored axis runs nearest to which axis of the patient, and in which direction.

use anyhow::{Context, Result};

/// One of the patient's axes (right, anterior, superior) in the stored volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Along {
    /// The stored axis.
    pub stored: usize,
    /// Whether its index falls as the patient's axis rises.
    pub reversed: bool,
}

/// How stored axes lie in the patient.
pub(super) struct Orientation {
    pub axes: [Along; 3],
    /// The greatest angle between a stored axis and the patient's axis taken for it, in degrees.
    pub oblique: f64,
}

type Matrix = [[f64; 3]; 3];

impl Orientation {
    /// Axes nearest to the patient's, as `nibabel.io_orientation` chooses them: on the orthogonal matrix
    /// nearest to the directions, the stored axis with the clearest direction first.
    pub(super) fn of(matrix: &Matrix) -> Result<Orientation> {
        let directions = unit_columns(matrix).context("the affine matrix gives an axis no direction")?;
        let mut left = orthogonal(directions).context("the affine matrix is singular")?;
        let mut axes = [Along { stored: 0, reversed: false }; 3];
        let mut oblique: f64 = 0.0;
        let mut order = [0, 1, 2];
        let clearest = |axis: usize| (0..3).map(|row| left[row][axis].powi(2)).fold(0.0, f64::max);
        let clear = [clearest(0), clearest(1), clearest(2)];
        order.sort_by(|&a, &b| clear[b].total_cmp(&clear[a]));
        for stored in order {
            // The first of equals, as NumPy's argmax.
            let size = |row: usize| left[row][stored].abs();
            let patient = (1..3).fold(0, |best, row| if size(row) > size(best) { row } else { best });
            axes[patient] = Along { stored, reversed: left[patient][stored] < 0.0 };
            oblique = oblique.max(directions[patient][stored].abs().min(1.0).acos().to_degrees());
            left[patient] = [0.0; 3];
        }
        Ok(Orientation { axes, oblique })
    }

    /// Letters of the directions in which stored axes rise, such as `LPS`.
    pub(super) fn letters(&self) -> String {
        let letter = |stored: usize| {
            let patient = self.axes.iter().position(|along| along.stored == stored).unwrap_or(stored);
            [["R", "L"], ["A", "P"], ["S", "I"]][patient][usize::from(self.axes[patient].reversed)]
        };
        (0..3).map(letter).collect()
    }
}

/// Columns scaled to length 1; `None` if one has none.
fn unit_columns(matrix: &Matrix) -> Option<Matrix> {
    let lengths: [f64; 3] =
        std::array::from_fn(|column| matrix.iter().map(|row| row[column].powi(2)).sum::<f64>().sqrt());
    lengths
        .iter()
        .all(|length| length.is_normal())
        .then(|| matrix.map(|row| std::array::from_fn(|column| row[column] / lengths[column])))
}

/// The nearest orthogonal matrix, by Newton's iteration for the polar decomposition (Higham 1986); `None` if
/// the matrix is singular.
fn orthogonal(matrix: Matrix) -> Option<Matrix> {
    let mut current = matrix;
    for _ in 0..64 {
        let inverse = inverse_transposed(&current)?;
        let next: Matrix = std::array::from_fn(|row| {
            std::array::from_fn(|column| (current[row][column] + inverse[row][column]) / 2.0)
        });
        let step = next.iter().flatten().zip(current.iter().flatten()).map(|(a, b)| (a - b).abs());
        let settled = step.fold(0.0, f64::max) < 1e-12;
        current = next;
        if settled {
            break;
        }
    }
    Some(current)
}

/// Cofactors over the determinant.
fn inverse_transposed(m: &Matrix) -> Option<Matrix> {
    let minor = |row: usize, column: usize| {
        let [r1, r2] = [(row + 1) % 3, (row + 2) % 3];
        let [c1, c2] = [(column + 1) % 3, (column + 2) % 3];
        m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
    };
    let determinant: f64 = (0..3).map(|column| m[0][column] * minor(0, column)).sum();
    (determinant.abs() > 1e-9)
        .then(|| std::array::from_fn(|row| std::array::from_fn(|column| minor(row, column) / determinant)))
}
