//! What is refused before a byte is allocated.

use super::{
    Adversarial, DiscriminatorOnly, Estimator, Judged, MaximumLikelihood, Phase, TrainConfig,
};
use crate::divergence::Divergence;
use crate::{Error, Result};

/// A setting with what is wrong with it, or nothing.
type Problem = std::result::Result<(), String>;

fn require(holds: bool, problem: impl FnOnce() -> String) -> Problem {
    if holds { Ok(()) } else { Err(problem()) }
}

fn positive(key: &str, value: f64) -> Problem {
    require(value > 0.0 && value.is_finite(), || format!("{key} = {value} must be more than 0"))
}

fn at_least_one(key: &str, value: u64) -> Problem {
    require(value >= 1, || format!("{key} = 0 must be at least 1"))
}

impl TrainConfig {
    /// Refuses settings that cannot work, and phases that cannot follow each other; [`train`]
    /// does so too, but a pipeline may want to know before it reads its corpus.
    ///
    /// # Errors
    /// The first problem, with its key and how to put it right.
    ///
    /// [`train`]: crate::train
    pub fn validate(&self, phases: &[Phase], has_discriminator: bool) -> Result<()> {
        self.problem().map_err(|problem| Error::Train { problem })?;
        if phases.is_empty() {
            let problem =
                "there is no [[phase]]; add one with kind = \"maximum-likelihood\"".to_owned();
            return Err(Error::Train { problem });
        }
        let first_latent = phases.iter().find_map(Phase::latent);
        for (number, phase) in phases.iter().enumerate() {
            let check = || -> Problem {
                require(has_discriminator || !phase.needs_discriminator(), || {
                    "it needs a [discriminator] table".to_owned()
                })?;
                if let (Some(first), Some(latent)) = (first_latent, phase.latent()) {
                    require((0.0..=1.0).contains(&latent.prior_share), || {
                        format!("latent.prior_share = {} is outside 0 to 1", latent.prior_share)
                    })?;
                    require(latent.rate >= 0.0, || {
                        format!("latent.rate = {} must not be negative", latent.rate)
                    })?;
                    require(first.encoder == latent.encoder, || {
                        "latent.encoder must be the same in all phases of a run".to_owned()
                    })?;
                }
                let objective = phase.objective();
                for player in objective.turns() {
                    let average = objective.optimizer(player).0.average;
                    require((0.0..1.0).contains(&average), || {
                        format!("the optimizer's average = {average} is outside [0, 1)")
                    })?;
                }
                match phase {
                    Phase::MaximumLikelihood(phase) => phase.problem(),
                    Phase::Discriminator(phase) => phase.problem(),
                    Phase::Adversarial(phase) => phase.problem(),
                }
            };
            check().map_err(|problem| Error::Phase {
                number: number + 1,
                kind: phase.kind(),
                problem,
            })?;
        }
        Ok(())
    }

    fn problem(&self) -> Problem {
        at_least_one("batch_size", self.batch_size as u64)?;
        at_least_one("length_window", self.length_window as u64)?;
        at_least_one("log_every", self.log_every)?;
        at_least_one("checkpoint_every", self.checkpoint_every)?;
        at_least_one("validation_noise", self.validation_noise as u64)?;
        at_least_one("validation_sentences", self.validation_sentences as u64)
    }
}

impl MaximumLikelihood {
    fn problem(&self) -> Problem {
        match (self.epochs, self.steps) {
            (Some(epochs), None) => at_least_one("epochs", epochs)?,
            (None, Some(steps)) => at_least_one("steps", steps)?,
            _ => return Err("give either steps or epochs".to_owned()),
        }
        positive("learning_rate", self.learning_rate)
    }
}

impl DiscriminatorOnly {
    fn problem(&self) -> Problem {
        at_least_one("steps", self.steps)?;
        positive("learning_rate", self.learning_rate)?;
        divergence_problem(self.divergence, self.judged, self.weight_clip)
    }
}

