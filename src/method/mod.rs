//! Methods in three steps that make leakage unsayable: fit on training tasks, adapt to supports, score. What does not
//! depend on supports is made of queries once for all support sets: encode.
//!
//! Queries are pictures without labels, and a score may depend on the model, the supports and that one
//! picture alone; a test scores every method in several batchings to hold that.
//!
//! What a method is stands in `contract`; each method uses that, and the list uses the methods.

/// Nearest neighbours of tokens.
pub mod anomalydino;
/// The plain and the variational auto-encoder.
pub mod autoencoder;
/// Queries in batches that fit.
pub mod batches;
/// What a method may know beside pictures.
pub mod context;
/// What a method is.
pub mod contract;
/// Trivial scores that expose shortcuts.
pub mod control;
/// Classifying cut and pasted pictures.
pub mod cutpaste;
/// Dual distillation for few-shot anomaly detection.
pub mod d24fad;
/// Denoising auto-encoder with coarse noise.
pub mod dae;
/// Tokens rebuilt through dropout.
pub mod dinomaly;
/// Deep nearest neighbours of whole pictures.
pub mod dn2;
/// Deep perceptual auto-encoder.
pub mod dpa;
/// Queries as a model sees them.
pub mod encoded;
/// Somebody's program as a method.
pub mod external;
/// Tokens brought back to those of normals.
pub mod foundad;
/// One Gaussian of whole pictures.
pub mod gde;
/// Squares of the store, or whole files as the authors prepare them.
pub mod geometry;
/// Residuals judged by heads that learnt from other tasks.
pub mod inctrl;
/// Tokens rebuilt from prototypes of the picture's own.
pub mod inp_former;
/// Layers and words beside CLIP that find pseudo-anomalies.
pub mod mediclip;
/// Adapters inside CLIP that learn from anomalies.
pub mod mvfa;
/// Auto-encoder guided by a one-class support vector machine.
pub mod ogae;
/// Teachers that are open.
pub mod open_teachers;
/// A Gaussian at each position.
pub mod padim;
/// Parts that several methods share.
pub mod part;
/// Nearest neighbours of patches.
pub mod patchcore;
/// What a detector says of queries.
pub mod prediction;
/// Nearest patches of several blocks.
pub mod rad;
/// Reverse distillation.
pub mod rd4ad;
/// Registration on other tasks, one Gaussian per position on the target.
pub mod regad;
/// The list of methods.
mod registry;
/// A generator that brings pictures back to normal, against a discriminator.
pub mod sagan;
/// Nearest neighbours of pictures, then of positions.
pub mod spade;
/// Student-teacher feature pyramid matching.
pub mod stfpm;
/// Residuals of a principal subspace.
pub mod subspacead;
/// Which normals of the target are learnt from.
pub mod train_on;
/// Rotated, shifted and mirrored views of a few supports.
pub mod views;
/// Windows of a picture against texts and references.
pub mod winclip;
/// What methods compute, counted.
pub mod work;

pub use contract::*;
pub use registry::{METHODS, base_name, find};
