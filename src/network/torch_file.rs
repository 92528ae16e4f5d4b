//! State dictionaries that PyTorch saved (`.pth`, `.pt`): its zip files, and the older ones that most published
//! weights still are; and what the modules of a TorchScript program hold, as OpenAI publishes CLIP. Nothing in them is
//! executed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use tch::{Kind, Tensor};
use zip::ZipArchive;

use super::pickle::{self, Value};
use crate::files;

/// The first value of an older file.
const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// Tensors together may take as many times the bytes of their file: some share their values.
const MAX_SHARED: u64 = 8;

/// The longest name of a tensor, in bytes.
const MAX_NAME: usize = 4096;

/// Whether a file with this beginning is one of PyTorch's.
pub(super) fn is_one(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(MAGIC)
}

/// Every tensor of a state dictionary, by name; names of dictionaries in a dictionary are joined by dots.
///
/// # Errors
/// If it is cut, or holds a whole model instead of a state dictionary.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let what = || format!("{} is not a state dictionary that can be read", path.display());
    let limit = files::size(path)?.saturating_mul(MAX_SHARED);
    let (root, storages) = match files::read_head(path, 4)?.starts_with(b"PK") {
        true => zipped(path),
        false => legacy(&files::read(path)?),
    }
    .with_context(what)?;
    let mut tensors = BTreeMap::new();
    gather(&root, &storages, limit, &mut tensors).with_context(what)?;
    ensure!(!tensors.is_empty(), "{} holds no tensors", path.display());
    Ok(unwrapped(tensors))
}

/// Names without what a trainer or a multi-GPU wrapper puts before all of them.
fn unwrapped(tensors: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    for wrapper in ["state_dict.", "model_state_dict.", "module."] {
        if tensors.keys().all(|name| name.starts_with(wrapper)) {
            let rest = tensors.into_iter().map(|(name, tensor)| (name[wrapper.len()..].to_owned(), tensor));
            return unwrapped(rest.collect());
        }
    }
    tensors
}

/// Flat values, from which tensors are cut, by key.
type Storages = BTreeMap<String, Tensor>;

fn zipped(path: &Path) -> Result<(Value, Storages)> {
    let held = files::size(path)?;
    let mut archive = ZipArchive::new(File::open(path)?)?;
    let names: Vec<String> =
        archive.file_names().map(|name| Ok(name?.into_owned())).collect::<Result<_>>()?;
    let pickle = names.iter().find(|name| name.ends_with("/data.pkl")).context("it has no data.pkl")?;
    let root = pickle.trim_end_matches("data.pkl");
    let mut entry = |name: &str| -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // PyTorch stores without compression, so no part is larger than its file.
        archive.by_name(&format!("{root}{name}"))?.take(held + 1).read_to_end(&mut bytes)?;
        ensure!(bytes.len() as u64 <= held, "{name} is larger than the file");
        Ok(bytes)
    };
    if names.contains(&format!("{root}byteorder")) {
        ensure!(entry("byteorder")? == b"little", "its numbers are big-endian");
    }
    let (value, _) = pickle::read(&entry("data.pkl")?)?;
    let mut storages = Storages::new();
    for (key, (kind, n)) in named_storages(&value)? {
        let bytes = entry(&format!("data/{key}"))?;
        storages.insert(key.clone(), flat(&bytes, kind, n).with_context(|| format!("data/{key}"))?);
    }
    Ok((value, storages))
}

/// The older layout: magic, version and machine, the dictionary, the keys of storages, and then each as a count and
/// its values.
fn legacy(bytes: &[u8]) -> Result<(Value, Storages)> {
    ensure!(bytes.starts_with(MAGIC), "it is no file of PyTorch");
    let mut at = MAGIC.len();
    let mut next = || -> Result<Value> {
        let (value, length) = pickle::read(&bytes[at..])?;
        at += length;
        Ok(value)
    };
    let version = next()?.int()?;
    ensure!(version == 1001, "its version is {version}, not 1001");
    let _machine = next()?;
    let value = next()?;
    let Value::List(keys) = next()? else { bail!("it has no list of storages") };
    let named = named_storages(&value)?;
    let mut storages = Storages::new();
    for key in keys.items().iter() {
        let key = key.text()?;
        let (kind, n) = *named.get(key).with_context(|| format!("nothing says what storage {key} holds"))?;
        let rest = bytes.get(at + 8..).context("it ends early")?;
        let length = n_bytes(kind, n)?;
        let values = rest.get(..length).context("it ends early")?;
        storages.insert(key.to_owned(), flat(values, kind, n)?);
        at += 8 + length;
    }
    Ok((value, storages))
}

fn flat(bytes: &[u8], kind: Kind, n: usize) -> Result<Tensor> {
    let length = n_bytes(kind, n)?;
    ensure!(bytes.len() >= length, "{} bytes where {length} are needed", bytes.len());
    Ok(Tensor::from_data_size(&bytes[..length], &[n as i64], kind))
}

