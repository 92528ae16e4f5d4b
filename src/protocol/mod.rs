//! Anomaly maps become image scores, under named protocols.
pub mod maps;
