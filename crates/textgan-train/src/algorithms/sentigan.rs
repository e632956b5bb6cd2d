use std::sync::Arc;

use candle_core::{D, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{Generator, Sequences, Tokens};
use textgan_nn::layers::{Linear, LinearConfig};
use textgan_nn::{Builder, Mode, Parameters};
use textgan_random::Key;

use super::turns::turns;
use super::{DISCRIMINATOR, GENERATOR, generator_learner, whole_features};
use crate::algorithm::{Accuracy, Algorithm, Critic, Learner, Loss, Update};
use crate::config::{Judged, OptimizerConfig, Problem, require};
use crate::data::Rows;
use crate::generated::{Generated, Texts};
use crate::losses::gumbel::sample_nll;
use crate::losses::{Divergence, reinforce};
use crate::metric::{Group, Metric, Unit};
use crate::networks::{Judges, Network, Networks};
use crate::objective::{Objective, Opponent, Pace, Plan, Role};
use crate::step::Step;
use crate::{Error, Result};

/// `kind = "sentigan"`: a discriminator of categories (SentiGAN; Wang and Wan, 2018). It tells the real texts of
/// each of `k` labels and generated text apart, `k + 1` classes; a generated text of label `i` is charged the
/// penalty `V = 1 - D_i`, and the generator minimises `sum_t p(word_t) V`, which asks for every sentence that is
/// charged little, where a reward asks for those that earn most. Other than there, one generator reads the label
/// in place of one generator for each, and the penalty of a whole text goes to all of its words, without search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sentigan {
    /// Updates of the discriminator a step.
    pub discriminator_steps: u64,
    /// Full learning rate of the generator.
    pub learning_rate: f64,
    /// The generator's optimizer.
    pub optimizer: OptimizerConfig,
    /// Full learning rate of the discriminator.
    pub discriminator_learning_rate: f64,
    /// The discriminator's optimizer.
    pub discriminator_optimizer: OptimizerConfig,
    /// What the penalty is multiplied by; with 0 the generator learns nothing.
    pub weight: f32,
}

impl Default for Sentigan {
    fn default() -> Self {
        Self {
            discriminator_steps: 1,
            learning_rate: 1e-3,
            optimizer: OptimizerConfig::default(),
            discriminator_learning_rate: 1e-3,
            discriminator_optimizer: OptimizerConfig::default(),
            weight: 1.0,
        }
    }
}

impl Objective for Sentigan {
    fn kind(&self) -> &'static str {
        "sentigan"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn opponent(&self) -> Opponent {
        Opponent::Discriminator
    }

    fn check(&self, _: &Plan<'_>) -> Problem {
        turns!(self).check()?;
        require(self.weight >= 0.0, || format!("weight = {} must not be negative", self.weight))
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: 1 })
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let labels = networks.sizes().labels;
        if labels == 0 {
            let problem =
                "sentigan learns categories, and the corpus has no labels: name a column by `label` of its source, \
                 or take another kind"
                    .to_owned();
            return Err(Error::Train { problem });
        }
        let classes = Classes::new(networks, labels)?;
        Ok(Box::new(Game { config: self.clone(), generator: networks.generator(), classes }))
    }
}

/// The logits of classes, linear in what the discriminator finds in a text.
struct Head {
    parameters: Parameters,
    linear: Linear,
}

impl Network for Head {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }
}

/// Tells the labels of real text, and generated text, apart.
pub(super) struct Classes {
    judges: Judges,
    head: Arc<Head>,
    /// The labels; the last class is that of generated text.
    labels: usize,
    /// Of both networks.
    parameters: Parameters,
}

impl Classes {
    pub fn new(networks: &mut Networks<'_>, labels: usize) -> Result<Self> {
        let judges = networks.discriminator()?;
        let probe = Sequences::from_samples(&[[textgan_models::UNK]], &[true], None)?;
        let tokens = Tokens::Hard(probe.targets());
        let features = whole_features(judges.frozen.as_ref(), &tokens, &probe, Mode::Evaluate)?;
        let width = features.dim(1)?;
        let head = networks.custom("class-head", |_, _, key| {
            let mut parameters = Parameters::new();
            let mut builder = Builder::new(&mut parameters, *key, &Device::Cpu);
            let linear = LinearConfig::new(width, labels + 1);
            let linear = Linear::new(&mut builder.child("classes"), &linear)?;
            Ok(Head { parameters, linear })
        })?;
        let mut parameters = Parameters::new();
        parameters.share(DISCRIMINATOR, judges.learning.parameters())?;
        parameters.share("class-head", head.parameters())?;
        Ok(Self { judges, head, labels, parameters })
    }

