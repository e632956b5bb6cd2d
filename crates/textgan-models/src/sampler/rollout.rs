use textgan_random::Key;

use super::{Conditions, Prefix, Reader, Sampler, SamplingOptions, Start};
use crate::{BOS, Error, Result, Sequences};

/// What became of the prefixes of some texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollouts {
    /// The prefixes, as the number of a text and how many of its tokens are kept: of every text
    /// all but the empty one and the whole.
    pub prefixes: Vec<(usize, usize)>,
    /// How many rollouts each prefix has: prefix `i` has those from `i * count` on.
    pub count: usize,
    /// The content tokens of each rollout, the prefix included, `EOS` not.
    pub tokens: Vec<Vec<u32>>,
    /// Whether a rollout ended by itself; otherwise it was cut at the maximum length.
    pub ended: Vec<bool>,
}

/// Continues every prefix of every text to its end, `count` times: Monte Carlo search as in SeqGAN
/// (Yu et al., 2017).
///
/// `conditions` are those that the texts were sampled with, one a text. The texts are read once; a
/// rollout goes on from what was remembered there ([`Sampler::complete`]). Rollout `i` of the first
/// `t` tokens of text `r` draws from `key.index(r).index(t).index(i)`, and has the bits that
/// [`sample`](super::sample) gives with that stream and those tokens as its prompt.
///
/// # Errors
/// When sizes, texts or options do not fit, or when the logits are not finite.
///
/// ```
/// # use candle_core::Device;
/// # use textgan_models::{GeneratorConfig, NoiseConfig, Sizes, build_generator};
/// use textgan_models::{Conditions, SamplingOptions, rollouts, sample};
/// use textgan_random::Key;
/// # let (key, noise) = (Key::root(1), NoiseConfig { dimension: 0, ..NoiseConfig::default() });
/// # let sizes = Sizes { vocab: 50, labels: 0, max_length: 8 };
/// # let generator =
/// #     build_generator(&GeneratorConfig::default(), &noise, &sizes, &key, &Device::Cpu)?;
/// let mut sampler = generator.sampler()?;
/// let conditions = Conditions { rows: 3, noise: &[], labels: None };
/// let options = SamplingOptions::default();
/// let texts = sample(sampler.as_mut(), &conditions, &[], &options, &key.child("texts"), 0)?;
/// let texts = texts.sequences(None)?;
///
/// let key = key.child("rollouts");
/// let rollouts = rollouts(sampler.as_mut(), &conditions, &texts, 4, &options, &key)?;
/// for (i, &(text, kept)) in rollouts.prefixes.iter().enumerate() {
///     let rollout = &rollouts.tokens[i * rollouts.count];
///     assert!(rollout.starts_with(&texts.row(text)[..kept]));
/// }
/// # Ok::<(), textgan_models::Error>(())
/// ```
pub fn rollouts(
    sampler: &mut dyn Sampler,
    conditions: &Conditions<'_>,
    texts: &Sequences,
    count: usize,
    options: &SamplingOptions,
    key: &Key,
) -> Result<Rollouts> {
    if texts.batch() != conditions.rows {
        let message = format!("{} for {} rows", texts.batch(), conditions.rows);
        return Err(Error::argument("texts", message));
    }
    read(sampler, conditions, texts)?;
    let prefixes: Vec<(usize, usize)> = texts
        .lengths()
        .iter()
        .enumerate()
        .flat_map(|(text, &length)| (1..length).map(move |kept| (text, kept)))
        .collect();
    let start = |&(text, kept): &(usize, usize)| Start {
        // `BOS` was fed too, and the last token was not.
        prefix: Prefix { row: text, tokens: kept },
        token: texts.row(text)[kept - 1],
        key: key.index(text as u64).index(kept as u64),
    };
    let starts: Vec<Start> = prefixes.iter().map(start).collect();
    let completions = sampler.complete(&starts, count, options)?;
    let owners = prefixes.iter().flat_map(|prefix| std::iter::repeat_n(prefix, count));
    let (tokens, ended) = owners
        .zip(completions)
        .map(|(&(text, kept), completion)| {
            ([&texts.row(text)[..kept], &completion.tokens].concat(), completion.ended)
        })
        .unzip();
    Ok(Rollouts { prefixes, count, tokens, ended })
}

/// Feeds the sampler all but the last token of every text; shorter texts go on with padding, which
/// nothing looks at.
fn read(sampler: &mut dyn Sampler, conditions: &Conditions<'_>, texts: &Sequences) -> Result<()> {
    sampler.begin(conditions)?;
    let (time, mut tokens) = (texts.time(), vec![BOS; texts.batch()]);
    let mut nobody: Vec<Reader<'_>> = Vec::with_capacity(texts.batch());
    nobody.resize_with(texts.batch(), || Box::new(|_| ()));
    for position in 1..time {
        sampler.step_each(&tokens, &mut nobody)?;
        for (token, targets) in tokens.iter_mut().zip(texts.targets().chunks_exact(time)) {
            *token = targets[position - 1];
        }
    }
    Ok(())
}

impl Rollouts {
    /// The rollouts as a batch of texts, each with the label of the text it began as.
    ///
    /// # Errors
    /// When there are none, as with texts of one token.
    pub fn sequences(&self, labels: Option<&[u32]>) -> Result<Sequences> {
        let labels: Option<Vec<u32>> = labels.map(|labels| {
            let owners = self.prefixes.iter().map(|&(text, _)| labels[text]);
            owners.flat_map(|label| std::iter::repeat_n(label, self.count)).collect()
        });
        Sequences::from_samples(&self.tokens, &self.ended, labels.as_deref())
    }
}
