//! The noise encoder.