    /// `ln D_i(x)`, `[texts, labels + 1]`.
    pub fn log_probs(&self, texts: &Sequences, mode: Mode<'_>) -> Result<Tensor> {
        let network = match mode {
            Mode::Train(_) => &self.judges.learning,
            Mode::Evaluate => &self.judges.frozen,
        };
        let tokens = Tokens::Hard(texts.targets());
        let features = whole_features(network.as_ref(), &tokens, texts, mode)?;
        let logits = self.head.linear.forward(&features)?;
        let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
        Ok(shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)?)
    }

    /// The cross entropy of the classes of real texts, their labels, and of generated ones; and beside it the
    /// logistic loss of the discriminator's own logit, which `generate` tells.
    pub fn loss(&self, update: &Update, fake: &Sequences) -> Result<Loss> {
        let dropout = update.key.child("dropout");
        let (real_mode, fake_mode) = (dropout.child("real"), dropout.child("fake"));
        let real = self.log_probs(&update.real, Mode::Train(&real_mode))?;
        let generated = self.log_probs(fake, Mode::Train(&fake_mode))?;
        let labels = update.real.labels().unwrap_or_default();
        let of = |log_probs: &Tensor, classes: Vec<u32>| -> Result<Tensor> {
            let classes = Tensor::from_vec(classes, (log_probs.dim(0)?, 1), &Device::Cpu)?;
            Ok(log_probs.gather(&classes, 1)?.mean_all()?.neg()?)
        };
        let last = self.labels as u32;
        let classes = (of(&real, labels.to_vec())? + of(&generated, vec![last; fake.batch()])?)?;
        let logits = |texts: &Sequences, mode: &Key| {
            let tokens = Tokens::Hard(texts.targets());
            self.judges.judge(&tokens, texts, Judged::Whole, Mode::Train(mode))
        };
        let (of_real, of_fake) = (logits(&update.real, &real_mode)?, logits(fake, &fake_mode)?);
        let logistic = Divergence::NonSaturating.discriminator_loss(&of_real, &of_fake)?;
        let value = (classes + logistic)?;
        let accuracy =
            Accuracy::of(|_, _| 0.0, &self.realness(&real)?, &self.realness(&generated)?);
        let rows = real.to_vec2::<f32>()?;
        let told = rows.iter().zip(labels).filter(|(row, label)| {
            let own = &row[..self.labels];
            own.iter().all(|&other| other <= own[**label as usize])
        });
        let told = told.count() as f64 / labels.len().max(1) as f64;
        let loss = f64::from(value.to_scalar::<f32>()?);
        let share = |name, value| Metric::new(name, value, Unit::Share, Group::Discriminator);
        let metrics = vec![
            Metric::new("discriminator_loss", loss, Unit::Plain, Group::Game).live("D"),
            share("accuracy_real", accuracy.real).live("right on real"),
            share("accuracy_fake", accuracy.fake).live("right on generated"),
            share("accuracy_label", told),
        ];
        Ok(Loss { value, metrics, accuracy: Some(accuracy) })
    }

    /// The logit of being no generated text, one a text.
    pub fn realness(&self, log_probs: &Tensor) -> Result<Vec<f32>> {
        let rows = log_probs.detach().to_vec2::<f32>()?;
        // ln (1 - D) - ln D of the last class, which is never quite 0 or 1.
        let logit = |row: &Vec<f32>| {
            let fake = row[self.labels];
            let real: f32 = row[..self.labels].iter().map(|x| x.exp()).sum();
            real.max(f32::MIN_POSITIVE).ln() - fake
        };
        Ok(rows.iter().map(logit).collect())
    }

    /// `1 - D_i` of each text under its own label `i`.
    pub fn penalties(&self, texts: &Sequences) -> Result<Vec<f32>> {
        let rows = self.log_probs(texts, Mode::Evaluate)?.detach().to_vec2::<f32>()?;
        let labels = texts.labels().unwrap_or_default();
        Ok(rows.iter().zip(labels).map(|(row, &label)| 1.0 - row[label as usize].exp()).collect())
    }

    /// What moves it.
    pub fn learner(&self, optimizer: &OptimizerConfig, learning_rate: f64) -> Learner {
        let parameters = self.parameters.clone();
        Learner {
            sorted: false,
            ..Learner::new(DISCRIMINATOR, parameters, optimizer, learning_rate, Rows::Discriminator)
        }
    }
}

