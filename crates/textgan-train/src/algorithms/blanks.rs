//! Blanks in texts: who fills them in, and who reads that.

use candle_core::{D, Device, Tensor};
use textgan_models::{Conditions, EOS, Generator, PAD, SamplingOptions, Sequences, Sizes, infill};
use textgan_nn::layers::{
    Embedding, EmbeddingConfig, Linear, LinearConfig, Recurrent, RecurrentConfig,
};
use textgan_nn::{Builder, Mode, Parameters, kernels::CellKind};
use textgan_random::Key;

use super::maskgan::Maskgan;
use crate::Result;
use crate::generated::Generated;
use crate::networks::Network;

/// Reads a text and is told which of its words were blank, and its label. It knows what else stands there from both
/// sides, and how the blanks were filled in from the left.
pub(super) struct BlankReader {
    pub parameters: Parameters,
    pub embedding: Embedding,
    pub labels: Option<Embedding>,
    pub told: Recurrent,
    pub recurrent: Recurrent,
    pub realness: Linear,
    pub value: Linear,
}

impl BlankReader {
    pub fn new(config: &Maskgan, sizes: &Sizes, key: &Key) -> Result<Self> {
        let &Maskgan { embedding, hidden, .. } = config;
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, *key, &Device::Cpu);
        let gru = |inputs| RecurrentConfig::new(CellKind::Gru, inputs, hidden);
        let both = RecurrentConfig { bidirectional: true, ..gru(embedding) };
        // The last row of the table is the blank.
        let words = EmbeddingConfig::new(sizes.vocab + 1, embedding);
        let value = LinearConfig::new(3 * hidden, 1);
        let labels = match sizes.labels {
            0 => None,
            labels => {
                let labels = EmbeddingConfig::new(labels, embedding);
                Some(Embedding::new(&mut builder.child("labels"), &labels)?)
            }
        };
        Ok(Self {
            labels,
            embedding: Embedding::new(&mut builder.child("embedding"), &words)?,
            told: Recurrent::new(&mut builder.child("told"), &both)?,
            recurrent: Recurrent::new(&mut builder.child("gru"), &gru(embedding + 2 * hidden))?,
            realness: Linear::new(&mut builder.child("realness"), &LinearConfig::new(hidden, 1))?,
            value: Linear::new(&mut builder.child("value"), &value)?,
            parameters,
        })
    }

    /// What it knows of each place before it reads how the blanks were filled in, `[batch, time, 2 hidden]`.
    pub fn told(&self, puzzle: &Puzzle<'_>) -> Result<Tensor> {
        let (batch, time) = (puzzle.real.batch(), puzzle.real.time());
        let blank = (self.embedding.weight().dim(0)? - 1) as u32;
        let told = puzzle.real.targets().iter().zip(&puzzle.blank);
        let told: Vec<u32> =
            told.map(|(&word, &is_blank)| if is_blank { blank } else { word }).collect();
        let mut told = self.embedding.forward(&told, (batch, time))?;
        if let (Some(table), Some(labels)) = (&self.labels, puzzle.real.labels()) {
            told = told.broadcast_add(&table.forward(labels, (batch, 1))?)?;
        }
        Ok(self.told.forward(&told, puzzle.real.lengths(), None, Mode::Evaluate)?)
    }

    /// Its states over the `words` that stand in the places of a puzzle, of which it was `told`:
    /// `[batch, time, hidden]`.
    pub fn states(&self, puzzle: &Puzzle<'_>, told: &Tensor, words: &[u32]) -> Result<Tensor> {
        let (batch, time) = (puzzle.real.batch(), puzzle.real.time());
        let words = self.embedding.forward(words, (batch, time))?;
        let read = Tensor::cat(&[&words, told], D::Minus1)?;
        Ok(self.recurrent.forward(&read, puzzle.real.lengths(), None, Mode::Evaluate)?)
    }

    /// The logit that the word at a place is real, `[batch, time]`.
    pub fn realness(&self, states: &Tensor) -> Result<Tensor> {
        Ok(self.realness.forward(states)?.squeeze(2)?)
    }

    /// What a word is expected to earn before it is known, `[batch, time]`, without a graph but that of the critic's
    /// own weights.
    pub fn value(&self, told: &Tensor, states: &Tensor) -> Result<Tensor> {
        let before = states.pad_with_zeros(1, 1, 0)?.narrow(1, 0, states.dim(1)?)?;
        let known = Tensor::cat(&[&before, told], D::Minus1)?.detach();
        Ok(self.value.forward(&known)?.squeeze(2)?)
    }
}

