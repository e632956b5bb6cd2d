//! Languages of which nobody knows the probabilities, but everybody the rules.

mod smiles;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use smiles::SmilesFault;

/// A language in which it can be said of any text whether it is well-formed.
///
/// ```
/// use textgan_synthetic::Rules;
///
/// assert!(Rules::Smiles.well_formed("CC(=O)Oc1ccccc1C(=O)O"));
/// assert!(!Rules::Smiles.well_formed("CC(=O)Oc1ccccc1C(=O"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Rules {
    /// SMILES, molecules as text (Weininger, 1988): brackets, ring closures, valences, and aromatic
    /// rings that have a Kekulé structure. What is well-formed is a molecule to RDKit too, but for
    /// rare cases.
    Smiles,
}

impl Rules {
    /// Whether `text` keeps the rules.
    pub fn well_formed(self, text: &str) -> bool {
        match self {
            Self::Smiles => smiles::check(text).is_ok(),
        }
    }

    /// The first rule that `text` breaks.
    ///
    /// # Errors
    /// The fault, where there is one.
    pub fn explain(self, text: &str) -> Result<(), SmilesFault> {
        match self {
            Self::Smiles => smiles::check(text),
        }
    }
}

/// The name that configurations use.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smiles => "smiles",
        })
    }
}