impl Critic for Classes {
    fn logits(&self, texts: &Texts<'_>) -> Result<Vec<f32>> {
        self.realness(&self.log_probs(texts.sequences, Mode::Evaluate)?)
    }

    fn threshold(&self, _mean_real: f64, _mean_fake: f64) -> f64 {
        0.0
    }
}

/// The game under way.
struct Game {
    config: Sentigan,
    generator: Arc<dyn Generator>,
    classes: Classes,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        let config = &self.config;
        let generator =
            generator_learner(self.generator.as_ref(), &config.optimizer, config.learning_rate);
        let (optimizer, rate) =
            (&config.discriminator_optimizer, config.discriminator_learning_rate);
        vec![generator, self.classes.learner(optimizer, rate)]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let generator = self.generator.as_ref();
        for _ in 0..self.config.discriminator_steps {
            let update = step.update(DISCRIMINATOR)?;
            let fake = step.sample(&update, generator)?;
            let loss = self.classes.loss(&update, &fake.sequences)?;
            step.descend(update, loss)?;
        }
        if !step.gate_is_open() {
            return Ok(());
        }
        let update = step.update(GENERATOR)?;
        let fake = step.sample(&update, generator)?;
        let (value, mean) = self.charged(&fake)?;
        let penalty = Metric::new("penalty", mean, Unit::Share, Group::Game).live("penalty");
        step.descend(update, Loss::new(value, vec![penalty, sample_nll(&fake)]))
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(&self.classes)
    }
}

impl Game {
    /// The mean over texts of `sum_t p(word_t) V`, and the mean penalty. The gradient of a probability is the
    /// probability times that of its logarithm.
    fn charged(&self, fake: &Generated) -> Result<(Tensor, f64)> {
        let penalties = self.classes.penalties(&fake.sequences)?;
        let mean = penalties.iter().map(|&x| f64::from(x)).sum::<f64>() / penalties.len() as f64;
        let rows = penalties.iter().zip(fake.sequences.lengths());
        let charge =
            |(penalty, &length): (&f32, &usize)| vec![-penalty * self.config.weight; length];
        let mut advantages: Vec<Vec<f32>> = rows.map(charge).collect();
        let log_probs = reinforce::action_log_probs(self.generator.as_ref(), fake)?;
        for (row, log_probs) in advantages.iter_mut().zip(&log_probs) {
            row.iter_mut().zip(log_probs).for_each(|(charge, log_prob)| *charge *= log_prob.exp());
        }
        let value = reinforce::policy_loss(self.generator.as_ref(), fake, &advantages, 0.0)?;
        Ok((value, mean))
    }
}

#[cfg(test)]
mod tests {
    use textgan_models::{
        Discriminator, DiscriminatorConfig, NoiseConfig, RnnDiscriminatorConfig, Sizes,
        build_discriminator, build_generator,
    };

    use super::*;
    use crate::testing::{VOCAB, generator_config};

    /// Draws of a generator for one label.
    fn drawn(generator: &dyn Generator, key: &Key, rows: usize, label: u32) -> Result<Generated> {
        Generated::draw(generator, key, 0, rows, Some(&vec![label; rows]))
    }

