//! What the tower for pictures makes of a picture, of its patches, and of windows of them.

use tch::Tensor;

use super::windows::Windows;
use crate::network::precision::Precision;
use crate::network::vit::clip::ImageTower;

/// Windows that pass the tower at once.
const CHUNK: i64 = 256;

/// Pictures at all levels, not normalised.
pub struct Seen {
    /// The whole picture where texts are too, `[n, joint]`.
    pub whole: Tensor,
    /// Of each size of windows, every window likewise, `[n, windows, joint]`.
    pub windows: Vec<Tensor>,
    /// Patches after the last norm, not projected, `[n, side^2, width]`.
    pub patches: Tensor,
}

impl Seen {
    /// Of prepared pictures. A window's patches and the class token pass the whole tower by themselves, from the tokens with
    /// their positions on.
    pub fn new(tower: &ImageTower, pictures: &Tensor, sizes: &[Windows], precision: Precision) -> Seen {
        let see = || {
            let embedded = tower.embed(&precision.enter(pictures));
            let tokens = tower.onward(&embedded);
            let patches = tokens.narrow(1, 1, tokens.size()[1] - 1);
            Seen {
                whole: precision.leave(&tower.embedding(&tokens)),
                windows: sizes
                    .iter()
                    .map(|windows| of_windows(tower, &embedded, windows, precision))
                    .collect(),
                patches: precision.leave(&patches),
            }
        };
        tch::no_grad(|| precision.in_tower(see))
    }
}

fn of_windows(tower: &ImageTower, embedded: &Tensor, windows: &Windows, precision: Precision) -> Tensor {
    let (n, _, width) = embedded.size3().expect("tokens are [n, t, width]");
    // The class token is the first.
    let inside = (windows.places() + 1).constant_pad_nd([1, 0]).flatten(0, -1).to_device(embedded.device());
    let tokens = embedded.index_select(1, &inside).view([-1, 1 + windows.patches(), width]);
    let part = |tokens: Tensor| precision.leave(&tower.embedding(&tower.onward(&tokens)));
    let parts: Vec<Tensor> = tokens.split(CHUNK, 0).into_iter().map(part).collect();
    Tensor::cat(&parts, 0).view([n, windows.count(), -1])
}
