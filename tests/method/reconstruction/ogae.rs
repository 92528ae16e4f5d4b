//! The one-class machine and the auto-encoder it guides.

use medfsad::method::ogae::{self, Guidance};
use medfsad::method::part::ocsvm::{OneClass, Points, solve};

use super::*;

fn cloud(n: usize, dimensions: usize) -> Points {
    let mut stream = Stream::new(2, "cloud", n as u64);
    Points::new((0..n * dimensions).map(|_| stream.normal()).collect(), dimensions).expect("rows")
}

fn kernel(points: &Points, gamma: f64) -> Vec<Vec<f64>> {
    let k = |i: usize, j: usize| medfsad::method::part::ocsvm::radial(points.row(i), points.row(j), gamma);
    (0..points.len()).map(|i| (0..points.len()).map(|j| k(i, j)).collect()).collect()
}

fn objective(kernel: &[Vec<f64>], alpha: &[f64]) -> f64 {
    let row = |row: &Vec<f64>| row.iter().zip(alpha).map(|(k, a)| k * a).sum::<f64>();
    kernel.iter().zip(alpha).map(|(k, a)| a * row(k)).sum()
}

/// Solves a small linear system by elimination; `None` if it is singular.
fn eliminate(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let n = rows.len();
    for column in 0..n {
        let pivot = (column..n).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        rows.swap(column, pivot);
        if rows[column][column].abs() < 1e-12 {
            return None;
        }
        let pivot = rows[column].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(other, _)| *other != column) {
            let factor = row[column] / pivot[column];
            row.iter_mut().zip(&pivot).for_each(|(value, above)| *value -= factor * above);
        }
    }
    Some((0..n).map(|index| rows[index][n] / rows[index][index]).collect())
}

/// The least objective over every choice of points at zero, at the bound and between.
fn brute_force(kernel: &[Vec<f64>], bound: f64) -> f64 {
    let n = kernel.len();
    let mut least = f64::INFINITY;
    for choice in 0..3usize.pow(n as u32) {
        let state = |index: usize| choice / 3usize.pow(index as u32) % 3;
        let free: Vec<usize> = (0..n).filter(|&index| state(index) == 2).collect();
        let fixed = |index: usize| if state(index) == 1 { bound } else { 0.0 };
        let taken: f64 = (0..n).map(fixed).sum();
        // Gradient equals rho on free points, and weights sum to 1.
        let mut rows: Vec<Vec<f64>> = Vec::new();
        for &i in &free {
            let mut row: Vec<f64> = free.iter().map(|&j| kernel[i][j]).collect();
            row.push(-1.0);
            row.push(-(0..n).map(|j| kernel[i][j] * fixed(j)).sum::<f64>());
            rows.push(row);
        }
        let mut sum = vec![1.0; free.len()];
        sum.extend([0.0, 1.0 - taken]);
        rows.push(sum);
        let mut alpha: Vec<f64> = (0..n).map(fixed).collect();
        if free.is_empty() {
            if (taken - 1.0).abs() > 1e-9 {
                continue;
            }
        } else {
            let Some(solution) = eliminate(rows) else { continue };
            free.iter().zip(&solution).for_each(|(&index, &value)| alpha[index] = value);
        }
        if alpha.iter().all(|&value| (-1e-9..=bound + 1e-9).contains(&value)) {
            least = least.min(objective(kernel, &alpha));
        }
    }
    least
}

#[test]
fn the_one_class_machine_finds_what_brute_force_finds() {
    for (nu, gamma) in [(0.03, 0.5), (0.3, 0.5), (0.5, 0.1), (0.8, 2.0)] {
        let points = cloud(8, 3);
        let kernel = kernel(&points, gamma);
        let dual = solve(8, nu, |index| kernel[index].clone()).expect("a solution");
        assert!((dual.alpha.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(dual.alpha.iter().all(|alpha| (0.0..=dual.bound + 1e-12).contains(alpha)));
        // Of K itself. A factor L of it in K's place has another optimum.
        let (own, least) = (objective(&kernel, &dual.alpha), brute_force(&kernel, 1.0 / (nu * 8.0)));
        assert!((own - least).abs() < 1e-4 * least, "nu {nu}: {own} against {least}");
    }
}

#[test]
fn with_nu_of_one_all_points_weigh_alike() {
    let machine = OneClass::fit(cloud(20, 4), 0.3, 1.0).expect("a machine");
    assert!(machine.dual().alpha.iter().all(|alpha| (alpha - 0.05).abs() < 1e-9));
}

#[test]
fn at_most_a_share_of_nu_lies_outside_the_machine_and_far_points_do() {
    for (n, nu) in [(50, 0.03), (200, 0.1), (200, 0.5)] {
        let points = cloud(n, 3);
        let machine = OneClass::fit(points.clone(), 1.0 / 3.0, nu).expect("a machine");
        let outside = (0..n).filter(|&index| machine.decide(points.row(index)) < -1e-6).count();
        let most = nu + 2.0 / (n as f64).sqrt();
        assert!(outside as f64 / n as f64 <= most, "{outside} of {n} at nu {nu}");
        assert!(machine.decide(&[8.0, 8.0, 8.0]) < 0.0 && machine.decide(&[0.0; 3]) > 0.0);
    }
    assert!(OneClass::fit(cloud(5, 2), 1.0, 0.0).is_err());
}

#[test]
fn guidance_pulls_codes_together_from_the_side_that_was_asked() {
    let settings = |guidance: Guidance| ogae::Settings { guidance, nu: 0.3, ..ogae::Settings::default() };
    for guidance in [Guidance::Compactor, Guidance::Expander, Guidance::Both] {
        let codes = normal("codes", &[32, 4]).set_requires_grad(true);
        let before = ogae::guidance(&codes, &settings(guidance));
        before.backward();
        let gradient = codes.grad();
        let size = |start: i64| gradient.narrow(0, start, 16).abs().sum(None::<Kind>).double_value(&[]);
        let (supporting, judged) = (size(0), size(16));
        assert_eq!(supporting > 0.0, guidance != Guidance::Compactor, "{guidance:?}");
        assert_eq!(judged > 0.0, guidance != Guidance::Expander, "{guidance:?}");
        let after = ogae::guidance(&(codes.detach() - gradient * 0.1), &settings(guidance));
        assert!(after.double_value(&[]) < before.double_value(&[]), "{guidance:?}");
    }
}

#[test]
fn guidance_falls_in_training_and_pictures_are_still_reconstructed() {
    let folder = TempDir::new().expect("a folder");
    let settings =
        "input = 16\nlatent = 8\nepochs = 60\nbatch = 32\nguidance = 'both'\nnu = 0.2\nlambda = 1.0";
    let entry = find("ogae").expect("known");
    let built = (entry.build)(toml::from_str(settings).expect("TOML")).expect("settings");
    let mut seen: Vec<[f64; 2]> = Vec::new();
    let mut observer = |_: u64, figures: &medfsad::method::EpochFigures, _: &dyn Fitted| {
        assert_eq!([figures[1].0, figures[2].0], ["squared-error", "guidance"]);
        seen.push([figures[1].1, figures[2].1]);
        Ok(())
    };
    built.method.fit(&normals(pictures("normal", 32)), &context(&folder, 2), &mut observer).expect("fitted");
    let (first, last) = (seen[0], seen[seen.len() - 1]);
    assert!(last[1] < first[1], "guidance went from {} to {}", first[1], last[1]);
    assert!(last[0] < first[0], "the squared error went from {} to {}", first[0], last[0]);
}
