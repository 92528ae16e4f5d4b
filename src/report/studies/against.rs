//! The trained aggregator against those that are not trained, on the same studies and draws.

use anyhow::Result;

use super::basis::{self, Basis};
use super::row::BoardRow;
use super::tested::TaskStudies;
use crate::ids::TaskName;
use crate::metric::two_level::{self, paired_differences};
use crate::report::averages::mean_of_replicates;

/// Mean AUROC of a trained aggregator less that of one that is not trained.
pub(super) struct Difference {
    /// What the trained one sees.
    pub trained: String,
    /// Whose scores the other aggregates.
    pub method: String,
    pub aggregator: String,
    pub value: f64,
    /// 95 %, over draws and studies together, which both share.
    pub interval: Option<(f64, f64)>,
    /// Of the trained one and of the other.
    pub bases: [Basis; 2],
}

/// How a difference is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub(super) enum Reading {
    #[strum(serialize = "above")]
    Above,
    #[strum(serialize = "below")]
    Below,
    #[strum(serialize = "not told apart")]
    NotToldApart,
    #[strum(serialize = "no interval")]
    NoInterval,
}

impl Difference {
    pub(super) fn reading(&self) -> Reading {
        match self.interval {
            None => Reading::NoInterval,
            Some((low, _)) if low > 0.0 => Reading::Above,
            Some((_, high)) if high < 0.0 => Reading::Below,
            Some(_) => Reading::NotToldApart,
        }
    }
}

/// Every trained row against all untrained ones that are shown of the method whose scores it sees; where it sees none, of
/// every method.
pub(super) fn differences(rows: &[BoardRow], tasks: &[(TaskName, TaskStudies)]) -> Vec<Difference> {
    let is_untrained = |row: &&BoardRow| row.class != "control" && row.saw.is_none();
    let mut found = Vec::new();
    for (trained, saw) in rows.iter().filter_map(|row| Some((row, row.saw.as_ref()?))) {
        let is_of_method =
            |row: &&BoardRow| saw.scores_of.as_ref().is_none_or(|method| *method == row.method);
        for other in rows.iter().filter(is_untrained).filter(is_of_method) {
            let Some((one, two)) = trained.auroc.zip(other.auroc) else { continue };
            found.push(Difference {
                trained: trained.method.clone(),
                method: other.method.clone(),
                aggregator: other.aggregator.clone(),
                value: one.value - two.value,
                interval: interval([trained, other], tasks),
                bases: [trained.basis.clone(), other.basis.clone()],
            });
        }
    }
    found
}

fn interval(pair: [&BoardRow; 2], tasks: &[(TaskName, TaskStudies)]) -> Option<(f64, f64)> {
    let draws = pair.map(BoardRow::draws).into_iter().max()?;
    let means = pair.map(|row| {
        let of_task = |(on, (name, task)): (&Option<_>, &(TaskName, TaskStudies))| {
            let on: &super::row::OnTask = on.as_ref()?;
            on.replicates(&task.sample, draws, name)
        };
        mean_of_replicates(&row.tasks.iter().zip(tasks).map(of_task).collect::<Vec<_>>())
    });
    two_level::interval(&paired_differences(&means[0], &means[1])?)
}

/// A sentence for each trained row and each method, on how it stands to the aggregators that are not trained.
pub(super) fn sentences(differences: &[Difference]) -> Vec<String> {
    let same = |a: &Difference, b: &Difference| (&a.trained, &a.method) == (&b.trained, &b.method);
    differences.chunk_by(same).map(sentence).collect()
}

fn sentence(of_pair: &[Difference]) -> String {
    let named = |reading: Reading| -> Vec<&str> {
        let those = of_pair.iter().filter(|difference| difference.reading() == reading);
        those.map(|difference| difference.aggregator.as_str()).collect()
    };
    let parts = [
        (Reading::Above, "is above"),
        (Reading::NotToldApart, "is not told apart from"),
        (Reading::Below, "is below"),
        (Reading::NoInterval, "has no interval against"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(reading, verb)| (verb, named(reading)))
        .filter(|(_, names)| !names.is_empty())
        .map(|(verb, names)| format!("{verb} {}", names.join(", ")))
        .collect();
    let Difference { trained, method, .. } = &of_pair[0];
    format!("SAMIL on {trained} {} over scores of {method}.", parts.join("; "))
}

/// One line for each difference; `benchmark` is its name and hash.
///
/// # Errors
/// What the writer of CSV refuses.
pub(super) fn csv(differences: &[Difference], benchmark: &[String; 2]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut head: Vec<String> =
        ["samil_on", "method", "aggregator", "auroc_difference", "low", "high", "reading"]
            .map(str::to_owned)
            .into();
    head.extend(["benchmark", "manifest_hash"].map(str::to_owned));
    head.extend(basis::COLUMNS.map(|name| format!("samil_{name}")));
    head.extend(basis::COLUMNS.map(str::to_owned));
    writer.write_record(head)?;
    for difference in differences {
        let (low, high) = difference.interval.unzip();
        let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        let mut record = vec![
            difference.trained.clone(),
            difference.method.clone(),
            difference.aggregator.clone(),
            difference.value.to_string(),
            number(low),
            number(high),
            difference.reading().to_string(),
        ];
        record.extend(benchmark.iter().cloned());
        record.extend(difference.bases.iter().flat_map(Basis::columns));
        writer.write_record(record)?;
    }
    Ok(writer.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(aggregator: &str, interval: Option<(f64, f64)>) -> Difference {
        let (trained, method) = ("features".to_owned(), "dn2".to_owned());
        let aggregator = aggregator.to_owned();
        Difference { trained, method, aggregator, value: 0.1, interval, bases: Default::default() }
    }

    #[test]
    fn a_sentence_says_no_more_than_the_intervals() {
        let all = [
            difference("mean", Some((0.01, 0.2))),
            difference("max", Some((-0.1, 0.2))),
            difference("top-share", Some((-0.3, -0.01))),
            difference("noisy-or", None),
        ];
        assert_eq!(
            sentences(&all),
            [
                "SAMIL on features is above mean; is not told apart from max; is below top-share; has no interval against \
                 noisy-or over scores of dn2."
            ]
        );
    }
}
