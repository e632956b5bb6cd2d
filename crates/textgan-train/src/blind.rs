//! The control of a game: the same game against a discriminator that has learned nothing.

use crate::Result;
use crate::algorithm::{Algorithm, Learner, Measured};
use crate::networks::Networks;
use crate::objective::{Declared, Objective, Pace, Plan, Role};
use crate::step::Step;
use candle_core::TensorId;
use std::collections::HashSet;
use textgan_models::{Sequences, Sizes};
use textgan_nn::Parameters;
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

    fn declared_parameters(&self, plan: &Plan<'_>, sizes: &Sizes) -> Result<u64> {
        self.0.declared_parameters(plan, sizes)
    }

    fn pace(&self) -> Option<Pace> {
        self.0.pace()
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let game = networks.blindly(|networks| self.0.begin(networks))?;
        let of =
            |parameters: &Parameters| parameters.iter().map(|(_, v)| v.id()).collect::<Vec<_>>();
        let mut writes: HashSet<_> = of(networks.generator().parameters()).into_iter().collect();
        // Copies of the generator write too.
        networks.passing().for_each(|(_, parameters)| writes.extend(of(parameters)));
        Ok(Box::new(Blinded { game, writes }))
    }

    fn settle(&self, networks: &Networks<'_>) -> Result<()> {
        networks.forget_discriminator()
    }
}

/// The game under way. Nobody is told to be right: it has no critic.
struct Blinded {
    game: Box<dyn Algorithm>,
    /// The weights of what writes.
    writes: HashSet<TensorId>,
}

impl Algorithm for Blinded {
    fn learners(&self) -> Vec<Learner> {
        // Who moves no weight of what writes stands still.
        let still = |mut learner: Learner| {
            let writes = learner.parameters.iter().any(|(_, v)| self.writes.contains(&v.id()));
            if !writes && !learner.learns_blind {
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
