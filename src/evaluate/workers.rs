//! The same work on several threads at once.

use std::thread::ScopedJoinHandle;

use anyhow::{Result, anyhow};

use crate::panics;

/// Runs `work` on `n` threads, on one at least; what each of them returned. All end before an error is returned.
///
/// # Errors
/// The first of theirs, or a panic.
pub(super) fn on_workers<T: Send>(n: usize, work: &(dyn Fn() -> Result<T> + Sync)) -> Result<Vec<T>> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..n.max(1)).map(|_| scope.spawn(work)).collect();
        let join = |worker: ScopedJoinHandle<Result<T>>| {
            worker
                .join()
                .unwrap_or_else(|panic| Err(anyhow!("a worker panicked: {}", panics::message(&*panic))))
        };
        let results: Vec<Result<T>> = workers.into_iter().map(join).collect();
        results.into_iter().collect()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use anyhow::{Result, bail};

    use super::on_workers;

    #[test]
    fn all_end_before_an_error_or_a_panic_is_returned() {
        let (next, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || -> Result<usize> {
            let number = next.fetch_add(1, Ordering::Relaxed);
            assert!(number != 2, "number {number}");
            ended.fetch_add(1, Ordering::Relaxed);
            Ok(number)
        };
        let error = on_workers(4, &work).unwrap_err().to_string();
        assert_eq!(error, "a worker panicked: number 2");
        assert_eq!(ended.load(Ordering::Relaxed), 3);
        let mut found = on_workers(2, &work).unwrap();
        found.sort_unstable();
        assert_eq!(found, [4, 5]);
        assert_eq!(on_workers(0, &work).unwrap(), [6]);
        let error = on_workers(2, &|| -> Result<()> { bail!("refused") }).unwrap_err();
        assert_eq!(error.to_string(), "refused");
    }
}
