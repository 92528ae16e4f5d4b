//! The choices of evaluation that papers make, and every combination of them that can be had of a run.

use strum::{Display, VariantArray};

use crate::protocol::{PUBLISHED_BATCH, Reduction};

/// Whose maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display, VariantArray)]
pub(super) enum Epoch {
    /// The last one.
    #[strum(serialize = "last epoch")]
    Last,
    /// The one that is best on the test set, under protocol `published`.
    #[strum(serialize = "best epoch")]
    Best,
}

/// Gaussian deviation in pixels, and over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display, VariantArray)]
pub(super) enum Smoothing {
    #[strum(serialize = "sigma 0")]
    None,
    #[strum(serialize = "sigma 2")]
    Two,
    #[strum(serialize = "sigma 4")]
    Four,
    #[strum(serialize = "sigma 8")]
    Eight,
    /// Over batches of [`PUBLISHED_BATCH`] maps in class-sorted order too.
    #[strum(serialize = "sigma 4, over batches")]
    FourStacked,
}

impl Smoothing {
    pub(super) fn sigma(self) -> f64 {
        match self {
            Smoothing::None => 0.0,
            Smoothing::Two => 2.0,
            Smoothing::Four | Smoothing::FourStacked => 4.0,
            Smoothing::Eight => 8.0,
        }
    }
}

/// What becomes of the pictures behind the last whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display, VariantArray)]
pub(super) enum LastBatch {
    #[strum(serialize = "last batch kept")]
    Kept,
    #[strum(serialize = "last batch dropped")]
    Dropped,
}

impl LastBatch {
    /// Pictures that count, of so many.
    pub(super) fn of(self, count: usize) -> usize {
        match self {
            LastBatch::Kept => count,
            LastBatch::Dropped => count - count % PUBLISHED_BATCH,
        }
    }
}

/// At which size maps are smoothed and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display, VariantArray)]
pub(super) enum MapSize {
    #[strum(serialize = "maps as they are")]
    Full,
    /// Means of two by two pixels.
    #[strum(serialize = "maps of half the size")]
    Half,
}

/// Whose trainings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display, VariantArray)]
pub(super) enum Seeds {
    #[strum(serialize = "first seed")]
    First,
    #[strum(serialize = "mean over seeds")]
    All,
}

/// How a map becomes a number.
pub(super) const REDUCTIONS: [(Reduction, &str); 3] =
    [(Reduction::Maximum, "maximum"), (Reduction::Mean, "mean"), (Reduction::Top1, "top 1 %")];

/// What is done to one cell's maps or scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OfCell {
    pub epoch: Epoch,
    pub size: MapSize,
    pub smoothing: Smoothing,
    pub reduction: Reduction,
    pub last_batch: LastBatch,
}

/// One combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Variant {
    pub of_cell: OfCell,
    pub seeds: Seeds,
}

impl Variant {
    /// What protocol `clean` does with maps, over all seeds.
    pub(super) const REFERENCE: Variant = Variant {
        of_cell: OfCell {
            epoch: Epoch::Last,
            size: MapSize::Full,
            smoothing: Smoothing::Four,
            reduction: Reduction::Maximum,
            last_batch: LastBatch::Kept,
        },
        seeds: Seeds::All,
    };

    /// The name of what was chosen, choice after choice.
    pub(super) fn names(self) -> [String; 6] {
        let OfCell { epoch, size, smoothing, reduction, last_batch } = self.of_cell;
        let reduction = REDUCTIONS.iter().find(|(own, _)| *own == reduction).map_or("", |(_, name)| name);
        [
            epoch.to_string(),
            smoothing.to_string(),
            reduction.to_owned(),
            last_batch.to_string(),
            size.to_string(),
            self.seeds.to_string(),
        ]
    }
}

/// What a run can tell apart; a single option is no choice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Had {
    /// The last alone where no method has epochs.
    pub epochs: &'static [Epoch],
    /// Whether a method has maps.
    pub maps: bool,
    /// Kept alone where every task's pictures fill it.
    pub last_batches: &'static [LastBatch],
    /// All where there is one.
    pub seeds: &'static [Seeds],
}

/// Every combination of choices that make a difference.
pub(super) fn crossed(had: Had) -> Vec<Variant> {
    let (sizes, smoothings, n_reductions) = match had.maps {
        true => (MapSize::VARIANTS, Smoothing::VARIANTS, REDUCTIONS.len()),
        false => (&[MapSize::Full][..], &[Smoothing::Four][..], 1),
    };
    let mut variants = Vec::new();
    for &epoch in had.epochs {
        for &size in sizes {
            for &smoothing in smoothings {
                for &(reduction, _) in &REDUCTIONS[..n_reductions] {
                    for &last_batch in had.last_batches {
                        let of_cell = OfCell { epoch, size, smoothing, reduction, last_batch };
                        variants.extend(had.seeds.iter().map(|&seeds| Variant { of_cell, seeds }));
                    }
                }
            }
        }
    }
    variants
}
