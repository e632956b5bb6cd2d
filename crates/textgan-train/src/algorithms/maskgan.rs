use std::sync::Arc;

use candle_core::{D, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{Conditions, EOS, Generator, PAD, SamplingOptions, Sequences, Sizes, infill};
use textgan_nn::layers::{
    Embedding, EmbeddingConfig, Linear, LinearConfig, Recurrent, RecurrentConfig,
};
use textgan_nn::{Builder, Mode, Parameters, kernels::CellKind};
use textgan_random::Key;

use super::turns::turns;
use super::{DISCRIMINATOR, GENERATOR, generator_learner};
use crate::Result;
use crate::algorithm::{Accuracy, Algorithm, Critic, Learner, Loss, Update};
use crate::config::{OptimizerConfig, Problem, RewardScore, at_least_one, require};
use crate::data::Rows;
use crate::generated::{Generated, Texts};
use crate::losses::gumbel::sample_nll;
use crate::losses::{Divergence, reinforce, returns, weighed};
use crate::metric::{Group, Metric, Unit};
use crate::networks::{Network, Networks};
use crate::objective::{Declared, Objective, Pace, Plan, Role};
use crate::step::Step;

/// `kind = "maskgan"`: a generator that fills in blanks of real texts (MaskGAN; Fedus et al., 2018, arXiv
/// 1801.07736). A share of the words is blank, which grows over the phase from `begin` to `end`; with all of them
/// blank it writes the text. A discriminator that is told what was blank tells filled-in words from those that stood
/// there, each by itself. A word earns the discounted sum of `ln D` of itself and the filled-in words after it, less
/// what a critic, a second head of the discriminator, had expected of its place. Other than there, the generator reads
/// what stands before a blank alone, so that it is one that writes as well; the discriminator aligns a text and what it
/// was told word by word in place of attention; and the words that are blank are drawn one by one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Maskgan {
    /// Share of the words that are blank at the first step.
    pub begin: f32,
    /// Share of the words that are blank at the last step.
    pub end: f32,
    /// What a reward shrinks by for every word between.
    pub discount: f32,
    /// Width of the discriminator's embeddings.
    pub embedding: usize,
    /// Width of the discriminator's recurrent states.
    pub hidden: usize,
    /// Updates of the discriminator a step.
    pub discriminator_steps: u64,
    /// Full learning rate of the generator.
    pub learning_rate: f64,
    /// The generator's optimizer.
    pub optimizer: OptimizerConfig,
    /// Full learning rate of the discriminator and its critic.
    pub discriminator_learning_rate: f64,
    /// Their optimizer.
    pub discriminator_optimizer: OptimizerConfig,
    /// What the generator's loss is multiplied by; with 0 it learns nothing.
    pub weight: f32,
}

impl Default for Maskgan {
    fn default() -> Self {
        Self {
            begin: 0.25,
            end: 1.0,
            discount: 0.9,
            embedding: 64,
            hidden: 64,
            discriminator_steps: 1,
            learning_rate: 1e-4,
            optimizer: OptimizerConfig::default(),
            discriminator_learning_rate: 1e-3,
            discriminator_optimizer: OptimizerConfig::default(),
            weight: 1.0,
        }
    }
}

impl Objective for Maskgan {
    fn kind(&self) -> &'static str {
        "maskgan"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn check(&self, _: &Plan<'_>) -> Problem {
        at_least_one("embedding", self.embedding as u64)?;
        at_least_one("hidden", self.hidden as u64)?;
        turns!(self).check()?;
        for (key, share) in [("begin", self.begin), ("end", self.end), ("discount", self.discount)]
        {
            require((0.0..=1.0).contains(&share), || format!("{key} = {share} is outside 0 to 1"))?;
        }
        require(self.weight >= 0.0, || format!("weight = {} must not be negative", self.weight))
    }

    fn declares(&self) -> Vec<Declared> {
        let config = serde_json::json!({ "embedding": self.embedding, "hidden": self.hidden });
        vec![Declared { name: READER, config }]
    }

