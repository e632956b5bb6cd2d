//! Behaviour of whole runs, tiny ones.

mod common;
mod learning;
mod refusals;
mod same_bits;