impl Network for BlankReader {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }
}

/// Real texts and which of their places are blank, `[batch, time]`, at least one a text.
pub(super) struct Puzzle<'a> {
    pub real: &'a Sequences,
    pub blank: Vec<bool>,
}

impl<'a> Puzzle<'a> {
    /// A `share` of the places is blank.
    pub fn draw(real: &'a Sequences, share: f32, key: &Key) -> Self {
        let mut blank = vec![false; real.targets().len()];
        for (row, places) in blank.chunks_exact_mut(real.time()).enumerate() {
            let mut stream = key.index(row as u64).stream();
            let places = &mut places[..real.lengths()[row]];
            places.iter_mut().for_each(|place| *place = stream.uniform() < share);
            if !places.contains(&true) {
                places[stream.below(places.len() as u64) as usize] = true;
            }
        }
        Self { real, blank }
    }
}

/// A puzzle that a generator has filled in.
pub(super) struct Filled {
    pub texts: Generated,
    /// What stands in each place of the puzzle, `[batch, time]`. [`PAD`] is where an end was asked for and none
    /// written.
    pub words: Vec<u32>,
    /// The places that were filled in, of the flattened puzzle, text after text.
    pub places: Vec<u32>,
}

impl Filled {
    pub fn draw(generator: &dyn Generator, puzzle: &Puzzle<'_>, key: &Key) -> Result<Self> {
        let (real, rows) = (puzzle.real, puzzle.real.batch());
        let vectors = generator.noise().draw(&key.child("noise"), 0, rows);
        let conditions = Conditions { rows, noise: &vectors, labels: real.labels() };
        let mut sampler = generator.sampler()?;
        let (options, tokens) = (SamplingOptions::default(), key.child("tokens"));
        let samples =
            infill(sampler.as_mut(), &conditions, real, &puzzle.blank, &options, &tokens, 0)?;
        Ok(Self::of(Generated::of(samples, vectors, real.labels())?, puzzle))
    }

    pub fn of(texts: Generated, puzzle: &Puzzle<'_>) -> Self {
        let time = puzzle.real.time();
        let mut words = vec![PAD; puzzle.blank.len()];
        let mut places = Vec::new();
        for (row, words) in words.chunks_exact_mut(time).enumerate() {
            let written = texts.sequences.row(row);
            words[..written.len()].copy_from_slice(written);
            if texts.sequences.lengths()[row] > written.len() {
                words[written.len()] = EOS;
            }
            let actions = actions(&texts.sequences, puzzle.real, row);
            let filled = (row * time..row * time + actions).filter(|&place| puzzle.blank[place]);
            places.extend(filled.map(|place| place as u32));
        }
        Self { texts, words, places }
    }

    /// Of numbers `[batch, time]`, those of the filled-in places.
    pub fn of_places(&self, numbers: &Tensor) -> Result<Tensor> {
        let places = Tensor::new(self.places.as_slice(), &Device::Cpu)?;
        Ok(numbers.flatten_all()?.index_select(&places, 0)?)
    }
}

/// The actions of a text that was filled in: its words and its end, or, where it had to end and did not, that.
pub(super) fn actions(filled: &Sequences, asked: &Sequences, row: usize) -> usize {
    (filled.row(row).len() + 1).min(asked.lengths()[row])
}
