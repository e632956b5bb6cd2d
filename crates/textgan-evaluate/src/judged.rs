//! Samples as networks that are trained for it see them: language models and a classifier.

use textgan_artifact::Progress;
use textgan_random::Key;

use crate::beside::beside;
use crate::evaluation::{Better, Measure};
use crate::likelihood::Likelihood;
use crate::series::Series;
use crate::two_sample::two_sample;
use crate::{EvaluateConfig, LanguageModel, LanguageModelConfig, Result, TwoSampleConfig};

/// Real text, and the networks that are trained for a comparison with it.
pub(crate) struct Judges<'a> {
    language: Option<(&'a LanguageModelConfig, LanguageModel)>,
    classifier: Option<&'a TwoSampleConfig>,
    real: &'a [Vec<u32>],
    vocab: usize,
    max_length: usize,
    key: Key,
    batches: usize,
    progress: &'a dyn Progress,
}

/// The splits of real text.
#[derive(Clone, Copy)]
pub(crate) struct Splits<'a> {
    pub train: &'a [Vec<u32>],
    pub valid: &'a [Vec<u32>],
    pub test: &'a [Vec<u32>],
}

/// What language models found of one set of samples.
pub(crate) struct Spoken {
    /// What samples cost a model of real text.
    fluent: Likelihood,
    /// What real text costs a model of the samples.
    covered: Likelihood,
    /// Protocols of the two models.
    forward: String,
    reverse: String,
    batches: usize,
}

impl Spoken {
    /// LM score and reverse LM score of samples that were `drawn` like this.
    pub fn series(&self, tokens: &str, drawn: &str) -> [Series; 2] {
        let of = |name: &str, likelihood: &Likelihood, model: &str, texts: &str| {
            let texts = format!("{texts}-{}", likelihood.nll.len());
            let protocol = format!(
                "{name}|nats-a-token|end-token:counted|{model}|texts:{texts}|tokens:{tokens}|{drawn}"
            );
            likelihood.series(name, &protocol, self.batches)
        };
        [
            of("lm-score", &self.fluent, &self.forward, "samples"),
            of("reverse-lm-score", &self.covered, &self.reverse, "test"),
        ]
    }
}

impl<'a> Judges<'a> {
    /// Trains the language model of real text, if language models are asked for.
    pub fn new(
        config: &'a EvaluateConfig,
        splits: Splits<'a>,
        (vocab, max_length): (usize, usize),
        key: Key,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let train = |config: &'a LanguageModelConfig| -> Result<_> {
            progress.status("a language model of the training text");
            let (train, valid) = (splits.train, Some(splits.valid));
            let key = key.child("language-model");
            let model =
                LanguageModel::train(config, train, valid, vocab, max_length, &key, progress)?;
            Ok((config, model))
        };
        let language = config.language_model.as_ref().map(train).transpose()?;
        let (classifier, batches) = (config.two_sample.as_ref(), config.batches);
        let real = splits.test;
        Ok(Self { language, classifier, real, vocab, max_length, key, batches, progress })
    }

    /// Whether language models are asked for.
    pub fn language_models(&self) -> bool {
        self.language.is_some()
    }

    /// What language models find of each of several sets of samples; nothing where they are not asked
    /// for.
    ///
    /// The sets are judged beside each other: a step of a small network is too short to be shared.
    pub fn language(&self, sets: &[&[Vec<u32>]]) -> Result<Vec<Spoken>> {
        let Some((config, forward)) = &self.language else { return Ok(Vec::new()) };
        let (vocab, max_length, progress) = (self.vocab, self.max_length, self.progress);
        let key = self.key.child("reverse-language-model");
        beside(sets, |samples| {
            let fluent = forward.score("samples", samples)?;
            let reverse =
                LanguageModel::train(config, samples, None, vocab, max_length, &key, progress)?;
            let covered = reverse.score("test texts", self.real)?;
            let (forward, reverse) = (forward.protocol(), reverse.protocol());
            Ok(Spoken { fluent, covered, forward, reverse, batches: self.batches })
        })
    }

    /// The accuracy of a classifier that tells samples from real text.
    pub fn classifier(
        &self,
        samples: &[Vec<u32>],
        tokens: &str,
        drawn: &str,
    ) -> Result<Option<Series>> {
        let Some(config) = self.classifier else { return Ok(None) };
        let (vocab, max_length) = (self.vocab, self.max_length);
        let key = self.key.child("two-sample");
        let found = two_sample(config, self.real, samples, vocab, max_length, &key, self.progress)?;
        let network = serde_json::to_string(config).map_err(crate::Error::Json)?;
        let protocol = format!(
            "two-sample-accuracy|classifier:{network}|held-out:{}|real:test-{}|samples:{}|\
             tokens:{tokens}|{drawn}",
            found.held_out,
            self.real.len(),
            samples.len()
        );
        let name = "two-sample-accuracy";
        let mut measure = Measure::new(name, found.accuracy, Better::Lower, &protocol);
        let [low, high] = found.interval;
        measure.note = Some(format!(
            "0.5 is guessing; 95 % interval {low:.4} to {high:.4}, p = {:.2e} against guessing",
            found.p_value
        ));
        Ok(Some(Series::single(measure)))
    }
}
