//! What a reader wants to know first: which method is best and how sure that is, and whether any beats the trivial controls.

use super::averages::Estimate;
use super::row::{Row, difference, difference_on};
use super::summary::Summary;
use crate::regime::Regime;

/// Names that a sentence gives before it only counts the rest.
const NAMED: usize = 5;

/// Rows of the most shots at which a method has a mean: methods, and controls.
pub(super) struct Headline<'a> {
    pub shots: usize,
    /// Best first.
    pub methods: Vec<&'a Row>,
    /// Best first.
    pub controls: Vec<&'a Row>,
}

/// The rows of which a report's first sentences and table speak; `None` where no method has a mean.
pub(super) fn headline<'a>(summary: &'a Summary) -> Option<Headline<'a>> {
    let is_method = |row: &&Row| row.is_ranked() && !summary.entrant(row).control;
    let shots = summary.rows.iter().filter(is_method).map(|row| row.shots).max()?;
    let rows = summary.rows.iter().filter(|row| row.shots == shots && row.is_ranked());
    let (controls, methods) = rows.partition(|row| summary.entrant(row).control);
    Some(Headline { shots, methods, controls })
}

/// The first sentences of a report; none where no method has a mean over all tasks.
pub(super) fn verdict(summary: &Summary) -> Vec<String> {
    let Some(headline) = headline(summary) else { return Vec::new() };
    [best(summary, &headline), against_controls(summary, &headline)].into_iter().flatten().collect()
}

/// Names the best method, and those that it is not told apart from.
fn best(summary: &Summary, headline: &Headline) -> Option<String> {
    let (best, others) = headline.methods.split_first()?;
    let label = |row: &&&Row| summary.entrant(row).label.as_str();
    let mean = best.ranked().mean?;
    let tasks = summary.tasks.len();
    let mut text = format!(
        "Best at {}: {} ({}) with a mean image AUROC of {} over {}",
        counted(headline.shots, "shot"),
        label(&best),
        summary.entrant(best).regime_words(),
        with_interval(mean),
        counted(tasks, "task")
    );
    let unsure: Vec<&str> = others
        .iter()
        .filter(|row| difference(best, row).is_some_and(|(low, _)| low <= 0.0))
        .map(|row| label(&row))
        .collect();
    let unjudged = others.iter().filter(|row| difference(best, row).is_none()).count();
    text += &match (others.len(), unsure.len()) {
        (0, _) => "; it is the only method.".to_owned(),
        (all, _) if unjudged == all => "; its differences to the others have no interval.".to_owned(),
        (1, 1) => format!(", not told apart from {}.", unsure[0]),
        (_, 0) if unjudged > 0 => {
            format!(", told apart from every other method but {unjudged} whose difference has no interval.")
        }
        (_, 0) => ", told apart from every other method.".to_owned(),
        (all, same) if same == all => format!(", not told apart from any of the {all} others."),
        (_, _) if unjudged > 0 => format!(
            "; not told apart from {}, and {} no interval.",
            named(&unsure),
            if unjudged == 1 {
                "1 difference has".to_owned()
            } else {
                format!("{unjudged} differences have")
            }
        ),
        _ => format!("; not told apart from {}.", named(&unsure)),
    };
    text += &best_few_shot(summary, headline).unwrap_or_default();
    Some(text)
}

/// Names the best method that is given no more than supports and other tasks' normals, where the best one is given more.
fn best_few_shot(summary: &Summary, headline: &Headline) -> Option<String> {
    let is_few_shot = |row: &&Row| summary.entrant(row).regime <= Regime::OtherNormals;
    let (best, few_shot) = (headline.methods.first()?, headline.methods.iter().find(|row| is_few_shot(row)));
    if is_few_shot(best) {
        return None;
    }
    let few_shot = few_shot.and_then(|row| Some((row, row.ranked().mean?)));
    Some(match few_shot {
        Some((row, mean)) => format!(
            " It is given more than supports and other tasks' normals; the best that is not is {} ({}) with {}.",
            summary.entrant(row).label,
            summary.entrant(row).regime_words(),
            with_interval(mean)
        ),
        None => {
            " It is given more than supports and other tasks' normals, as every method here is.".to_owned()
        }
    })
}

/// Says where no method does better than the best control.
fn against_controls(summary: &Summary, headline: &Headline) -> Option<String> {
    let Some(&strongest) = headline.controls.first() else {
        return Some("No trivial control has a mean here, so nothing is said of shortcuts.".to_owned());
    };
    let own = |row: &Row| summary.entrant(row).label.as_str();
    let mean = |row: &Row| row.ranked().mean.map_or(f64::NAN, |mean| mean.value);
    let best = *headline.methods.first()?;
    if mean(strongest) >= mean(best) {
        return Some(format!(
            "No ranked method exceeds a trivial control: {} has {:.3} and looks at no disease.",
            own(strongest),
            mean(strongest)
        ));
    }
    let mut unjudged = Vec::new();
    let mut unbeaten = Vec::new();
    for (task, name) in summary.tasks.iter().enumerate() {
        let control = strongest_on(&headline.controls, task);
        let known = headline.methods.iter().filter_map(|row| difference_on(row, control?, task));
        let known: Vec<(f64, f64)> = known.collect();
        let Some(control) = control.filter(|_| !known.is_empty()) else {
            unjudged.push(*name);
            continue;
        };
        if known.iter().all(|(low, _)| *low <= 0.0) {
            unbeaten.push(format!("{name} ({})", own(control)));
        }
    }
    if unjudged.len() == summary.tasks.len() {
        return Some(
            "Whether any method does better than a trivial control cannot be judged here.".to_owned(),
        );
    }
    let open = match unjudged.as_slice() {
        [] => String::new(),
        some => format!("; {} cannot be judged", named(some)),
    };
    Some(if unbeaten.is_empty() {
        let every = if unjudged.is_empty() { "On every task" } else { "On every other task" };
        format!(
            "{every} some method is told apart from the best trivial control (not corrected for the number of \
             methods){open}."
        )
    } else {
        let unbeaten: Vec<&str> = unbeaten.iter().map(String::as_str).collect();
        format!("No method is told apart from the best trivial control on {}{open}.", named(&unbeaten))
    })
}

fn strongest_on<'a>(controls: &[&'a Row], task: usize) -> Option<&'a Row> {
    let value = |row: &Row| row.ranked().tasks[task].map(|estimate| estimate.value);
    let known = controls.iter().filter_map(|row| Some((value(row)?, *row)));
    known.reduce(|a, b| if b.0 > a.0 { b } else { a }).map(|(_, row)| row)
}

/// `1 task`, `2 tasks`.
pub(super) fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// `0.874 [0.840, 0.901]`.
fn with_interval(estimate: Estimate) -> String {
    match (estimate.low, estimate.high) {
        (Some(low), Some(high)) => format!("{:.3} [{low:.3}, {high:.3}]", estimate.value),
        _ => format!("{:.3}", estimate.value),
    }
}

/// The first few, and how many more.
fn named(all: &[&str]) -> String {
    match all {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [head @ .., last] if all.len() <= NAMED => format!("{} and {last}", head.join(", ")),
        _ => format!("{} and {} more", all[..NAMED - 1].join(", "), all.len() - NAMED + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn names_are_counted_from_the_sixth_on() {
        assert_eq!(named(&["a"]), "a");
        assert_eq!(named(&["a", "b", "c"]), "a, b and c");
        assert_eq!(named(&["a", "b", "c", "d", "e", "f"]), "a, b, c, d and 2 more");
    }
}
