//! The page: one file that opens offline and asks nobody for anything.

use anyhow::Result;
use askama::Template;

use super::chart::Figure;
use super::display_table::DisplayTable;
use super::entrant::RANDOM_TEACHER;
use super::gallery::{Card, Gallery};

/// Entrants whose galleries are shown in the page; the others are files beside it.
const GALLERIES: usize = 3;

/// Everything the page shows.
#[derive(Template)]
#[template(path = "index.html", config = "src/report/askama.toml")]
pub(super) struct Page<'a> {
    pub title: &'a str,
    pub warning: Option<&'a str>,
    pub cautions: &'a [String],
    pub facts: &'a [(&'static str, String)],
    pub leaderboard: &'a DisplayTable,
    pub scores: Vec<&'a Figure>,
    pub gap: Vec<&'a DisplayTable>,
    pub gap_figures: Vec<&'a Figure>,
    pub standings: &'a DisplayTable,
    pub trivia: Option<&'a DisplayTable>,
    pub adjusted: Option<&'a DisplayTable>,
    pub measures: &'a [DisplayTable],
    pub details: Vec<&'a Figure>,
    pub galleries: Vec<Shown>,
    pub failures: Option<&'a DisplayTable>,
    pub missing: Option<&'a DisplayTable>,
    pub why: &'static str,
}

/// A gallery with its pictures as addresses.
pub(super) struct Shown {
    pub title: String,
    pub caption: String,
    pub warning: Option<&'static str>,
    pub cards: Vec<ShownCard>,
}

/// A card of a gallery: its views are name, description and address.
pub(super) struct ShownCard {
    pub title: String,
    pub detail: String,
    pub views: Vec<[String; 3]>,
}

/// The galleries of the first entrants that have any.
pub(super) fn shown(galleries: &[(String, Gallery)], random: impl Fn(usize) -> bool) -> Result<Vec<Shown>> {
    let mut entrants: Vec<usize> = galleries.iter().map(|(_, gallery)| gallery.entrant).collect();
    entrants.dedup();
    entrants.truncate(GALLERIES);
    let chosen = galleries.iter().filter(|(_, gallery)| entrants.contains(&gallery.entrant));
    let shown = |(_, gallery): &(String, Gallery)| {
        let card = |card: &Card| {
            Ok(ShownCard { title: card.title.clone(), detail: card.detail.clone(), views: card.addresses()? })
        };
        Ok(Shown {
            title: gallery.title.clone(),
            caption: gallery.caption(),
            warning: random(gallery.entrant).then_some(RANDOM_TEACHER),
            cards: gallery.cards.iter().map(card).collect::<Result<_>>()?,
        })
    };
    chosen.map(shown).collect()
}
