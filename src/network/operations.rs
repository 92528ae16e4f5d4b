//! Operations of whole networks, counted from the kernels in a store.

use tch::Tensor;
use tch::nn::VarStore;

use super::efficientnet;

/// Floating-point operations of one picture through the decoder whose variables are `decoder.*` in `store`, forward,
/// for pictures of `size` pixels; a multiplication with its addition counts two, norms and sums nothing.
pub fn of_decoder(store: &VarStore, size: i64) -> f64 {
    let of_kernel = |name: &str, tensor: &Tensor| {
        let place = Place::parse(name.strip_prefix("decoder.")?)?;
        let side = (size / 32) << place.stage;
        // A stage's first block doubles the side by 2 x 2 kernels, and what comes before them sees the lower one.
        let before = place.is_first && (place.layer == "conv1" || tensor.size()[3] == 2);
        Some(if before { side / 2 } else { side })
    };
    count(store, of_kernel)
}

/// The same for the encoder whose variables are those of `store`.
pub fn of_encoder(store: &VarStore, size: i64) -> f64 {
    let of_kernel = |name: &str, tensor: &Tensor| {
        let Some(place) = Place::parse(name) else {
            return efficientnet::side_of(name, size).or((name == "conv1.weight").then_some(size / 2));
        };
        let side = (size / 2) >> place.stage;
        // A bottleneck halves the side in its second convolution.
        let before = place.is_first && place.stage > 1 && place.layer == "conv1" && tensor.size()[3] == 1;
        Some(if before { 2 * side } else { side })
    };
    count(store, of_kernel)
}

/// Where a kernel stands: `layer2.0.conv1.weight`.
struct Place<'a> {
    stage: u32,
    is_first: bool,
    layer: &'a str,
}

impl Place<'_> {
    fn parse(name: &str) -> Option<Place<'_>> {
        let mut parts = name.split('.');
        let stage = parts.next()?.strip_prefix("layer")?.parse().ok()?;
        Some(Place { stage, is_first: parts.next()? == "0", layer: parts.next()? })
    }
}

/// Sums over all kernels for which there is a side of what they give.
fn count(store: &VarStore, side: impl Fn(&str, &Tensor) -> Option<i64>) -> f64 {
    let of_kernel = |(name, tensor): (String, Tensor)| {
        let side = (tensor.dim() == 4).then(|| side(&name, &tensor)).flatten()?;
        Some(2.0 * (tensor.numel() as i64 * side * side) as f64)
    };
    store.variables().into_iter().filter_map(of_kernel).sum()
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::network::Backbone;
    use crate::network::decoder::Decoder;
    use crate::network::encoder::Encoder;

    fn decoder(backbone: Backbone, size: i64) -> f64 {
        let store = VarStore::new(Device::Cpu);
        Decoder::new(&(store.root() / "decoder"), backbone);
        of_decoder(&store, size)
    }

    #[test]
    fn the_wide_decoder_takes_the_published_operations() {
        assert_eq!((decoder(Backbone::WideResnet50x2, 128) / 1e7).round(), 557.0);
    }

    #[test]
    fn the_plain_decoder_is_counted_too() {
        // resnet18 at 32 pixels, by hand: stages end at 2, 4 and 8 pixels.
        let first = 2.0 * f64::from(512 * 256 * 4 * 2 + 256 * 256 * 9 * 4 * 3);
        let second = 2.0 * f64::from(256 * 128 * 4 * 4 * 2 + 128 * 128 * 9 * 16 * 3);
        let third = 2.0 * f64::from(128 * 64 * 4 * 16 * 2 + 64 * 64 * 9 * 64 * 3);
        assert_eq!(decoder(Backbone::Resnet18, 32), first + second + third);
    }

    #[test]
    fn encoders_take_what_torchvision_says() {
        // torchvision states 1.81 and 11.40 billion multiplications at 224 pixels, with the classifier.
        for (backbone, billions) in [(Backbone::Resnet18, 1.814), (Backbone::WideResnet50x2, 11.398)] {
            let store = VarStore::new(Device::Cpu);
            Encoder::new(&store.root(), backbone);
            let operations = of_encoder(&store, 224) / 2e9;
            assert!((operations / billions - 1.0).abs() < 2e-3, "{}: {operations}", backbone.name());
        }
    }
}
