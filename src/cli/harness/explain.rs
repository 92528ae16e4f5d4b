//! `explain`: why D2-4FAD scored pictures as it did, and how far its maps can be trusted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::model::{ModelArgs, Opened};
use crate::decode::{self, overlap};
use crate::evaluate::folder;
use crate::maps::{self, MapStack};
use crate::method::d24fad::explanation::{Explainer, Explanation};
use crate::method::{Detector, Fitted, Prediction, batches};
use crate::metric::explanation as quality;
use crate::metric::rank::spearman;
use crate::pixels::Pixels;
use crate::protocol::{self, Protocol};
use crate::report::explanation::{self, Explained, Nearest};
use crate::source::masks::MaskNames;
use crate::spec::Reading;
use crate::{files, progress};

/// Explain D2-4FAD's scores: support weights, scales, nearest regions, occlusion
///
/// Explains D2-4FAD's scores: the weight of each reference, the contribution of each scale, the region of a
/// reference that is most similar to the peak of the map, and how much the score falls when that place is
/// hidden. Writes index.html, explanations.csv, weights.csv and maps.safetensors (raw maps, whole and by
/// scale).
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of pictures to explain, or one picture
    #[arg(long, value_name = "PATH")]
    query: PathBuf,
    /// Output folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder of lesion masks with the names of their pictures (any ending): adds the pointing game and the
    /// energy inside the mask
    #[arg(long, value_name = "DIR")]
    masks: Option<PathBuf>,
    /// Also measure deletion and insertion, and the similarity of the maps to those of an untrained student;
    /// takes 40 more passes per picture
    #[arg(long)]
    quality: bool,
    #[command(flatten)]
    model: ModelArgs,
}

/// Pictures that are explained at once.
const BATCH: usize = 8;

/// Seed of the student that has learnt nothing.
const UNTRAINED_SEED: u64 = 1;

impl Args {
    pub(crate) fn run(self) -> Result<()> {
        folder::require(&self.query).context("--query")?;
        let masks = self.masks.as_deref().map(Masks::list).transpose().context("--masks")?;
        let opened = self.model.open("d24fad", |_| Ok(()))?;
        let (entries, refused) = folder::list(&self.query).context("--query")?;
        let model = opened.d24fad()?;
        let supports = opened.supports.pictures();
        let explainer = model.explainer(&supports)?;
        let detector = model.adapt(&supports)?;
        let ready: (&dyn Fitted, &dyn Detector) = (&model, &*detector);
        let bar = progress::bar(entries.len(), "explaining");
        let (mut explained, mut raw, mut refused) = (Vec::new(), BTreeMap::new(), refused);
        for chunk in entries.chunks(BATCH) {
            let read = folder::read(chunk, &opened.shape);
            refused.extend(read.refused.iter().cloned());
            if !read.names.is_empty() {
                explained.extend(self.explain(&opened, &explainer, ready, &read, &mut raw)?);
            }
            bar.inc(chunk.len() as u64);
        }
        bar.finish_and_clear();
        drop((explainer, detector));
        ensure!(!explained.is_empty(), "--query: none of the pictures can be read");
        if let Some(masks) = masks {
            masks.measure(&mut explained, &self.query, opened.shape.side)?;
        }
        if self.quality {
            let untrained = model.with_untrained_student(UNTRAINED_SEED);
            compare(&untrained.explainer(&supports)?, &mut explained, &raw)?;
        }
        self.write(&opened, &explained, &raw)?;
        folder::write_refused(&self.out.join("rejected.csv"), &refused, "could not be read")
    }

