//! The control of a game: the same game against a discriminator that has learned nothing.

use crate::Result;
use crate::algorithm::{Algorithm, Learner, Measured};
use crate::algorithms::GENERATOR;
use crate::networks::Networks;
use crate::objective::{Declared, Objective, Pace, Plan, Role};
use crate::step::Step;
use textgan_models::Sequences;
use textgan_random::Key;

/// A game whose discriminator has fresh weights and never learns: all that the game gives by itself. What a
/// discriminator has taught is what is lost here.
pub(crate) struct Blind<'a>(pub &'a dyn Objective);

impl Objective for Blind<'_> {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn role(&self) -> Role {
        self.0.role()
    }

    fn check(&self, plan: &Plan<'_>) -> std::result::Result<(), String> {
        self.0.check(plan)
    }

    fn declares(&self) -> Vec<Declared> {
        self.0.declares()
    }

    fn pace(&self) -> Option<Pace> {
        self.0.pace()
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        Ok(Box::new(Blinded(self.0.begin(networks)?)))
    }

    fn settle(&self, networks: &Networks<'_>) -> Result<()> {
        networks.forget_discriminator()
    }
}

/// The game under way. Nobody is told to be right: it has no critic.
struct Blinded(Box<dyn Algorithm>);

impl Algorithm for Blinded {
    fn learners(&self) -> Vec<Learner> {
        let still = |learner: Learner| match learner.name == GENERATOR {
            true => learner,
            false => Learner { learning_rate: 0.0, ..learner },
        };
        self.0.learners().into_iter().map(still).collect()
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        self.0.step(step)
    }

    fn measure(&self, held_out: &[Sequences], key: &Key) -> Result<Measured> {
        self.0.measure(held_out, key)
    }
}
