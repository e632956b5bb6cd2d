use textgan_models::{Generator, Tokens};

use super::discriminator::Judge;
use super::{DISCRIMINATOR, generator_learner, optimizer_problem};
use crate::Result;
use crate::algorithm::{Learner, Update};
use crate::config::{OptimizerConfig, Problem, at_least_one, positive};
use crate::generated::Generated;
use crate::step::Step;

/// Generator and discriminator that take turns: the settings that the configs of such games have in common, which
/// `turns!(config)` takes from one.
pub(super) struct Turns<'a> {
    pub learning_rate: f64,
    pub optimizer: &'a OptimizerConfig,
    pub discriminator_steps: u64,
    pub discriminator_learning_rate: f64,
    pub discriminator_optimizer: &'a OptimizerConfig,
}

macro_rules! turns {
    ($config:expr) => {
        crate::algorithms::turns::Turns {
            learning_rate: $config.learning_rate,
            optimizer: &$config.optimizer,
            discriminator_steps: $config.discriminator_steps,
            discriminator_learning_rate: $config.discriminator_learning_rate,
            discriminator_optimizer: &$config.discriminator_optimizer,
        }
    };
}
pub(super) use turns;

impl Turns<'_> {
    /// What is wrong with them.
    pub fn check(&self) -> Problem {
        at_least_one("discriminator_steps", self.discriminator_steps)?;
        positive("learning_rate", self.learning_rate)?;
        positive("discriminator_learning_rate", self.discriminator_learning_rate)?;
        optimizer_problem(self.optimizer)?;
        optimizer_problem(self.discriminator_optimizer)
    }

    /// Those that learn: the generator, and the discriminator of `judge`.
    pub fn learners(&self, generator: &dyn Generator, judge: &Judge) -> [Learner; 2] {
        [
            generator_learner(generator, self.optimizer, self.learning_rate),
            judge.learner(self.discriminator_optimizer, self.discriminator_learning_rate),
        ]
    }

    /// The discriminator's turn: it learns to tell real texts from those that `write` gives for an update.
    pub fn teach(
        &self,
        judge: &Judge,
        step: &mut Step<'_, '_>,
        mut write: impl FnMut(&mut Step<'_, '_>, &Update) -> Result<Generated>,
    ) -> Result<()> {
        for _ in 0..self.discriminator_steps {
            let mut update = step.update(DISCRIMINATOR)?;
            let fresh = write(step, &update)?;
            let fake = judge.shown(step, &mut update, fresh)?;
            let loss = judge.loss(&update, &fake, &Tokens::Hard(fake.targets()))?;
            step.descend(update, loss)?;
        }
        Ok(())
    }
}
