//! `score`: a folder of normal references, a folder of pictures; out come scores and, if asked, maps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, Result, bail, ensure};
use safetensors::tensor::{Dtype, TensorView};

use super::use_threads;
use crate::evaluate::{device, folder, memory};
use crate::maps::MapStack;
use crate::method::d24fad::{self, checkpoint};
use crate::method::{Context, Detector, Fitted, Prediction, Sees, find};
use crate::network::Network;
use crate::network::teacher::{Origin, Teachers};
use crate::pixels::Pixels;
use crate::report::{encode, overlay};
use crate::{files, progress, protocol};

/// Scores pictures against a few normal references; higher is more anomalous. Each score depends on the model, the
/// references and that one picture. Methods that learn from references alone need no checkpoint.
#[derive(clap::Args)]
pub struct Args {
    /// d24fad, or a method that learns from references alone; see `methods`
    #[arg(long, default_value = "d24fad")]
    method: String,
    /// Folder of normal references (the support set), all of which are used
    #[arg(long, value_name = "DIR")]
    support: PathBuf,
    /// Folder of pictures to score
    #[arg(long, value_name = "DIR")]
    query: PathBuf,
    /// Where to write `file,score`
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Also write heatmaps (PNG) and raw maps (maps.safetensors: key = file name, f32 H x W, before smoothing) here
    #[arg(long, value_name = "DIR")]
    maps: Option<PathBuf>,
    /// d24fad: decoder and weighting, as `train` or the published code wrote them, as safetensors
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Teacher weights: a safetensors file with torchvision's names; or `random` for a seeded stand-in calibrated on
    /// the references (not for d24fad)
    #[arg(long, value_name = "FILE")]
    teacher: Option<String>,
    /// d24fad: resnet18, resnet34, resnet50 or wide_resnet50_2
    #[arg(long)]
    backbone: Option<String>,
    /// Side to which pictures are resized
    #[arg(long, default_value_t = 128)]
    size: u16,
    /// How a map becomes a score: `clean`, its maximum after smoothing; `clean-mean`; `clean-top1`, the mean of its
    /// highest 1 %
    #[arg(long, default_value = "clean")]
    protocol: String,
    /// Settings of the method, as `key = value` in TOML; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: String,
    /// Threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

/// Pictures that are decoded and held at once.
const CHUNK: usize = 256;

/// What came of one picture.
struct Scored {
    name: String,
    score: f64,
    picture: Option<Pixels>,
    map: Option<Vec<f32>>,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let threads = use_threads(self.threads)?;
        memory::keep_freed();
        tch::set_num_threads(threads as i32);
        ensure!(
            ["clean", "clean-mean", "clean-top1"].contains(&self.protocol.as_str()),
            "--protocol {}: pictures of a folder have no labels and no test order, so only clean, clean-mean and \
             clean-top1 make sense",
            self.protocol
        );
        let size = usize::from(self.size);
        let supports = folder::references(&self.support, size).context("--support")?;
        println!("{} references in {}", supports.names.len(), self.support.display());
        let fitted = self.fitted(&supports)?;
        let detector = fitted.adapt(&supports.pictures())?;
        let (entries, mut refused) = folder::list(&self.query).context("--query")?;
        let bar = progress::bar(entries.len(), "scoring");
        let mut scored: Vec<Scored> = Vec::new();
        for chunk in entries.chunks(CHUNK) {
            let read = folder::read(chunk, size);
            refused.extend(read.refused.iter().cloned());
            if !read.names.is_empty() {
                scored.extend(self.score(&*detector, read)?);
            }
            bar.inc(chunk.len() as u64);
        }
        bar.finish_and_clear();
        if let Some(folder) = &self.maps {
            write_maps(folder, &scored)?;
        }
        self.write(scored, refused)
    }

    fn fitted(&self, supports: &folder::Read) -> Result<Box<dyn Fitted>> {
        let entry = find(&self.method)?;
        let mut table: toml::Table = toml::from_str(&self.set.join("\n"))
            .with_context(|| format!("--set {}: it is no TOML, such as lambda=0.1", self.set.join(" ")))?;
        if let Some(backbone) = &self.backbone {
            table.insert("backbone".to_owned(), backbone.as_str().into());
        }
        let built = (entry.build)(table.clone())?;
        let teachers = self.teachers(built.network)?;
        let context = Context {
            device: device::resolve(&self.device)?,
            seed: 1,
            shots: supports.names.len(),
            teachers,
            calibration: Some(Rc::new(supports.pictures().pixels)),
            task: "target".to_owned(),
            label: "fitting".to_owned(),
        };
        if let Some(network) = built.network {
            println!("network: {}", context.teachers.of(network).label(network));
        }
        if entry.name == "d24fad" {
            let checkpoint = self.checkpoint.as_ref().with_context(
                || "d24fad learns from normal pictures of other kinds: give --checkpoint, made by `train`",
            )?;
            let settings: d24fad::Settings = table.try_into().context("settings of d24fad")?;
            return checkpoint::load(&settings, &context, checkpoint).context("--checkpoint");
        }
        ensure!(self.checkpoint.is_none(), "--checkpoint belongs to d24fad");
        match built.sees {
            Sees::Nothing | Sees::Supports => built.method.fit(&[], &context, &mut |_, _, _| Ok(())),
            Sees::OtherNormals | Sees::TargetNormals => bail!(
                "{} learns from more than references, and its trained state cannot be kept; run it with `bench`",
                entry.name
            ),
        }
    }

