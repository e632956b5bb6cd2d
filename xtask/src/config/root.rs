//! The tables of a config file; each belongs to the crate that it configures.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use textgan_corpus::CorpusConfig;
use textgan_evaluate::EvaluateConfig;
use textgan_models::{DiscriminatorConfig, EmbeddingConfig, GeneratorConfig, NoiseConfig};
use textgan_synthetic::Rules;
use textgan_tokenizer::TokenizerConfig;
use textgan_train::{BuiltIn, Objective, Phase, Recipe, TrainConfig};

use super::paths;
use crate::exit::Refusal;

/// An experiment, from raw text to report.
///
/// Paths are relative to the file that they are written in.
///
/// `O` is what a phase of training may be: see [`PhaseKind`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    bound(serialize = "O: Serialize", deserialize = "O: DeserializeOwned")
)]
#[schemars(rename = "RootConfig")]
pub struct RootConfig<O = BuiltIn> {
    /// Another config file whose values hold where this one is silent. Tables are merged key by
    /// key (unless their `kind` differs: then the new one stands alone); lists are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extends: Option<PathBuf>,
    /// Make it a run of about a minute, to see that all works: few texts and few steps, whatever the other values say, and
    /// a report that says so. `--quick` sets it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub quick: bool,
    /// Every random draw of the run is named by this number and by what it is for.
    pub seed: u64,
    /// Where text comes from, how it is cleaned and how it is split.
    pub corpus: CorpusConfig,
    /// What is known of all texts, so that it can be measured of samples: `"smiles"` says whether a text
    /// is a molecule. A built-in corpus needs none: its grammar is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    /// The vocabulary, and the longest text.
    pub tokenizer: TokenizerConfig,
    /// The noise that becomes text.
    pub noise: NoiseConfig,
    /// The network that writes.
    pub generator: GeneratorConfig,
    /// The network that judges; unset for a run that only maximises likelihood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discriminator: Option<DiscriminatorConfig>,
    /// What all phases of training share.
    pub train: TrainConfig,
    /// The phases of training, from top to bottom.
    pub phase: Vec<Phase<O>>,
    /// The texts that the finished generator writes.
    pub generate: textgan_generate::Options,
    /// How the generator is measured.
    pub evaluate: EvaluateConfig,
}

/// What a phase of training may be in a program: the library's own objectives, or an enum of them and
/// of others (see [`textgan_train::OneOf`]).
pub trait PhaseKind:
    Objective + Serialize + DeserializeOwned + JsonSchema + Clone + Debug + Send + Sync + 'static
{
}

impl<O> PhaseKind for O where
    O: Objective
        + Serialize
        + DeserializeOwned
        + JsonSchema
        + Clone
        + Debug
        + Send
        + Sync
        + 'static
{
}

impl<O> Default for RootConfig<O> {
    fn default() -> Self {
        Self {
            extends: None,
            quick: false,
            seed: 0,
            corpus: CorpusConfig::default(),
            rules: None,
            tokenizer: TokenizerConfig::default(),
            noise: NoiseConfig::default(),
            generator: GeneratorConfig::default(),
            discriminator: None,
            train: TrainConfig::default(),
            phase: Vec::new(),
            generate: textgan_generate::Options::default(),
            evaluate: EvaluateConfig::default(),
        }
    }
}

impl<O: Clone> RootConfig<O> {
    /// Makes relative paths relative to `folder`.
    pub fn rebase(&mut self, folder: &Path) {
        self.corpus.rebase(folder);
        self.tokenizer.rebase(folder);
        let train = &mut self.train;
        let encoder = &mut self.evaluate.encoder;
        let encoder = encoder.as_mut().filter(|path| !paths::is_address(&path.to_string_lossy()));
        let own = [&mut train.init_from, &mut train.init_discriminator_from];
        for path in own.into_iter().flatten().chain(encoder) {
            *path = folder.join(&*path);
        }
        if let Some(path) = self.word_vectors_mut() {
            *path = folder.join(&*path);
        }
    }

    /// The file of word vectors that the discriminator begins with, if it has one.
    pub fn word_vectors(&self) -> Option<PathBuf> {
        self.clone().word_vectors_mut().cloned()
    }

    fn word_vectors_mut(&mut self) -> Option<&mut PathBuf> {
        match self.discriminator.as_mut()?.embedding_mut() {
            EmbeddingConfig::WordVectors { path, .. } => Some(path),
            _ => None,
        }
    }
}

impl<O: PhaseKind> RootConfig<O> {
    /// What training is told.
    pub fn recipe(&self) -> Recipe<'_, O> {
        Recipe {
            train: &self.train,
            phases: &self.phase,
            noise: &self.noise,
            generator: &self.generator,
            discriminator: self.discriminator.as_ref(),
        }
    }

    /// Refuses what cannot work, before anything is read or written.
    ///
    /// # Errors
    /// A [`Refusal`] that names the key and the fix.
    pub fn validate(&self) -> Result<(), Refusal> {
        self.corpus.validate().map_err(Refusal::new)?;
        if self.rules.is_some() && crate::stages::source(self).is_some() {
            let message = "rules: the texts of a synthetic corpus or an oracle are known better than by \
                           rules; remove this key";
            return Err(Refusal::new(message));
        }
        self.tokenizer.validate().map_err(Refusal::new)?;
        self.recipe().check().map_err(Refusal::new)?;
        self.generate.validate().map_err(Refusal::new)?;
        self.evaluate.validate().map_err(Refusal::new)?;
        for pair in &self.evaluate.verdict {
            for name in [&pair.quality, &pair.diversity] {
                super::known_measure("evaluate.verdict", name)?;
            }
        }
        let candidates =
            [("generate", self.generate.candidates), ("evaluate", self.evaluate.candidates)];
        match candidates.into_iter().find(|(_, candidates)| *candidates > 1) {
            Some((table, _)) if self.discriminator.is_none() => Err(Refusal::new(format!(
                "{table}.candidates: there is no [discriminator] to choose by; add one and a phase that teaches it"
            ))),
            _ => Ok(()),
        }
    }
}
