//! Normals passed through a teacher in bounded chunks, as they are or each in many views.

use tch::{Kind, Tensor};

use crate::network::teacher::Teacher;

/// Pictures that enter a teacher at once.
pub const CHUNK: i64 = 16;

/// From pictures `[k, 3, h, w]` of 0 to 255 to more of them, view after view.
pub type Views<'a> = &'a dyn Fn(&Tensor) -> Tensor;

/// Pictures `[n, 3, h, w]` chunk by chunk; with views, one picture's views at a time.
pub fn chunks<'a>(pictures: &Tensor, views: Option<Views<'a>>) -> impl Iterator<Item = Tensor> + use<'a> {
    let per_chunk = if views.is_some() { 1 } else { CHUNK };
    pictures
        .split(per_chunk, 0)
        .into_iter()
        .map(move |chunk| views.map_or(chunk.shallow_clone(), |f| f(&chunk)))
}

/// The last stage averaged over all positions, `[n, c]`.
pub fn pooled(teacher: &Teacher, pictures: &Tensor, views: Option<Views>) -> Tensor {
    let pool =
        |chunk: Tensor| teacher.features(&chunk).deep.mean_dim([2i64, 3].as_slice(), false, None::<Kind>);
    Tensor::cat(&chunks(pictures, views).map(pool).collect::<Vec<_>>(), 0)
}
