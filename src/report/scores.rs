//! The page of `score`: the pictures with the highest scores, what the scores mean and what they do not.

use anyhow::Result;
use askama::Template;

use super::colour::heat;
use super::display_table::three_decimals;
use super::drawing::data_url;
use super::entrant::RANDOM_TEACHER;
use super::gallery::overlay;
use crate::decode::resize;
use crate::maps::MapStack;
use crate::pixels::Pixels;
use crate::protocol::{self, Protocol};

/// Pictures that the page shows; the table beside it holds all.
pub const N_SHOWN: usize = 200;

/// One picture and its score.
pub struct Picture<'a> {
    /// Name of its file.
    pub name: &'a str,
    /// Higher is more anomalous.
    pub score: f64,
    /// From 1 for the highest score.
    pub rank: usize,
    /// Conformal, from the references alone; `None` where there is none.
    pub p_value: Option<f64>,
    /// Whether the score is above the threshold.
    pub flagged: Option<bool>,
    /// Where it is most anomalous and what of the references is most like it there, in words, where the method says so.
    pub nearest: Option<String>,
    /// The picture, resized to a square.
    pub picture: &'a Pixels,
    /// Its raw map.
    pub map: Option<&'a MapStack>,
}

/// What was asked, and what came of it.
pub struct Scores<'a> {
    /// The method's name.
    pub method: &'a str,
    /// How a map became a score.
    pub protocol: Protocol,
    /// The network and its weights.
    pub network: String,
    /// How the method's authors prepare files, where that was asked for.
    pub prepared: Option<String>,
    /// Whether these weights are random.
    pub is_random: bool,
    /// Pictures that were scored.
    pub n_scored: usize,
    /// Those with the highest scores, in any order.
    pub pictures: Vec<Picture<'a>>,
    /// Name and picture of each reference.
    pub references: Vec<(&'a str, &'a Pixels)>,
    /// The threshold and the share of normal pictures that is expected above it.
    pub threshold: Option<(f64, f64)>,
}

#[derive(Template)]
#[template(path = "scores.html", config = "src/report/askama.toml")]
struct Page {
    warning: Option<&'static str>,
    about: Vec<String>,
    more: Option<String>,
    scale: Option<[String; 3]>,
    pictures: Vec<Shown>,
    references: Vec<(String, String)>,
}

struct Shown {
    name: String,
    facts: String,
    flagged: bool,
    /// Name and address.
    views: Vec<(&'static str, String)>,
}

/// The page, highest scores first.
///
/// # Errors
/// A picture that cannot be encoded.
pub fn page(scores: &Scores) -> Result<String> {
    let mut order: Vec<&Picture> = scores.pictures.iter().collect();
    order.sort_by(|a, b| a.rank.cmp(&b.rank).then_with(|| a.name.cmp(b.name)));
    let n = scores.n_scored;
    let more = (n > N_SHOWN)
        .then(|| format!("The {N_SHOWN} highest scores of {n}; the table beside this page holds all."));
    order.truncate(N_SHOWN);
    let smoothed: Vec<Option<MapStack>> =
        order.iter().map(|one| one.map.map(|map| map.smoothed(protocol::SIGMA))).collect();
    let values = || smoothed.iter().flatten().flat_map(MapStack::values).copied();
    let range = [values().fold(f32::INFINITY, f32::min), values().fold(f32::NEG_INFINITY, f32::max)];
    let shown = order.iter().zip(&smoothed).map(|(one, map)| shown(one, map.as_ref(), range));
    let references =
        scores.references.iter().map(|(name, pixels)| Ok(((*name).to_owned(), data_url(pixels)?)));
    let page = Page {
        warning: scores.is_random.then_some(RANDOM_TEACHER),
        about: about(scores, n),
        more,
        scale: scale(range)?,
        pictures: shown.collect::<Result<_>>()?,
        references: references.collect::<Result<_>>()?,
    };
    Ok(page.render()?)
}

fn about(scores: &Scores, n: usize) -> Vec<String> {
    let references = scores.references.len();
    let mut sentences = vec![format!(
        "{n} pictures scored by {} ({}), against {references} normal {}; network: {}.",
        scores.method,
        scores.protocol,
        if references == 1 { "reference" } else { "references" },
        scores.network
    )];
    sentences.extend(scores.prepared.as_ref().map(|prepared| {
        format!("Files are prepared after the method's authors (geometry = \"published\"): {prepared}.")
    }));
    sentences.push(match scores.threshold {
        Some((threshold, share)) => format!(
            "Flagged are scores above {threshold:.4}, the highest score that a reference gets by the others. Of normal pictures \
             taken as the references were, at most about {:.0} % will be flagged. The p-value is the share of the references, and the \
             picture itself, that reach its score.",
            100.0 * share
        ),
        None => "There is no threshold: it needs at least two references, and a method that need not train for each.".to_owned(),
    });
    sentences
}

fn shown(one: &Picture, map: Option<&MapStack>, range: [f32; 2]) -> Result<Shown> {
    let mut views = vec![("picture", data_url(&one.picture.to_rgb())?)];
    if let Some(map) = map {
        views.push(("map over the picture", data_url(&heatmap(&one.picture.to_rgb(), map, range)?)?));
    }
    let p_value = one.p_value.map_or(String::new(), |p| format!(", p {}", three_decimals(Some(p))));
    let nearest = one.nearest.as_ref().map_or(String::new(), |nearest| format!("; {nearest}"));
    Ok(Shown {
        name: one.name.to_owned(),
        facts: format!("rank {}, score {:.4}{p_value}{nearest}", one.rank, one.score),
        flagged: one.flagged == Some(true),
        views,
    })
}

/// The range of a page's colours, and a strip of them.
fn scale([low, high]: [f32; 2]) -> Result<Option<[String; 3]>> {
    if !(low.is_finite() && high.is_finite()) {
        return Ok(None);
    }
    let strip: Vec<u8> = (0..256).flat_map(|step| heat(f64::from(step) / 255.0)).collect();
    Ok(Some([format!("{low:.4}"), data_url(&Pixels::new(1, 256, 3, strip)?)?, format!("{high:.4}")]))
}

/// A picture of any size under its smoothed map, as heat between the ends of `range`.
///
/// # Errors
/// A map without values.
pub fn heatmap(picture: &Pixels, map: &MapStack, [low, high]: [f32; 2]) -> Result<Pixels> {
    let width = if high > low { high - low } else { 1.0 };
    let grey = map.map(0).iter().map(|value| (255.0 * (value - low) / width).clamp(0.0, 255.0).round() as u8);
    let grey = Pixels::new(map.height(), map.width(), 1, grey.collect())?;
    let grey = resize::bilinear(&grey, picture.height(), picture.width());
    let shares: Vec<f64> = grey.samples().iter().map(|&value| f64::from(value) / 255.0).collect();
    overlay(picture, &shares)
}
