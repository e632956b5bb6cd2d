//! A page on which a trained generator turns noise into text while one drags, its discriminator judges, and
//! visitors play against both; and a page that follows a run. One small server, on loopback unless told
//! otherwise, that loads nothing from anywhere.
//!
//! ```no_run
//! use textgan_play::{Playground, Server, Settings, Site};
//! use textgan_generate::Model;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let playground = Playground::new("captions", |_| Ok(Model::load("runs/quickstart/train/model")?))
//!     .with_model("model", "Trained model");
//! let server = Server::bind(Site::playground(playground), &Settings::default())?;
//! println!("{}", server.url());
//! server.run(|| false)?;
//! # Ok(())
//! # }
//! ```

mod answers;
mod error;
mod playground;
mod server;
mod site;

// What signatures here speak of, in the versions that they mean.
pub use textgan_generate;

pub use error::Error;
pub use playground::{LoadError, Playground};
pub use server::{Server, Settings};
pub use site::{Live, Site};

/// The blocks of the README, which are tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
