//! Smoothing on the device that scores: each axis is one product with the Gaussian as a matrix, in double precision and
//! rounded where the host rounds, so that both give the same maps but for the order of sums.

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use crate::episode::batch;
use crate::maps::{self, MapStack};
use crate::method::part::grid;
use crate::protocol::{PUBLISHED_BATCH, SIGMA, Smoother, Summary, top};

/// Maps smoothed at once, a multiple of the published batch; their double-precision copies take 67 MB at 128 pixels.
const CHUNK: usize = 16 * PUBLISHED_BATCH;

/// Raw maps on a device.
pub struct OnDevice {
    /// `[n, h, w]`
    maps: Tensor,
    /// The Gaussian along stacks, rows and columns, `[out, in]` in double precision.
    stacks: Tensor,
    rows: Tensor,
    columns: Tensor,
}

impl OnDevice {
    /// Brings maps to `device`.
    pub fn new(maps: &MapStack, device: Device) -> OnDevice {
        let shape = [maps.count(), maps.height(), maps.width()].map(|side| side as i64);
        let values = Tensor::from_slice(maps.values()).view(shape);
        let [stacks, rows, columns] =
            [PUBLISHED_BATCH, maps.height(), maps.width()].map(|side| matrix(side, device));
        OnDevice { maps: batch::to(&values, device), stacks, rows, columns }
    }

    /// Each of `[n, h, w]` smoothed by itself.
    fn smoothed(&self, maps: &Tensor) -> Tensor {
        let rows = rounded(&self.rows.matmul(&maps.to_kind(Kind::Double)));
        rounded(&rows.matmul(&self.columns.tr())).to_kind(Kind::Float)
    }
}

impl Smoother for OnDevice {
    fn own(&self) -> Result<Summary> {
        let mut summary = Summary::default();
        for chunk in self.maps.split(CHUNK as i64, 0) {
            let flat = self.smoothed(&chunk).flatten(1, -1);
            let n_top = top(flat.size()[1] as usize) as i64;
            let mean =
                |x: &Tensor| grid::to_scores(&x.to_kind(Kind::Double).mean_dim(1, false, None::<Kind>));
            summary.maximum.extend(grid::to_scores(&flat.amax(1, false))?);
            summary.mean.extend(mean(&flat)?);
            summary.top.extend(mean(&flat.topk(n_top, 1, true, false).0)?);
        }
        Ok(summary)
    }

    fn across(&self, order: &[usize]) -> Result<Vec<f64>> {
        let (_, height, width) = self.maps.size3()?;
        let mut maxima = Vec::with_capacity(order.len());
        for chunk in order.chunks(CHUNK) {
            let places: Vec<i64> = chunk.iter().map(|&index| index as i64).collect();
            let places = batch::to(&Tensor::from_slice(&places), self.maps.device());
            let shape = [-1, PUBLISHED_BATCH as i64, height * width];
            let stacks = self.maps.index_select(0, &places).view(shape).to_kind(Kind::Double);
            let stacks = rounded(&self.stacks.matmul(&stacks)).view([-1, height, width]);
            maxima.extend(grid::to_scores(&self.smoothed(&stacks).flatten(1, -1).amax(1, false))?);
        }
        Ok(maxima)
    }
}

/// In single precision's values, as the host keeps them between two axes.
fn rounded(x: &Tensor) -> Tensor {
    x.to_kind(Kind::Float).to_kind(Kind::Double)
}

/// What smooths `n` values when they are multiplied by it, `[n, n]`.
fn matrix(n: usize, device: Device) -> Tensor {
    let flat: Vec<f64> = maps::smoothing_matrix(SIGMA, n).into_iter().flatten().collect();
    batch::to(&Tensor::from_slice(&flat).view([n as i64, n as i64]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::formula;
    use crate::protocol::{self, Host, ImageScores, Protocol};

    fn apart(a: &[f64], b: &[f64]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn a_device_smooths_as_the_host_does() {
        // 37 maps of 24 x 40: incomplete batches, more taps than rows.
        let values: Vec<f32> = formula::uniform("maps", 37 * 24 * 40).into_iter().map(|v| v as f32).collect();
        let maps = MapStack::new(37, 24, 40, values).unwrap();
        let host = protocol::score(&Host(&maps)).unwrap();
        let device = protocol::score(&OnDevice::new(&maps, Device::Cpu)).unwrap();
        let all = |scores: &ImageScores| {
            scores.iter().flat_map(|(_, scores)| scores).flatten().copied().collect::<Vec<f64>>()
        };
        assert_eq!(host[Protocol::Published].iter().filter(|score| score.is_none()).count(), 5);
        assert!(apart(&all(&host), &all(&device)) < 1e-7, "{}", apart(&all(&host), &all(&device)));
    }
}
