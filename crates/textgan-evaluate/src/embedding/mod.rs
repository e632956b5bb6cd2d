//! Distances between two sets of sentence embeddings.
//!
//! An embedding is a row of numbers for a sentence, from a `SentenceEncoder` (with the feature
//! `encoder`) or from [`hashed_projection`], which needs none. Numbers of one embedding never compare
//! with those of another, so every result must be stored with the name of its own.
//!
//! - [`frechet_distance`]: between two normal distributions ([`FrechetTarget`] for many against one);
//! - [`neighbourhoods`]: precision, recall, density and coverage;
//! - [`mauve`], or [`mauve_of_clusters`] where the clusters are given: divergence of two histograms.
//!
//! All are pure functions whose bits do not depend on the number of threads.
//!
//! ```
//! use textgan_evaluate::embedding::{Embeddings, frechet_distance, hashed_projection, DIMENSIONS};
//!
//! let real = hashed_projection(&[vec![4, 5, 6], vec![4, 7, 6], vec![5, 5, 6]]);
//! let fake = hashed_projection(&[vec![4, 5, 6], vec![9, 9, 9], vec![8, 8, 6]]);
//! let real = Embeddings::new(&real, DIMENSIONS)?;
//! let fake = Embeddings::new(&fake, DIMENSIONS)?;
//! assert!(frechet_distance(real, real)? < 1e-9);
//! assert!(frechet_distance(real, fake)? > 0.1);
//! # Ok::<(), textgan_evaluate::Error>(())
//! ```

mod clusters;
#[cfg(feature = "encoder")]
mod encoder;
mod frechet;
mod hashed;
mod mauve;
mod moments;
mod neighbourhoods;

pub use clusters::cluster;
#[cfg(feature = "encoder")]
pub use encoder::SentenceEncoder;
pub use frechet::{FrechetTarget, frechet_distance};
pub use hashed::{DIMENSIONS, HASHED_PROJECTION, hashed_projection};
pub use mauve::{Mauve, mauve, mauve_of_clusters};
pub use neighbourhoods::{Neighbourhoods, neighbourhoods};

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The folder that `encoder` names: itself, or for `hf://OWNER/NAME[@REVISION]` the snapshot in the
/// cache of the Hugging Face hub, which is fetched if it is not there (feature `hub`).
///
/// # Errors
/// An address that leads nowhere, or an encoder that this build cannot read.
pub fn encoder_folder(encoder: &Path) -> Result<PathBuf> {
    match check_encoder(encoder)? {
        None => Ok(encoder.to_owned()),
        #[cfg(feature = "hub")]
        Some((name, revision)) => encoder::hub::snapshot(name, revision),
        #[cfg(not(feature = "hub"))]
        Some(_) => unreachable!("refused above"),
    }
}

/// Name and revision of an encoder of the hub, nothing for a folder; refuses what this build cannot
/// read, before anything is read.
pub(crate) fn check_encoder(encoder: &Path) -> Result<Option<(&str, &str)>> {
    let refuse = |problem: &str| {
        let message = format!("{} {problem}", encoder.display());
        Err(Error::Config { key: "encoder", message })
    };
    let address = encoder.to_str().and_then(|path| path.split_once("://"));
    let parts = address.map(|(scheme, id)| {
        let (name, revision) = id.split_once('@').unwrap_or((id, "main"));
        (scheme, name.split_once('/').unwrap_or_default(), name, revision)
    });
    if let Some((scheme, (owner, rest), _, revision)) = parts
        && (scheme != "hf"
            || owner.is_empty()
            || rest.is_empty()
            || rest.contains('/')
            || revision.is_empty())
    {
        return refuse(
            "is no encoder; name a folder, or `hf://OWNER/NAME[@REVISION]` on the Hugging Face hub",
        );
    }
    if parts.is_some() && !cfg!(feature = "hub") {
        return refuse(
            "needs a build with the feature `hub` (`cargo run -p xtask --features hub -- ..`); or \
             download the folder and name it",
        );
    }
    if !cfg!(feature = "encoder") {
        return refuse(
            "needs a build with the feature `encoder` (`cargo run -p xtask --features encoder -- ..` in \
             place of `cargo xtask ..`); or leave the key out for the embedding that needs none",
        );
    }
    Ok(parts.map(|(_, _, name, revision)| (name, revision)))
}

/// Beyond this the squares of a distance would leave single precision.
const GREATEST: f32 = 1e15;

/// A set of embeddings, `[rows, dimensions]`, every number finite and below 1e15.
#[derive(Clone, Copy, Debug)]
pub struct Embeddings<'a> {
    values: &'a [f32],
    dimensions: usize,
}

impl<'a> Embeddings<'a> {
    /// From rows one after the other.
    ///
    /// # Errors
    /// No rows, rows that are not whole, or a number that is not finite or beyond 1e15.
    pub fn new(values: &'a [f32], dimensions: usize) -> Result<Self> {
        if dimensions == 0 || values.is_empty() || !values.len().is_multiple_of(dimensions) {
            return Err(Error::EmbeddingShape { values: values.len(), dimensions });
        }
        if let Some(at) =
            values.iter().position(|value| !value.is_finite() || value.abs() > GREATEST)
        {
            return Err(Error::EmbeddingNotFinite { row: at / dimensions });
        }
        Ok(Self { values, dimensions })
    }

    /// How many embeddings there are.
    pub fn rows(&self) -> usize {
        self.values.len() / self.dimensions
    }

    /// How many numbers each has.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// One embedding.
    pub fn row(&self, row: usize) -> &'a [f32] {
        &self.values[row * self.dimensions..(row + 1) * self.dimensions]
    }

    /// Some of the rows.
    pub(crate) fn part(&self, rows: std::ops::Range<usize>) -> Self {
        let values = &self.values[rows.start * self.dimensions..rows.end * self.dimensions];
        Self { values, dimensions: self.dimensions }
    }

    fn each(&self) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        self.values.chunks_exact(self.dimensions)
    }
}

/// Two sets that can be compared: of one width, and of at least `least` rows.
fn check(a: Embeddings<'_>, b: Embeddings<'_>, least: usize) -> Result<()> {
    if a.dimensions != b.dimensions {
        return Err(Error::EmbeddingWidths { a: a.dimensions, b: b.dimensions });
    }
    match a.rows().min(b.rows()) {
        rows if rows < least => Err(Error::TooFewEmbeddings { rows, least }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_none_are_refused() {
        for address in [
            "https://x.org/a/b",
            "hf://",
            "hf://a",
            "hf://a/",
            "hf:///a",
            "hf://a/b/c",
            "hf://a/b@",
        ] {
            let error = check_encoder(Path::new(address)).unwrap_err().to_string();
            assert!(error.contains(address) && error.contains("is no encoder"), "{error}");
        }
        let checked = check_encoder(Path::new("hf://a/b@v1"));
        match cfg!(feature = "hub") {
            true => assert_eq!(checked.unwrap(), Some(("a/b", "v1"))),
            false => assert!(checked.unwrap_err().to_string().contains("needs a build")),
        }
    }
}
