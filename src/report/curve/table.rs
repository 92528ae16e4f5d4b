//! The curve as tables: every method under every variant, and each method's range.

use anyhow::Result;

use super::choices::Variant;
use super::{Curve, Method};
use crate::metric::quantile;
use crate::report::display_table::{DisplayTable, Entry, Line, UNDEFINED, plain, three_decimals};

/// Of values of which there is at least one.
pub(super) fn median(values: &[f64]) -> f64 {
    quantile::median(&mut values.to_vec()).unwrap_or(f64::NAN)
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// A rank without decimals where it is whole.
fn rank(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// The share of variants under which a method has the highest AUROC, alone or with others.
fn first(curve: &Curve, method: &Method) -> f64 {
    let is_first =
        |place: &usize| curve.methods.iter().all(|other| other.aurocs[*place] <= method.aurocs[*place]);
    (0..curve.variants.len()).filter(is_first).count() as f64 / curve.variants.len() as f64
}

/// What protocol clean does with maps, if that is among the variants.
fn reference(curve: &Curve, method: &Method) -> Option<f64> {
    let is_reference = |variant: &Variant| *variant == Variant::REFERENCE;
    Some(method.aurocs[curve.variants.iter().position(is_reference)?])
}

/// What is said of the curve, and the ranges.
pub(super) fn markdown(curve: &Curve) -> String {
    let rows = curve.methods.iter().map(|method| {
        let ends = [least(&method.aurocs), median(&method.aurocs), most(&method.aurocs)];
        let mut entries = vec![Entry::text(&method.label), Entry::text(&method.regime)];
        entries.push(Entry::number(three_decimals(reference(curve, method))));
        entries.extend(ends.map(|value| Entry::number(three_decimals(Some(value)))));
        entries.extend([least(&method.ranks), most(&method.ranks)].map(|value| Entry::number(rank(value))));
        entries.push(Entry::number(format!("{:.0} %", 100.0 * first(curve, method))));
        Line { entries, ..Line::default() }
    });
    let head =
        ["method", "regime", "reference", "lowest", "median", "highest", "best rank", "worst rank", "first"];
    let table = DisplayTable {
        name: "curve",
        title: "Specification curve".to_owned(),
        caption: format!(
            "Image AUROC at {} shots, mean over tasks and draws, under {} combinations of the choices that papers make \
             in evaluating, and each method's range over them. Choices are crossed; those of no consequence here, and \
             those that cannot be had, are left out and named below. Reference is what protocol clean does with \
             maps. First is the share of combinations under which the method has the highest AUROC. A method without \
             maps is the same under every choice that concerns maps. The maximum is that of the map, also where a \
             method's own score is another, wherever maps were kept. Methods of different regimes do not compete on equal \
             terms. Controls have no curve. {UNDEFINED} is undefined.",
            curve.shots,
            curve.variants.len()
        ),
        head: head.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    };
    let left_out: String = curve.left_out.iter().map(|what| format!("- {}\n", plain(what))).collect();
    format!("{}\nLeft out:\n\n{left_out}", table.markdown(curve.warning.as_deref()))
}

/// One line for each method.
///
/// # Errors
/// What the writer of CSV refuses.
pub(super) fn ranges(curve: &Curve) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "method",
        "regime",
        "shots",
        "variants",
        "reference",
        "lowest",
        "median",
        "highest",
        "best_rank",
        "worst_rank",
        "first",
    ])?;
    for method in &curve.methods {
        writer.write_record([
            method.label.clone(),
            method.regime.clone(),
            curve.shots.to_string(),
            curve.variants.len().to_string(),
            reference(curve, method).map_or(String::new(), |value| value.to_string()),
            least(&method.aurocs).to_string(),
            median(&method.aurocs).to_string(),
            most(&method.aurocs).to_string(),
            least(&method.ranks).to_string(),
            most(&method.ranks).to_string(),
            first(curve, method).to_string(),
        ])?;
    }
    Ok(writer.into_inner()?)
}

/// One line for each variant and method.
///
/// # Errors
/// What the writer of CSV refuses.
pub(super) fn variants(curve: &Curve) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "variant",
        "epoch",
        "smoothing",
        "reduction",
        "last_batch",
        "map_size",
        "seeds",
        "method",
        "auroc",
        "rank",
    ])?;
    for (place, variant) in curve.variants.iter().enumerate() {
        for method in &curve.methods {
            let [epoch, smoothing, reduction, last_batch, map_size, seeds] = variant.names();
            writer.write_record([
                (place + 1).to_string(),
                epoch,
                smoothing,
                reduction,
                last_batch,
                map_size,
                seeds,
                method.label.clone(),
                method.aurocs[place].to_string(),
                method.ranks[place].to_string(),
            ])?;
        }
    }
    Ok(writer.into_inner()?)
}
