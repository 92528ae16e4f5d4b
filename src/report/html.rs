//! The page: one file that opens offline and asks nobody for anything.

use anyhow::Result;
use askama::Template;

use super::chart::Figure;
use super::display_table::DisplayTable;
use super::entrant::RANDOM_TEACHER;
use super::gallery::{Card, Gallery};
use super::summary::Summary;
use super::terms::TERMS;

/// Entrants whose galleries are shown in the page; the others are files beside it.
const GALLERIES: usize = 3;

/// Everything the page shows.
#[derive(Template)]
#[template(path = "index.html", config = "src/report/askama.toml")]
pub(super) struct Page<'a> {
    pub title: &'a str,
    pub warning: Option<&'a str>,
    pub verdict: &'a [String],
    /// What the numbers of the whole board rest on.
    pub urgent: &'a [String],
    pub cautions: &'a [String],
    pub facts: &'a [(&'static str, String)],
    pub leaderboard: &'a DisplayTable,
    pub means: Option<&'a Figure>,
    pub scores: Vec<&'a Figure>,
    pub gap: Vec<&'a DisplayTable>,
    pub gap_figures: Vec<&'a Figure>,
    pub standings: &'a DisplayTable,
    pub trivia: Option<&'a DisplayTable>,
    pub adjusted: Option<&'a DisplayTable>,
    pub measures: &'a [DisplayTable],
    pub details: Vec<&'a Figure>,
    pub galleries: Vec<Shown>,
    pub methods: Vec<MethodFacts>,
    pub failures: Option<&'a DisplayTable>,
    pub missing: Option<&'a DisplayTable>,
    pub why: &'static str,
}

impl Page<'_> {
    fn terms(&self) -> &'static [(&'static str, &'static str)] {
        TERMS
    }
}

/// What a row's name leads to: how the method was set up, and where its pictures are.
pub(super) struct MethodFacts {
    /// Counted from 1, in the order of the figures.
    pub number: usize,
    pub label: String,
    pub facts: Vec<(&'static str, String)>,
    /// Its galleries: number on the page, title.
    pub galleries: Vec<(usize, String)>,
}

/// Of every entrant.
pub(super) fn methods(summary: &Summary, galleries: &[Shown]) -> Vec<MethodFacts> {
    let of = |(index, entrant): (usize, &super::entrant::Entrant)| {
        let (identity, provenance) = (&entrant.cells[0].cell.identity, &entrant.cells[0].cell.provenance);
        let network = if provenance.backbone.is_empty() {
            "none".to_owned()
        } else {
            format!("{} ({})", provenance.backbone, provenance.weights)
        };
        let facts = vec![
            ("regime", format!("{}: {}", entrant.regime_words(), meaning_of(&entrant.regime.to_string()))),
            ("settings", identity.settings.clone()),
            ("network", network),
            ("side", format!("{} px", identity.size)),
            ("device", format!("{}, {}", provenance.device, provenance.precision)),
            ("cells", entrant.cells.len().to_string()),
        ];
        let galleries = galleries.iter().enumerate().filter(|(_, shown)| shown.entrant == index);
        MethodFacts {
            number: index + 1,
            label: entrant.label.clone(),
            facts,
            galleries: galleries.map(|(place, shown)| (place + 1, shown.title.clone())).collect(),
        }
    };
    summary.entrants.iter().enumerate().map(of).collect()
}

fn meaning_of(regime: &str) -> &'static str {
    super::terms::meaning(regime).map_or("", |text| text.trim_start_matches("Regime: "))
}

/// A gallery with its pictures as addresses.
pub(super) struct Shown {
    pub entrant: usize,
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
            entrant: gallery.entrant,
            title: gallery.title.clone(),
            caption: gallery.caption(),
            warning: random(gallery.entrant).then_some(RANDOM_TEACHER),
            cards: gallery.cards.iter().map(card).collect::<Result<_>>()?,
        })
    };
    chosen.map(shown).collect()
}
