//! What each kind of phase minimises. The config of a phase is its objective.

mod adversarial;
mod discriminator;
mod gumbel;
mod maximum_likelihood;
mod reinforce;

pub(crate) use discriminator::Accuracy;

use crate::Result;
use crate::config::{OptimizerConfig, Phase, ScheduleConfig};
use crate::game::{Game, Loss, Player, Turn};

/// The losses of a phase and how they are descended.
pub(crate) trait Objective {
    /// Who is updated in a step, in order.
    fn turns(&self) -> Vec<Player>;
    /// What an update descends. It draws from the turn's key alone and changes nothing, so asking
    /// twice gives the same bits.
    fn loss(&self, game: &Game<'_>, turn: &Turn) -> Result<Loss>;
    /// The optimizer of a player, and its full learning rate.
    fn optimizer(&self, player: Player) -> (&OptimizerConfig, f64);
    /// How the learning rates move.
    fn schedule(&self) -> &ScheduleConfig;
    /// Bound on the discriminator's weights after an update, if there is one.
    fn weight_clip(&self) -> Option<f64> {
        None
    }
}

impl Phase {
    /// The phase as an objective.
    pub(crate) fn objective(&self) -> &dyn Objective {
        match self {
            Self::MaximumLikelihood(phase) => phase,
            Self::Discriminator(phase) => phase,
            Self::Adversarial(phase) => phase,
        }
    }
}
