//! Adapters find what is there, and say why not.
