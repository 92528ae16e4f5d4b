//! Normals passed through a teacher in bounded chunks, as they are or each in many views.

use std::rc::Rc;

use tch::{Kind, Tensor};

use crate::network::Features;
use crate::network::remembering::{Made, Remembering};

/// Pictures that enter a teacher at once.
pub const CHUNK: i64 = 16;

/// From pictures `[k, 3, h, w]` of 0 to 255 to more of them, view after view.
pub type Views<'a> = &'a dyn Fn(&Tensor) -> Tensor;

/// So few are supports, which other support sets may share: they enter one by one, and what a teacher makes of each is
/// remembered.
const FEW: i64 = 32;

/// Features of pictures `[n, 3, h, w]` chunk by chunk; with views, one picture's views at a time.
pub fn features<'a>(
    teacher: &'a Remembering,
    pictures: &Tensor,
    views: Option<Views<'a>>,
) -> impl Iterator<Item = Features> + use<'a> {
    let are_few = pictures.size()[0] <= FEW;
    let per_chunk = if are_few || views.is_some() { 1 } else { CHUNK };
    pictures.split(per_chunk, 0).into_iter().map(move |chunk| match views {
        None => teacher.features_again(&chunk),
        Some(views) if are_few => teacher.features_of_views(&views(&chunk)),
        Some(views) => teacher.features(&views(&chunk)),
    })
}

/// What `make` makes of the features of each picture's views; of so few as supports are, it is remembered.
pub fn made<'a, T: Made>(
    teacher: &'a Remembering,
    pictures: &Tensor,
    views: Views<'a>,
    make: impl Fn(Features) -> T + 'a,
) -> impl Iterator<Item = Rc<T>> + 'a {
    let are_few = pictures.size()[0] <= FEW;
    pictures.split(1, 0).into_iter().map(move |picture| match are_few {
        true => teacher.made_of_views(&views(&picture), &make),
        false => Rc::new(make(teacher.features(&views(&picture)))),
    })
}

/// The last stage averaged over all positions, `[n, c]`.
pub fn pooled(features: &Features) -> Tensor {
    features.deep.mean_dim([2i64, 3].as_slice(), false, None::<Kind>)
}

/// The same of all of `pictures`.
pub fn all_pooled(teacher: &Remembering, pictures: &Tensor, views: Option<Views>) -> Tensor {
    let parts = features(teacher, pictures, views).map(|features| pooled(&features));
    Tensor::cat(&parts.collect::<Vec<_>>(), 0)
}
