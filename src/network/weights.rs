//! Parameters by name and shape: loading that checks every one, saving, hashing.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use super::torch_file;
use crate::files;

/// Names that torchvision's files hold and a feature extractor does not need.
fn is_unused(name: &str) -> bool {
    name.starts_with("fc.") || name.ends_with(".num_batches_tracked")
}

/// Fills every variable of `store` from a file with the same names and shapes.
///
/// # Errors
/// Names the file and every missing, unknown or misshapen tensor.
pub fn load(store: &VarStore, path: &Path) -> Result<()> {
    load_part(store, path, is_unused)
}

/// As [`load`], for a network that ends before its file does: names that `is_unused` knows may be left over.
///
/// # Errors
/// As [`load`].
pub fn load_part(store: &VarStore, path: &Path, is_unused: fn(&str) -> bool) -> Result<()> {
    fill(store, read(path)?, is_unused).with_context(|| format!("weights {}", path.display()))
}

/// Every tensor of a safetensors file, or of a state dictionary of PyTorch, by name.
///
/// # Errors
/// If it cannot be read or is neither.
pub fn read(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    if is_torch(path)? {
        return torch_file::read(path);
    }
    let tensors = Tensor::read_safetensors(path).with_context(|| {
        format!("{} is neither a readable safetensors file nor a state dictionary of PyTorch", path.display())
    })?;
    Ok(tensors.into_iter().collect())
}

/// Fills every variable of `store` by name.
///
/// # Errors
/// Names every missing, unknown or misshapen tensor, and one that holds NaN or an infinite value.
pub fn fill(
    store: &VarStore,
    mut tensors: BTreeMap<String, Tensor>,
    is_unused: fn(&str) -> bool,
) -> Result<()> {
    let variables: BTreeMap<String, Tensor> = store.variables().into_iter().collect();
    let missing: Vec<&str> =
        variables.keys().filter(|name| !tensors.contains_key(*name)).map(String::as_str).collect();
    ensure!(missing.is_empty(), "{} tensors are missing: {}", missing.len(), first_few(&missing));
    for (name, mut variable) in variables {
        let value = tensors.remove(&name).context("checked above")?;
        let (want, have) = (variable.size(), value.size());
        ensure!(
            want == have,
            "`{name}` has shape {have:?}, the network wants {want:?}: is it another backbone?"
        );
        ensure!(value.is_floating_point(), "`{name}` holds {:?}, not floating point", value.kind());
        let is_sound = value.isfinite().all().int64_value(&[]) != 0;
        ensure!(is_sound, "`{name}` holds values that are no numbers (NaN or infinite); the file is damaged");
        tch::no_grad(|| variable.copy_(&value.to_kind(Kind::Float)));
    }
    let unknown: Vec<&str> = tensors.keys().filter(|name| !is_unused(name)).map(String::as_str).collect();
    if !unknown.is_empty() {
        bail!("{} tensors are unknown: {}; is it another backbone?", unknown.len(), first_few(&unknown));
    }
    Ok(())
}

fn first_few(names: &[&str]) -> String {
    let shown = names.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    if names.len() > 5 { format!("{shown} ...") } else { shown }
}

/// Writes every variable of `store`, sorted by name, to one safetensors file.
///
/// # Errors
/// If the file cannot be written.
pub fn save(store: &VarStore, path: &Path) -> Result<()> {
    write(store.variables().into_iter().collect(), None, path)
}

fn is_torch(path: &Path) -> Result<bool> {
    Ok(torch_file::is_one(&files::read_head(path, 16)?))
}

/// What a safetensors file says of itself beside its tensors; nothing for PyTorch's files.
///
/// # Errors
/// If it cannot be read or is neither.
pub fn metadata(path: &Path) -> Result<BTreeMap<String, String>> {
    if is_torch(path)? {
        return Ok(BTreeMap::new());
    }
    let bytes = files::read(path)?;
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes)
        .with_context(|| format!("{} is not a readable safetensors file", path.display()))?;
    Ok(header.metadata().clone().unwrap_or_default().into_iter().collect())
}

/// As [`save`], with words about the file under one key.
///
/// # Errors
/// As [`save`].
pub fn save_with(store: &VarStore, metadata: (String, String), path: &Path) -> Result<()> {
    write(store.variables().into_iter().collect(), Some(metadata), path)
}

/// Writes tensors as single precision to one safetensors file, with words about it under one key if there are any.
///
/// # Errors
/// As [`save`].
pub fn write(
    tensors: BTreeMap<String, Tensor>,
    metadata: Option<(String, String)>,
    path: &Path,
) -> Result<()> {
    let values: Vec<(&str, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| {
            let shape = tensor.size().iter().map(|&side| side as usize).collect();
            let flat = tensor.to_device(tch::Device::Cpu).to_kind(Kind::Float).flatten(0, -1);
            let values: Vec<f32> = Vec::try_from(&flat)?;
            Ok((name.as_str(), shape, values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        })
        .collect::<Result<_>>()?;
    let views = values
        .iter()
        .map(|(name, shape, bytes)| {
            Ok((*name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let metadata = metadata.map(|words| [words].into());
    files::write_whole(path, &safetensors::serialize(views, metadata)?)
}

/// Parameters in trainable tensors.
pub fn n_trainable(store: &VarStore) -> i64 {
    store.trainable_variables().iter().map(|tensor| tensor.numel() as i64).sum()
}
