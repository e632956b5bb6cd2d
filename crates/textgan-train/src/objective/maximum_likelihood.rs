use super::Objective;
use crate::Result;
use crate::config::{MaximumLikelihood, OptimizerConfig, ScheduleConfig};
use crate::game::{Game, Loss, Player, Turn};

impl Objective for MaximumLikelihood {
    fn turns(&self) -> Vec<Player> {
        vec![Player::Generator]
    }

    fn loss(&self, game: &Game<'_>, turn: &Turn) -> Result<Loss> {
        let likelihood = game.likelihood(turn, self.latent.as_ref())?;
        Ok(Loss { facts: likelihood.facts(), value: likelihood.loss, moving_average: None })
    }

    fn optimizer(&self, _: Player) -> (&OptimizerConfig, f64) {
        (&self.optimizer, self.learning_rate)
    }

    fn schedule(&self) -> &ScheduleConfig {
        &self.schedule
    }
}