    fn declared_parameters(&self, _: &Plan<'_>, sizes: &Sizes) -> Result<u64> {
        let [vocab, embedding, hidden] =
            [sizes.vocab, self.embedding, self.hidden].map(|size| size as u64);
        let gru = |inputs: u64| (3 * hidden, inputs.saturating_add(hidden).saturating_add(2));
        let products = [
            (vocab.saturating_add(1), embedding),
            gru(embedding),
            gru(embedding),
            gru(embedding.saturating_add(hidden).saturating_add(hidden)),
            (1, hidden.saturating_mul(4).saturating_add(2)),
        ];
        Ok(products.iter().fold(0, |sum: u64, &(a, b)| sum.saturating_add(a.saturating_mul(b))))
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: 1 })
    }

    fn is_judged(&self, _: &Plan<'_>) -> bool {
        true
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let generator = networks.generator();
        let reader = networks.custom(READER, |sizes, _, key| BlankReader::new(self, sizes, key))?;
        Ok(Box::new(Game { config: self.clone(), generator, reader }))
    }
}

/// The network that tells filled-in words.
const READER: &str = "blank-reader";
/// What it minimises.
const DIVERGENCE: Divergence = Divergence::NonSaturating;

/// Reads a text and is told which of its words were blank. It knows what else stands there from both sides, and how
/// the blanks were filled in from the left.
struct BlankReader {
    parameters: Parameters,
    embedding: Embedding,
    told: Recurrent,
    recurrent: Recurrent,
    realness: Linear,
    value: Linear,
}

/// What a [`BlankReader`] thinks of each place, `[batch, time]`.
struct Opinion {
    /// The logit that the word is real.
    realness: Tensor,
    /// What a word there is expected to earn, before it is known; no weight but the critic's own hears of it.
    value: Tensor,
}

impl BlankReader {
    fn new(config: &Maskgan, sizes: &Sizes, key: &Key) -> Result<Self> {
        let &Maskgan { embedding, hidden, .. } = config;
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, *key, &Device::Cpu);
        let gru = |inputs| RecurrentConfig::new(CellKind::Gru, inputs, hidden);
        let both = RecurrentConfig { bidirectional: true, ..gru(embedding) };
        // The last row of the table is the blank.
        let words = EmbeddingConfig::new(sizes.vocab + 1, embedding);
        let value = LinearConfig::new(3 * hidden, 1);
        Ok(Self {
            embedding: Embedding::new(&mut builder.child("embedding"), &words)?,
            told: Recurrent::new(&mut builder.child("told"), &both)?,
            recurrent: Recurrent::new(&mut builder.child("gru"), &gru(embedding + 2 * hidden))?,
            realness: Linear::new(&mut builder.child("realness"), &LinearConfig::new(hidden, 1))?,
            value: Linear::new(&mut builder.child("value"), &value)?,
            parameters,
        })
    }

    /// Its opinion of `words`, which stand in the places of `puzzle`.
    fn opinion(&self, puzzle: &Puzzle<'_>, words: &[u32]) -> Result<Opinion> {
        let (batch, time) = (puzzle.real.batch(), puzzle.real.time());
        let lengths = puzzle.real.lengths();
        let blank = (self.embedding.weight().dim(0)? - 1) as u32;
        let told: Vec<u32> = puzzle
            .real
            .targets()
            .iter()
            .zip(&puzzle.blank)
            .map(|(&word, &is_blank)| if is_blank { blank } else { word })
            .collect();
        let told = self.embedding.forward(&told, (batch, time))?;
        let told = self.told.forward(&told, lengths, None, Mode::Evaluate)?;
        let words = self.embedding.forward(words, (batch, time))?;
        let read = Tensor::cat(&[&words, &told], D::Minus1)?;
        let states = self.recurrent.forward(&read, lengths, None, Mode::Evaluate)?;
        let before = states.narrow(1, 0, time - 1)?;
        let before = before.pad_with_zeros(1, 1, 0)?;
        let expected = Tensor::cat(&[&before, &told], D::Minus1)?.detach();
        Ok(Opinion {
            realness: self.realness.forward(&states)?.squeeze(2)?,
            value: self.value.forward(&expected)?.squeeze(2)?,
        })
    }
}

impl Network for BlankReader {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }
}

/// Real texts and which of their places are blank, `[batch, time]`, at least one a text.
struct Puzzle<'a> {
    real: &'a Sequences,
    blank: Vec<bool>,
}

