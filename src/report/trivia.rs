//! What trivial numbers alone tell of the label, and whether any method tells more.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::display_table::{DisplayTable, Entry, Line, three_decimals};
use super::row::Row;
use super::summary::Summary;
use crate::metric::auroc_interval;
use crate::results::StoredCell;
use crate::trivia::joint::{self, Number, Numbers, Told};
use crate::trivia::{Stored, Trivia};

/// What trivia tell of one report's tasks, and the best method beside it.
pub(super) struct Telling {
    /// Each number alone, in their order.
    alone: Vec<(Number, Vec<Told>)>,
    /// By tasks, as all of these.
    together: Vec<(Numbers, Vec<Told>)>,
    permuted: Vec<Option<f64>>,
    /// The highest value of a row that is no control, and whose it is.
    best_method: Vec<Option<(f64, String)>>,
}

impl Telling {
    /// Of the tasks of a report; `None` where the pictures of none of them were looked at.
    pub(super) fn new(stored: Option<&Stored>, summary: &Summary) -> Option<Telling> {
        let stored = stored?;
        let of_tasks: Vec<Vec<&Trivia>> = summary.tasks.iter().map(|task| stored.of_task(task)).collect();
        if of_tasks.iter().all(Vec::is_empty) {
            return None;
        }
        let each = |told: &(dyn Fn(&[&Trivia]) -> Told + Sync)| -> Vec<Told> {
            of_tasks.par_iter().map(|rows| told(rows)).collect()
        };
        Some(Telling {
            alone: Number::all().map(|number| (number, each(&|rows| joint::alone(number, rows)))).collect(),
            together: Numbers::all()
                .map(|numbers| (numbers, each(&|rows| joint::together(numbers, rows))))
                .collect(),
            permuted: of_tasks.par_iter().map(|rows| joint::permuted(Numbers::All, rows)).collect(),
            best_method: (0..summary.tasks.len()).map(|task| best_method(summary, task)).collect(),
        })
    }

    /// Of one task: what all numbers tell together.
    fn joint(&self, task: usize) -> Option<f64> {
        let (_, of_all) = self.together.iter().find(|(numbers, _)| *numbers == Numbers::All)?;
        of_all[task].auroc
    }

    /// Names the tasks on which no method tells more than trivia do; `None` without any.
    pub(super) fn caution(&self, summary: &Summary) -> Option<String> {
        let beaten = |(task, name): (usize, &&str)| {
            let (joint, (best, _)) = (self.joint(task)?, self.best_method[task].as_ref()?);
            (joint >= *best).then(|| format!("{name} ({joint:.3}; the best method {best:.3})"))
        };
        let beaten: Vec<String> = summary.tasks.iter().enumerate().filter_map(beaten).collect();
        (!beaten.is_empty()).then(|| {
            format!(
                "Trivial numbers of a picture, taken together, tell the label at least as well as every method \
                on {}: there \
                 a high AUROC may be the shortcut and not the disease (\"What do trivia tell?\").",
                beaten.join(", ")
            )
        })
    }

    /// One row for each number and for each set of them.
    pub(super) fn table(&self, summary: &Summary) -> DisplayTable {
        let mut head = ["what", "regime"].map(str::to_owned).to_vec();
        head.extend(summary.tasks.iter().copied().chain(["mean"]).map(str::to_owned));
        let mut rows: Vec<Line> =
            self.alone.iter().map(|(number, told)| alone(&format!("{number} alone"), told)).collect();
        rows.push(self.best_alone());
        let sets = self.together.iter().map(|(numbers, told)| match numbers {
            Numbers::All => together("control-joint", told),
            part => together(&format!("control-joint:{part}"), told),
        });
        rows.extend(sets);
        let permuted: Vec<Told> =
            self.permuted.iter().map(|&auroc| Told { auroc, ..Told::default() }).collect();
        rows.push(together("control-joint, labels permuted", &permuted));
        rows.push(self.methods());
        DisplayTable {
            name: "trivia",
            title: "What do trivia tell?".to_owned(),
            caption: caption(),
            head,
            rows,
        }
    }

    /// The number that tells most of each task, whichever way it points.
    fn best_alone(&self) -> Line {
        let best = |task: usize| {
            let of = |(number, told): &(Number, Vec<Told>)| Some((either(told[task].auroc?), *number));
            self.alone.iter().filter_map(of).max_by(|a, b| a.0.total_cmp(&b.0))
        };
        let best: Vec<Option<(f64, Number)>> = (0..self.permuted.len()).map(best).collect();
        let named = best.iter().map(|best| best.map(|(value, number)| (value, number.to_string())));
        line("best alone, either way", "chosen by labels", named.collect())
    }

    fn methods(&self) -> Line {
        line("best method, for comparison", "its own", self.best_method.clone())
    }
}

