//! Anomaly maps become image scores, under named protocols; all from maps of one training.
//!
//! `published` is what the published evaluation code does: pictures in class-sorted order, batches of 16,
//! a Gaussian over all three axes of the batch (so that neighbours, which share the label, leak into each
//! other), the incomplete last batch dropped, the best epoch on the test set. `published-shuffled` differs from
//! it in the order of the pictures alone, which is drawn, so that neighbours tell nothing of the label.
//! `published-2d` differs from it in the Gaussian alone, which stays inside each picture. `clean` looks at every picture by itself,
//! keeps all of them and takes the last epoch; it is the only one that is ranked.
//!
//! A protocol is one variant of `Protocol` and its line in `Protocol::rule`; all else follows from that line.

use strum::{Display, EnumMessage, EnumString, IntoStaticStr, VariantArray};

use crate::words::word;

mod scores;

pub use scores::{
    Host, ImageScores, PUBLISHED_BATCH, SIGMA, Smoother, Summary, of_each, own_scores, pass_scores, reduced,
    score, score_maps, top,
};

/// A way from raw anomaly maps to one score for each picture. The order is that of columns and rows in files.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Display,
    EnumMessage,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
pub enum Protocol {
    /// Maximum of the picture's own smoothed map.
    #[strum(serialize = "clean")]
    Clean,
    /// Mean of the same map.
    #[strum(serialize = "clean-mean")]
    CleanMean,
    /// Mean of the highest 1 % of the same map.
    #[strum(serialize = "clean-top1")]
    CleanTop1,
    /// As `clean`, with the epoch and the pictures of `published`.
    #[strum(serialize = "published-2d")]
    Published2d,
    /// As the published code evaluates.
    #[strum(serialize = "published")]
    Published,
    /// As `published`, with pictures in an order drawn at random.
    #[strum(serialize = "published-shuffled")]
    PublishedShuffled,
    /// As `clean`, of the epoch that the source tasks choose, where that was asked for.
    #[strum(serialize = "clean-source")]
    CleanSource,
}

word!(Protocol, "protocol");

/// What a protocol does. Each part is declared from what is sound to what lets the test set in, so that rules are
/// ordered alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Whose maps are scored.
    pub epoch: EpochRule,
    /// Whether maps are smoothed each by itself or as a stack.
    pub smoothing: Smoothing,
    /// In which order test pictures come.
    pub order: TestOrder,
    /// What becomes of pictures that fill no batch.
    pub last_batch: LastBatch,
    /// What is read off a smoothed map as the image score.
    pub reduction: Reduction,
    /// What its numbers are for.
    pub role: Role,
}

/// Whose maps are scored, of all epochs of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EpochRule {
    /// The last one's.
    Last,
    /// The best one's on the test sets of the tasks that trained.
    BestOnSources,
    /// The best one's on the test set itself.
    BestOnTest,
}

/// How far the Gaussian reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Smoothing {
    /// Within each map.
    Alone,
    /// Also across the maps of a batch, which must be complete; only their maxima are read.
    Stacked,
}

/// How test pictures are put into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TestOrder {
    /// In an order drawn at random, the same for all methods.
    Drawn,
    /// Anomalous ones first.
    ClassSorted,
}

/// What becomes of pictures that fill no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LastBatch {
    /// They are scored, in a smaller batch.
    Kept,
    /// They get no score.
    Dropped,
}

/// What is read off a smoothed map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reduction {
    /// The highest value.
    Maximum,
    /// The mean of all values.
    Mean,
    /// The mean of the highest 1 %.
    Top1,
}

/// What its numbers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// They rank methods; one protocol has this role.
    Ranks,
    /// They are shown beside those that rank, for the gap between the two.
    Gap,
    /// They are one more measure.
    Measure,
}

const CLEAN: Rule = Rule {
    epoch: EpochRule::Last,
    smoothing: Smoothing::Alone,
    order: TestOrder::ClassSorted,
    last_batch: LastBatch::Kept,
    reduction: Reduction::Maximum,
    role: Role::Ranks,
};

const PUBLISHED: Rule = Rule {
    epoch: EpochRule::BestOnTest,
    smoothing: Smoothing::Stacked,
    order: TestOrder::ClassSorted,
    last_batch: LastBatch::Dropped,
    reduction: Reduction::Maximum,
    role: Role::Gap,
};

impl Protocol {
    /// The one that ranks.
    pub const RANKED: Protocol = Protocol::Clean;

    /// What it does.
    pub const fn rule(self) -> Rule {
        match self {
            Protocol::Clean => CLEAN,
            Protocol::CleanMean => Rule { reduction: Reduction::Mean, role: Role::Measure, ..CLEAN },
            Protocol::CleanTop1 => Rule { reduction: Reduction::Top1, role: Role::Measure, ..CLEAN },
            Protocol::Published2d => Rule { smoothing: Smoothing::Alone, ..PUBLISHED },
            Protocol::Published => PUBLISHED,
            Protocol::PublishedShuffled => Rule { order: TestOrder::Drawn, ..PUBLISHED },
            Protocol::CleanSource => Rule { epoch: EpochRule::BestOnSources, role: Role::Measure, ..CLEAN },
        }
    }

    /// The column of scores under it.
    pub fn column(self) -> String {
        self.name().replace('-', "_")
    }

    /// Those whose gap to the ranked one is shown, the soundest first.
    pub fn with_gap() -> Vec<Protocol> {
        let mut protocols: Vec<Protocol> =
            Protocol::all().filter(|protocol| protocol.rule().role == Role::Gap).collect();
        protocols.sort_by_key(|protocol| protocol.rule());
        protocols
    }

    /// Whether a picture's score depends on that picture alone, so that pictures without labels and order have one.
    pub fn is_of_one_picture(self) -> bool {
        let Rule { epoch, smoothing, last_batch, .. } = self.rule();
        (epoch, smoothing, last_batch) == (EpochRule::Last, Smoothing::Alone, LastBatch::Kept)
    }
}
