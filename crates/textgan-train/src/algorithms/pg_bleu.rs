use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_metrics::References;
use textgan_models::Generator;

use super::{GENERATOR, generator_learner, optimizer_problem};
use crate::algorithm::{Algorithm, Learner, Loss};
use crate::config::{Baseline, OptimizerConfig, Problem, positive, require};
use crate::losses::gumbel::sample_nll;
use crate::losses::reinforce;
use crate::losses::returns::advantages;
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Objective, Pace, Plan, Role};
use crate::step::Step;
use crate::{Error, Result};

/// `kind = "pg-bleu"`: the policy gradient of a sample's BLEU against real text, without any discriminator
/// (a baseline of Yu et al., 2017, arXiv 1609.05473): what a reward that is easily exploited gives. A whole
/// text earns its BLEU; what the other texts of the batch earn is subtracted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PgBleu {
    /// Full learning rate.
    pub learning_rate: f64,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// The longest n-grams that count.
    pub n: usize,
    /// Texts of the training split that are references, from its beginning on.
    pub references: usize,
    /// What the loss is multiplied by; with 0 nothing is learned.
    pub weight: f32,
}

impl Default for PgBleu {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            optimizer: OptimizerConfig::default(),
            n: 4,
            references: 500,
            weight: 1.0,
        }
    }
}

impl Objective for PgBleu {
    fn kind(&self) -> &'static str {
        "pg-bleu"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn check(&self, _: &Plan<'_>) -> Problem {
        positive("learning_rate", self.learning_rate)?;
        require((1..=5).contains(&self.n), || format!("n = {} is outside 1 to 5", self.n))?;
        require(self.references > 0, || "references = 0 gives nothing to earn".to_owned())?;
        require(self.weight >= 0.0, || format!("weight = {} must not be negative", self.weight))?;
        optimizer_problem(&self.optimizer)
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: 1 })
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let train = networks.data().train;
        let texts: Vec<&[u32]> =
            train.iter().take(self.references).map(|row| row.tokens.as_slice()).collect();
        let references = References::new(&texts, self.n)
            .map_err(|error| Error::Train { problem: format!("references: {error}") })?;
        Ok(Box::new(Earning { config: self.clone(), generator: networks.generator(), references }))
    }
}

/// The phase under way.
struct Earning {
    config: PgBleu,
    generator: Arc<dyn Generator>,
    references: References,
}

impl Algorithm for Earning {
    fn learners(&self) -> Vec<Learner> {
        let PgBleu { optimizer, learning_rate, .. } = &self.config;
        vec![generator_learner(self.generator.as_ref(), optimizer, *learning_rate)]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let update = step.update(GENERATOR)?;
        let generator = self.generator.as_ref();
        let fake = step.sample(&update, generator)?;
        let earned = self.earned(&fake.sequences)?;
        let returns = reinforce::of_sentences(&earned, &fake.sequences);
        let (mut advantages, _) = advantages(&returns, Baseline::LeaveOneOut, None);
        advantages.iter_mut().flatten().for_each(|advantage| *advantage *= self.config.weight);
        let value = reinforce::policy_loss(generator, &fake, &advantages, 0.0)?;
        let mean = earned.iter().map(|&x| f64::from(x)).sum::<f64>() / earned.len() as f64;
        let metric = Metric::new("bleu", mean, Unit::Share, Group::Game).live("BLEU");
        step.descend(update, Loss::new(value, vec![metric, sample_nll(&fake)]))
    }
}

impl Earning {
    /// The BLEU of each text; an empty one earns nothing.
    fn earned(&self, texts: &textgan_models::Sequences) -> Result<Vec<f32>> {
        let rows: Vec<&[u32]> = (0..texts.batch()).map(|row| texts.row(row)).collect();
        let scores = self
            .references
            .score(&rows)
            .map_err(|error| Error::Train { problem: format!("BLEU of samples: {error}") })?;
        Ok((0..rows.len()).map(|row| scores.sentence(row)[self.config.n - 1] as f32).collect())
    }
}

#[cfg(test)]
mod tests {
    use textgan_models::Sequences;

    use super::*;
    use crate::testing::in_game;

    /// Two of three words are in the reference and one of two pairs: BLEU-2 of `sqrt(2/3 * 1/2)`.
    #[test]
    fn a_text_earns_its_bleu() -> Result<()> {
        in_game(|game| {
            let references = References::new(&[vec![4u32, 5, 4]], 2);
            let Ok(references) = references else { panic!("references") };
            let config = PgBleu { n: 2, ..PgBleu::default() };
            let game = Earning { config, generator: game.generator.clone(), references };
            let texts = [vec![4, 5, 4], vec![4, 5, 1], vec![]];
            let texts = Sequences::from_samples(&texts, &[true; 3], None)?;
            let earned = game.earned(&texts)?;
            assert!((earned[0] - 1.0).abs() < 1e-6 && earned[2] == 0.0, "{earned:?}");
            assert!((earned[1] - (1.0f32 / 3.0).sqrt()).abs() < 1e-6, "{earned:?}");
            Ok(())
        })
    }
}
