//! The curve as a figure: methods above, and below them what was chosen.

use anyhow::Result;

use super::Curve;
use super::choices::Variant;
use crate::report::chart::{Figure, Heading, MARGIN, Panel, WIDTH, shortened, ticks};
use crate::report::colour::{FAINT, GRID, INK, MUTED, SERIES};
use crate::report::drawing::{Anchor, Drawing};

/// Room for the names of choices.
const LEFT: f64 = 170.0;
/// Height of the methods' panel.
const HEIGHT: f64 = 280.0;
/// Height of a choice's row.
const ROW: f64 = 15.0;

/// Variants stand side by side in the curve's order.
pub(super) fn draw(curve: &Curve) -> Result<Figure> {
    let colour = |method: usize| SERIES.get(method).copied().unwrap_or(FAINT);
    let rows = rows(&curve.variants);
    let heading = Heading {
        name: "curve",
        title: format!("AUROC under {} ways to evaluate the same maps", curve.variants.len()),
        caption: "Each column is one combination of choices, marked below; columns by rising mean over methods.".to_owned(),
        alt: "Lines of each method's image AUROC over combinations of evaluation choices, above a matrix that marks \
              the choices of each combination."
            .to_owned(),
        warning: curve.warning.as_deref(),
        legend: curve
            .methods
            .iter()
            .enumerate()
            .map(|(index, method)| (shortened(&format!("{} ({})", method.label, method.regime), 40), colour(index)))
            .collect(),
    };
    heading.figure((WIDTH, HEIGHT + ROW * rows.len() as f64 + 40.0), |sketch, top| {
        let values = || curve.methods.iter().flat_map(|method| method.aurocs.iter().copied());
        let (low, high) =
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        let margin = (0.05 * (high - low)).max(0.01);
        let n = curve.variants.len() as f64;
        let panel = Panel {
            left: LEFT,
            top: top + 6.0,
            width: WIDTH - LEFT - MARGIN,
            height: HEIGHT,
            x: (0.0, n),
            y: (low - margin, high + margin),
        };
        panel.ticks_y(sketch, &ticks(panel.y, 6));
        panel.frame(sketch, "");
        sketch.turned_text((MARGIN, panel.top + HEIGHT / 2.0), 12, MUTED, "image AUROC");
        // The best last, so that it lies on top.
        for (index, method) in curve.methods.iter().enumerate().rev() {
            let points: Vec<(f64, f64)> =
                method.aurocs.iter().enumerate().map(|(place, value)| (place as f64 + 0.5, *value)).collect();
            panel.curve(sketch, &points, colour(index), 2);
            if let [(x, y)] = points[..] {
                sketch.dot(panel.at(x, y), 3, colour(index));
            }
        }
        matrix(sketch, curve, &rows, &panel);
    })
}

/// Choices that differ between variants: which of the six, and the option.
fn rows(variants: &[Variant]) -> Vec<(usize, String)> {
    let mut rows: Vec<(usize, String)> = Vec::new();
    for choice in 0..6 {
        let mut options: Vec<String> = Vec::new();
        let mut sorted = variants.to_vec();
        sorted.sort();
        for variant in sorted {
            let name = variant.names()[choice].clone();
            if !options.contains(&name) {
                options.push(name);
            }
        }
        if options.len() > 1 {
            rows.extend(options.into_iter().map(|option| (choice, option)));
        }
    }
    rows
}

fn matrix(sketch: &mut Drawing, curve: &Curve, rows: &[(usize, String)], panel: &Panel) {
    let top = panel.top + panel.height + 16.0;
    let width = panel.width / curve.variants.len() as f64;
    let names: Vec<[String; 6]> = curve.variants.iter().map(|variant| variant.names()).collect();
    for (row, (choice, option)) in rows.iter().enumerate() {
        let (y, foot) = (top + ROW * row as f64, top + ROW * row as f64 + ROW - 4.0);
        let middle = f64::midpoint(y, foot);
        sketch.text((LEFT - 6.0, middle), 11, MUTED, Anchor::End, option);
        let (left, right) = (panel.left, panel.left + panel.width);
        sketch.line(vec![(left, middle), (right, middle)], GRID, 1);
        for (place, _) in names.iter().enumerate().filter(|(_, of)| of[*choice] == *option) {
            let x = panel.left + width * place as f64;
            // Columns stay apart where there is room for it.
            let gap = if width > 3.0 { 0.5 } else { 0.0 };
            sketch.block((x + gap, y), (x + width - gap, foot), INK);
        }
    }
}