impl<'a> Puzzle<'a> {
    /// A `share` of the places is blank.
    fn draw(real: &'a Sequences, share: f32, key: &Key) -> Self {
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
struct Filled {
    texts: Generated,
    /// What stands in each place of the puzzle, `[batch, time]`. [`PAD`] is where an end was asked for and none
    /// written.
    words: Vec<u32>,
    /// The places that were filled in, of the flattened puzzle, text after text.
    places: Vec<u32>,
}

impl Filled {
    fn draw(generator: &dyn Generator, puzzle: &Puzzle<'_>, key: &Key) -> Result<Self> {
        let (real, rows) = (puzzle.real, puzzle.real.batch());
        let vectors = generator.noise().draw(&key.child("noise"), 0, rows);
        let conditions = Conditions { rows, noise: &vectors, labels: real.labels() };
        let mut sampler = generator.sampler()?;
        let (options, tokens) = (SamplingOptions::default(), key.child("tokens"));
        let samples =
            infill(sampler.as_mut(), &conditions, real, &puzzle.blank, &options, &tokens, 0)?;
        let noise = Tensor::from_vec(vectors, (rows, generator.noise().dimension), &Device::Cpu)?;
        let sequences = samples.sequences(real.labels())?;
        let texts = Generated { sequences, noise, log_probs: samples.log_probs };
        Ok(Self::of(texts, puzzle))
    }

    fn of(texts: Generated, puzzle: &Puzzle<'_>) -> Self {
        let time = puzzle.real.time();
        let mut words = vec![PAD; puzzle.blank.len()];
        let mut places = Vec::new();
        for (row, words) in words.chunks_exact_mut(time).enumerate() {
            let written = texts.sequences.row(row);
            words[..written.len()].copy_from_slice(written);
            let (length, asked) = (texts.sequences.lengths()[row], puzzle.real.lengths()[row]);
            if length > written.len() {
                words[written.len()] = EOS;
            }
            // One more place than words, where it should have ended.
            let judged = (written.len() + 1).min(asked);
            let filled = (row * time..row * time + judged).filter(|&place| puzzle.blank[place]);
            places.extend(filled.map(|place| place as u32));
        }
        Self { texts, words, places }
    }
}

/// The game under way.
struct Game {
    config: Maskgan,
    generator: Arc<dyn Generator>,
    reader: Arc<BlankReader>,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        let turns = turns!(self.config);
        let parameters = self.reader.parameters().clone();
        let (optimizer, rate) = (turns.discriminator_optimizer, turns.discriminator_learning_rate);
        vec![
            generator_learner(self.generator.as_ref(), turns.optimizer, turns.learning_rate),
            Learner::new(DISCRIMINATOR, parameters, optimizer, rate, Rows::Discriminator),
        ]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let through = step.number() as f32 / step.steps().saturating_sub(1).max(1) as f32;
        let share = self.config.begin + through * (self.config.end - self.config.begin);
        for _ in 0..self.config.discriminator_steps {
            let update = step.update(DISCRIMINATOR)?;
            let loss = self.told_apart(&update, share)?;
            step.descend(update, loss)?;
        }
        if !step.gate_is_open() {
            return Ok(());
        }
        let update = step.update(GENERATOR)?;
        let loss = self.earned(&update, share)?;
        step.descend(update, loss)
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(self)
    }
}

impl Game {
    /// A puzzle made of the update's texts, filled in.
    fn filled<'a>(&self, update: &'a Update, share: f32) -> Result<(Puzzle<'a>, Filled)> {
        let puzzle = Puzzle::draw(&update.real, share, &update.key.child("blanks"));
        let filled = Filled::draw(self.generator.as_ref(), &puzzle, &update.key.child("fresh"))?;
        Ok((puzzle, filled))
    }

    /// What the filled-in words of each text earn, `[text][word]`: 0 for others.
    fn returns(
        &self,
        puzzle: &Puzzle<'_>,
        filled: &Filled,
        realness: &Tensor,
    ) -> Result<Vec<Vec<f32>>> {
        let realness = realness.detach().to_vec2::<f32>()?;
        let mut rewards: Vec<Vec<f32>> = realness.iter().map(|row| vec![0.0; row.len()]).collect();
        let time = puzzle.real.time();
        for &place in &filled.places {
            let (row, place) = (place as usize / time, place as usize % time);
            rewards[row][place] = RewardScore::LogSigmoid.of(realness[row][place]);
        }
        Ok(returns::returns(&rewards, self.config.discount))
    }

