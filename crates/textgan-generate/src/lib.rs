//! Load a trained model folder and turn noise, a prompt or a label into text.
//!
//! ```
//! use textgan_generate::{Model, Options};
//!
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixture/model_folder.rs"));
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let temporary = model_folder(&[]);
//! # let folder = temporary.path().join("model");
//! let model = Model::load(folder)?;
//! for sample in model.generate(&Options { count: 3, temperature: Some(0.8), ..Options::default() })? {
//!     println!("{:8.2}  {}", sample.log_prob, sample.text);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Text number `i` is made from noise vector number `i` and its own random stream, both named by
//! the seed. So the first ten texts of a thousand are the texts of a run that makes ten, and
//! [`Model::interpolate`] can walk from the noise of one text to the noise of another.
//! [`generate`] does the same for a folder on disk, Parquet and plain text, in bounded memory.

mod critic;
mod draw;
mod error;
mod interpolate;
mod model;
mod next;
mod options;
mod stage;

// What signatures here speak of, in the versions that they mean.
pub use textgan_artifact;
pub use textgan_models;
pub use textgan_random;

pub use critic::Judged;
pub use draw::{Drawn, Labels};
pub use error::{Error, Result};
pub use model::Model;
pub use next::Next;
pub use options::Options;
pub use stage::{Summary, generate};

/// The blocks of the README, which are tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
