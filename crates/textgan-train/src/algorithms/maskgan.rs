use std::sync::Arc;

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{Generator, Sizes};
use textgan_nn::Parameters;

use super::blanks::{BlankReader, Filled, Puzzle, actions};
use super::turns::turns;
use super::{DISCRIMINATOR, GENERATOR, generator_learner};
use crate::algorithm::{Accuracy, Algorithm, Critic, Learner, Loss, Update};
use crate::config::{OptimizerConfig, Problem, RewardScore, at_least_one, require};
use crate::data::Rows;
use crate::generated::{Generated, Texts};
use crate::losses::{Divergence, reinforce, returns, weighed};
use crate::metric::{Group, Metric, Unit};
use crate::networks::{Network, Networks};
use crate::objective::{Declared, Objective, Opponent, Pace, Plan, Role};
use crate::step::Step;
use crate::{Error, Result};

/// `kind = "maskgan"`: a generator that fills in blanks of real texts (MaskGAN; Fedus et al., 2018, arXiv
/// 1801.07736). A share of the words is blank, which grows over the phase from `begin` to `end`; with all of them
/// blank it writes the text. A discriminator that is told what was blank tells filled-in words from those that stood
/// there, each by itself. A word earns the discounted sum of `ln D` of itself and the filled-in words after it, less
/// what a critic, a second head of the discriminator, had expected of its place. Other than there, the generator reads
/// what stands before a blank alone, so that it is one that writes as well; the discriminator aligns a text and what it
/// was told word by word in place of attention; and the words that are blank are drawn one by one. Held-out accuracy, a
/// gate and alarms read texts as if all of their words had been blank, which the discriminator has seen little of before
/// `end` is near.
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
            (sizes.labels as u64, embedding),
        ];
        Ok(products.iter().fold(0, |sum: u64, &(a, b)| sum.saturating_add(a.saturating_mul(b))))
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: 1 })
    }

    fn opponent(&self) -> Opponent {
        Opponent::Own
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let texts = networks.data().train;
        if let Some(row) = texts.iter().position(|text| text.tokens.is_empty()) {
            let problem = format!(
                "maskgan fills in words, and row {row} of the train split has none: take it out"
            );
            return Err(Error::Train { problem });
        }
        let generator = networks.generator();
        let reader = networks.custom(READER, |sizes, _, key| BlankReader::new(self, sizes, key))?;
        Ok(Box::new(Game { config: self.clone(), generator, reader }))
    }
}

/// The network that tells filled-in words.
const READER: &str = "blank-reader";
/// The learner that expects what words earn: the reader's second head.
const CRITIC: &str = "critic";
/// What its weights' names begin with.
const VALUE: &str = "value.";
/// What it minimises.
const DIVERGENCE: Divergence = Divergence::NonSaturating;

