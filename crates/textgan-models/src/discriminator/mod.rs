//! Discriminators.
