//! `score`: scores and maps of pictures, against a folder of normal references.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use super::heatmaps::{self, Captures};
use super::model::{ModelArgs, Opened};
use crate::episode::batch::Pictures;
use crate::evaluate::folder::{self, Entry};
use crate::evaluate::left_out;
use crate::maps::MapStack;
use crate::method::{Detector, Encoded, Fitted, NearestPlace, Output, Prediction, batches};
use crate::metric::preset::Preset;
use crate::pixels::Pixels;
use crate::protocol::{self, Protocol};
use crate::report::scores;
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
    /// Output file, a CSV table with the columns file, score, `p_value`, rank, threshold and flagged, and of methods that compare
    /// places with places of references the nearest one; a page of the same name ending in .html shows the pictures
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Also write heatmaps (PNG, each of its picture's own size) and raw maps (maps.safetensors: one f32 H x W tensor per
    /// file, before smoothing) to this folder
    #[arg(long, value_name = "DIR")]
    maps: Option<PathBuf>,
    /// Also write the heatmap of each DICOM picture to the folder of --maps as DICOM Secondary Capture, which refers to its
    /// source and whose header names nobody
    #[arg(long, requires = "maps")]
    secondary_capture: bool,
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
    entry: Entry,
    score: f64,
    /// What of the references is nearest to where it is most anomalous, where the method says so.
    nearest: Option<NearestPlace>,
    /// Of those that the page may show, or all where heatmaps are asked for.
    kept: Option<Kept>,
}

