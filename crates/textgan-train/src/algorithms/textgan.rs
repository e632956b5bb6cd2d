use std::sync::Arc;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{Discriminator, Generator, Sequences, Tokens};
use textgan_nn::Mode;
use textgan_nn::ops::Relaxation;

use super::discriminator::{Judge, learning_problem};
use super::turns::turns;
use super::{DISCRIMINATOR, GENERATOR};
use crate::Result;
use crate::algorithm::{Algorithm, Critic, Learner, Loss};
use crate::config::{
    DiscriminatorLearning, Judged, OptimizerConfig, Problem, Temperature, positive, require,
};
use crate::losses::mmd::squared_mmd;
use crate::losses::{Divergence, gumbel, weighed};
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Objective, Opponent, Pace, Plan, Role};
use crate::step::Step;

/// `kind = "textgan"`: adversarial feature matching (Zhang et al., 2017, arXiv 1706.03850). The generator
/// minimises the squared maximum mean discrepancy between the discriminator's features of real and of
/// generated texts, through the Gumbel softmax of its words; the discriminator learns to tell them, and to
/// keep their features apart: its loss less `matching` times that discrepancy. Without the paper's
/// reconstruction of a latent code, which noise with an encoder has in likelihood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Textgan {
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
    /// What the discrepancy counts in the discriminator's loss.
    pub matching: f32,
    /// Temperature of the relaxation.
    pub temperature: Temperature,
    /// What the generator's loss is multiplied by; with 0 it learns nothing.
    pub weight: f32,
    /// What keeps the discriminator smooth.
    pub discriminator: DiscriminatorLearning,
}

impl Default for Textgan {
    fn default() -> Self {
        Self {
            discriminator_steps: 1,
            learning_rate: 1e-3,
            optimizer: OptimizerConfig::default(),
            discriminator_learning_rate: 1e-3,
            discriminator_optimizer: OptimizerConfig::default(),
            matching: 0.1,
            temperature: Temperature::default(),
            weight: 1.0,
            discriminator: DiscriminatorLearning::default(),
        }
    }
}

impl Objective for Textgan {
    fn kind(&self) -> &'static str {
        "textgan"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn opponent(&self) -> Opponent {
        Opponent::Discriminator
    }

    fn check(&self, _: &Plan<'_>) -> Problem {
        turns!(self).check()?;
        positive("temperature.start", self.temperature.start.into())?;
        positive("temperature.end", self.temperature.end.into())?;
        for (key, value) in [("matching", self.matching), ("weight", self.weight)] {
            require(value >= 0.0, || format!("{key} = {value} must not be negative"))?;
        }
        require(self.discriminator.replay == 0.0, || {
            "discriminator.replay keeps words, and this discriminator reads mixtures of words: leave it out"
                .to_owned()
        })?;
        learning_problem(&self.discriminator)
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: 1 })
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let (divergence, judged) = (Divergence::NonSaturating, Judged::Whole);
        let judge = Judge::new(networks, divergence, judged, self.discriminator)?;
        Ok(Box::new(Game { config: self.clone(), generator: networks.generator(), judge }))
    }
}

