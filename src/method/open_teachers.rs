//! Teachers that are open: each is opened once for all contexts that were cloned from one.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use tch::{Device, Tensor};

use crate::network::Sight;
use crate::network::origin::Origin;
use crate::network::precision::Precision;
use crate::network::remembering::{Keeping, Remembering};
use crate::network::teacher::Teacher;

/// What a teacher is opened for: a context with other weights opens another.
pub(super) type Wanted = (Sight, Origin, Precision, Device);

/// A teacher, and what it was opened for.
type Open = (Wanted, Rc<Remembering>);

/// Teachers that are open, and what they may keep of features; clones share them.
#[derive(Clone, Default)]
pub struct OpenTeachers {
    keeping: Keeping,
    open: Rc<RefCell<Vec<Open>>>,
}

impl OpenTeachers {
    /// None yet; each will keep features as `keeping` says.
    pub fn keeping(keeping: Keeping) -> OpenTeachers {
        OpenTeachers { keeping, open: Rc::default() }
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
}