/// What the page and heatmaps need.
struct Kept {
    picture: Pixels,
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
        ensure!(
            folder::beside(&self.out, "html")? != self.out,
            "--out names the table, and the page beside it ends in .html; give it another ending, such as .csv"
        );
        let opened = self.model.open(&self.method, |built| self.check(built.output))?;
        let (entries, mut refused) = folder::list(&self.query).context("--query")?;
        ensure!(
            !self.secondary_capture || entries.iter().any(Entry::is_dicom),
            "--secondary-capture: {} holds no DICOM file; leave it out",
            self.query.display()
        );
        let fitted = opened.fitted()?;
        let preset = self.preset(&*fitted, &opened)?;
        let detector = fitted.adapt(&opened.supports.pictures())?;
        let bar = progress::bar(entries.len(), "scoring");
        let mut scored: Vec<Scored> = Vec::new();
        for chunk in entries.chunks(CHUNK) {
            let read = folder::read(chunk, &opened.shape);
            refused.extend(read.refused.iter().cloned());
            if !read.names.is_empty() {
                scored.extend(self.score((&*fitted, &*detector), &opened, read, chunk)?);
            }
            if self.maps.is_none() {
                forget(&mut scored, scores::N_SHOWN);
            }
            bar.inc(chunk.len() as u64);
        }
        bar.finish_and_clear();
        self.write(&opened, &scored, preset.as_ref(), &refused)?;
        let Some(folder) = &self.maps else { return Ok(()) };
        let mut captures = match self.secondary_capture {
            true => Some(Captures::new(&self.method, opened.is_random()?, opened.identity()?)),
            false => None,
        };
        let kept: Vec<_> = scored.iter().filter_map(with_map).collect();
        heatmaps::write(folder, &kept, captures.as_mut())
    }

    /// What normal pictures get, under the protocol that is asked for.
    fn preset(&self, model: &dyn Fitted, opened: &Opened) -> Result<Option<Preset>> {
        let score = &mut |detector: &dyn Detector, one: &Pictures| {
            let mut scores = Vec::new();
            batches::score(model, &[detector], one, opened.device(), &mut |_, _, prediction| {
                scores.extend(self.of_each(prediction)?.0);
                Ok(())
            })?;
            scores.pop().context("a picture without a score")
        };
        left_out::preset(model, &opened.supports.pictures(), score)
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

    /// A score for each picture of a prediction, and its maps where it has any.
    fn of_each(&self, prediction: Prediction) -> Result<(Vec<f64>, Option<MapStack>)> {
        Ok(match prediction {
            Prediction::Maps(maps) => (protocol::of_each(self.protocol, &maps), Some(maps)),
            Prediction::Scores(scores) => {
                self.check(Output::Scores)?;
                (scores, None)
            }
            Prediction::Both(maps, scores) => {
                self.check(Output::Both)?;
                (scores, Some(maps))
            }
        })
    }

    fn score(
        &self,
        (model, detector): (&dyn Fitted, &dyn Detector),
        opened: &Opened,
        read: folder::Read,
        entries: &[Entry],
    ) -> Result<Vec<Scored>> {
        let pictures = read.pictures();
        let entries: BTreeMap<&str, &Entry> =
            entries.iter().map(|entry| (entry.name.as_str(), entry)).collect();
        let mut scored = Vec::with_capacity(pictures.len());
        let noting = Noting { detector, noted: RefCell::default() };
        batches::score(model, &[&noting], &pictures, opened.device(), &mut |_, range, prediction| {
            let (scores, maps) = self.of_each(prediction)?;
            let noted = noting.noted.take();
            for (place, (index, score)) in range.zip(scores).enumerate() {
                scored.push(Scored {
                    entry: entries[read.names[index].as_str()].clone(),
                    score,
                    nearest: noted.get(place).copied(),
                    kept: Some(Kept {
                        picture: read.squares[index].clone(),
                        map: maps.as_ref().map(|maps| maps.at(&[place])),
                    }),
                });
            }
            Ok(())
        })
        .map_err(|error| batches::named(error, |index| read.names[index].clone()))?;
        Ok(scored)
    }

    fn write(
        &self,
        opened: &Opened,
        scored: &[Scored],
        preset: Option<&Preset>,
        refused: &[folder::Refused],
    ) -> Result<()> {
        let ranks = ranks(scored);
        let mut writer = csv::Writer::from_writer(Vec::new());
        let has_nearest = scored.iter().any(|picture| picture.nearest.is_some());
        let columns = ["file", "score", "p_value", "rank", "threshold", "flagged"];
        writer.write_record(columns.iter().chain(if has_nearest { &NEAREST[..] } else { &[] }))?;
        for (picture, rank) in scored.iter().zip(&ranks) {
            let number =
                |of: &dyn Fn(&Preset) -> f64| preset.map_or(String::new(), |preset| of(preset).to_string());
            let facts = [
                picture.entry.name.clone(),
                picture.score.to_string(),
                number(&|preset| preset.p_value(picture.score)),
                rank.to_string(),
                number(&Preset::threshold),
                preset.map_or(String::new(), |preset| (picture.score > preset.threshold()).to_string()),
            ];
            let nearest = picture.nearest.map(|nearest| nearest_columns(&nearest, &opened.supports.names));
            writer.write_record(facts.iter().chain(nearest.iter().flatten()))?;
        }
        files::write_whole(&self.out, &writer.into_inner().context("finishing the scores")?)?;
        let page = folder::beside(&self.out, "html")?;
        files::write_whole(&page, self.page(opened, scored, &ranks, preset)?.as_bytes())?;
        println!("{} scores written to {}, pictures in {}", scored.len(), self.out.display(), page.display());
        if let Some(preset) = preset {
            let flagged = scored.iter().filter(|picture| picture.score > preset.threshold()).count();
            println!(
                "{flagged} above {:.4}, the highest score of a reference by the others; of normal pictures like the references, \
                 one in {} is expected above it",
                preset.threshold(),
                (1.0 / preset.promised_fpr()).round()
            );
        }
        let beside = folder::beside(&self.out, "rejected.csv")?;
        folder::write_refused(&beside, refused, "could not be read")
    }

    /// The page of the highest scores.
    fn page(
        &self,
        opened: &Opened,
        scored: &[Scored],
        ranks: &[usize],
        preset: Option<&Preset>,
    ) -> Result<String> {
        let shown = scored.iter().zip(ranks).filter_map(|(picture, &rank)| {
            let kept = picture.kept.as_ref()?;
            Some(scores::Picture {
                name: &picture.entry.name,
                score: picture.score,
                rank,
                p_value: preset.map(|preset| preset.p_value(picture.score)),
                flagged: preset.map(|preset| picture.score > preset.threshold()),
                nearest: picture.nearest.map(|nearest| in_words(&nearest, &opened.supports.names)),
                picture: &kept.picture,
                map: kept.map.as_ref(),
            })
        });
        let references = opened.supports.names.iter().map(String::as_str).zip(&opened.supports.squares);
        scores::page(&scores::Scores {
            method: &self.method,
            protocol: self.protocol,
            network: opened.network_label()?,
            prepared: opened.shape.from_files.as_ref().map(|from_files| from_files.about.clone()),
            is_random: opened.is_random()?,
            n_scored: scored.len(),
            pictures: shown.collect(),
            references: references.collect(),
            threshold: preset.map(|preset| (preset.threshold(), preset.promised_fpr())),
        })
    }
}