impl Adversarial {
    fn problem(&self) -> Problem {
        at_least_one("steps", self.steps)?;
        at_least_one("discriminator_steps", self.discriminator_steps)?;
        at_least_one("generator_steps", self.generator_steps)?;
        positive("learning_rate", self.learning_rate)?;
        positive("discriminator_learning_rate", self.discriminator_learning_rate)?;
        require(self.anchor >= 0.0, || format!("anchor = {} must not be negative", self.anchor))?;
        require(self.latent.is_none() || self.anchor > 0.0, || {
            "latent belongs to the anchor, and anchor is 0: raise it, or leave latent out"
                .to_owned()
        })?;
        require(self.convergence.samples >= 2, || {
            "convergence.samples must be at least 2".to_owned()
        })?;
        if let Estimator::Gumbel { temperature, .. } = &self.estimator {
            positive("estimator.temperature.start", temperature.start.into())?;
            positive("estimator.temperature.end", temperature.end.into())?;
        }
        if let Estimator::Reinforce { reward, .. } = &self.estimator
            && let Some(search) = reward.monte_carlo
        {
            at_least_one("estimator.reward.monte_carlo.rollouts", search.rollouts as u64)?;
            require((0.0..1.0).contains(&search.lag), || {
                format!("estimator.reward.monte_carlo.lag = {} is outside [0, 1)", search.lag)
            })?;
            require(self.judged == Judged::Whole, || {
                "estimator.reward.monte_carlo completes prefixes, so that whole sentences can be \
                 judged: it needs judged = \"whole\""
                    .to_owned()
            })?;
        }
        divergence_problem(self.divergence, self.judged, self.weight_clip)
    }
}

fn divergence_problem(divergence: Divergence, judged: Judged, weight_clip: f32) -> Problem {
    require(divergence != Divergence::Wasserstein || weight_clip > 0.0, || {
        "divergence = \"wasserstein\" needs weight_clip, such as 0.05".to_owned()
    })?;
    require(divergence != Divergence::Relativistic || judged == Judged::Whole, || {
        "divergence = \"relativistic\" compares sentences in pairs, whose prefixes do not match up: \
         use \"relativistic-average\" with judged = \"prefixes\""
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LatentConfig, MonteCarlo, Reward};

    fn monte_carlo(search: MonteCarlo) -> Estimator {
        Estimator::Reinforce {
            reward: Reward { monte_carlo: Some(search), ..Reward::default() },
            baseline: Default::default(),
            entropy: 0.0,
        }
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let likelihood = |change: fn(&mut MaximumLikelihood)| {
            let mut phase = MaximumLikelihood { steps: Some(1), ..Default::default() };
            change(&mut phase);
            Phase::MaximumLikelihood(phase)
        };
        let adversarial = |change: fn(&mut Adversarial)| {
            let mut phase = Adversarial::default();
            change(&mut phase);
            Phase::Adversarial(phase)
        };
        let cases: Vec<(Vec<Phase>, &str)> = vec![
            (vec![], "no [[phase]]"),
            (vec![likelihood(|p| p.epochs = Some(1))], "either steps or epochs"),
            (vec![likelihood(|p| p.steps = None)], "either steps or epochs"),
            (vec![likelihood(|p| p.learning_rate = f64::NAN)], "learning_rate = NaN"),
            (
                vec![likelihood(|_| ()), adversarial(|p| p.generator_steps = 0)],
                "phase 2 (adversarial): generator_steps",
            ),
            (vec![adversarial(|p| p.divergence = Divergence::Wasserstein)], "weight_clip"),
            (
                vec![adversarial(|p| {
                    (p.divergence, p.judged) = (Divergence::Relativistic, Judged::Prefixes)
                })],
                "relativistic-average",
            ),
            (vec![adversarial(|p| p.latent = Some(LatentConfig::default()))], "anchor is 0"),
            (
                vec![adversarial(|p| {
                    (p.estimator, p.judged) = (monte_carlo(MonteCarlo::default()), Judged::Prefixes)
                })],
                "judged = \"whole\"",
            ),
            (
                vec![adversarial(|p| {
                    p.estimator = monte_carlo(MonteCarlo { rollouts: 0, ..Default::default() })
                })],
                "monte_carlo.rollouts",
            ),
            (
                vec![adversarial(|p| {
                    p.estimator = monte_carlo(MonteCarlo { lag: 1.0, ..Default::default() })
                })],
                "monte_carlo.lag = 1",
            ),
        ];
        let config = TrainConfig::default();
        for (phases, expected) in cases {
            let message = config.validate(&phases, true).expect_err(expected).to_string();
            assert!(message.contains(expected), "{message} lacks {expected}");
        }
        assert!(config.validate(&[likelihood(|_| ())], false).is_ok());
        let message = config
            .validate(&[adversarial(|_| ())], false)
            .expect_err("no discriminator")
            .to_string();
        assert!(message.contains("[discriminator]"), "{message}");
        let config = TrainConfig { batch_size: 0, ..config };
        let message =
            config.validate(&[likelihood(|_| ())], true).expect_err("no batch").to_string();
        assert!(message.contains("[train]: batch_size"), "{message}");
    }
}
