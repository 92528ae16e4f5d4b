//! What a method may know beside the pictures that it scores: training tasks, the device, weights, and where a training's
//! state lies.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use tch::{Device, Tensor};

use super::open_teachers::OpenTeachers;
use crate::episode::batch::Pictures;
use crate::files;
use crate::ids::TaskName;
use crate::network::origin::Teachers;
use crate::network::precision::Precision;
use crate::network::remembering::Remembering;
use crate::network::{Backbone, Input, Sight};
#[cfg(doc)]
use crate::regime::Regime;

/// One training task: its normals and, for each, its supports.
pub struct TrainTask {
    /// The task's name in the manifest.
    pub name: TaskName,
    /// Its train normals, in the manifest's order.
    pub pictures: Pictures,
    /// Query and its `max_shots` supports, as indices into `pictures`.
    pub pairs: Vec<(usize, Vec<usize>)>,
    /// All its anomalies, whatever split they are in, for methods that see [`Regime::OtherAnomalies`] alone.
    pub anomalies: Option<Pictures>,
    /// Of the target: pictures of which nobody says what they show, normal and anomalous mixed, for methods that see
    /// [`Regime::UnlabelledPool`] or [`Regime::UnlabelledTest`] alone.
    pub pool: Option<Pictures>,
}

/// What every step may know beside pictures.
#[derive(Clone)]
pub struct Context {
    /// Where tensors live and are computed.
    pub device: Device,
    /// In what precision networks compute.
    pub precision: Precision,
    /// Seed of the method's random streams.
    pub seed: u64,
    /// Size of the support set that will be given; methods that learn from other tasks alone may use it
    /// while fitting, the others are fitted once for all sizes.
    pub shots: usize,
    /// Where the weights of pretrained networks come from.
    pub teachers: Teachers,
    /// A few normals of other tasks, `[n, 3, h, w]` of 0 to 255, on which a random teacher's batch norms are
    /// calibrated; `None` where weights are given.
    pub calibration: Option<Rc<Tensor>>,
    /// The task held out.
    pub task: TaskName,
    /// What the work is for, shown beside the progress bar.
    pub label: String,
    /// Where a training saves its state; `None` saves none.
    pub state_file: Option<StateFile>,
    /// Teachers that are open already; contexts that were cloned share them.
    pub opened: OpenTeachers,
}

/// Where and how often a training saves its state, so that it resumes there after a stop, to the same bits on a CPU.
#[derive(Clone, Debug)]
pub struct StateFile {
    /// Written whole; the training resumes from it if it exists. Whoever asked for it calls [`StateFile::remove`] when
    /// the training's result is safe.
    pub path: PathBuf,
    /// The least time between two saves; zero saves after every step.
    pub every: Duration,
}

impl StateFile {
    /// How often a state is saved where nobody says otherwise.
    pub const EVERY: Duration = Duration::from_secs(60);

    /// One of several trainings that share a context: its file lies in a folder beside this one's.
    pub fn of_part(&self, part: &str) -> StateFile {
        StateFile { path: self.parts().join(format!("{part}.safetensors")), every: self.every }
    }

    /// Removes the state, and those of all parts.
    ///
    /// # Errors
    /// Names what cannot be removed.
    pub fn remove(&self) -> Result<()> {
        files::remove_if_there(&self.path)?;
        files::remove_folder_if_there(&self.parts())
    }

    fn parts(&self) -> PathBuf {
        self.path.with_extension("parts")
    }
}

impl Context {
    /// The same for a training on such pictures `[n, 3, h, w]` alone, whose state lies beside those on others.
    ///
    /// # Errors
    /// Pixels that are no bytes.
    pub fn for_pictures(&self, shown: &[&Tensor]) -> Result<Context> {
        let mut context = self.clone();
        if let Some(file) = context.state_file.take() {
            let bytes = shown.iter().map(|pixels| Vec::<u8>::try_from(pixels.flatten(0, -1)));
            let bytes: Vec<Vec<u8>> = bytes.collect::<Result<_, _>>()?;
            context.state_file = Some(file.of_part(&files::fingerprint(&bytes.concat())));
        }
        Ok(context)
    }

    /// A frozen teacher with stages: as [`Context::seeing`].
    ///
    /// # Errors
    /// As [`Context::seeing`].
    pub fn teacher(&self, backbone: Backbone, input: Input) -> Result<Rc<Remembering>> {
        self.seeing(Sight::Pyramid(backbone, input))
    }

    /// The frozen teacher: weights from the file that was given, or the labelled random ones that were asked for. It is
    /// opened once.
    ///
    /// # Errors
    /// Weights that cannot be read or do not fit the network, or random ones with fewer than two pictures to
    /// calibrate them on.
    pub fn seeing(&self, sight: Sight) -> Result<Rc<Remembering>> {
        let origin = self.teachers.of(sight.network())?;
        let wanted = (sight, origin.clone(), self.precision, self.device);
        self.opened.teacher(wanted, self.calibration.as_deref())
    }
}
