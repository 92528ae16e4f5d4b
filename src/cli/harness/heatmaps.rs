//! What `score --maps` writes: raw maps, heatmaps, and heatmaps as DICOM.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::decode::dicom::Origin;
use crate::evaluate::folder::{self, Entry, Refused};
use crate::maps::{self, MapStack};
use crate::pixels::Pixels;
use crate::protocol;
use crate::report::secondary_capture::{self, Capture};
use crate::report::{encode, scores};
use crate::{files, progress};

/// Pictures of their own size that are held at once.
const AT_ONCE: usize = 16;

/// Writes raw maps in one file, and a heatmap for each, of its picture's own size, on one scale from the least to the
/// greatest smoothed value; and those of DICOM pictures as `captures` too.
pub(super) fn write(
    folder: &Path,
    kept: &[(&Entry, &MapStack)],
    mut captures: Option<&mut Captures>,
) -> Result<()> {
    maps::write(
        &folder.join("maps.safetensors"),
        kept.iter().map(|(entry, map)| (entry.name.as_str(), *map)),
    )?;
    let smoothed: Vec<MapStack> = kept.iter().map(|(_, map)| map.smoothed(protocol::SIGMA)).collect();
    let values = || smoothed.iter().flat_map(MapStack::values).copied();
    let range = [values().fold(f32::INFINITY, f32::min), values().fold(f32::NEG_INFINITY, f32::max)];
    let bar = progress::bar(kept.len(), "heatmaps");
    for (kept, smoothed) in kept.chunks(AT_ONCE).zip(smoothed.chunks(AT_ONCE)) {
        let entries: Vec<Entry> = kept.iter().map(|(entry, _)| (*entry).clone()).collect();
        for ((entry, map), whole) in entries.iter().zip(smoothed).zip(folder::originals(&entries)) {
            let whole = whole.with_context(|| format!("reading {} again for its heatmap", entry.name))?;
            let heatmap = scores::heatmap(&whole, map, range)?;
            files::write_unsynced(&folder.join(format!("{}.png", entry.name)), &encode(&heatmap)?)?;
            if let Some(captures) = &mut captures {
                captures.add(folder, entry, &heatmap, range)?;
            }
        }
        bar.inc(kept.len() as u64);
    }
    bar.finish_and_clear();
    println!("{} heatmaps and maps.safetensors written to {}", kept.len(), folder.display());
    captures.map_or(Ok(()), |captures| captures.end(folder))
}

/// Heatmaps as DICOM Secondary Capture.
pub(super) struct Captures<'a> {
    /// The method that made the maps.
    method: &'a str,
    /// Whether its network has random weights.
    is_random: bool,
    /// All that tells these maps from others of the same pictures, but for the colours.
    made_by: String,
    /// How many are written of each study, which has a series of its own.
    places: BTreeMap<String, usize>,
    /// Of the last file: frames of one stand beside each other.
    last: Option<(PathBuf, Option<Origin>)>,
    without: Vec<Refused>,
    /// Sources that do not say that nothing is burned into their pictures.
    maybe_burned_in: usize,
}

impl<'a> Captures<'a> {
    pub(super) fn new(method: &'a str, is_random: bool, made_by: String) -> Captures<'a> {
        Captures {
            method,
            is_random,
            made_by,
            places: BTreeMap::new(),
            last: None,
            without: Vec::new(),
            maybe_burned_in: 0,
        }
    }

    fn add(&mut self, folder: &Path, entry: &Entry, heatmap: &Pixels, range: [f32; 2]) -> Result<()> {
        let Some(origin) = self.origin(entry) else { return Ok(()) };
        let written = self.places.entry(origin.study.clone()).or_default();
        let capture = Capture {
            method: self.method,
            is_random: self.is_random,
            series: &format!("{} {range:?}", self.made_by),
            origin: &origin,
            frame: entry.frame_of_several(),
            place: *written + 1,
            range,
        };
        match secondary_capture::encode(heatmap, &capture) {
            Ok(bytes) => {
                *written += 1;
                files::write_unsynced(&folder.join(format!("{}.capture.dcm", entry.name)), &bytes)?;
            }
            Err(error) => self.without.push((entry.name.clone(), format!("{error:#}"))),
        }
        Ok(())
    }

    /// Of a DICOM picture that can be referred to.
    fn origin(&mut self, entry: &Entry) -> Option<Origin> {
        if let Some((path, origin)) = &self.last
            && path == entry.path()
        {
            return origin.clone();
        }
        let origin = match entry.is_dicom().then(|| entry.origin()) {
            Some(Ok(origin)) => Some(origin),
            Some(Err(error)) => {
                self.without.push((entry.name.clone(), format!("{error:#}")));
                None
            }
            None => None,
        };
        self.maybe_burned_in +=
            usize::from(origin.as_ref().is_some_and(|origin| origin.burned_in != Some(false)));
        self.last = Some((entry.path().to_owned(), origin.clone()));
        origin
    }

    /// Says what was written, and what was not and why.
    fn end(&self, folder: &Path) -> Result<()> {
        let written: usize = self.places.values().sum();
        println!("{written} of them as DICOM Secondary Capture (.capture.dcm)");
        folder::write_refused(
            &folder.join("without_capture.csv"),
            &self.without,
            "have no Secondary Capture, only a PNG",
        )?;
        if self.maybe_burned_in > 0 {
            log::warn!(
                "note: {} DICOM files do not say that no text is burned into their pictures; it would show in the captures",
                self.maybe_burned_in
            );
        }
        let first = self.without.first();
        ensure!(
            written > 0 || first.is_none(),
            "no Secondary Capture could be written: {}",
            first.map(|(name, why)| format!("{name}: {why}")).unwrap_or_default()
        );
        Ok(())
    }
}
