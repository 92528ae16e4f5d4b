//! Teacher and student together, and what they make of an episode's supports.

use anyhow::{Result, ensure};
use tch::{Device, Tensor};

use super::settings::Settings;
use super::student::Student;
use crate::episode::batch::{self, Pictures};
use crate::method::contract::{Detector, Fitted, Prediction};
use crate::method::part::grid;
use crate::network::Features;
use crate::network::teacher::Teacher;
use crate::network::weighting::EncodedSupports;

/// Teacher and student as they stand.
pub struct Model {
    pub(super) teacher: Teacher,
    pub(crate) student: Student,
    pub(super) device: Device,
}

impl Model {
    /// With a student whose parameters are still to be given.
    pub fn new(teacher: Teacher, settings: &Settings, device: Device) -> Model {
        let student = Student::switched(settings.backbone, device, settings.switches());
        let student = student.computing_in(teacher.precision());
        Model { teacher, student, device }
    }

    pub(crate) fn teacher(&self) -> &Teacher {
        &self.teacher
    }

    /// Encodes supports `[k, 3, h, w]` of 0 to 255, once for any number of queries.
    pub(crate) fn adapted(&self, supports: &Tensor) -> Adapted<'_> {
        self.adapted_from(&self.teacher.features(supports).deep)
    }

    /// As [`Model::adapted`], from the supports' stage 4 features.
    pub(super) fn adapted_from(&self, deep: &Tensor) -> Adapted<'_> {
        Adapted { model: self, supports: self.student.encode_supports(deep) }
    }
}

impl Fitted for Model {
    fn adapt<'a>(&'a self, supports: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        ensure!(!supports.is_empty(), "d24fad needs at least one support");
        Ok(Box::new(self.adapted(&supports.pixels)))
    }
}

/// A model that has seen the supports.
pub(crate) struct Adapted<'a> {
    pub(super) model: &'a Model,
    pub(super) supports: EncodedSupports,
}

impl Adapted<'_> {
    /// Raw maps `[b, side, side]` of queries `[b, 3, side, side]` of 0 to 255.
    pub(crate) fn maps(&self, queries: &Tensor) -> Tensor {
        let Features { scales, deep } = self.model.teacher.features(&batch::to(queries, self.model.device));
        self.model.student.maps(&scales, &deep, &self.supports, queries.size()[3])
    }
}

impl Detector for Adapted<'_> {
    fn score(&self, queries: &Pictures) -> Result<Prediction> {
        Ok(Prediction::Maps(grid::to_maps(&self.maps(&queries.pixels))?))
    }
}