fn caption() -> String {
    format!(
        "Image AUROC of numbers that know nothing of what a picture shows: of the file's header ({}) and of \
        intensities ({}); \
         file dates are never used. Alone, more of a number is taken for anomalous; the smaller print has the \
         better of both \
         ways. control-joint takes all of them, those of the header also by their logarithm, in a logistic \
         regression (ridge \
         penalty 1 on numbers scaled to deviation 1), each picture judged by what was learnt of the other four \
         fifths, \
         patients kept whole where a class has at least five. It is supervised by the test \
         pictures' own labels, which no method may see, so it is an upper bound of what trivia tell, stands in \
         no ranking, \
         and says that a method may have used a shortcut, not that it did. With permuted labels (mean of 20) it \
         must give \
         0.5, but for chance. The best method is the highest row of the leaderboard that is no control, at any \
         number of \
         shots. Intervals are 95 % over pictures, patients where known.",
        list(Numbers::Header),
        list(Numbers::Intensity)
    )
}

fn list(numbers: Numbers) -> String {
    numbers.list().map(Number::name).collect::<Vec<_>>().join(", ")
}

/// The better of both ways in which a number may point.
fn either(auroc: f64) -> f64 {
    auroc.max(1.0 - auroc)
}

fn alone(what: &str, told: &[Told]) -> Line {
    let entry = |value: Option<f64>| {
        Entry::number(three_decimals(value))
            .detail(value.map_or(String::new(), |value| format!("either way {:.3}", either(value))))
    };
    let values: Option<Vec<f64>> = told.iter().map(|told| told.auroc).collect();
    let mean = |of: fn(f64) -> f64| values.as_ref().map(|all| mean_of(all.iter().map(|value| of(*value))));
    let detail = mean(either).map_or(String::new(), |mean| format!("either way {mean:.3}"));
    let mut entries = vec![Entry::text(what), Entry::text("R0")];
    entries.extend(told.iter().map(|told| entry(told.auroc)));
    entries.push(Entry::number(three_decimals(mean(|value| value))).detail(detail));
    Line { class: "control".to_owned(), entries }
}

fn together(what: &str, told: &[Told]) -> Line {
    let entry = |value: Option<f64>, interval: Option<(f64, f64)>, note: &str| {
        let detail = interval.map_or(note.to_owned(), |(low, high)| {
            [&format!("[{low:.3}, {high:.3}]"), note].join(if note.is_empty() { "" } else { "\n" })
        });
        Entry::number(three_decimals(value)).detail(detail)
    };
    let values: Option<Vec<f64>> = told.iter().map(|told| told.auroc).collect();
    let known: Option<Vec<(f64, f64, f64)>> = told
        .iter()
        .map(|told| told.auroc.zip(told.interval).map(|(value, (low, high))| (value, low, high)))
        .collect();
    let mut entries = vec![Entry::text(what), Entry::text("supervised")];
    entries.extend(told.iter().map(|told| {
        let is_divided = told.patients_divided && told.auroc.is_some();
        entry(told.auroc, told.interval, if is_divided { "patients divided" } else { "" })
    }));
    let mean = values.map(|all| mean_of(all.into_iter()));
    entries.push(entry(mean, known.and_then(|known| auroc_interval::of_mean(&known)), ""));
    Line { class: "control".to_owned(), entries }
}

/// Values with a name each.
fn line(what: &str, regime: &str, named: Vec<Option<(f64, String)>>) -> Line {
    let mut entries = vec![Entry::text(what), Entry::text(regime)];
    let values: Option<Vec<f64>> =
        named.iter().map(|named| named.as_ref().map(|(value, _)| *value)).collect();
    entries.extend(named.into_iter().map(|named| match named {
        Some((value, name)) => Entry::number(three_decimals(Some(value))).detail(name),
        None => Entry::number(three_decimals(None)),
    }));
    entries.push(Entry::number(three_decimals(values.map(|all| mean_of(all.into_iter())))));
    Line { class: String::new(), entries }
}

fn mean_of(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

/// The row that is no control with the highest value on a task; of equal ones the first.
fn best_method(summary: &Summary, task: usize) -> Option<(f64, String)> {
    let value = |row: &Row| row.ranked().tasks[task].map(|estimate| estimate.value);
    let rows = summary.rows.iter().filter(|row| !summary.entrant(row).control);
    let best = rows.filter_map(|row| Some((value(row)?, row))).reduce(|a, b| if b.0 > a.0 { b } else { a });
    best.map(|(value, row)| (value, format!("{}, {} shots", summary.entrant(row).label, row.shots)))
}

/// The trivia that lie in the runs, of the one benchmark that all cells are of; `None` where nobody looked, or the cells
/// are of several benchmarks.
///
/// # Errors
/// Files that cannot be read, or that differ between runs.
pub(super) fn read(runs: &[PathBuf], results: &[StoredCell]) -> Result<Option<Stored>> {
    let hash = &results[0].cell.identity.manifest_hash;
    if results.iter().any(|result| result.cell.identity.manifest_hash != *hash) {
        return Ok(None);
    }
    let mut found: BTreeMap<usize, Stored> = BTreeMap::new();
    for run in runs {
        let Some(stored) = Stored::read(run)?.filter(|stored| stored.manifest_hash == *hash) else {
            continue;
        };
        let first = found.entry(stored.size).or_insert_with(|| stored.clone());
        ensure!(
            *first == stored,
            "{} has other trivia of the same pictures than another run; remove trivia.json there",
            run.display()
        );
    }
    // The largest pictures show most.
    Ok(found.into_values().next_back())
}
