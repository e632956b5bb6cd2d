use textgan_models::Tokens;
use textgan_nn::ops::Relaxation;

use super::discriminator::discriminator_loss;
use super::{Objective, gumbel, reinforce};
use crate::Result;
use crate::config::{Adversarial, Estimator, OptimizerConfig, ScheduleConfig};
use crate::game::{Game, Loss, Player, Turn};

impl Objective for Adversarial {
    fn turns(&self) -> Vec<Player> {
        let discriminator =
            std::iter::repeat_n(Player::Discriminator, self.discriminator_steps as usize);
        discriminator
            .chain(std::iter::repeat_n(Player::Generator, self.generator_steps as usize))
            .collect()
    }

    fn loss(&self, game: &Game<'_>, turn: &Turn) -> Result<Loss> {
        match turn.player {
            Player::Discriminator => self.discriminator_loss(game, turn),
            Player::Generator => self.generator_loss(game, turn),
        }
    }

    fn optimizer(&self, player: Player) -> (&OptimizerConfig, f64) {
        match player {
            Player::Generator => (&self.optimizer, self.learning_rate),
            Player::Discriminator => {
                (&self.discriminator_optimizer, self.discriminator_learning_rate)
            }
        }
    }

    fn schedule(&self) -> &ScheduleConfig {
        &self.schedule
    }

    fn weight_clip(&self) -> Option<f64> {
        (self.weight_clip > 0.0).then_some(self.weight_clip.into())
    }
}

impl Adversarial {
    /// Generated sentences are read as the generator's turn will show them: as words, or as
    /// mixtures of words where the relaxation is soft.
    fn discriminator_loss(&self, game: &Game<'_>, turn: &Turn) -> Result<Loss> {
        let fresh =
            game.fresh(&turn.key.child("fresh"), 0, turn.real.batch(), turn.real.labels())?;
        let soft = match &self.estimator {
            Estimator::Gumbel { relaxation: Relaxation::Soft, temperature } => {
                let temperature = temperature.at(turn.step, turn.steps);
                let mixtures = gumbel::relax(
                    game,
                    &fresh,
                    Relaxation::Soft,
                    temperature,
                    &turn.key.child("gumbel"),
                )?;
                Some(mixtures.detach())
            }
            _ => None,
        };
        let fake = match &soft {
            Some(mixtures) => Tokens::Soft(mixtures),
            None => Tokens::Hard(fresh.sequences.targets()),
        };
        discriminator_loss(game, turn, &fresh, &fake, self.divergence, self.judged)
    }

    fn generator_loss(&self, game: &Game<'_>, turn: &Turn) -> Result<Loss> {
        let fresh =
            game.fresh(&turn.key.child("fresh"), 0, turn.real.batch(), turn.real.labels())?;
        let mut loss = match &self.estimator {
            Estimator::Gumbel { relaxation, temperature } => {
                let temperature = temperature.at(turn.step, turn.steps);
                gumbel::loss(
                    game,
                    turn,
                    &fresh,
                    *relaxation,
                    temperature,
                    self.divergence,
                    self.judged,
                )?
            }
            Estimator::Reinforce { reward, baseline, entropy } => {
                reinforce::loss(game, turn, &fresh, reward, *baseline, *entropy, self.judged)?
            }
        };
        if self.anchor > 0.0 {
            let anchor = game.likelihood(turn, self.latent.as_ref())?;
            loss.facts.extend(anchor.facts());
            loss.value = (loss.value + (anchor.loss * f64::from(self.anchor))?)?;
        }
        Ok(loss)
    }
}
