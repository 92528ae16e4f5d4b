//! `score`: scores and maps of pictures, against a folder of normal references.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::model::{ModelArgs, Opened};
use crate::evaluate::folder;
use crate::maps::{self, MapStack};
use crate::method::{Detector, Fitted, Output, Prediction, batches};
use crate::pixels::Pixels;
use crate::protocol::{self, Protocol};
use crate::report::{encode, overlay};
use crate::words;
use crate::{files, progress};

/// Score pictures against a folder of normal references
///
/// Scores pictures against a few normal references; a higher score is more anomalous. Each picture is scored on
/// its own: its score depends only on the model, the references and the picture. Methods that learn from
/// references alone need no checkpoint.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// d24fad, or a method that learns from references alone; see `methods`
    #[arg(long, default_value = "d24fad")]
    method: String,
    /// Folder of pictures to score, or one picture
    #[arg(long, value_name = "PATH")]
    query: PathBuf,
    /// Output file, a CSV table with the columns file and score
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Also write heatmaps (PNG) and raw maps (maps.safetensors: one f32 H x W tensor per file, before
    /// smoothing) to this folder
    #[arg(long, value_name = "DIR")]
    maps: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    /// How a map becomes a score: `clean`, its maximum after smoothing; `clean-mean`, its mean; `clean-top1`,
    /// the mean of its highest 1 %
    #[arg(long, default_value_t = Protocol::RANKED, value_parser = Protocol::parse)]
    protocol: Protocol,
}

/// Pictures that are decoded and held at once.
const CHUNK: usize = 256;

/// What came of one picture.
struct Scored {
    name: String,
    score: f64,
    picture: Option<Pixels>,
    map: Option<MapStack>,
}

impl Args {
    pub(crate) fn run(self) -> Result<()> {
        ensure!(
            self.protocol.is_of_one_picture(),
            "--protocol {}: use one of {}; the others need labels or the order of a test set",
            self.protocol,
            words::list(Protocol::all().filter(|protocol| protocol.is_of_one_picture()))
        );
        folder::require(&self.query).context("--query")?;
        ensure!(!self.out.is_dir(), "--out {} is a folder; name a file", self.out.display());
        let opened = self.model.open(&self.method, |built| self.check(built.output))?;
        let (entries, mut refused) = folder::list(&self.query).context("--query")?;
        let fitted = opened.fitted()?;
        let detector = fitted.adapt(&opened.supports.pictures())?;
        let bar = progress::bar(entries.len(), "scoring");
        let mut scored: Vec<Scored> = Vec::new();
        for chunk in entries.chunks(CHUNK) {
            let read = folder::read(chunk, opened.size);
            refused.extend(read.refused.iter().cloned());
            if !read.names.is_empty() {
                scored.extend(self.score((&*fitted, &*detector), &opened, read)?);
            }
            bar.inc(chunk.len() as u64);
        }
        bar.finish_and_clear();
        if let Some(folder) = &self.maps {
            write_maps(folder, &scored)?;
        }
        self.write(scored, refused)
    }

    /// Whether the method can give what is asked for. What nobody knows of a program before it has run is checked again
    /// with its first answer.
    fn check(&self, output: Output) -> Result<()> {
        ensure!(
            self.maps.is_none() || output != Output::Scores,
            "--maps: {} makes no maps, only scores; leave --maps out",
            self.method
        );
        ensure!(
            self.protocol == Protocol::RANKED || !matches!(output, Output::Scores | Output::Both),
            "--protocol: {} computes image scores itself; use --protocol {}",
            self.method,
            Protocol::RANKED
        );
        Ok(())
    }

    fn score(
        &self,
        (model, detector): (&dyn Fitted, &dyn Detector),
        opened: &Opened,
        read: folder::Read,
    ) -> Result<Vec<Scored>> {
        let pictures = read.pictures();
        let mut scored = Vec::with_capacity(pictures.len());
        batches::score(model, &[detector], &pictures, opened.device(), &mut |_, range, prediction| {
            let (scores, maps) = match prediction {
                Prediction::Maps(maps) => (protocol::of_each(self.protocol, &maps), Some(maps)),
                Prediction::Scores(scores) => {
                    self.check(Output::Scores)?;
                    (scores, None)
                }
                Prediction::Both(maps, scores) => {
                    self.check(Output::Both)?;
                    (scores, Some(maps))
                }
            };
            for (place, (index, score)) in range.zip(scores).enumerate() {
                let keep = self.maps.is_some();
                scored.push(Scored {
                    name: read.names[index].clone(),
                    score,
                    picture: keep.then(|| read.squares[index].clone()),
                    map: maps.as_ref().filter(|_| keep).map(|maps| maps.at(&[place])),
                });
            }
            Ok(())
        })
        .map_err(|error| batches::named(error, |index| read.names[index].clone()))?;
        Ok(scored)
    }

    fn write(&self, scored: Vec<Scored>, refused: Vec<folder::Refused>) -> Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["file", "score"])?;
        for picture in &scored {
            writer.write_record([&picture.name, &picture.score.to_string()])?;
        }
        files::write_whole(&self.out, &writer.into_inner().context("finishing the scores")?)?;
        println!("{} scores written to {}", scored.len(), self.out.display());
        let beside = folder::beside(&self.out, "rejected.csv")?;
        folder::write_refused(&beside, &refused)
    }
}

/// Raw maps in one file, and a heatmap for each, on one scale from the least to the greatest smoothed value.
fn write_maps(folder: &Path, scored: &[Scored]) -> Result<()> {
    let kept: Vec<(&Scored, &MapStack, &Pixels)> = scored
        .iter()
        .filter_map(|picture| Some((picture, picture.map.as_ref()?, picture.picture.as_ref()?)))
        .collect();
    let raw = kept.iter().map(|(picture, map, _)| (picture.name.as_str(), *map));
    maps::write(&folder.join("maps.safetensors"), raw)?;
    let smoothed: Vec<MapStack> = kept.iter().map(|(_, map, _)| map.smoothed(protocol::SIGMA)).collect();
    let values = || smoothed.iter().flat_map(MapStack::values).copied();
    let (low, high) = (values().fold(f32::INFINITY, f32::min), values().fold(f32::NEG_INFINITY, f32::max));
    let width = if high > low { f64::from(high - low) } else { 1.0 };
    for ((picture, _, pixels), map) in kept.iter().zip(&smoothed) {
        let shares: Vec<f64> = map.values().iter().map(|&value| f64::from(value - low) / width).collect();
        let png = encode(&overlay(pixels, &shares)?)?;
        files::write_unsynced(&folder.join(format!("{}.png", picture.name)), &png)?;
    }
    println!("{} heatmaps and maps.safetensors written to {}", kept.len(), folder.display());
    Ok(())
}