    fn explain(
        &self,
        opened: &Opened,
        explainer: &Explainer,
        ready: (&dyn Fitted, &dyn Detector),
        read: &folder::Read,
        raw: &mut BTreeMap<String, MapStack>,
    ) -> Result<Vec<Explained>> {
        let pictures = read.pictures();
        let peaks: Vec<Peak> = explainer.explain(&pictures)?.into_iter().map(Peak::of).collect();
        let places: Vec<_> = peaks.iter().map(|peak| (peak.row, peak.column, peak.scale)).collect();
        let regions = explainer.nearest(&pictures, &places)?;
        let mut explained = Vec::new();
        for (((peak, region), name), picture) in
            peaks.into_iter().zip(regions).zip(&read.names).zip(&read.squares)
        {
            let score = &mut |pictures: &[Pixels]| scores(ready, opened, pictures);
            let place = (peak.row, peak.column);
            explained.push(Explained {
                name: name.clone(),
                score: peak.score,
                peak: place,
                occlusion: quality::occlusion(place, picture, 1, score)?,
                curves: match self.quality {
                    true => quality::curves(peak.map.values(), picture, score)?,
                    false => None,
                },
                picture: picture.clone(),
                map: peak.map.values().to_vec(),
                scales: peak.scales.each_ref().map(|scale| scale.values().to_vec()),
                shares: peak.shares,
                weights: peak.parts.weights,
                nearest: Nearest {
                    reference: opened.supports.names[region.support].clone(),
                    picture: opened.supports.squares[region.support].clone(),
                    row: region.row,
                    column: region.column,
                    side: region.side,
                    cosine: region.cosine,
                    scale: peak.scale,
                },
                pointing: None,
                energy: None,
                untrained_similarity: None,
            });
            for (scale, stack) in peak.parts.scales.into_iter().enumerate() {
                raw.insert(format!("{name}/scale{}", scale + 1), stack);
            }
            raw.insert(name.clone(), peak.parts.map);
        }
        Ok(explained)
    }

    fn write(
        &self,
        opened: &Opened,
        explained: &[Explained],
        raw: &BTreeMap<String, MapStack>,
    ) -> Result<()> {
        let at = |name: &str| self.out.join(name);
        files::write_whole(&at("explanations.csv"), &table(explained)?)?;
        files::write_whole(&at("weights.csv"), &weights(explained, &opened.supports.names)?)?;
        maps::write(&at("maps.safetensors"), raw.iter().map(|(name, map)| (name.as_str(), map)))?;
        let summary = summary(explained);
        for (name, value) in &summary {
            println!("{name}: {value}");
        }
        let about = format!(
            "D2-4FAD, {} pictures of {} against {} references of {}.",
            explained.len(),
            self.query.display(),
            opened.supports.names.len(),
            self.model.support.display()
        );
        let page = explanation::page(about, explained, &opened.supports.names, summary)?;
        files::write_whole(&at("index.html"), page.as_bytes())?;
        println!("{} pictures explained: {}", explained.len(), at("index.html").display());
        Ok(())
    }
}

/// Where a smoothed map is highest, and what it is made of there.
struct Peak {
    row: usize,
    column: usize,
    score: f64,
    /// What each scale adds there, and the one that adds most.
    shares: [f64; 3],
    scale: usize,
    /// Smoothed.
    map: MapStack,
    scales: [MapStack; 3],
    parts: Explanation,
}

impl Peak {
    fn of(parts: Explanation) -> Peak {
        let map = parts.map.smoothed(protocol::SIGMA);
        let scales = parts.scales.each_ref().map(|scale| scale.smoothed(protocol::SIGMA));
        let (row, column) = quality::peak(map.values(), map.width());
        let at = row * map.width() + column;
        let shares = scales.each_ref().map(|scale| f64::from(scale.values()[at]));
        let scale = (0..3).max_by(|&a, &b| shares[a].total_cmp(&shares[b])).unwrap_or(0);
        Peak { row, column, score: map.values()[at].into(), shares, scale, map, scales, parts }
    }
}

/// Clean scores of pictures.
fn scores(
    (model, detector): (&dyn Fitted, &dyn Detector),
    opened: &Opened,
    pictures: &[Pixels],
) -> Result<Vec<f64>> {
    let mut scores = Vec::with_capacity(pictures.len());
    let pictures = folder::pictures(pictures);
    batches::score(model, &[detector], &pictures, opened.device(), &mut |_, _, prediction| {
        let Prediction::Maps(maps) = prediction else { anyhow::bail!("d24fad gives maps") };
        scores.extend(protocol::of_each(Protocol::RANKED, &maps));
        Ok(())
    })?;
    Ok(scores)
}

