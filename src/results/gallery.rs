//! Pictures, maps and masks of a few telling cases, so that a report needs neither model nor data.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::ids::ImageId;
use crate::manifest::Label;
use crate::pixels::Pixels;

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Whose picture it is, and how it scored.
    pub caption: Caption,
    /// The picture as the method saw it.
    pub picture: Pixels,
    /// Anomaly map under protocol `clean`, row-major, one value per pixel of the picture;
    /// empty for methods that give scores only.
    pub map: Vec<f32>,
    /// Lesion mask of the picture's size, one channel, 0 or 255.
    pub mask: Option<Pixels>,
}

/// What is said about a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Caption {
    /// The picture's row in the manifest.
    pub image_id: ImageId,
    /// What the picture shows, as the manifest has it.
    pub label: Label,
    /// The finding by its name; empty where none is named.
    pub finding: String,
    /// Image score; higher is more anomalous.
    pub score: f64,
    /// `clearest`, `median` or `hardest` of its class.
    pub role: String,
}

/// Writes cases to one safetensors file.
///
/// # Errors
/// A map or mask of another size than its picture, or a file that cannot be written.
pub fn write(path: &Path, cases: &[Case]) -> Result<()> {
    let captions: Vec<&Caption> = cases.iter().map(|case| &case.caption).collect();
    let maps: Vec<Vec<u8>> =
        cases.iter().map(|case| case.map.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let mut tensors = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let (height, width) = (case.picture.height(), case.picture.width());
        let shape = vec![height, width, case.picture.channels()];
        tensors
            .push((format!("{index}.picture"), TensorView::new(Dtype::U8, shape, case.picture.samples())?));
        if !case.map.is_empty() {
            tensors.push((
                format!("{index}.map"),
                TensorView::new(Dtype::F32, vec![height, width], &maps[index])?,
            ));
        }
        if let Some(mask) = &case.mask {
            tensors.push((
                format!("{index}.mask"),
                TensorView::new(Dtype::U8, vec![height, width], mask.samples())?,
            ));
        }
    }
    let notes = [("captions".to_owned(), serde_json::to_string(&captions)?)];
    let bytes = safetensors::serialize(tensors, Some(notes.into_iter().collect()))?;
    files::write_whole(path, &bytes)
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// A file that is missing or is not a gallery.
pub fn read(path: &Path) -> Result<Vec<Case>> {
    parse(&files::read(path)?).with_context(|| format!("{} is not a gallery", path.display()))
}

fn parse(bytes: &[u8]) -> Result<Vec<Case>> {
    let (_, metadata) = SafeTensors::read_metadata(bytes)?;
    let notes = metadata.metadata().as_ref().context("no captions")?;
    let captions: Vec<Caption> = serde_json::from_str(notes.get("captions").context("no captions")?)?;
    let tensors = SafeTensors::deserialize(bytes)?;
    let case = |(index, caption): (usize, Caption)| -> Result<Case> {
        let picture = tensors.tensor(&format!("{index}.picture"))?;
        let [height, width, channels] = picture.shape() else {
            anyhow::bail!("picture {index} is not H x W x C")
        };
        let picture = Pixels::new(*height, *width, *channels, picture.data().to_vec())?;
        let map = match tensors.tensor(&format!("{index}.map")) {
            Ok(view) => {
                ensure!(view.shape() == [*height, *width], "map {index} does not fit its picture");
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
            Err(_) => Vec::new(),
        };
        let mask = match tensors.tensor(&format!("{index}.mask")) {
            Ok(view) => Some(Pixels::new(*height, *width, 1, view.data().to_vec())?),
            Err(_) => None,
        };
        Ok(Case { caption, picture, map, mask })
    };
    captions.into_iter().enumerate().map(case).collect()
}
