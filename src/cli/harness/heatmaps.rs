//! What `score --maps` writes: raw maps, heatmaps, and heatmaps as DICOM.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::evaluate::folder::{self, Entry};
use crate::maps::{self, MapStack};
use crate::pixels::Pixels;
use crate::protocol;
use crate::report::secondary_capture::{self, Capture};
use crate::report::{encode, scores};
use crate::{files, progress};

/// Pictures of their own size that are held at once.
const AT_ONCE: usize = 16;

/// Pictures and their maps, on one scale from the least to the greatest smoothed value.
pub(super) struct Heatmaps<'a> {
    kept: Vec<(&'a Entry, &'a MapStack)>,
    smoothed: Vec<MapStack>,
    range: [f32; 2],
}

impl<'a> Heatmaps<'a> {
    pub(super) fn new(kept: Vec<(&'a Entry, &'a MapStack)>) -> Heatmaps<'a> {
        let smoothed: Vec<MapStack> = kept.iter().map(|(_, map)| map.smoothed(protocol::SIGMA)).collect();
        let values = || smoothed.iter().flat_map(MapStack::values).copied();
        let range = [values().fold(f32::INFINITY, f32::min), values().fold(f32::NEG_INFINITY, f32::max)];
        Heatmaps { kept, smoothed, range }
    }

    /// Raw maps in one file, and a heatmap for each, of its picture's own size.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        maps::write(
            &folder.join("maps.safetensors"),
            self.kept.iter().map(|(entry, map)| (entry.name.as_str(), *map)),
        )?;
        self.each(|_| true, &mut |entry, heatmap| {
            files::write_unsynced(&folder.join(format!("{}.png", entry.name)), &encode(heatmap)?)
        })?;
        println!("{} heatmaps and maps.safetensors written to {}", self.kept.len(), folder.display());
        Ok(())
    }

    /// The heatmap of each DICOM picture as DICOM Secondary Capture; `made_by` tells this series from others. A picture
    /// that cannot be referred to is said, with the reason; its heatmap is there as PNG.
    pub(super) fn write_captures(&self, folder: &Path, method: &str, made_by: &str) -> Result<()> {
        let series = format!("{made_by} {:?}", self.range);
        let (mut written, mut without) = (0, Vec::new());
        self.each(Entry::is_dicom, &mut |entry, heatmap| {
            let origin = match entry.origin() {
                Ok(origin) => origin,
                Err(error) => {
                    without.push(format!("{}: {error:#}", entry.name));
                    return Ok(());
                }
            };
            written += 1;
            let (series, range) = (series.as_str(), self.range);
            let capture = Capture {
                method,
                series,
                origin: &origin,
                frame: entry.frame_of_several(),
                place: written,
                range,
            };
            let bytes = secondary_capture::encode(heatmap, &capture).context(entry.name.clone())?;
            files::write_unsynced(&folder.join(format!("{}.capture.dcm", entry.name)), &bytes)
        })?;
        println!("{written} of them as DICOM Secondary Capture (.capture.dcm)");
        if let Some(first) = without.first() {
            println!("{} DICOM pictures have none, such as {first}", without.len());
        }
        Ok(())
    }

    /// Makes the heatmaps of `wanted` pictures, in order.
    fn each(
        &self,
        wanted: impl Fn(&Entry) -> bool,
        then: &mut dyn FnMut(&Entry, &Pixels) -> Result<()>,
    ) -> Result<()> {
        let wanted: Vec<(&Entry, &MapStack)> = self
            .kept
            .iter()
            .zip(&self.smoothed)
            .map(|((entry, _), map)| (*entry, map))
            .filter(|(entry, _)| wanted(entry))
            .collect();
        let bar = progress::bar(wanted.len(), "heatmaps");
        for chunk in wanted.chunks(AT_ONCE) {
            let entries: Vec<Entry> = chunk.iter().map(|(entry, _)| (*entry).clone()).collect();
            for ((entry, map), whole) in chunk.iter().zip(folder::originals(&entries)) {
                let whole = whole.with_context(|| format!("reading {} again for its heatmap", entry.name))?;
                then(entry, &scores::heatmap(&whole, map, self.range)?)?;
            }
            bar.inc(chunk.len() as u64);
        }
        bar.finish_and_clear();
        Ok(())
    }
}
