//! Hugging Face's names of DINOv2's tensors (`facebook/dinov2-small`, `facebook/dinov2-with-registers-small` and so on).

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use tch::Tensor;

/// What stands before the first block and after the last one.
const AROUND: [[&str; 2]; 8] = [
    ["embeddings.cls_token", "cls_token"],
    ["embeddings.mask_token", "mask_token"],
    ["embeddings.register_tokens", "register_tokens"],
    ["embeddings.position_embeddings", "pos_embed"],
    ["embeddings.patch_embeddings.projection.weight", "patch_embed.proj.weight"],
    ["embeddings.patch_embeddings.projection.bias", "patch_embed.proj.bias"],
    ["layernorm.weight", "norm.weight"],
    ["layernorm.bias", "norm.bias"],
];

/// Inside a block.
const INSIDE: [[&str; 2]; 3] = [
    ["attention.output.dense", "attn.proj"],
    ["layer_scale1.lambda1", "ls1.gamma"],
    ["layer_scale2.lambda1", "ls2.gamma"],
];

/// What Facebook's files hold as one.
const PARTS: [&str; 3] = ["query", "key", "value"];

/// Tensors under Facebook's names: queries, keys and values become one. Files of other names stay as they are.
///
/// # Errors
/// Queries, keys and values of shapes that cannot become one.
pub(super) fn renamed(tensors: BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
    if !tensors.contains_key("embeddings.cls_token") {
        return Ok(tensors);
    }
    let mut renamed: BTreeMap<String, Tensor> =
        tensors.into_iter().map(|(name, tensor)| (facebooks(&name).unwrap_or(name), tensor)).collect();
    let queries: Vec<String> = renamed.keys().filter(|name| name.contains(".attn.query.")).cloned().collect();
    for name in queries {
        let of_parts = PARTS.map(|part| name.replace(".query.", &format!(".{part}.")));
        // One that is missing is named when the network is filled.
        if of_parts.iter().all(|part| renamed.contains_key(part)) {
            let parts: Vec<Tensor> = of_parts.iter().filter_map(|part| renamed.remove(part)).collect();
            let joint =
                Tensor::f_cat(&parts, 0).with_context(|| format!("{} do not fit", of_parts.join(", ")))?;
            renamed.insert(name.replace(".query.", ".qkv."), joint);
        }
    }
    Ok(renamed)
}

/// The name that Facebook gives a tensor; of queries, keys and values, `blocks.0.attn.query.weight`.
fn facebooks(name: &str) -> Option<String> {
    if let Some([_, facebooks]) = AROUND.iter().find(|[theirs, _]| *theirs == name) {
        return Some((*facebooks).to_owned());
    }
    let inside = name.strip_prefix("encoder.layer.")?.replace("attention.attention.", "attn.");
    let inside = INSIDE.iter().fold(inside, |name, [theirs, facebooks]| name.replace(theirs, facebooks));
    Some(format!("blocks.{inside}"))
}
