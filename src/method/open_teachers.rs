//! Teachers that are open: each is opened once for all contexts that were cloned from one.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use tch::{Device, Tensor};

use crate::network::Sight;
use crate::network::frozen_clip::FrozenClip;
use crate::network::origin::Origin;
use crate::network::precision::Precision;
use crate::network::remembering::{Keeping, Remembering};
use crate::network::teacher::Teacher;
use crate::network::vit::clip::Plan;

/// What a teacher is opened for: a context with other weights opens another.
pub(super) type Wanted = (Sight, Origin, Precision, Device);

/// What CLIP's towers are opened for.
pub(super) type WantedClip = (Plan, Origin, Device);

/// Towers, and what they were opened for.
type OpenClip = (WantedClip, Rc<FrozenClip>);

/// A teacher, and what it was opened for.
type Open = (Wanted, Rc<Remembering>);

/// Teachers that are open, and what they may keep of features; clones share them.
#[derive(Clone, Default)]
pub struct OpenTeachers {
    keeping: Keeping,
    open: Rc<RefCell<Vec<Open>>>,
    clips: Rc<RefCell<Vec<OpenClip>>>,
}

impl OpenTeachers {
    /// None yet; each will keep features as `keeping` says.
    pub fn keeping(keeping: Keeping) -> OpenTeachers {
        OpenTeachers { keeping, ..OpenTeachers::default() }
    }

    /// The teacher that is `wanted`, opened if it is not yet.
    ///
    /// # Errors
    /// As [`Teacher::seeing`].
    pub(super) fn teacher(&self, wanted: Wanted, calibration: Option<&Tensor>) -> Result<Rc<Remembering>> {
        if let Some((_, teacher)) = self.open.borrow().iter().find(|(known, _)| *known == wanted) {
            return Ok(teacher.clone());
        }
        let (sight, origin, precision, device) = &wanted;
        let teacher = Teacher::seeing(*sight, origin, calibration, *device);
        let teacher = teacher.map(|teacher| teacher.computing_in(*precision)).with_context(|| {
            let name = sight.network().name();
            format!("the teacher is {name}; each network can have its own file: --teacher {name}=FILE")
        })?;
        let teacher = Rc::new(Remembering::new(teacher, self.keeping.clone()));
        self.open.borrow_mut().push((wanted, teacher.clone()));
        Ok(teacher)
    }

    /// The towers that are `wanted`, opened if they are not yet.
    ///
    /// # Errors
    /// As [`FrozenClip::new`].
    pub(super) fn clip(&self, wanted: WantedClip) -> Result<Rc<FrozenClip>> {
        if let Some((_, clip)) = self.clips.borrow().iter().find(|(known, _)| *known == wanted) {
            return Ok(clip.clone());
        }
        let (plan, origin, device) = &wanted;
        let clip = Rc::new(FrozenClip::new(*plan, origin, *device)?);
        self.clips.borrow_mut().push((wanted, clip.clone()));
        Ok(clip)
    }
}
