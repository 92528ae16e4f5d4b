//! Queries as a model sees them before it looks at supports.

use std::any::Any;

use anyhow::{Context as _, Result};

use crate::episode::batch::Pictures;

/// What one model makes of queries whatever the supports are, such as a frozen teacher's features: made once, scored
/// by all detectors of that model.
pub struct Encoded<'p> {
    pictures: &'p Pictures,
    made: Box<dyn Any>,
}

impl<'p> Encoded<'p> {
    /// Queries, and what was made of them.
    pub fn new(pictures: &'p Pictures, made: Box<dyn Any>) -> Encoded<'p> {
        Encoded { pictures, made }
    }

    /// The queries themselves.
    pub fn pictures(&self) -> &'p Pictures {
        self.pictures
    }

    /// What the model made of them.
    ///
    /// # Errors
    /// Queries that another model has encoded.
    pub fn made<T: Any>(&self) -> Result<&T> {
        self.made.downcast_ref().context("these queries were encoded by another model")
    }
}

/// Of which nothing was made.
impl<'p> From<&'p Pictures> for Encoded<'p> {
    fn from(pictures: &'p Pictures) -> Encoded<'p> {
        Encoded::new(pictures, Box::new(()))
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn queries_of_another_model_are_refused() {
        let pixels = Tensor::zeros([0, 3, 8, 8], (Kind::Uint8, Device::Cpu));
        let pictures = Pictures::new(pixels, Vec::new());
        let encoded = Encoded::new(&pictures, Box::new(7u32));
        assert_eq!(*encoded.made::<u32>().unwrap(), 7);
        let error = encoded.made::<Tensor>().err().unwrap();
        assert!(error.to_string().contains("encoded by another model"), "{error}");
        assert!(Encoded::from(&pictures).made::<u32>().is_err());
    }
}