/// Columns of what of the references is nearest; places are parts of a picture's height and width.
const NEAREST: [&str; 6] =
    ["peak_row", "peak_column", "nearest_reference", "nearest_row", "nearest_column", "nearest_cosine"];

fn nearest_columns(nearest: &NearestPlace, references: &[String]) -> [String; 6] {
    let NearestPlace { peak, support, place, cosine } = nearest;
    let part = |part: f64| format!("{part:.3}");
    let [peak, place] = [peak, place].map(|place| place.map(part));
    let ([peak_row, peak_column], [row, column]) = (peak, place);
    [peak_row, peak_column, references[*support].clone(), row, column, format!("{cosine:.4}")]
}

fn in_words(nearest: &NearestPlace, references: &[String]) -> String {
    let NearestPlace { peak, support, place, cosine } = nearest;
    let at =
        |[down, right]: &[f64; 2]| format!("{:.0} % down and {:.0} % across", 100.0 * down, 100.0 * right);
    format!(
        "most anomalous {}; most like that is {}, {} (cosine {cosine:.2})",
        at(peak),
        references[*support],
        at(place)
    )
}

/// Notes what of the supports is nearest to the queries that it scored last.
struct Noting<'d> {
    detector: &'d dyn Detector,
    noted: RefCell<Vec<NearestPlace>>,
}

impl Detector for Noting<'_> {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let (prediction, nearest) = self.detector.score_with_nearest(queries)?;
        *self.noted.borrow_mut() = nearest.unwrap_or_default();
        Ok(prediction)
    }

    fn batch(&self) -> usize {
        self.detector.batch()
    }
}

fn with_map(one: &Scored) -> Option<(&Entry, &MapStack)> {
    Some((&one.entry, one.kept.as_ref()?.map.as_ref()?))
}

/// Lets go of all pictures and maps but those of the `n` highest scores.
fn forget(scored: &mut [Scored], n: usize) {
    let mut kept: Vec<f64> = scored.iter().filter(|one| one.kept.is_some()).map(|one| one.score).collect();
    if kept.len() <= n {
        return;
    }
    kept.sort_by(|a, b| b.total_cmp(a));
    let least = kept[n - 1];
    scored.iter_mut().filter(|one| one.score < least).for_each(|one| one.kept = None);
}

/// Places by score, from 1 for the highest; equal scores share the first of theirs.
fn ranks(scored: &[Scored]) -> Vec<usize> {
    let mut sorted: Vec<f64> = scored.iter().map(|picture| picture.score).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    scored.iter().map(|picture| sorted.partition_point(|&other| other > picture.score) + 1).collect()
}