/// The game under way.
struct Game {
    config: Textgan,
    generator: Arc<dyn Generator>,
    judge: Judge,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        let [generator, discriminator] =
            turns!(self.config).learners(self.generator.as_ref(), &self.judge);
        // The generator reads real texts too: those whose features it matches.
        vec![Learner { sorted: false, ..generator }, discriminator]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let generator = self.generator.as_ref();
        let temperature = step.temperature(self.config.temperature);
        let embedding = self.judge.networks.frozen.embedding();
        let relax = |fake: &crate::generated::Generated, key: &textgan_random::Key| {
            let key = key.child("gumbel");
            gumbel::relax(generator, embedding, fake, Relaxation::Soft, temperature, &key)
        };
        for _ in 0..self.config.discriminator_steps {
            let mut update = step.update(DISCRIMINATOR)?;
            let fresh = step.sample(&update, generator)?;
            let mixtures = relax(&fresh, &update.key)?.detach();
            let fake = self.judge.shown(step, &mut update, fresh)?;
            let mut loss = self.judge.loss(&update, &fake, &Tokens::Soft(&mixtures))?;
            if self.config.matching > 0.0 {
                let network = self.judge.networks.learning.as_ref();
                let apart = self.discrepancy(network, &update.real, &mixtures, &fake)?;
                loss.value = (loss.value - (apart * f64::from(self.config.matching))?)?;
            }
            step.descend(update, loss)?;
        }
        if !step.gate_is_open() {
            return Ok(());
        }
        let update = step.update(GENERATOR)?;
        let fake = step.sample(&update, generator)?;
        let mixtures = relax(&fake, &update.key)?;
        let network = self.judge.networks.frozen.as_ref();
        let apart = self.discrepancy(network, &update.real, &mixtures, &fake.sequences)?;
        let value = f64::from(apart.to_scalar::<f32>()?);
        let metrics = vec![
            Metric::new("feature_mmd", value, Unit::Plain, Group::Game).live("MMD"),
            gumbel::sample_nll(&fake),
        ];
        let loss = weighed(&apart, self.config.weight)?;
        step.descend(update, Loss::new(loss, metrics))
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(&self.judge)
    }
}

impl Game {
    /// The squared maximum mean discrepancy of the features of real texts and of mixtures of words.
    fn discrepancy(
        &self,
        network: &dyn Discriminator,
        real: &Sequences,
        mixtures: &Tensor,
        fake: &Sequences,
    ) -> Result<Tensor> {
        let of = |tokens: &Tokens<'_>, texts: &Sequences| {
            super::whole_features(network, tokens, texts, Mode::Evaluate)
        };
        squared_mmd(&of(&Tokens::Hard(real.targets()), real)?, &of(&Tokens::Soft(mixtures), fake)?)
    }
}

#[cfg(test)]
mod tests {
    use textgan_nn::Parameters;
    use textgan_random::Key;

    use super::*;
    use crate::generated::Generated;
    use crate::testing::in_game;

    /// The generator hears of the features through its words, and not with nothing to hear.
    #[test]
    fn the_generator_descends_the_discrepancy() -> Result<()> {
        in_game(|players| {
            let judge = Judge {
                networks: players.judges.clone(),
                divergence: Divergence::NonSaturating,
                judged: Judged::Whole,
                learning: DiscriminatorLearning::default(),
                parameters: Parameters::new(),
            };
            let generator = players.generator.clone();
            let game = Game { config: Textgan::default(), generator, judge };
            let real = Sequences::from_samples(&[[4, 4]; 256], &[true; 256], None)?;
            let draw = || -> Result<(Generated, Tensor)> {
                let key = Key::root(3);
                let fake = Generated::draw(game.generator.as_ref(), &key, 0, 256, None)?;
                let embedding = game.judge.networks.frozen.embedding();
                let soft = Relaxation::Soft;
                let mixtures =
                    gumbel::relax(game.generator.as_ref(), embedding, &fake, soft, 1.0, &key)?;
                Ok((fake, mixtures))
            };
            let (fake, mixtures) = draw()?;
            let network = game.judge.networks.frozen.as_ref();
            let before = game.discrepancy(network, &real, &mixtures, &fake.sequences)?;
            let gradients = before.backward()?;
            for (name, variable) in game.generator.parameters().iter() {
                let Some(gradient) = gradients.get(variable) else {
                    panic!("{name} has no gradient")
                };
                variable.set(&(variable.as_detached_tensor() - (gradient * 0.3)?)?)?;
            }
            let (fake, mixtures) = draw()?;
            let after = game.discrepancy(network, &real, &mixtures, &fake.sequences)?;
            let (before, after) = (before.to_scalar::<f32>()?, after.to_scalar::<f32>()?);
            assert!(after < before, "{before} to {after}");
            Ok(())
        })
    }
}