    fn game(weight: f32) -> Result<Game> {
        let sizes = Sizes { vocab: VOCAB, labels: 2, max_length: 2 };
        let noise = NoiseConfig { dimension: 0, ..NoiseConfig::default() };
        let (key, device) = (Key::root(3), &Device::Cpu);
        let generator = build_generator(&generator_config(), &noise, &sizes, &key, device)?;
        let config = RnnDiscriminatorConfig { dropout: 0.0, ..RnnDiscriminatorConfig::default() };
        let config = DiscriminatorConfig::Rnn(config);
        let learning: Arc<dyn Discriminator> =
            build_discriminator(&config, &sizes, None, &key, device)?.into();
        let width = config_features(learning.as_ref())?;
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, key, device);
        let linear = Linear::new(&mut builder.child("classes"), &LinearConfig::new(width, 3))?;
        let judges = Judges { frozen: learning.frozen()?.into(), learning: learning.clone() };
        let mut all = Parameters::new();
        all.share("discriminator", learning.parameters())?;
        all.share("head", &parameters)?;
        let head = Arc::new(Head { parameters, linear });
        let classes = Classes { judges, head, labels: 2, parameters: all };
        let config = Sentigan { weight, ..Sentigan::default() };
        Ok(Game { config, generator: generator.into(), classes })
    }

    fn config_features(network: &dyn Discriminator) -> Result<usize> {
        let probe = Sequences::from_samples(&[[4]], &[true], None)?;
        let tokens = Tokens::Hard(probe.targets());
        Ok(whole_features(network, &tokens, &probe, Mode::Evaluate)?.dim(1)?)
    }

    fn descend(parameters: &Parameters, value: &Tensor, rate: f64) -> Result<()> {
        let gradients = value.backward()?;
        for (name, variable) in parameters.iter() {
            let Some(gradient) = gradients.get(variable) else { panic!("{name}: no gradient") };
            variable.set(&(variable.as_detached_tensor() - (gradient * rate)?)?)?;
        }
        Ok(())
    }

    /// The classes of two labels are learned, and the generator then writes what its label asks for; with a
    /// weight of nothing it does not move.
    #[test]
    fn the_generator_learns_what_a_label_asks_for() -> Result<()> {
        let game = game(1.0)?;
        // Label 0 says 4, label 1 says 5.
        let real = Sequences::from_samples(&[[4], [5], [4], [5]], &[true; 4], Some(&[0, 1, 0, 1]))?;
        let update = Update { learner: 0, key: Key::root(1), real: real.clone() };
        let labels: Vec<u32> = (0..256).map(|row| row % 2).collect();
        let generator = game.generator.as_ref();
        let fake = Generated::draw(generator, &Key::root(5), 0, 256, Some(&labels))?.sequences;
        for _ in 0..150 {
            descend(&game.classes.parameters, &game.classes.loss(&update, &fake)?.value, 0.3)?;
        }
        let told = game.classes.penalties(&real)?;
        assert!(told.iter().all(|&penalty| penalty < 0.4), "{told:?}");
        let crossed = Sequences::from_samples(&[[4], [5]], &[true; 2], Some(&[1, 0]))?;
        assert!(game.classes.penalties(&crossed)?.iter().all(|&penalty| penalty > 0.7));

        // What it writes is charged less and less.
        let charged = |game: &Game| -> Result<f64> {
            let drawn = drawn(game.generator.as_ref(), &Key::root(9), 400, 0)?;
            Ok(game.charged(&drawn)?.1)
        };
        let before = charged(&game)?;
        for step in 0..60 {
            let key = Key::root(5).index(step);
            let fake = Generated::draw(game.generator.as_ref(), &key, 0, 256, Some(&labels))?;
            descend(game.generator.parameters(), &game.charged(&fake)?.0, 2.0)?;
        }
        let after = charged(&game)?;
        assert!(after < before - 0.05, "{before} to {after}");
        let still = self::game(0.0)?;
        let fake = drawn(still.generator.as_ref(), &Key::root(4), 32, 0)?;
        let gradients = still.charged(&fake)?.0.backward()?;
        for (name, variable) in still.generator.parameters().iter() {
            let size = gradients.get(variable).map(|gradient| gradient.abs()?.max_all());
            let size = size.transpose()?.map_or(Ok(0.0), |size| size.to_scalar::<f32>())?;
            assert_eq!(size, 0.0, "{name}");
        }
        Ok(())
    }

    /// `sum_t p(word_t) V` has the gradient that its enumeration has: of one-word texts of one label.
    #[test]
    fn the_charge_is_a_probability() -> Result<()> {
        let game = game(1.0)?;
        let fake = drawn(game.generator.as_ref(), &Key::root(2), 3, 1)?;
        let penalties = game.classes.penalties(&fake.sequences)?;
        let gradients = game.charged(&fake)?.0.backward()?;
        let log_probs = crate::testing::target_log_probs(
            game.generator.as_ref(),
            &fake.context(),
            &fake.sequences,
        )?;
        let weights = Tensor::from_vec(fake.sequences.weights(), log_probs.dims(), &Device::Cpu)?;
        let penalties = Tensor::from_vec(penalties, (3, 1), &Device::Cpu)?;
        let direct = ((log_probs.exp()? * weights)?.broadcast_mul(&penalties)?.sum_all()? / 3.0)?;
        let expected = direct.backward()?;
        for (name, variable) in game.generator.parameters().iter() {
            let (Some(found), Some(expected)) = (gradients.get(variable), expected.get(variable))
            else {
                continue;
            };
            let apart = (found - expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(apart < 1e-5, "{name}: {apart}");
        }
        Ok(())
    }
}