    fn teachers(&self, network: Option<Network>) -> Result<Teachers> {
        let other = match (self.teacher.as_deref(), network) {
            (Some("random"), _) if self.method == "d24fad" => {
                bail!("--teacher random: give the file that `train` wrote beside the checkpoint")
            }
            (Some("random"), _) | (None, None) => Origin::Random { seed: 1, cache: None },
            (Some(file), _) => Origin::file(file.into()).context("--teacher")?,
            (None, Some(network)) => {
                bail!("{} needs the weights of {}; give --teacher FILE", self.method, network.name())
            }
        };
        Ok(Teachers { named: BTreeMap::new(), other })
    }

    fn score(&self, detector: &dyn Detector, read: folder::Read) -> Result<Vec<Scored>> {
        let pictures = read.pictures();
        let order: Vec<usize> = (0..pictures.len()).collect();
        let mut scored = Vec::with_capacity(order.len());
        for batch in order.chunks(detector.batch()) {
            let prediction = detector.score(&pictures.at(batch))?;
            let (scores, maps) = match prediction {
                Prediction::Maps(maps) => (self.of_maps(&maps)?, Some(maps)),
                Prediction::Scores(scores) => (scores, None),
                Prediction::Both(maps, scores) => (scores, Some(maps)),
            };
            for (place, (&index, score)) in batch.iter().zip(scores).enumerate() {
                let keep = self.maps.is_some();
                scored.push(Scored {
                    name: read.names[index].clone(),
                    score,
                    picture: keep.then(|| read.squares[index].clone()),
                    map: maps.as_ref().filter(|_| keep).map(|maps| maps.map(place).to_vec()),
                });
            }
        }
        Ok(scored)
    }

    fn of_maps(&self, maps: &MapStack) -> Result<Vec<f64>> {
        let scores = protocol::score_maps(maps);
        match self.protocol.as_str() {
            "clean" => Some(scores.clean),
            "clean-mean" => scores.clean_mean,
            _ => scores.clean_top1,
        }
        .context("this method gives no maps, only scores; use --protocol clean")
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
        if refused.is_empty() {
            // One of an earlier run would say what is no longer true.
            return match std::fs::remove_file(&beside) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(error).with_context(|| format!("removing {}", beside.display()))
                }
                _ => Ok(()),
            };
        }
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["file", "reason"])?;
        for (name, reason) in &refused {
            writer.write_record([name, reason])?;
        }
        files::write_whole(&beside, &writer.into_inner().context("finishing the rejected")?)?;
        println!("{} files could not be read; {} says why", refused.len(), beside.display());
        Ok(())
    }
}

/// Raw maps in one file, and a heatmap for each, on one scale from the least to the greatest smoothed value.
fn write_maps(folder: &Path, scored: &[Scored]) -> Result<()> {
    let kept: Vec<(&Scored, &Vec<f32>, &Pixels)> = scored
        .iter()
        .filter_map(|picture| Some((picture, picture.map.as_ref()?, picture.picture.as_ref()?)))
        .collect();
    ensure!(!kept.is_empty(), "--maps: this method gives scores, no maps");
    let bytes: Vec<Vec<u8>> =
        kept.iter().map(|(_, map, _)| map.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let mut views = Vec::with_capacity(kept.len());
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    let mut smoothed = Vec::with_capacity(kept.len());
    for ((picture, map, pixels), bytes) in kept.iter().zip(&bytes) {
        let shape = vec![pixels.height(), pixels.width()];
        views.push((picture.name.as_str(), TensorView::new(Dtype::F32, shape, bytes)?));
        let own =
            MapStack::new(1, pixels.height(), pixels.width(), (*map).clone())?.smoothed(protocol::SIGMA);
        low = own.values().iter().copied().fold(low, f32::min);
        high = own.values().iter().copied().fold(high, f32::max);
        smoothed.push(own);
    }
    files::write_whole(&folder.join("maps.safetensors"), &safetensors::serialize(views, None)?)?;
    let width = if high > low { f64::from(high - low) } else { 1.0 };
    for ((picture, _, pixels), map) in kept.iter().zip(&smoothed) {
        let shares: Vec<f64> = map.values().iter().map(|&value| f64::from(value - low) / width).collect();
        let png = encode(&overlay(pixels, &shares)?)?;
        files::write_unsynced(&folder.join(format!("{}.png", picture.name)), &png)?;
    }
    println!("{} heatmaps and maps.safetensors written to {}", kept.len(), folder.display());
    Ok(())
}
