//! Word vectors.