    /// The loss of discriminator and critic.
    fn told_apart(&self, update: &Update, share: f32) -> Result<Loss> {
        let (puzzle, filled) = self.filled(update, share)?;
        let of_real = self.reader.opinion(&puzzle, update.real.targets())?;
        let of_filled = self.reader.opinion(&puzzle, &filled.words)?;
        let blanks = (0u32..).zip(&puzzle.blank).filter(|(_, blank)| **blank);
        let blanks = Tensor::from_iter(blanks.map(|(place, _)| place), &Device::Cpu)?;
        let places = Tensor::new(filled.places.as_slice(), &Device::Cpu)?;
        let real = of_real.realness.flatten_all()?.index_select(&blanks, 0)?;
        let fake = of_filled.realness.flatten_all()?.index_select(&places, 0)?;
        let apart = DIVERGENCE.discriminator_loss(&real, &fake)?;
        let earned = self.returns(&puzzle, &filled, &of_filled.realness)?.concat();
        let earned = filled.places.iter().map(|&place| earned[place as usize]);
        let earned = Tensor::from_iter(earned, &Device::Cpu)?;
        let expected = of_filled.value.flatten_all()?.index_select(&places, 0)?;
        let surprise = (expected - earned)?.sqr()?.mean_all()?;
        let threshold = |real, fake| DIVERGENCE.threshold(real, fake);
        let accuracy = Accuracy::of(threshold, &real.to_vec1()?, &fake.to_vec1()?);
        let number = |x: &Tensor| -> Result<f64> { Ok(f64::from(x.to_scalar::<f32>()?)) };
        let share = |name, value| Metric::new(name, value, Unit::Share, Group::Discriminator);
        let metrics = vec![
            Metric::new("discriminator_loss", number(&apart)?, Unit::Plain, Group::Game).live("D"),
            Metric::new("critic_loss", number(&surprise)?, Unit::Plain, Group::Game),
            share("accuracy_real", accuracy.real).live("right on real"),
            share("accuracy_fake", accuracy.fake).live("right on filled in"),
        ];
        Ok(Loss { value: (apart + surprise)?, metrics, accuracy: Some(accuracy) })
    }

    /// The generator's loss: the policy gradient of what its words earn.
    fn earned(&self, update: &Update, share: f32) -> Result<Loss> {
        let (puzzle, filled) = self.filled(update, share)?;
        let opinion = self.reader.opinion(&puzzle, &filled.words)?;
        let returns = self.returns(&puzzle, &filled, &opinion.realness)?;
        let expected = opinion.value.detach().to_vec2::<f32>()?;
        let lengths = filled.texts.sequences.lengths();
        // Not to end where an end was asked for is an action too, which stands one place after the words.
        let asked = puzzle.real.lengths();
        let actions = |row: usize| {
            (filled.texts.sequences.row(row).len() + 1).min(asked[row]).max(lengths[row])
        };
        let mut advantages: Vec<Vec<f32>> =
            (0..lengths.len()).map(|row| vec![0.0; actions(row)]).collect();
        let time = puzzle.real.time();
        let mut earned = 0.0;
        for &place in &filled.places {
            let (row, place) = (place as usize / time, place as usize % time);
            advantages[row][place] = returns[row][place] - expected[row][place];
            earned += f64::from(returns[row][place]);
        }
        let loss =
            reinforce::policy_loss(self.generator.as_ref(), &filled.texts, &advantages, 0.0)?;
        let mean = earned / filled.places.len() as f64;
        let blank = puzzle.blank.iter().filter(|&&blank| blank).count() as f64;
        let metrics = vec![
            Metric::new("return", mean, Unit::Plain, Group::Game).live("return"),
            Metric::new("blank", blank / puzzle.real.tokens() as f64, Unit::Share, Group::Game)
                .live("blank"),
            sample_nll(&filled.texts),
        ];
        Ok(Loss::new(weighed(&loss, self.config.weight)?, metrics))
    }
}

/// It judges a text as one of which all was blank, by the mean over its words.
impl Critic for Game {
    fn logits(&self, texts: &Texts<'_>) -> Result<Vec<f32>> {
        let real = texts.sequences;
        let puzzle = Puzzle { real, blank: vec![true; real.targets().len()] };
        let realness = self.reader.opinion(&puzzle, real.targets())?.realness.detach();
        let rows = realness.to_vec2::<f32>()?;
        let mean = |(row, &length): (&Vec<f32>, &usize)| {
            let words = row[..length].iter().map(|&logit| f64::from(logit));
            (words.sum::<f64>() / length as f64) as f32
        };
        Ok(rows.iter().zip(real.lengths()).map(mean).collect())
    }

