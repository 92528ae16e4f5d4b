//! From drawn and decoded pictures to rows, counts and pixel stores.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result};

use super::select::Fate;
use super::task::{Done, Found, Work};
use crate::decode::resize::RESIZE_ID;
use crate::files;
use crate::manifest::{Label, Row, Selection, Split, image_id, store};
use crate::pixels::Pixels;

impl Work<'_> {
    /// Writes the pixel stores of what was drawn, rejects the rest, and returns rows and counts.
    pub fn collect(
        &mut self,
        found: &[Found],
        fates: &[Fate],
        done: &HashMap<usize, Done>,
        out: &Path,
    ) -> Result<(Vec<Row>, Vec<Selection>)> {
        let mut rows = Vec::new();
        let mut drawn = Vec::new();
        for (index, (item, fate)) in found.iter().zip(fates).enumerate() {
            match fate {
                Fate::Drawn(split) => {
                    let standard = done.get(&index).context("drawn but not decoded")?;
                    rows.push(self.row(item, *split, standard));
                    drawn.push(standard);
                }
                Fate::LeftOut("unreadable") => {}
                Fate::LeftOut(reason) => self.reject_found(item, "not-drawn", (*reason).to_owned()),
            }
        }
        for (place, &size) in self.spec.sizes.iter().enumerate() {
            // Keyed and sorted by content, so that equal pictures are stored once.
            let pictures: BTreeMap<&str, &Pixels> =
                drawn.iter().map(|d| (d.standard.pixel_hash.as_str(), &d.standard.pictures[place])).collect();
            let masks: BTreeMap<&str, &Pixels> = drawn
                .iter()
                .filter_map(|d| d.mask.as_ref())
                .map(|(_, m)| (m.hash.as_str(), &m.pictures[place]))
                .collect();
            store::write(&store::path(out, &self.task.name, size), size, RESIZE_ID, &pictures, &masks)?;
        }
        let selection = self.selection(found, fates);
        Ok((rows, selection))
    }

    fn row(&self, found: &Found, split: Split, done: &Done) -> Row {
        let (task, candidate, standard) = (self.task, &found.candidate, &done.standard);
        let source_path = format!("{}/{}", task.folder, candidate.path);
        Row {
            image_id: image_id(&task.name, &source_path, candidate.frame),
            task: task.name.clone(),
            organ: task.organ.clone(),
            modality: task.modality.clone(),
            split,
            label: if found.quota.is_some() { Label::Anomalous } else { Label::Normal },
            finding: candidate.finding.clone(),
            patient_id: candidate.patient.as_deref().map(|patient| self.pseudonym("patient", patient)),
            group_id: candidate.group.as_deref().map(|group| self.pseudonym("group", group)),
            study_id: candidate.study.as_deref().map(|study| self.pseudonym("study", study)),
            slice_index: candidate.slice_index,
            source: task.source.clone(),
            source_path,
            frame: candidate.frame,
            width: standard.width as u32,
            height: standard.height as u32,
            bits: standard.bits,
            photometric: standard.photometric.clone(),
            intensity_policy: standard.intensity_policy.clone(),
            file_bytes: found.n_bytes,
            file_sha256: found.sha256.clone(),
            pixel_hash: standard.pixel_hash.clone(),
            phash: standard.phash.clone(),
            mask_path: done.mask.as_ref().map(|(path, _)| path.clone()),
            mask_hash: done.mask.as_ref().map(|(_, mask)| mask.hash.clone()),
            spec: self.spec.name.clone(),
            spec_version: self.spec.version,
        }
    }

    /// Equal names stay equal within a task; the name itself does not leave.
    fn pseudonym(&self, kind: &str, name: &str) -> String {
        files::fingerprint(format!("{kind}\0{}\0{name}", self.task.name).as_bytes())[..16].to_owned()
    }

    fn selection(&self, found: &[Found], fates: &[Fate]) -> Vec<Selection> {
        let count = |quota: Option<usize>, split: Option<Split>| {
            let fits = |fate: &Fate| split.is_none_or(|split| *fate == Fate::Drawn(split));
            found.iter().zip(fates).filter(|(item, fate)| item.quota == quota && fits(fate)).count() as u64
        };
        let part = |part: String, expected: Option<usize>, quota: Option<usize>, split: Split| Selection {
            task: self.task.name.clone(),
            part,
            expected: expected.map(|n| n as u64),
            available: count(quota, None),
            found: count(quota, Some(split)),
        };
        let mut parts = vec![
            part("train normal".to_owned(), self.task.train_normal, None, Split::Train),
            part("test normal".to_owned(), self.task.test_normal, None, Split::Test),
        ];
        for (index, quota) in self.task.anomalous.iter().enumerate() {
            parts.push(part(
                format!("test {}", quota.findings.join("+")),
                quota.count,
                Some(index),
                Split::Test,
            ));
        }
        parts
    }
}
