//! Work on a card that is recorded once and replayed: one call for the thousand kernels of a training step, each of which
//! takes longer to start than to run.
//!
//! `tch` has no access to libtorch's graphs, so its functions are called by their names in the one version that this
//! program runs with. Everything here is for CUDA; on a CPU nothing of it is called.

use std::ffi::{CStr, c_char, c_int, c_ulong, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context, Result, anyhow, bail};
use libloading::os::unix::{Library, Symbol};
use tch::Device;

use super::card;

unsafe extern "C" {
    fn medfsad_guarded(
        work: unsafe extern "C-unwind" fn(*mut c_void),
        argument: *mut c_void,
        message: *mut c_char,
        room: c_ulong,
    ) -> c_int;
}

/// Set to 0, nothing is recorded.
const SWITCH: &str = "MEDFSAD_CUDA_GRAPHS";

/// `c10::cuda::CUDAStream`: its device, and its number there.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Handle {
    device: u64,
    id: i64,
}

type Current = unsafe extern "C-unwind" fn(i8) -> Handle;
type FromPool = unsafe extern "C-unwind" fn(bool, i8) -> Handle;
type SetCurrent = unsafe extern "C-unwind" fn(Handle);
type Member = unsafe extern "C-unwind" fn(*mut c_void);
type Construct = unsafe extern "C-unwind" fn(*mut c_void, bool);
type Begin = unsafe extern "C-unwind" fn(*mut c_void, [u64; 2], c_int);

const CURRENT: &str = "_ZN3c104cuda20getCurrentCUDAStreamEa";
const FROM_POOL: &str = "_ZN3c104cuda17getStreamFromPoolEba";
const SET_CURRENT: &str = "_ZN3c104cuda20setCurrentCUDAStreamENS0_10CUDAStreamE";
const CONSTRUCT: &str = "_ZN2at4cuda9CUDAGraphC1Eb";
const DESTROY: &str = "_ZN2at4cuda9CUDAGraphD1Ev";
const BEGIN: &str = "_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode";
const END: &str = "_ZN2at4cuda9CUDAGraph11capture_endEv";
const REPLAY: &str = "_ZN2at4cuda9CUDAGraph6replayEv";

/// Capturing, other threads must not do what would disturb it: the mode that PyTorch itself takes.
const GLOBAL: c_int = 0;

/// Whether work may be recorded.
pub fn is_wanted() -> bool {
    std::env::var_os(SWITCH).is_none_or(|value| value != "0")
}

/// A stream beside the one that all else runs on; recording needs one.
#[derive(Clone, Copy)]
pub struct SideStream {
    device: Device,
    side: Handle,
}

impl SideStream {
    /// # Errors
    /// A device that is no card, or a libtorch without streams.
    pub fn new(device: Device) -> Result<SideStream> {
        let index = index(device)?;
        let from_pool = function::<FromPool>(FROM_POOL)?;
        // SAFETY: the function is what its name says, in the version of libtorch that the build has checked.
        let side = guarded(|| unsafe { from_pool(false, index) })?;
        Ok(SideStream { device, side })
    }