    fn threshold(&self, mean_real: f64, mean_fake: f64) -> f64 {
        DIVERGENCE.threshold(mean_real, mean_fake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{VOCAB, in_game, sampled, target_log_probs};

    fn game(generator: Arc<dyn Generator>, config: Maskgan) -> Result<Game> {
        let config = Maskgan { embedding: 6, hidden: 8, ..config };
        let sizes = Sizes { vocab: VOCAB, labels: 0, max_length: 2 };
        let reader = Arc::new(BlankReader::new(&config, &sizes, &Key::root(2))?);
        // Opinions that differ.
        for (_, variable) in reader.parameters().iter() {
            variable.set(&(variable.as_detached_tensor() * 3.0)?)?;
        }
        Ok(Game { config, generator, reader })
    }

    fn update(texts: &[[u32; 2]]) -> Result<Update> {
        let real = Sequences::from_samples(texts, &vec![true; texts.len()], None)?;
        Ok(Update { learner: 0, key: Key::root(6), real })
    }

    /// With every place blank, the loss has the gradient of what a text is expected to earn: of all texts of two
    /// words, with or without an end, weighed by their probabilities.
    #[test]
    fn the_gradient_is_that_of_the_expected_return() -> Result<()> {
        in_game(|players| {
            let game =
                game(players.generator.clone(), Maskgan { discount: 1.0, ..Maskgan::default() })?;
            let generator = game.generator.as_ref();
            // Texts that end at each place, and those that go on where an end was asked for.
            let words: Vec<u32> = sampled().filter(|&id| id != EOS).collect();
            let mut texts: Vec<(Vec<u32>, bool)> = vec![(vec![], true)];
            for &a in &words {
                texts.push((vec![a], true));
                for &b in &words {
                    texts.extend([(vec![a, b], true), (vec![a, b], false)]);
                }
            }
            let rows = texts.len();
            let ended: Vec<bool> = texts.iter().map(|(_, ended)| *ended).collect();
            let tokens: Vec<&[u32]> = texts.iter().map(|(tokens, _)| tokens.as_slice()).collect();
            let noise = Tensor::new(&[[0.3f32, -0.7]], &Device::Cpu)?
                .broadcast_as((rows, 2))?
                .contiguous()?;
            let all = Generated {
                sequences: Sequences::from_samples(&tokens, &ended, None)?,
                noise,
                log_probs: vec![Vec::new(); rows],
            };
            let whole = Sequences::from_samples(&tokens, &vec![true; rows], None)?;
            let log_probs = target_log_probs(generator, &all.context(), &whole)?;
            // ln p of each text, the end counted where there is one and its absence where there is not.
            let mut probability = Vec::new();
            for (row, (tokens, ended)) in texts.iter().enumerate() {
                let row = log_probs.get(row)?;
                let words = row.narrow(0, 0, tokens.len())?.sum_all()?.exp()?;
                let end = row.get(tokens.len())?.exp()?;
                let end = if *ended { end } else { (1.0 - end)? };
                probability.push((words * end)?);
            }
            let probability = Tensor::stack(&probability, 0)?;
            let total = probability.sum_all()?.to_scalar::<f32>()?;
            assert!((total - 1.0).abs() < 1e-5, "{total}");

            let real = Sequences::from_samples(&vec![[4u32, 5]; rows], &vec![true; rows], None)?;
            let puzzle = Puzzle { blank: vec![true; real.targets().len()], real: &real };
            let filled = Filled::of(all, &puzzle);
            let realness = game.reader.opinion(&puzzle, &filled.words)?.realness;
            let returns = game.returns(&puzzle, &filled, &realness)?;
            let earned = Tensor::from_iter(returns.iter().map(|row| row[0]), &Device::Cpu)?;
            let expected = (&probability * earned)?.sum_all()?.neg()?.backward()?;

            // The policy loss is a mean over texts: weighed by probability times their number it is the expectation.
            let weights = (probability.detach() * rows as f64)?.to_vec1::<f32>()?;
            let lengths = filled.texts.sequences.lengths();
            let advantages: Vec<Vec<f32>> = (0..rows)
                .map(|row| {
                    let actions = (texts[row].0.len() + 1).min(3).max(lengths[row]);
                    returns[row][..actions].iter().map(|x| x * weights[row]).collect()
                })
                .collect();
            let found =
                reinforce::policy_loss(generator, &filled.texts, &advantages, 0.0)?.backward()?;
            for (name, variable) in generator.parameters().iter() {
                let [Some(found), Some(expected)] = [&found, &expected].map(|of| of.get(variable))
                else {
                    panic!("{name}: no gradient")
                };
                let apart = (found - expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
                let size = expected.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(apart <= 2e-5 + 1e-3 * size, "{name}: {apart} of {size}");
            }
            Ok(())
        })
    }

    /// What is not blank stays and earns nothing; an end that was asked for and not written is known to be missing.
    #[test]
    fn blanks_are_filled_in_and_the_rest_stays() -> Result<()> {
        in_game(|players| {
            let game = game(players.generator.clone(), Maskgan::default())?;
            let update = update(&[[4, 5]; 400])?;
            let blank = [true, false, false].repeat(400);
            let puzzle = Puzzle { real: &update.real, blank };
            let filled = Filled::draw(game.generator.as_ref(), &puzzle, &Key::root(3))?;
            assert_eq!(filled.places.len(), 400);
            let opinion = game.reader.opinion(&puzzle, &filled.words)?;
            let returns = game.returns(&puzzle, &filled, &opinion.realness)?;
            for (row, returns) in returns.iter().enumerate() {
                let words = &filled.words[3 * row..][..3];
                let ended_at_once = words[0] == EOS;
                assert!(ended_at_once || words[1..] == [5, EOS], "{words:?}");
                assert!(returns[0] < 0.0 && returns[1..] == [0.0, 0.0]);
            }
            let puzzle = Puzzle { real: &update.real, blank: [false, false, true].repeat(400) };
            let filled = Filled::draw(game.generator.as_ref(), &puzzle, &Key::root(3))?;
            let ends = filled.words.chunks_exact(3).filter(|words| *words == [4, 5, EOS]).count();
            let open = filled.words.chunks_exact(3).filter(|words| *words == [4, 5, PAD]).count();
            assert!(ends > 0 && open > 0 && ends + open == 400, "{ends} {open}");
            assert_eq!(filled.places.len(), 400);
            // Each text has a blank, and about as many are as were asked for.
            let puzzle = Puzzle::draw(&update.real, 0.4, &Key::root(4));
            assert!(puzzle.blank.chunks_exact(3).all(|row| row.contains(&true)));
            let share = puzzle.blank.iter().filter(|&&blank| blank).count() as f64 / 1200.0;
            let expected = 0.4 + 0.6f64.powi(3) / 3.0;
            assert!((share - expected).abs() < 0.04, "{share}");
            Ok(())
        })
    }

    /// Discriminator and critic learn, every weight of theirs hears of it, and with a weight of nothing the generator
    /// does not.
    #[test]
    fn every_learner_hears_of_its_loss() -> Result<()> {
        in_game(|players| {
            let game = game(players.generator.clone(), Maskgan::default())?;
            let update = update(&[[4, 4]; 64])?;
            let mut losses = Vec::new();
            for _ in 0..60 {
                let loss = game.told_apart(&update, 0.7)?;
                losses.push(loss.value.to_scalar::<f32>()?);
                let gradients = loss.value.backward()?;
                for (name, variable) in game.reader.parameters().iter() {
                    let Some(gradient) = gradients.get(variable) else {
                        panic!("{name}: no gradient")
                    };
                    variable.set(&(variable.as_detached_tensor() - (gradient * 0.05)?)?)?;
                }
            }
            assert!(losses[59] < 0.8 * losses[0], "{losses:?}");
            for weight in [1.0, 0.0] {
                let config = Maskgan { weight, ..game.config.clone() };
                let game =
                    Game { config, generator: game.generator.clone(), reader: game.reader.clone() };
                let gradients = game.earned(&update, 0.7)?.value.backward()?;
                let mut moved = 0.0;
                for (name, variable) in game.generator.parameters().iter() {
                    let Some(gradient) = gradients.get(variable) else {
                        panic!("{name}: no gradient")
                    };
                    moved += gradient.abs()?.sum_all()?.to_scalar::<f32>()?;
                }
                assert_eq!(moved > 0.0, weight > 0.0, "{weight}: {moved}");
                for (name, variable) in game.reader.parameters().iter() {
                    assert!(gradients.get(variable).is_none(), "{name}: moved by the generator");
                }
            }
            Ok(())
        })
    }
}
