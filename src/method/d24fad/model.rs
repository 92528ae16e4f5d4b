//! Teacher and student together, and what they make of an episode's supports.

use std::rc::Rc;

use anyhow::{Result, ensure};
use tch::{Device, Tensor};

use super::settings::Settings;
use super::student::Student;
use crate::episode::batch::{self, Pictures};
use crate::method::contract::{Detector, Encoded, Fitted, Prediction};
use crate::method::part::grid;
use crate::network::remembering::Remembering;
use crate::network::teacher::Teacher;
use crate::network::weighting::EncodedSupports;
use crate::network::{Features, Scales};

/// Teacher and student as they stand.
pub struct Model {
    pub(super) teacher: Rc<Remembering>,
    pub(crate) student: Student,
    pub(super) device: Device,
}

impl Model {
    /// With a student whose parameters are still to be given.
    pub fn new(teacher: Rc<Remembering>, settings: &Settings, device: Device) -> Model {
        let student = Student::switched(settings.backbone, device, settings.switches());
        let student = student.computing_in(teacher.precision());
        Model { teacher, student, device }
    }

    pub(crate) fn teacher(&self) -> &Teacher {
        &self.teacher
    }

    /// Encodes supports `[k, 3, h, w]` of 0 to 255, once for any number of queries.
    pub(crate) fn adapted(&self, supports: &Tensor) -> Adapted<'_> {
        let each = supports.split(1, 0).into_iter().map(|one| self.teacher.features_again(&one).deep);
        self.adapted_from(&Tensor::cat(&each.collect::<Vec<_>>(), 0))
    }

    /// Queries `[b, 3, side, side]` of 0 to 255 as teacher and student see them.
    pub(crate) fn seen(&self, queries: &Tensor) -> Seen {
        self.seen_by_student(self.teacher.features(&batch::to(queries, self.device)))
    }

    fn seen_by_student(&self, Features { scales, deep }: Features) -> Seen {
        Seen { student: self.student.decode_queries(&deep), teacher: scales }
    }

    /// Raw maps `[b, side, side]` of queries `[b, 3, side, side]` of 0 to 255.
    pub(crate) fn maps(&self, adapted: &Adapted, queries: &Tensor) -> Tensor {
        adapted.maps(&self.seen(queries), queries.size()[3])
    }

    /// As [`Model::adapted`], from the supports' stage 4 features.
    pub(super) fn adapted_from(&self, deep: &Tensor) -> Adapted<'_> {
        Adapted { model: self, supports: self.student.encode_supports(deep) }
    }
}

/// Queries as teacher and student see them, whatever the supports.
pub(crate) struct Seen {
    pub teacher: Scales,
    pub student: Scales,
}

impl Fitted for Model {
    fn encode<'p>(&self, queries: &'p Pictures) -> Result<Encoded<'p>> {
        Ok(Encoded::new(queries, Box::new(self.seen(&queries.pixels))))
    }

    fn encode_again<'p>(&self, pictures: &'p Pictures) -> Result<Encoded<'p>> {
        let features = self.teacher.features_again(&pictures.pixels);
        Ok(Encoded::new(pictures, Box::new(self.seen_by_student(features))))
    }

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
    /// Raw maps `[b, side, side]` of queries.
    fn maps(&self, queries: &Seen, side: i64) -> Tensor {
        self.model.student.maps(&queries.teacher, &queries.student, &self.supports, side)
    }
}

impl Detector for Adapted<'_> {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let side = queries.pictures().size();
        Ok(Prediction::Maps(grid::to_maps(&self.maps(queries.made()?, side))?))
    }
}
