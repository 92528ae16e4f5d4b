//! BibTeX of what a run stands on: methods, data, and this program.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::results::StoredCell;
use crate::spec::{Spec, is_drawn};
use crate::study::learned::Learned;

const REFERENCES: &str = include_str!("references.bib");

/// What is cited, and what has no entry.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cited {
    /// Entries, one a paragraph.
    pub bibtex: String,
    /// Names without an entry: another author's scores or program, or a spec of the user's own.
    pub without: Vec<String>,
}

/// The entry of a method's paper; variants have their method's.
pub fn of_method(name: &str) -> Option<&'static str> {
    let base = name.split(':').next().unwrap_or(name);
    REFERENCES.lines().find(|line| line.starts_with(&format!("@misc{{{base},")))
}

/// Of the methods, teachers and specs of stored cells, and of what was trained on their studies.
pub fn of_run(cells: &[StoredCell], learned: &[Learned]) -> Cited {
    let methods: BTreeSet<&str> = cells.iter().map(|cell| cell.cell.identity.method.as_str()).collect();
    let specs: BTreeSet<&str> = cells.iter().map(|cell| cell.cell.provenance.spec.as_str()).collect();
    let mut cited = Cited::default();
    for method in methods.into_iter().filter(|method| !method.starts_with("control-")) {
        match of_method(method) {
            Some(entry) => cited.add(entry),
            None => cited.without.push(method.to_owned()),
        }
    }
    let is_tuned = cells.iter().any(|cell| cell.cell.provenance.teacher_recipe.is_some());
    let is_tuned = is_tuned || learned.iter().any(|one| one.training.teacher_recipe.is_some());
    let beside = [("samil", !learned.is_empty()), ("metric-teacher", is_tuned)];
    for (key, _) in beside.into_iter().filter(|(_, is_there)| *is_there) {
        cited.add(of_method(key).expect("an entry in references.bib"));
    }
    for name in specs.into_iter().filter(|name| !is_drawn(name)) {
        match Spec::load(name) {
            Ok(spec) => cited.add_data(&spec),
            Err(_) => cited.without.push(format!("the data of {name}")),
        }
    }
    cited.add(&own());
    cited
}

impl Cited {
    /// Once, however many variants of a method there are.
    fn add(&mut self, entry: &str) {
        if !self.bibtex.lines().any(|line| line == entry) {
            let _ = writeln!(self.bibtex, "{entry}\n");
        }
    }

    /// The sources of a spec as their owners ask to be cited.
    fn add_data(&mut self, spec: &Spec) {
        for task in &spec.tasks {
            let citation = &task.card.citation;
            if citation.is_empty() {
                self.without.push(format!("the data of {}", task.name));
                continue;
            }
            self.add(&format!(
                "@misc{{data-{}-{}, title = {{{}}}, note = {{{citation}}}}}",
                spec.name, task.name, task.folder
            ));
        }
    }
}

/// This program.
fn own() -> String {
    format!(
        "@software{{medfsad, title = {{medfsad: dataset toolkit and evaluation harness for few-shot medical image anomaly \
         detection}}, author = {{{{The medfsad authors}}}}, version = {{{}}}, note = {{git {}}}}}",
        crate::VERSION,
        crate::GIT_REVISION
    )
}
