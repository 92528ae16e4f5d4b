//! What a panic says: libtorch's messages come with a stack trace of C++ that helps nobody.

use std::cell::Cell;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::progress::LOG_ALONE;

/// What libtorch writes between its message and its trace, as it is and inside a printed string.
const TRACES: [&str; 2] = ["\nException raised from", "\\nException raised from"];

/// How the standard library says that nobody reads what is printed, as after `| head`.
const NOBODY_READS: [&str; 2] =
    ["failed printing to stdout: Broken pipe", "failed printing to stderr: Broken pipe"];

/// What a shell gives for a program that a closed pipe has ended.
const CLOSED_PIPE: i32 = 141;

/// Makes panics say where and what in a line or two; with `RUST_BACKTRACE` set to 1, all there is. Where nobody reads what is
/// printed any more, the process ends without a word, as others do.
pub fn shorten() {
    let is_asked_for = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    let whole = is_asked_for.then(std::panic::take_hook);
    std::panic::set_hook(Box::new(move |panic| {
        let said = message(panic.payload());
        if NOBODY_READS.iter().any(|start| said.starts_with(start)) {
            std::process::exit(CLOSED_PIPE);
        }
        if let Some(whole) = &whole {
            return whole(panic);
        }
        let place =
            panic.location().map_or(String::new(), |place| format!(" at {}:{}", place.file(), place.line()));
        log::error!(target: LOG_ALONE, "panic{place}: {said}");
        _ = writeln!(std::io::stderr(), "panic{place}: {said}");
    }));
}

thread_local! {
    /// Which of this thread's panics are told to nobody, by their messages.
    static QUIET: Cell<fn(&str) -> bool> = const { Cell::new(|_| false) };
}

/// How jpeg-decoder names the threads that it starts for wide pictures. It notices their panics, and panics itself.
const THREADS_OF_CODECS: [&str; 1] = ["worker thread for component "];

/// Runs what may panic on malformed data, such as a codec of others. A panic becomes the error, without a line
/// on the terminal. A codec must run on this thread; those that start threads of their own are listed above.
///
/// # Errors
/// The panic's message.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    caught_quietly(|_| true, work).map_err(|payload| message(&*payload).to_owned())
}

/// Runs `work` and catches its panics; those whose message is `expected` are told to nobody.
///
/// # Errors
/// What it panicked with.
pub fn caught_quietly<T>(expected: fn(&str) -> bool, work: impl FnOnce() -> T) -> std::thread::Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let other = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_codecs = std::thread::current().name().is_some_and(is_of_codec);
            if !is_codecs && !QUIET.get()(message(panic.payload())) {
                other(panic);
            }
        }));
    });
    let before = QUIET.replace(expected);
    let done = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    done
}

/// Whether a thread of this name is a codec's own.
fn is_of_codec(thread: &str) -> bool {
    THREADS_OF_CODECS.iter().any(|start| thread.starts_with(start))
}

/// The message of a panic, without libtorch's trace.
pub fn message(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
    let end = TRACES.iter().filter_map(|trace| text.find(trace)).min().unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use crate::panics::{caught, is_of_codec, message};

    #[test]
    fn a_panic_that_is_caught_is_an_error_with_its_message() {
        assert_eq!(caught(|| 3), Ok(3));
        assert_eq!(caught(|| -> u8 { panic!("entry {} of 4", 7) }), Err("entry 7 of 4".to_owned()));
    }

    #[test]
    fn threads_of_codecs_are_told_by_their_names() {
        assert!(is_of_codec("worker thread for component 2"));
        assert!(!is_of_codec("main") && !is_of_codec("worker"));
    }

    #[test]
    fn a_trace_is_cut_off() {
        let of = |text: &str| message(&text.to_owned() as &(dyn std::any::Any + Send)).to_owned();
        assert_eq!(of("Torch(\"out of memory\\nException raised from malloc\")"), "Torch(\"out of memory");
        assert_eq!(of("out of memory\nException raised from malloc"), "out of memory");
        assert_eq!(of("index 3"), "index 3");
        assert_eq!(message(&"plain"), "plain");
        assert_eq!(message(&7), "no message");
    }
}
