//! From drawn and decoded pictures to rows and counts.

use std::collections::HashMap;

use anyhow::{Context, Result};

use super::curation::{Curation, KnownContent};
use super::draw::DecodedPicture;
use super::select::Outcome;
use crate::decode::Taken;
use crate::manifest::{Label, Row, Selection, Split, image_id};

impl Curation<'_> {
    /// Rejects what was not drawn, and returns rows and counts of the rest.
    pub(super) fn collect(
        &mut self,
        found: &[KnownContent],
        outcomes: &[Outcome],
        done: &HashMap<usize, DecodedPicture>,
    ) -> Result<(Vec<Row>, Vec<Selection>)> {
        let mut rows = Vec::new();
        for (index, (item, outcome)) in found.iter().zip(outcomes).enumerate() {
            match outcome {
                Outcome::Drawn(split) => {
                    rows.push(self.row(item, *split, done.get(&index).context("drawn but not decoded")?));
                }
                Outcome::LeftOut("unreadable") => {}
                Outcome::LeftOut(reason) => self.reject_found(item, "not-drawn", (*reason).to_owned()),
            }
        }
        Ok((rows, self.selection(found, outcomes)))
    }

    fn row(&self, found: &KnownContent, split: Split, done: &DecodedPicture) -> Row {
        let (task, candidate, standard) = (self.task, &found.candidate, &done.standard);
        let source_path = format!("{}/{}", task.folder, candidate.path);
        let Taken { view, scanner, site } = self.taken.of(&candidate.path, &standard.taken);
        Row {
            image_id: image_id(&task.name, &source_path, candidate.frame),
            task: task.name.clone(),
            organ: task.organ.clone(),
            modality: task.modality.clone(),
            split,
            label: match found.quota {
                None => Label::Normal,
                Some(quota) if task.anomalous[quota].unopened => Label::Unopened,
                Some(_) => Label::Anomalous,
            },
            finding: candidate.finding.clone(),
            patient_id: candidate.patient.as_deref().map(|patient| self.pseudonym("patient", patient)),
            group_id: candidate.group.as_deref().map(|group| self.pseudonym("group", group)),
            study_id: candidate.study.as_deref().map(|study| self.pseudonym("study", study)),
            series_id: candidate.series.as_deref().map(|series| self.pseudonym("series", series)),
            slice_index: candidate.slice_index,
            source: task.source.clone(),
            source_path,
            frame: candidate.frame,
            width: standard.width as u32,
            height: standard.height as u32,
            bits: standard.bits,
            photometric: standard.photometric.clone(),
            intensity_policy: standard.intensity_policy.clone(),
            repaired: (!standard.repaired.is_empty()).then(|| standard.repaired.join("; ")),
            file_bytes: found.n_bytes,
            file_sha256: found.sha256.clone(),
            pixel_hash: standard.pixel_hash.clone(),
            phash: standard.phash.clone(),
            mask_kind: done.mask.as_ref().map(|mask| mask.kind),
            mask_path: done.mask.as_ref().and_then(|mask| mask.path.clone()),
            mask_hash: done.mask.as_ref().map(|mask| mask.hash.clone()),
            view,
            scanner,
            site: site.as_deref().map(|site| self.pseudonym("site", site)),
            spec: self.spec.name.clone(),
            spec_version: self.spec.version,
        }
    }

    /// Equal names stay equal within a task; the name itself does not leave, nor can it be guessed without the key.
    fn pseudonym(&self, kind: &str, name: &str) -> String {
        self.pseudonyms.name(kind, &[&self.task.name, name])
    }

    fn selection(&self, found: &[KnownContent], outcomes: &[Outcome]) -> Vec<Selection> {
        let count = |quota: Option<usize>, split: Option<Split>| {
            let fits = |outcome: &Outcome| split.is_none_or(|split| *outcome == Outcome::Drawn(split));
            found.iter().zip(outcomes).filter(|(item, outcome)| item.quota == quota && fits(outcome)).count()
                as u64
        };
        let part = |part: String, expected: Option<usize>, quota: Option<usize>, split: Split| Selection {
            task: self.task.name.clone(),
            part,
            expected: expected.map(|n| n as u64),
            available: count(quota, None),
            found: count(quota, Some(split)),
        };
        let has_val = outcomes.contains(&Outcome::Drawn(Split::Val));
        let is_asked = |expected: Option<usize>| has_val || expected.is_some();
        let mut parts = vec![part("train normal".to_owned(), self.task.train_normal, None, Split::Train)];
        if is_asked(self.task.val_normal) {
            parts.push(part("val normal".to_owned(), self.task.val_normal, None, Split::Val));
        }
        parts.push(part("test normal".to_owned(), self.task.test_normal, None, Split::Test));
        for (index, quota) in self.task.anomalous.iter().enumerate() {
            let findings = quota.findings.join("+");
            if is_asked(quota.val) {
                parts.push(part(format!("val {findings}"), quota.val, Some(index), Split::Val));
            }
            parts.push(part(format!("test {findings}"), quota.count, Some(index), Split::Test));
        }
        parts
    }
}
