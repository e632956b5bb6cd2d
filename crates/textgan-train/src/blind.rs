//! The control of a game: the same game against a discriminator that has learned nothing.

use crate::Result;
use crate::algorithm::{Algorithm, Learner, Measured};
use crate::networks::Networks;
use crate::objective::{Declared, Objective, Pace, Plan, Role};
use crate::step::Step;
use std::collections::HashSet;
use std::sync::Arc;
use textgan_models::{Generator, Sequences};
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
        let generator = networks.generator();
        Ok(Box::new(Blinded {
            game: networks.blindly(|networks| self.0.begin(networks))?,
            generator,
        }))
    }

    fn settle(&self, networks: &Networks<'_>) -> Result<()> {
        networks.forget_discriminator()
    }
}

/// The game under way. Nobody is told to be right: it has no critic.
struct Blinded {
    game: Box<dyn Algorithm>,
    generator: Arc<dyn Generator>,
}

impl Algorithm for Blinded {
    fn learners(&self) -> Vec<Learner> {
        // Who moves no weight of the generator stands still.
        let own: HashSet<_> = self.generator.parameters().iter().map(|(_, v)| v.id()).collect();
        let still = |mut learner: Learner| {
            if !learner.parameters.iter().any(|(_, v)| own.contains(&v.id())) {
                learner.learning_rate = 0.0;
            }
            learner
        };
        self.game.learners().into_iter().map(still).collect()
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        self.game.step(step)
    }

    fn measure(&self, held_out: &[Sequences], key: &Key) -> Result<Measured> {
        self.game.measure(held_out, key)
    }
}
