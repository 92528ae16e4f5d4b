//! Pictures to tensors; the only place.

use std::sync::Arc;

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use crate::manifest::Row;
use crate::manifest::store::PixelStore;
use crate::pixels::Pixels;

/// How a picture came to be, as far as a file tells: what shortcuts are made of. No label, no finding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Acquisition {
    /// Of the original picture, in pixels.
    pub width: u32,
    /// Of the original picture, in pixels.
    pub height: u32,
    /// Size of the original file.
    pub file_bytes: u64,
}

/// Pictures without labels.
pub struct Pictures {
    /// `[n, 3, size, size]` of 0 to 255, on the CPU.
    pub pixels: Tensor,
    /// One for each picture.
    pub acquisition: Vec<Acquisition>,
    /// What a method asks for beside the square of each picture, of pictures of files: RGB, of any size, the picture itself
    /// before what else it may enter as. Else empty.
    pub views: Vec<Arc<[Pixels]>>,
}

impl Pictures {
    /// Squares alone.
    pub fn new(pixels: Tensor, acquisition: Vec<Acquisition>) -> Pictures {
        Pictures { pixels, acquisition, views: Vec::new() }
    }

    /// Takes `rows` from the store, in their order.
    ///
    /// # Errors
    /// A picture that the store does not hold.
    pub fn load(store: &PixelStore, rows: &[&Row]) -> Result<Pictures> {
        let side = store.size() as i64;
        let mut bytes = Vec::with_capacity(rows.len() * 3 * store.size() * store.size());
        for row in rows {
            bytes.extend_from_slice(store.picture(&row.pixel_hash)?);
        }
        let pixels = Tensor::from_data_size(&bytes, &[rows.len() as i64, 3, side, side], Kind::Uint8);
        let acquisition =
            |row: &&Row| Acquisition { width: row.width, height: row.height, file_bytes: row.file_bytes };
        Ok(Pictures::new(pixels, rows.iter().map(acquisition).collect()))
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.acquisition.len()
    }

    /// Whether there is no picture.
    pub fn is_empty(&self) -> bool {
        self.acquisition.is_empty()
    }

    /// The pictures at `indices`, in that order.
    pub fn at(&self, indices: &[usize]) -> Pictures {
        let index = Tensor::from_slice(&indices.iter().map(|&i| i as i64).collect::<Vec<_>>());
        let acquisition = indices.iter().map(|&i| self.acquisition[i]).collect();
        let views = match self.views.is_empty() {
            true => Vec::new(),
            false => indices.iter().map(|&i| Arc::clone(&self.views[i])).collect(),
        };
        Pictures { pixels: self.pixels.index_select(0, &index), acquisition, views }
    }

    /// Side of the pictures.
    pub fn size(&self) -> i64 {
        self.pixels.size()[3]
    }

    /// Pixels on `device`.
    pub fn on(&self, device: Device) -> Tensor {
        to(&self.pixels, device)
    }
}

/// A tensor on `device`. From the CPU to CUDA it goes through pinned memory, so that nothing waits for the copy.
pub fn to(tensor: &Tensor, device: Device) -> Tensor {
    match (tensor.device(), device) {
        (Device::Cpu, Device::Cuda(_)) => {
            // `pin_memory` itself warns of its argument at every call.
            tensor.internal_pin_memory(device).to_device_(device, tensor.kind(), true, false)
        }
        _ => tensor.to_device(device),
    }
}
