//! Pseudo.
