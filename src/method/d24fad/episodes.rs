//! Queries of training and their supports.

use anyhow::{Result, ensure};

use crate::method::contract::TrainTask;
use crate::random::Stream;

/// A query and its supports, as indices into the features of all tasks.
#[derive(Debug)]
pub(crate) struct Episode {
    pub query: i64,
    pub supports: Vec<i64>,
}

/// All pairs of `tasks`, each query with its first `shots` supports.
///
/// # Errors
/// A pair with fewer supports.
pub(crate) fn episodes(tasks: &[TrainTask], shots: usize) -> Result<Vec<Episode>> {
    let mut episodes = Vec::new();
    let mut offset = 0;
    for task in tasks {
        for (query, supports) in &task.pairs {
            ensure!(
                supports.len() >= shots,
                "pairs of `{}` hold {} supports, {shots} are asked for",
                task.name,
                supports.len()
            );
            let supports = supports[..shots].iter().map(|&index| (offset + index) as i64).collect();
            episodes.push(Episode { query: (offset + query) as i64, supports });
        }
        offset += task.pictures.len();
    }
    Ok(episodes)
}

/// Supports of every query drawn anew: with replacement from its own task, never the query itself.
pub(crate) fn redrawn(tasks: &[TrainTask], shots: usize, seed: u64, epoch: u64) -> Vec<Episode> {
    let mut stream = Stream::new(seed, "redrawn supports", epoch);
    let (mut episodes, mut offset) = (Vec::new(), 0);
    for task in tasks {
        let n = task.pictures.len();
        for (query, _) in &task.pairs {
            let supports = (0..shots).map(|_| (offset + stream.other_than(*query, n)) as i64).collect();
            episodes.push(Episode { query: (offset + query) as i64, supports });
        }
        offset += n;
    }
    episodes
}
