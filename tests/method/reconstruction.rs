//! Auto-encoders and what is built on them: their acceptance tests.
