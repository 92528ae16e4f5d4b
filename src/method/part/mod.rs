//! Parts that several methods share; none of them is a method.

/// CLIP as methods open it.
pub mod clip;
/// Brightness, contrast, saturation and hue as torchvision changes them.
pub mod colour_jitter;
/// Pseudo-anomalies out of a picture's own pixels.
pub mod cut_paste;
/// Vectors of which the direction alone counts.
pub mod direction;
/// Values left out at random.
pub mod dropout;
/// Teacher features of training pictures.
pub mod feature_store;
/// Gaussians of few long vectors, one per position.
pub mod few_vectors;
/// Gaussians, one or one per position.
pub mod gaussian;
/// From feature grids to raw maps of the pictures' size.
pub mod grid;
/// Vectors joined of several grids.
pub mod joined;
/// Methods that learn from normals of the target alone.
pub mod learner;
/// The middle of a stretched square.
pub mod middle;
/// Exact nearest neighbours.
pub mod nearest;
/// Normals passed through a teacher in bounded chunks.
pub mod normals;
/// One-class support vector machine.
pub mod ocsvm;
/// Anomalies of other tasks.
pub mod others;
/// Pictures as auto-encoders want them.
pub mod picture;
/// One Gaussian per position of a feature grid.
pub mod positionwise;
/// Words that methods with a text tower ask with.
pub mod prompts;
/// Tokens in two groups that a decoder rebuilds.
pub mod rebuilding;
/// Mean and scatter of vectors, in parts.
pub mod scatter;
/// Image scores of blurred maps.
pub mod scored;
/// Scratch memory and operations of a search for nearest neighbours.
pub mod search_cost;
/// Losses of maps against labels of pixels.
pub mod segmentation_loss;
/// The subspace in which vectors vary most.
pub mod subspace;
/// The one loop in which every method trains.
pub mod trainer;