/// The game under way.
struct Game {
    config: Maskgan,
    generator: Arc<dyn Generator>,
    reader: Arc<BlankReader>,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        let turns = turns!(self.config);
        let (optimizer, rate) = (turns.discriminator_optimizer, turns.discriminator_learning_rate);
        let (mut reader, mut critic) = (Parameters::new(), Parameters::new());
        for (name, variable) in self.reader.parameters().iter() {
            let side = if name.starts_with(VALUE) { &mut critic } else { &mut reader };
            let inserted = side.insert(name.to_owned(), variable.clone());
            debug_assert!(inserted.is_ok(), "invariant: a network has no name twice");
        }
        vec![
            generator_learner(self.generator.as_ref(), turns.optimizer, turns.learning_rate),
            Learner::new(DISCRIMINATOR, reader, optimizer, rate, Rows::Discriminator),
            Learner {
                learns_blind: true,
                ..Learner::new(CRITIC, critic, optimizer, rate, Rows::Generator)
            },
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
        // The critic learns what the words earned that the generator learns from.
        let critic = step.update(CRITIC)?;
        if !step.gate_is_open() {
            let loss = self.earned(&critic, share)?.critic;
            return step.descend(critic, loss);
        }
        let update = step.update(GENERATOR)?;
        let earned = self.earned(&update, share)?;
        let loss = self.policy_loss(&earned)?;
        step.descend(update, loss)?;
        step.descend(critic, earned.critic)
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

    /// What the filled-in words of each text earn, `[text][place]`: 0 for others.
    fn returns(&self, filled: &Filled, realness: &Tensor) -> Result<Vec<Vec<f32>>> {
        let realness = realness.detach().to_vec2::<f32>()?;
        let mut rewards: Vec<Vec<f32>> = realness.iter().map(|row| vec![0.0; row.len()]).collect();
        let time = rewards.first().map_or(1, Vec::len);
        for &place in &filled.places {
            let (row, place) = (place as usize / time, place as usize % time);
            rewards[row][place] = RewardScore::LogSigmoid.of(realness[row][place]);
        }
        Ok(returns::returns(&rewards, self.config.discount))
    }

    /// The discriminator's loss.
    fn told_apart(&self, update: &Update, share: f32) -> Result<Loss> {
        let (puzzle, filled) = self.filled(update, share)?;
        let told = self.reader.told(&puzzle)?;
        let realness = |words: &[u32]| -> Result<Tensor> {
            self.reader.realness(&self.reader.states(&puzzle, &told, words)?)
        };
        let blanks = (0u32..).zip(&puzzle.blank).filter(|(_, blank)| **blank);
        let blanks = Tensor::from_iter(blanks.map(|(place, _)| place), &Device::Cpu)?;
        let real = realness(update.real.targets())?.flatten_all()?.index_select(&blanks, 0)?;
        let fake = filled.of_places(&realness(&filled.words)?)?;
        let value = DIVERGENCE.discriminator_loss(&real, &fake)?;
        let threshold = |real, fake| DIVERGENCE.threshold(real, fake);
        let accuracy = Accuracy::of(threshold, &real.to_vec1()?, &fake.to_vec1()?);
        let loss = f64::from(value.to_scalar::<f32>()?);
        let share = |name, value| Metric::new(name, value, Unit::Share, Group::Discriminator);
        let metrics = vec![
            Metric::new("discriminator_loss", loss, Unit::Plain, Group::Game).live("D"),
            share("accuracy_real", accuracy.real).live("right on real"),
            share("accuracy_fake", accuracy.fake).live("right on filled in"),
        ];
        Ok(Loss { value, metrics, accuracy: Some(accuracy) })
    }

    /// What the words that fill in a puzzle of the update's texts earn, and the critic's loss: the mean square of what it
    /// did not expect.
    fn earned(&self, update: &Update, share: f32) -> Result<Earned> {
        let (puzzle, filled) = self.filled(update, share)?;
        let told = self.reader.told(&puzzle)?.detach();
        let states = self.reader.states(&puzzle, &told, &filled.words)?.detach();
        let returns = self.returns(&filled, &self.reader.realness(&states)?)?;
        let value = self.reader.value(&told, &states)?;
        let expected = value.detach().to_vec2::<f32>()?;
        let (texts, time) = (&filled.texts.sequences, puzzle.real.time());
        let mut advantages: Vec<Vec<f32>> = (0..texts.batch())
            .map(|row| vec![0.0; actions(texts, &update.real, row).max(texts.lengths()[row])])
            .collect();
        let (mut earned, mut nll) = (Vec::with_capacity(filled.places.len()), 0.0);
        for &place in &filled.places {
            let (row, place) = (place as usize / time, place as usize % time);
            advantages[row][place] = returns[row][place] - expected[row][place];
            earned.push(returns[row][place]);
            let log_prob = filled.texts.log_probs[row].get(place);
            nll -= log_prob.map_or(0.0, |&log_prob| f64::from(log_prob));
        }
        let count = earned.len() as f64;
        let mean = earned.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let earned = Tensor::from_vec(earned, filled.places.len(), &Device::Cpu)?;
        let surprise = (filled.of_places(&value)? - earned)?.sqr()?.mean_all()?;
        let loss = f64::from(surprise.to_scalar::<f32>()?);
        let blank = count / puzzle.real.tokens() as f64;
        let metrics = vec![
            Metric::new("return", mean, Unit::Plain, Group::Game).live("return"),
            Metric::new("blank", blank, Unit::Share, Group::Game).live("blank"),
            Metric::new("sample_nll", nll / count, Unit::NatsPerToken, Group::Likelihood),
        ];
        let critic = Metric::new("critic_loss", loss, Unit::Plain, Group::Game);
        let critic = Loss::new(surprise, vec![critic]);
        Ok(Earned { texts: filled.texts, advantages, metrics, critic })
    }

    /// The generator's loss: the policy gradient of what its words earn.
    fn policy_loss(&self, earned: &Earned) -> Result<Loss> {
        let Earned { texts, advantages, metrics, .. } = earned;
        let loss = reinforce::policy_loss(self.generator.as_ref(), texts, advantages, 0.0)?;
        Ok(Loss::new(weighed(&loss, self.config.weight)?, metrics.clone()))
    }
}

/// Texts that were filled in, and what that earned.
struct Earned {
    texts: Generated,
    /// `[text][action]`, 0 for words that were not filled in.
    advantages: Vec<Vec<f32>>,
    metrics: Vec<Metric>,
    critic: Loss,
}

/// It judges a text as one of which all was blank, by the mean over its words.
impl Critic for Game {
    fn logits(&self, texts: &Texts<'_>) -> Result<Vec<f32>> {
        let real = texts.sequences;
        let puzzle = Puzzle { real, blank: vec![true; real.targets().len()] };
        let told = self.reader.told(&puzzle)?.detach();
        let states = self.reader.states(&puzzle, &told, real.targets())?.detach();
        let realness = self.reader.realness(&states)?.detach();
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
    use textgan_models::{EOS, PAD, Sequences};
    use textgan_random::Key;

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

    fn returns(game: &Game, puzzle: &Puzzle<'_>, filled: &Filled) -> Result<Vec<Vec<f32>>> {
        let told = game.reader.told(puzzle)?;
        let states = game.reader.states(puzzle, &told, &filled.words)?;
        game.returns(filled, &game.reader.realness(&states)?)
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
            let returns = returns(&game, &puzzle, &filled)?;
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
            let returns = returns(&game, &puzzle, &filled)?;
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

    /// Discriminator and critic learn, each weight of theirs hears of its own loss alone, and with a weight of nothing the
    /// generator does not.
    #[test]
    fn every_learner_hears_of_its_loss() -> Result<()> {
        in_game(|players| {
            let game = game(players.generator.clone(), Maskgan::default())?;
            let update = update(&[[4, 4]; 64])?;
            let learners = game.learners();
            let losses = || Ok([game.told_apart(&update, 0.7)?, game.earned(&update, 0.7)?.critic]);
            let numbers = |losses: &[Loss; 2]| -> Result<[f32; 2]> {
                let [reader, critic] = losses;
                Ok([reader.value.to_scalar()?, critic.value.to_scalar()?])
            };
            let first: Result<[Loss; 2]> = losses();
            let first = numbers(&first?)?;
            for _ in 0..60 {
                let losses: Result<[Loss; 2]> = losses();
                for (place, loss) in losses?.iter().enumerate() {
                    let gradients = loss.value.backward()?;
                    for (name, variable) in learners[2 - place].parameters.iter() {
                        assert!(gradients.get(variable).is_none(), "{name}: moved by the other");
                    }
                    for (name, variable) in learners[1 + place].parameters.iter() {
                        let Some(gradient) = gradients.get(variable) else {
                            panic!("{name}: no gradient")
                        };
                        variable.set(&(variable.as_detached_tensor() - (gradient * 0.05)?)?)?;
                    }
                }
            }
            let last: Result<[Loss; 2]> = losses();
            let last = numbers(&last?)?;
            assert!(last[0] < 0.9 * first[0] && last[1] < 0.5 * first[1], "{first:?} {last:?}");
            for weight in [1.0, 0.0] {
                let config = Maskgan { weight, ..game.config.clone() };
                let (generator, reader) = (game.generator.clone(), game.reader.clone());
                let game = Game { config, generator, reader };
                let loss = game.policy_loss(&game.earned(&update, 0.7)?)?;
                let gradients = loss.value.backward()?;
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
            // A place alone has no beginning.
            let real = Sequences::from_samples(&[[4u32]; 2], &[false; 2], None)?;
            let puzzle = Puzzle::draw(&real, 1.0, &Key::root(4));
            let filled = Filled::draw(game.generator.as_ref(), &puzzle, &Key::root(3))?;
            let told = game.reader.told(&puzzle)?;
            let states = game.reader.states(&puzzle, &told, &filled.words)?;
            assert_eq!(game.reader.value(&told, &states)?.dims(), [2, 1]);
            Ok(())
        })
    }
}
