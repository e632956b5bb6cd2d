use std::sync::Arc;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::Generator;

use super::GENERATOR;
use super::discriminator::{Judge, learning_problem};
use super::turns::turns;
use crate::Result;
use crate::algorithm::{Algorithm, Critic, Learner, Loss};
use crate::config::{
    Baseline, DiscriminatorLearning, Judged, OptimizerConfig, Problem, Proximal, at_least_one,
    positive, require,
};
use crate::generated::Generated;
use crate::losses::likelihood::noise;
use crate::losses::returns::{advantages, whiten};
use crate::losses::{Divergence, gumbel, proximal, reinforce};
use crate::memory::StoredText;
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Objective, Opponent, Pace, Plan, Role};
use crate::step::Step;

/// `kind = "textgail"`: generative adversarial imitation learning of text (Wu et al., 2021, arXiv
/// 2004.13796). The discriminator compares a real with a generated text by a softmax over both; a generated
/// text earns the share that the softmax gives it, and the generator moves by proximal policy optimisation.
/// A share of each batch is real text instead, which earns a constant: demonstrations, that grow fewer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Textgail {
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
    /// Updates of the same samples, and how far the generator may move in them.
    pub proximal: Proximal,
    /// The share of a batch that is real text in the first step; it falls in a straight line to 0 in the
    /// last.
    pub demonstrations: f32,
    /// What real text earns.
    pub demonstrated: f32,
    /// What the generator's loss is multiplied by; with 0 it learns nothing.
    pub weight: f32,
    /// What the discriminator is shown, and what keeps it smooth.
    pub discriminator: DiscriminatorLearning,
}

impl Default for Textgail {
    fn default() -> Self {
        Self {
            discriminator_steps: 1,
            learning_rate: 1e-3,
            optimizer: OptimizerConfig::default(),
            discriminator_learning_rate: 1e-3,
            discriminator_optimizer: OptimizerConfig::default(),
            proximal: Proximal { epochs: 1, clip: 0.1 },
            demonstrations: 0.3,
            demonstrated: 2.0,
            weight: 1.0,
            discriminator: DiscriminatorLearning::default(),
        }
    }
}

impl Objective for Textgail {
    fn kind(&self) -> &'static str {
        "textgail"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn opponent(&self) -> Opponent {
        Opponent::Discriminator
    }

    fn check(&self, _: &Plan<'_>) -> Problem {
        turns!(self).check()?;
        at_least_one("proximal.epochs", self.proximal.epochs)?;
        positive("proximal.clip", self.proximal.clip.into())?;
        require((0.0..=1.0).contains(&self.demonstrations), || {
            format!("demonstrations = {} is outside 0 to 1", self.demonstrations)
        })?;
        require(self.weight >= 0.0, || format!("weight = {} must not be negative", self.weight))?;
        learning_problem(&self.discriminator)
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: self.proximal.epochs })
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let (divergence, judged) = (Divergence::Relativistic, Judged::Whole);
        let judge = Judge::new(networks, divergence, judged, self.discriminator)?;
        Ok(Box::new(Game { config: self.clone(), generator: networks.generator(), judge }))
    }
}

/// The game under way.
struct Game {
    config: Textgail,
    generator: Arc<dyn Generator>,
    judge: Judge,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        let [generator, discriminator] =
            turns!(self.config).learners(self.generator.as_ref(), &self.judge);
        // The generator reads real texts too: demonstrations, and those that its own are compared with.
        vec![Learner { sorted: false, ..generator }, discriminator]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let generator = self.generator.as_ref();
        turns!(self.config)
            .teach(&self.judge, step, |step, update| step.sample(update, generator))?;
        if !step.gate_is_open() {
            return Ok(());
        }
        let mut update = step.update(GENERATOR)?;
        let fake = step.sample(&update, generator)?;
        let frozen = &self.judge.networks.frozen;
        let (of_real, of_fake) = (frozen.scores(&update.real)?, frozen.scores(&fake.sequences)?);
        let mut earned = shares(&of_real, &of_fake);
        let mean = earned.iter().map(|&x| f64::from(x)).sum::<f64>() / earned.len() as f64;
        let left = 1.0 - step.number() as f32 / step.steps().saturating_sub(1).max(1) as f32;
        let real = (self.config.demonstrations * left * earned.len() as f32) as usize;
        let imitated = self.with_demonstrations(&fake, &update, real)?;
        earned[..real].fill(self.config.demonstrated);
        let returns = reinforce::of_sentences(&earned, &imitated.sequences);
        let (mut advantages, _) = advantages(&returns, Baseline::LeaveOneOut, None);
        whiten(&mut advantages);
        advantages.iter_mut().flatten().for_each(|advantage| *advantage *= self.config.weight);

