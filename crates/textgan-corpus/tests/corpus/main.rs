//! The behaviour of `textgan-corpus`, by what is written to a folder.

mod address;
mod cleaning;
#[cfg(feature = "cloud")]
mod cloud;
mod formats;
mod hostile;
#[cfg(feature = "hub")]
mod hub;
mod repeat;
mod shards;
mod splits;
mod support;
