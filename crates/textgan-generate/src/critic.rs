use std::path::Path;

use candle_core::{Device, Tensor};
use textgan_models::{
    Context, Discriminator, Generator, Sequences, Tokens, load_discriminator, load_generator,
    token_log_probs, whole,
};
use textgan_nn::Mode;
use textgan_random::Key;

use crate::{Drawn, Error, Model, Result};

/// Who tells how real a text looks: the logit of a text and of each of its prefixes.
pub(crate) enum Critic {
    /// A discriminator.
    Discriminator(Box<dyn Discriminator>),
    /// A language model `M` beside the generator `G`: the logit of a prefix is `ln M(prefix) - ln G(prefix)`. Without
    /// noise, or on average over it, it is the optimal discriminator's where `M` is the distribution of real text
    /// (Goodfellow et al., 2014); of a sample it is taken given the sample's noise, as the game takes it.
    LanguageModel(Box<dyn Generator>),
}

/// How real a given text looks.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// The logit of the whole: positive looks real.
    pub realness: f32,
    /// The logit after each token, and after the end of the text.
    pub token_realness: Vec<f32>,
}

/// Noise vectors that the likelihood of a given text is averaged over.
const VECTORS: usize = 32;

impl Model {
    /// Adds a discriminator, which then scores the realness of every sample.
    ///
    /// # Errors
    /// Names the file that is missing or wrong.
    pub fn with_discriminator(mut self, folder: impl AsRef<Path>) -> Result<Self> {
        let network = load_discriminator(folder.as_ref(), &Device::Cpu)?;
        self.critic = Some(Critic::Discriminator(network));
        Ok(self)
    }

    /// Adds a language model, of a generator's folder, in the place of a discriminator: a text looks as real
    /// as it is likelier under that model than under this one.
    ///
    /// # Errors
    /// Names the file that is missing or wrong; [`Error::Vocabulary`] when it is of another run.
    pub fn with_language_model(mut self, folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let network = load_generator(folder, &Device::Cpu)?;
        let (ours, its) = (self.generator().sizes().vocab, network.sizes().vocab);
        if ours != its {
            let folder = folder.to_owned();
            return Err(Error::Vocabulary { folder, tokenizer: ours, model: its });
        }
        self.critic = Some(Critic::LanguageModel(network));
        Ok(self)
    }

    /// Who tells how real a text looks: `"discriminator"`, `"language-model"` or nobody.
    pub fn critic_kind(&self) -> Option<&'static str> {
        self.critic.as_ref().map(|critic| match critic {
            Critic::Discriminator(_) => "discriminator",
            Critic::LanguageModel(_) => "language-model",
        })
    }

    /// Whether the realness of a prefix is that of the prefix, so that what a token adds to it can be told.
    pub fn judges_words(&self) -> bool {
        self.critic.as_ref().is_some_and(|critic| match critic {
            Critic::Discriminator(network) => network.reads_prefixes(),
            Critic::LanguageModel(_) => true,
        })
    }

    /// How real `text` looks; `None` without a [discriminator](Self::with_discriminator) or
    /// [language model](Self::with_language_model). A text that is only given has no noise: where a language model and
    /// the generator read noise, each prefix has the likelihood that it has on average over noise from the prior.
    /// So this is another number than the realness of a sample, which is judged given its own noise. Of a text
    /// without a label, in a model with labels, it is the mean over labels: of logits, or of likelihoods.
    ///
    /// # Errors
    /// [`Error::Option`] for a label that there is not, and for a text that is longer than the model's.
    pub fn judge(&self, text: &str, label: Option<&str>) -> Result<Option<Judged>> {
        let Some(critic) = &self.critic else { return Ok(None) };
        let tokens = self.tokenizer().encode(text)?;
        let limit = self.generator().sizes().max_length;
        if tokens.len() > limit {
            let message = format!("{} tokens, and texts have at most {limit}", tokens.len());
            return Err(Error::Option { key: "text", message });
        }
        let labels: Vec<Option<u32>> = match (self.labels(), label) {
            ([], None) => vec![None],
            (all, None) => (0..all.len() as u32).map(Some).collect(),
            (_, Some(name)) => vec![Some(self.label_named(name)?)],
        };
        let token_realness: Vec<f32> = match critic {
            Critic::Discriminator(network) => {
                let texts = vec![&tokens; labels.len()];
                let each: Option<Vec<u32>> = labels.iter().copied().collect();
                let rows =
                    Sequences::from_samples(&texts, &vec![true; texts.len()], each.as_deref())?;
                let found = prefixes(&**network, &rows)?;
                let mean = |at: usize| {
                    found.iter().map(|(_, each): &(f32, Vec<f32>)| each[at]).sum::<f32>()
                        / found.len() as f32
                };
                (0..rows.time()).map(mean).collect()
            }
            Critic::LanguageModel(network) => {
                let ours = marginal(&**network, &tokens, &labels)?;
                let theirs = marginal(self.generator(), &tokens, &labels)?;
                ours.iter().zip(theirs).map(|(m, g)| m - g).collect()
            }
        };
        let realness = token_realness.last().copied().unwrap_or_default();
        Ok(Some(Judged { tokens, realness, token_realness }))
    }

    /// The logit of each text as a whole, if there is a critic.
    pub(crate) fn whole_realness(&self, drawn: &Drawn) -> Result<Option<Vec<f32>>> {
        match &self.critic {
            None => Ok(None),
            Some(Critic::Discriminator(network)) => Ok(Some(network.scores(&rows(drawn)?)?)),
            Some(Critic::LanguageModel(_)) => {
                Ok(Some(self.realness(drawn)?.into_iter().map(|(whole, _)| whole).collect()))
            }
        }
    }

    /// The logit of the whole and of every prefix, a row each; nothing without a critic.
    pub(crate) fn realness(&self, drawn: &Drawn) -> Result<Vec<(f32, Vec<f32>)>> {
        let Some(critic) = &self.critic else { return Ok(Vec::new()) };
        let rows = rows(drawn)?;
        let network = match critic {
            Critic::Discriminator(network) => return prefixes(&**network, &rows),
            Critic::LanguageModel(network) => &**network,
        };
        // One that reads noise reads the noise that the text was written from.
        let dimension = network.noise().dimension;
        let (noise, shape) = match dimension {
            0 => (Vec::new(), (rows.batch(), 0)),
            _ => (drawn.noise.clone(), (rows.batch(), dimension)),
        };
        let noise = Tensor::from_vec(noise, shape, &Device::Cpu)?;
        let labels = rows.labels().filter(|_| network.sizes().labels > 0);
        let found = token_log_probs(network, &Context { noise: &noise, labels }, &rows)?;
        let found = found.chunks_exact(rows.time().max(1));
        let row = |(theirs, ours): (&[f32], &Vec<f32>)| {
            let ratios = theirs.iter().zip(ours).map(|(m, g)| m - g);
            let each: Vec<f32> = cumulated(ratios).collect();
            (each.last().copied().unwrap_or_default(), each)
        };
        Ok(found.zip(&drawn.log_probs).map(row).collect())
    }
}