/// How like each map is to the one of `other`.
fn compare(other: &Explainer, explained: &mut [Explained], raw: &BTreeMap<String, MapStack>) -> Result<()> {
    let values = |map: &MapStack| map.values().iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
    let bar = progress::bar(explained.len(), "untrained student");
    for batch in explained.chunks_mut(BATCH) {
        let squares: Vec<Pixels> = batch.iter().map(|one| one.picture.clone()).collect();
        let parts = other.explain(&folder::pictures(&squares))?;
        for (one, part) in batch.iter_mut().zip(parts) {
            one.untrained_similarity = spearman(&values(&raw[&one.name]), &values(&part.map));
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Files of masks, by the names of their pictures.
struct Masks {
    folder: PathBuf,
    names: MaskNames,
}

impl Masks {
    fn list(folder: &Path) -> Result<Masks> {
        let names = files::walk(folder)?;
        ensure!(!names.is_empty(), "{} holds no file", folder.display());
        Ok(Masks { folder: folder.to_owned(), names: MaskNames::new(names) })
    }

    /// Pictures without a mask, or whose mask is empty, have nothing to hit: their measures stay undefined.
    fn measure(&self, explained: &mut [Explained], query: &Path, size: usize) -> Result<()> {
        let mut found = 0;
        for one in explained {
            let mask = self.names.of(&one.name);
            let mask = mask.map_err(|reason| anyhow!("--masks: {}: {reason}", one.name))?;
            let Some(path) = mask.map(|mask| self.folder.join(mask)) else { continue };
            let picture = if query.is_dir() { query.join(&one.name) } else { query.to_owned() };
            let mask = decode::mask_frames_over(&path, &picture, &[0], &Reading::default())?.frames.remove(0);
            let mask = mask.with_context(|| format!("--masks: {}", path.display()))?;
            let mask = overlap::resize(&mask, size, size);
            one.pointing = quality::pointing(&one.map, &mask);
            one.energy = quality::energy(&one.map, &mask);
            found += 1;
        }
        ensure!(found > 0, "--masks: no mask has the name of a picture of --query");
        println!("{found} masks found for pictures");
        Ok(())
    }
}

/// Means over the pictures for which a measure is defined, with their number.
fn summary(explained: &[Explained]) -> Vec<(String, String)> {
    type Measure = fn(&Explained) -> Option<f64>;
    let measures: [(&str, Measure); 7] = [
        ("fall of the score, peak hidden", |one| Some(one.occlusion?.at_peak)),
        ("fall of the score, others hidden", |one| Some(one.occlusion?.elsewhere)),
        ("deletion area (low is faithful)", |one| Some(one.curves?.deletion)),
        ("insertion area (high is faithful)", |one| Some(one.curves?.insertion)),
        ("similarity to an untrained student", |one| one.untrained_similarity),
        ("pointing game", |one| Some(f64::from(one.pointing?))),
        ("energy inside the mask", |one| one.energy),
    ];
    let mean = |(name, measure): (&str, Measure)| {
        let values: Vec<f64> = explained.iter().filter_map(measure).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (!values.is_empty()).then(|| (name.to_owned(), format!("{mean:.3} ({} pictures)", values.len())))
    };
    measures.into_iter().filter_map(mean).collect()
}

fn table(explained: &[Explained]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "file",
        "score",
        "peak_row",
        "peak_column",
        "scale1_at_peak",
        "scale2_at_peak",
        "scale3_at_peak",
        "nearest_reference",
        "nearest_row",
        "nearest_column",
        "nearest_side",
        "nearest_scale",
        "nearest_cosine",
        "fall_peak_hidden",
        "fall_others_hidden",
        "deletion",
        "insertion",
        "untrained_spearman",
        "pointing",
        "energy",
    ])?;
    let text = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for one in explained {
        let nearest = &one.nearest;
        writer.write_record([
            one.name.clone(),
            one.score.to_string(),
            one.peak.0.to_string(),
            one.peak.1.to_string(),
            one.shares[0].to_string(),
            one.shares[1].to_string(),
            one.shares[2].to_string(),
            nearest.reference.clone(),
            nearest.row.to_string(),
            nearest.column.to_string(),
            nearest.side.to_string(),
            (nearest.scale + 1).to_string(),
            nearest.cosine.to_string(),
            text(one.occlusion.map(|occlusion| occlusion.at_peak)),
            text(one.occlusion.map(|occlusion| occlusion.elsewhere)),
            text(one.curves.map(|curves| curves.deletion)),
            text(one.curves.map(|curves| curves.insertion)),
            text(one.untrained_similarity),
            text(one.pointing.map(f64::from)),
            text(one.energy),
        ])?;
    }
    writer.into_inner().context("finishing the explanations")
}

fn weights(explained: &[Explained], references: &[String]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["file", "scale", "reference", "weight"])?;
    for one in explained {
        for (scale, weights) in one.weights.iter().enumerate() {
            for (reference, weight) in references.iter().zip(weights) {
                writer.write_record([&one.name, &(scale + 1).to_string(), reference, &weight.to_string()])?;
            }
        }
    }
    writer.into_inner().context("finishing the weights")
}