fn n_bytes(kind: Kind, n: usize) -> Result<usize> {
    n.checked_mul(kind.elt_size_in_bytes()).with_context(|| format!("a storage of {n} values"))
}

/// Kind and number of values of every storage that a tensor names.
fn named_storages(root: &Value) -> Result<BTreeMap<String, (Kind, usize)>> {
    let mut named = BTreeMap::new();
    visit(root, "", &mut |_, tensor| {
        let (key, kind, n) = storage(&tensor[0])?;
        named.insert(key, (kind, n));
        Ok(())
    })?;
    Ok(named)
}

/// Key, kind and number of values of what a tensor is cut from.
fn storage(value: &Value) -> Result<(String, Kind, usize)> {
    let Value::Outside(identity) = value else { bail!("a tensor without storage: {value:?}") };
    let [_, Value::Global(class), key, _, n, ..] = identity.tuple()? else {
        bail!("storage {identity:?}");
    };
    let kind = match &**class {
        "torch.FloatStorage" => Kind::Float,
        "torch.DoubleStorage" => Kind::Double,
        "torch.HalfStorage" => Kind::Half,
        "torch.BFloat16Storage" => Kind::BFloat16,
        "torch.LongStorage" => Kind::Int64,
        "torch.IntStorage" => Kind::Int,
        "torch.ShortStorage" => Kind::Int16,
        "torch.CharStorage" => Kind::Int8,
        "torch.ByteStorage" => Kind::Uint8,
        "torch.BoolStorage" => Kind::Bool,
        other => bail!("{other} is not read"),
    };
    Ok((key.text()?.to_owned(), kind, usize::try_from(n.int()?)?))
}

/// Calls `see` for every tensor below `value`, with its name and the arguments that it is built from.
fn visit(value: &Value, name: &str, see: &mut dyn FnMut(&str, &[Value]) -> Result<()>) -> Result<()> {
    match value {
        Value::Dict(dict) => {
            for (key, value) in dict.items().iter() {
                let key = match key {
                    Value::Text(text) => text.to_string(),
                    Value::Int(int) => int.to_string(),
                    other => bail!("{name} has the key {other:?}"),
                };
                ensure!(name.len() + key.len() < MAX_NAME, "a name is longer than {MAX_NAME} bytes");
                let name = if name.is_empty() { key } else { format!("{name}.{key}") };
                visit(value, &name, see)?;
            }
            Ok(())
        }
        Value::Made(by, with) => match (&**by, &**with) {
            ("torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor", [_, _, _, _, ..]) => {
                see(name, with)
            }
            ("torch._utils._rebuild_parameter", [tensor, ..]) => visit(tensor, name, see),
            // Lists of numbers, and modules of a TorchScript program that hold nothing.
            (other, _) if other.starts_with("torch.jit._pickle.") || other.starts_with(pickle::SCRIPTED) => {
                Ok(())
            }
            (other, _) => bail!(
                "`{name}` is a {other}, and only tensors and dictionaries are read; save `model.state_dict()` instead"
            ),
        },
        // Epochs, losses and other words that trainers put beside the tensors.
        _ => Ok(()),
    }
}

/// Cuts every tensor from its storage; together they may take `limit` bytes.
fn gather(
    root: &Value,
    storages: &Storages,
    limit: u64,
    tensors: &mut BTreeMap<String, Tensor>,
) -> Result<()> {
    let mut taken = 0u64;
    visit(root, "", &mut |name, arguments| {
        let (key, kind, n) = storage(&arguments[0])?;
        let numbers = |value: &Value| value.tuple()?.iter().map(Value::int).collect::<Result<Vec<i64>>>();
        let (offset, size, stride) = (arguments[1].int()?, numbers(&arguments[2])?, numbers(&arguments[3])?);
        let fits = offset >= 0
            && size.len() == stride.len()
            && size.iter().chain(&stride).all(|&number| number >= 0)
            && last_place(offset, &size, &stride).is_some_and(|last| last < n as i128);
        ensure!(fits, "`{name}` reaches beyond its values");
        let values = size.iter().try_fold(1u64, |product, &side| product.checked_mul(side as u64));
        let values = values.filter(|&values| values <= n as u64);
        let values = values.with_context(|| format!("`{name}` has more values than its storage of {n}"))?;
        taken = taken.saturating_add(values.saturating_mul(kind.elt_size_in_bytes() as u64));
        ensure!(taken <= limit, "its tensors share so much that they take over {limit} bytes");
        let values = storages.get(&key).with_context(|| format!("`{name}`: no storage {key}"))?;
        tensors.insert(name.to_owned(), values.as_strided(&size, &stride, offset).contiguous());
        Ok(())
    })
}

/// The highest place among the values that a tensor touches; -1 for one of no values. `None` if there is no
/// number for it.
fn last_place(offset: i64, size: &[i64], stride: &[i64]) -> Option<i128> {
    if size.contains(&0) {
        return Some(-1);
    }
    size.iter().zip(stride).try_fold(i128::from(offset), |place, (&size, &stride)| {
        place.checked_add(i128::from(size - 1) * i128::from(stride))
    })
}