    /// What `work` gives, done on this stream; all that came before is waited for, and so is all of it.
    ///
    /// # Errors
    /// A stream that cannot be chosen.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        let index = index(self.device)?;
        let (current, set) = (function::<Current>(CURRENT)?, function::<SetCurrent>(SET_CURRENT)?);
        card::wait_for(self.device);
        // SAFETY: as above.
        let before = guarded(|| unsafe { current(index) })?;
        guarded(|| unsafe { set(self.side) })?;
        let done = catch_unwind(AssertUnwindSafe(work));
        guarded(|| unsafe { set(before) })?;
        card::wait_for(self.device);
        match done {
            Ok(done) => Ok(done),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Recorded work; the tensors that it reads and writes must outlive it.
pub struct Graph {
    /// libtorch's object, about 200 bytes of it.
    object: Box<Storage>,
}

#[repr(C, align(64))]
struct Storage([u8; 2048]);

impl Graph {
    /// Records what `work` does to the device, which is not done yet: [`Graph::replay`] does it. `work` must have been
    /// done before on the same stream, must not wait for the device, and must give it nothing from the host.
    ///
    /// # Errors
    /// Work that cannot be recorded; nothing has happened then.
    pub fn record<T>(stream: &SideStream, work: impl FnOnce() -> T) -> Result<(Graph, T)> {
        let graph = Graph::new()?;
        let object = graph.pointer();
        let (begin, end) = (function::<Begin>(BEGIN)?, function::<Member>(END)?);
        let done = stream.run(|| -> Result<T> {
            // SAFETY: the object was constructed, and the functions are what their names say.
            guarded(|| unsafe { begin(object, [0, 0], GLOBAL) })?;
            let done = catch_unwind(AssertUnwindSafe(work));
            let ended = guarded(|| unsafe { end(object) });
            match done {
                Ok(done) => ended.map(|()| done),
                Err(_) => bail!("libtorch refused a part of the work"),
            }
        })?;
        Ok((graph, done?))
    }

    fn new() -> Result<Graph> {
        let construct = function::<Construct>(CONSTRUCT)?;
        let graph = Graph { object: Box::new(Storage([0; 2048])) };
        let object = graph.pointer();
        // SAFETY: there is room for the object, which its constructor fills. Should that fail, the drop below runs on
        // zeros, which is an object without anything to free.
        guarded(|| unsafe { construct(object, false) })?;
        Ok(graph)
    }

    /// Does the recorded work, on what its tensors hold now.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn replay(&self) -> Result<()> {
        let (replay, object) = (function::<Member>(REPLAY)?, self.pointer());
        // SAFETY: the object holds a finished recording.
        guarded(|| unsafe { replay(object) }).context("replaying recorded work")
    }

    fn pointer(&self) -> *mut c_void {
        std::ptr::from_ref(&*self.object).cast_mut().cast()
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let object = self.pointer();
        if let Ok(destroy) = function::<Member>(DESTROY) {
            // SAFETY: constructed once, destroyed once.
            let _ = guarded(|| unsafe { destroy(object) });
        }
    }
}

fn index(device: Device) -> Result<i8> {
    match device {
        Device::Cuda(index) => Ok(i8::try_from(index)?),
        _ => bail!("{device:?} has no streams"),
    }
}

fn function<F>(name: &str) -> Result<Symbol<F>> {
    // SAFETY: callers give the type that belongs to the name.
    unsafe { Library::this().get::<F>(name.as_bytes()) }
        .with_context(|| format!("this libtorch has no {name}"))
}

/// What `work` gives; an exception of libtorch as an error. `work` must not panic and must own nothing.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T> {
    struct Call<W, T> {
        work: Option<W>,
        done: Option<T>,
    }
    unsafe extern "C-unwind" fn run<W: FnOnce() -> T, T>(call: *mut c_void) {
        // SAFETY: the pointer is to the call below, which lives longer.
        let call = unsafe { &mut *call.cast::<Call<W, T>>() };
        if let Some(work) = call.work.take() {
            call.done = Some(work());
        }
    }
    fn runner<W: FnOnce() -> T, T>(_: &Call<W, T>) -> unsafe extern "C-unwind" fn(*mut c_void) {
        run::<W, T>
    }
    let mut call = Call { work: Some(work), done: None };
    let mut message = [0 as c_char; 512];
    let run = runner(&call);
    // SAFETY: all pointers live through the call.
    unsafe {
        let argument = std::ptr::from_mut(&mut call).cast();
        medfsad_guarded(run, argument, message.as_mut_ptr(), message.len() as c_ulong);
    }
    call.done.ok_or_else(|| {
        // SAFETY: the message ends with a zero.
        let text = unsafe { CStr::from_ptr(message.as_ptr()) }.to_string_lossy();
        anyhow!("{}", text.lines().next().unwrap_or("no message"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_passes_through_the_guard() {
        assert_eq!(guarded(|| 7).unwrap(), 7);
    }

    #[test]
    fn an_exception_of_libtorch_becomes_an_error() {
        // Throws, since this context has no such device.
        type Init = unsafe extern "C-unwind" fn(*mut c_void, [u8; 2]) -> *const c_void;
        let context = function::<unsafe extern "C-unwind" fn() -> *mut c_void>("_ZN2at13globalContextEv");
        let generator = function::<Init>("_ZN2at7Context16defaultGeneratorEN3c106DeviceE");
        let (Ok(context), Ok(generator)) = (context, generator) else { return };
        // SAFETY: a device is two bytes, its kind (1 is CUDA) and its number.
        let error = guarded(|| unsafe { generator(context(), [1, 99]) } as usize).unwrap_err();
        assert!(!error.to_string().is_empty());
    }

    #[test]
    fn a_cpu_has_no_streams() {
        assert!(SideStream::new(Device::Cpu).is_err());
    }
}