fn rows(drawn: &Drawn) -> Result<Sequences> {
    Ok(Sequences::from_samples(&drawn.tokens, &drawn.ended, drawn.labels.as_deref())?)
}

fn cumulated(values: impl Iterator<Item = f32>) -> impl Iterator<Item = f32> {
    values.scan(0.0, |sum, value| {
        *sum += value;
        Some(*sum)
    })
}

/// The whole score and the score of every prefix, a row each.
fn prefixes(network: &dyn Discriminator, rows: &Sequences) -> Result<Vec<(f32, Vec<f32>)>> {
    let tokens = Tokens::Hard(rows.targets());
    let scores = network.realness(&tokens, rows.lengths(), rows.labels(), Mode::Evaluate)?;
    let whole: Vec<f32> = whole(&scores, rows.lengths())?.to_vec1()?;
    let each: Vec<Vec<f32>> = scores.to_vec2()?;
    let each = each.into_iter().zip(rows.lengths());
    Ok(whole.into_iter().zip(each.map(|(each, &length)| each[..length].to_vec())).collect())
}

/// The log-probability (nats) of each prefix of a text that ends, the end included: `ln 1/K sum_k p(prefix | z_k)`
/// over [`VECTORS`] noise vectors, or one where there is no noise, of each of the labels.
fn marginal(network: &dyn Generator, text: &[u32], labels: &[Option<u32>]) -> Result<Vec<f32>> {
    let noise = network.noise();
    let vectors = labels.len() * if noise.dimension == 0 { 1 } else { VECTORS };
    let drawn = noise.draw(&Key::root(0).child("judge"), 0, vectors);
    let drawn = Tensor::from_vec(drawn, (vectors, noise.dimension), &Device::Cpu)?;
    let cycled: Option<Vec<u32>> = labels.iter().copied().cycle().take(vectors).collect();
    let labels = cycled.filter(|_| network.sizes().labels > 0);
    let rows =
        Sequences::from_samples(&vec![text; vectors], &vec![true; vectors], labels.as_deref())?;
    let context = Context { noise: &drawn, labels: labels.as_deref() };
    let found = token_log_probs(network, &context, &rows)?;
    let given: Vec<Vec<f32>> = found
        .chunks_exact(rows.time().max(1))
        .map(|row| cumulated(row.iter().copied()).collect())
        .collect();
    let mean = |at: usize| {
        let most = given.iter().map(|row| row[at]).fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = given.iter().map(|row| (row[at] - most).exp()).sum();
        most + (sum / vectors as f32).ln()
    };
    Ok((0..rows.time()).map(mean).collect())
}
