//! Subnormal numbers, the smallest there are (below 1.2e-38 in single precision), which CPUs compute with a hundred
//! times slower than with others. Gradients have them; nothing that is measured depends on them.

use std::fmt;
use std::hint::black_box;

use anyhow::{Context as _, Result};
use libloading::os::unix::Library;

/// `at::Context::setFlushDenormal(bool)`, which sets the calling thread's control register.
const FLUSH: &str = "_ZN2at7Context16setFlushDenormalEb";
/// Set to [`KEEP`], subnormal numbers are computed with.
const SWITCH: &str = "MEDFSAD_SUBNORMALS";
const KEEP: &str = "keep";

/// What a thread does with subnormal numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subnormals {
    /// Read and written as zero.
    Flushed,
    /// Computed with.
    Kept,
}

impl Subnormals {
    /// In this thread, which computes with one to see.
    pub fn here() -> Subnormals {
        let smallest = black_box(f32::MIN_POSITIVE);
        if black_box(smallest * black_box(0.5)) == 0.0 { Subnormals::Flushed } else { Subnormals::Kept }
    }
}

impl fmt::Display for Subnormals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Subnormals::Flushed => "flushed to zero",
            Subnormals::Kept => "kept",
        })
    }
}

/// Subnormal numbers become zero in this thread and in all that it starts from now on, directly or not, unless
/// `MEDFSAD_SUBNORMALS=keep` is set. Comes before anything that starts threads: those of OpenMP and rayon have the
/// control register of the thread that first needed them.
///
/// # Errors
/// A libtorch without the switch, or another value of the variable.
pub fn flush() -> Result<()> {
    let wanted = match std::env::var_os(SWITCH) {
        None => true,
        Some(value) if value.is_empty() => true,
        Some(value) if value == KEEP => false,
        Some(value) => anyhow::bail!("{SWITCH} is {}; set it to {KEEP}, or not at all", value.display()),
    };
    if wanted { set(true) } else { Ok(()) }
}

/// Where the processor has no such mode, nothing changes, and [`Subnormals::here`] tells.
fn set(flushed: bool) -> Result<()> {
    let this = Library::this();
    // SAFETY: the function is exported by libtorch_cpu, whose version the build has checked; it sets bits of the calling
    // thread's control register, on which no code here relies.
    unsafe {
        let set = this.get::<unsafe extern "C" fn(bool) -> bool>(FLUSH.as_bytes());
        set.context("this libtorch is not the one that medfsad was made for")?(flushed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;

    /// What workers of every kind do that a thread starts: of libtorch's loops, of rayon, and plain threads.
    fn workers() -> Vec<Subnormals> {
        const THREADS: usize = 4;
        tch::set_num_threads(THREADS as i32);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build().unwrap();
        let mut found = pool.broadcast(|_| Subnormals::here());
        found.extend(std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(Subnormals::here)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        }));
        // Long enough to be divided among all threads, each of which tells by what becomes of its part.
        const LENGTH: i64 = 1 << 20;
        let smallest = Tensor::full([LENGTH], f64::from(f32::MIN_POSITIVE), (Kind::Float, tch::Device::Cpu));
        let halves: Vec<f32> = (smallest * 0.5f64).try_into().unwrap();
        let of_part = |part: &[f32]| {
            let is_flushed = part.iter().all(|value| value.to_bits() == 0);
            if is_flushed { Subnormals::Flushed } else { Subnormals::Kept }
        };
        found.extend(halves.chunks(1 << 10).map(of_part));
        found
    }

    #[test]
    fn every_worker_of_a_thread_that_flushes_flushes_and_no_other_does() {
        let of = |flushed: bool| {
            let thread = std::thread::spawn(move || {
                set(flushed).unwrap();
                (Subnormals::here(), workers())
            });
            thread.join().unwrap()
        };
        for (flushed, expected) in [(true, Subnormals::Flushed), (false, Subnormals::Kept)] {
            let (here, workers) = of(flushed);
            assert_eq!(here, expected);
            assert_eq!(workers.len(), 4 + 4 + 1024);
            assert!(workers.iter().all(|worker| *worker == expected), "{workers:?}");
        }
    }
}