        let Proximal { epochs, clip } = self.config.proximal;
        let old = reinforce::action_log_probs(generator, &imitated)?;
        for epoch in 1..=epochs {
            let new = reinforce::action_log_probs(generator, &imitated)?;
            let (weights, clipped) = proximal::surrogate(&advantages, &old, &new, clip);
            let value = reinforce::policy_loss(generator, &imitated, &weights, 0.0)?;
            let share = |name, value| Metric::new(name, value, Unit::Share, Group::Game);
            let metrics = vec![
                share("return", mean).live("return"),
                share("clipped", clipped),
                gumbel::sample_nll(&fake),
            ];
            step.descend(update, Loss::new(value, metrics))?;
            if epoch == epochs {
                break;
            }
            update = step.update(GENERATOR)?;
        }
        Ok(())
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(&self.judge)
    }
}

impl Game {
    /// The samples with the first `count` of them exchanged for real texts, which are read with noise from
    /// its prior.
    fn with_demonstrations(
        &self,
        fake: &Generated,
        update: &crate::algorithm::Update,
        count: usize,
    ) -> Result<Generated> {
        let real = &update.real;
        let generator = self.generator.as_ref();
        let draws: Tensor = noise(generator, &update.key.child("demonstrations"), 0, count)?;
        let mut texts = fake.stored()?;
        for (row, noise) in draws.to_vec2::<f32>()?.into_iter().enumerate() {
            let tokens = real.row(row).to_vec();
            let ended = tokens.len() < real.lengths()[row];
            let label = real.labels().map(|labels| labels[row]);
            texts[row] = StoredText { tokens, ended, label, noise };
        }
        Generated::from_stored(&texts, fake.log_probs.clone())
    }
}

/// `exp f / (exp r + exp f)` of each pair of a real text's logit `r` and a generated one's `f`.
fn shares(real: &[f32], fake: &[f32]) -> Vec<f32> {
    real.iter().zip(fake).map(|(real, fake)| 1.0 / (1.0 + (real - fake).exp())).collect()
}

#[cfg(test)]
mod tests {
    use textgan_models::Sequences;
    use textgan_nn::Parameters;
    use textgan_random::Key;

    use super::*;
    use crate::testing::in_game;

    #[test]
    fn a_text_earns_its_share_and_demonstrations_take_places() -> Result<()> {
        assert_eq!(shares(&[0.0, 3f32.ln()], &[0.0, 0.0]), [0.5, 0.25]);
        in_game(|players| {
            let judge = Judge {
                networks: players.judges.clone(),
                divergence: Divergence::Relativistic,
                judged: Judged::Whole,
                learning: DiscriminatorLearning::default(),
                parameters: Parameters::new(),
            };
            let generator = players.generator.clone();
            let game = Game { config: Textgail::default(), generator, judge };
            let real = Sequences::from_samples(&[vec![4, 5], vec![5], vec![4]], &[true; 3], None)?;
            let update = crate::algorithm::Update { learner: 0, key: Key::root(1), real };
            let fake = Generated::draw(game.generator.as_ref(), &Key::root(2), 0, 3, None)?;
            let mixed = game.with_demonstrations(&fake, &update, 2)?;
            assert_eq!(mixed.sequences.row(0), [4, 5]);
            assert_eq!((mixed.sequences.row(1), mixed.sequences.lengths()[1]), (&[5][..], 2));
            assert_eq!(mixed.sequences.row(2), fake.sequences.row(2));
            assert_eq!(mixed.noise.dims(), fake.noise.dims());
            Ok(())
        })
    }
}
