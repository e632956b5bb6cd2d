//! What is refused before a byte is allocated.

use super::{PhaseSettings, TrainConfig};
use crate::controls;
use crate::objective::{Declared, Opponent, Plan, Role};
use crate::{Error, Result};

/// A setting with what is wrong with it, or nothing.
pub(crate) type Problem = std::result::Result<(), String>;

pub(crate) fn require(holds: bool, problem: impl FnOnce() -> String) -> Problem {
    if holds { Ok(()) } else { Err(problem()) }
}

pub(crate) fn positive(key: &str, value: f64) -> Problem {
    require(value > 0.0 && value.is_finite(), || format!("{key} = {value} must be more than 0"))
}

pub(crate) fn at_least_one(key: &str, value: u64) -> Problem {
    require(value >= 1, || format!("{key} = 0 must be at least 1"))
}

impl Plan<'_> {
    /// Refuses settings that cannot work, and phases that cannot follow each other.
    pub(crate) fn check(&self) -> Result<()> {
        self.train.problem().map_err(|problem| Error::Train { problem })?;
        if self.phases.is_empty() {
            let problem =
                "there is no [[phase]]; add one with kind = \"maximum-likelihood\"".to_owned();
            return Err(Error::Train { problem });
        }
        let cross_fit = self.phases.iter().filter(|phase| phase.settings.cross_fit).count();
        if cross_fit != 0 && cross_fit != self.phases.len() {
            let problem = "cross_fit must be the same in all phases: a network that has read all of the text \
                           in one phase is not kept from its other half in the next"
                .to_owned();
            return Err(Error::Train { problem });
        }
        let mut declared: Vec<Declared> = Vec::new();
        for (number, phase) in self.phases.iter().enumerate() {
            let mut check = || -> Problem {
                phase.settings.problem(phase.objective.role())?;
                let (texts, replicas) = (self.train.batch_size, self.train.replicas);
                let is_game = phase.objective.role() == Role::Game;
                require(replicas == 1 || !is_game || texts / replicas >= 2, || {
                    format!(
                        "a game compares the texts of a replica's part, and train.replicas = {replicas} leaves one: \
                         give at most half of train.batch_size = {texts}"
                    )
                })?;
                let opponent = phase.objective.opponent();
                require(
                    opponent != Opponent::Discriminator || self.discriminator.is_some(),
                    || "it needs a [discriminator] table".to_owned(),
                )?;
                phase.objective.check(self)?;
                for network in phase.objective.declares() {
                    match declared.iter().find(|other| other.name == network.name) {
                        Some(other) => require(*other == network, || {
                            format!("the {} must be the same in all phases of a run", network.name)
                        })?,
                        None => declared.push(network),
                    }
                }
                Ok(())
            };
            let kind = phase.objective.kind();
            check().map_err(|problem| Error::Phase { number, kind, problem })?;
        }
        controls::of(self).map_err(|problem| Error::Train { problem })?;
        Ok(())
    }
}

impl TrainConfig {
    fn problem(&self) -> Problem {
        at_least_one("batch_size", self.batch_size as u64)?;
        at_least_one("replicas", self.replicas as u64)?;
        require(self.replicas <= self.batch_size, || {
            format!(
                "replicas = {} are more than the {} texts of a batch",
                self.replicas, self.batch_size
            )
        })?;
        at_least_one("length_window", self.length_window as u64)?;
        at_least_one("log_every", self.log_every)?;
        at_least_one("checkpoint_every", self.checkpoint_every)?;
        at_least_one("validation_noise", self.validation_noise as u64)?;
        at_least_one("validation_sentences", self.validation_sentences as u64)
    }
}

impl PhaseSettings {
    fn problem(&self, role: Role) -> Problem {
        match (self.epochs, self.steps) {
            (Some(epochs), None) => at_least_one("epochs", epochs)?,
            (None, Some(steps)) => at_least_one("steps", steps)?,
            _ => return Err("give either steps or epochs".to_owned()),
        }
        if let Some(converge) = &self.converge {
            require(role == Role::Generator, || {
                "converge is for phases in which the generator learns by itself".to_owned()
            })?;
            require(self.evaluation.patience == 0, || {
                "converge and evaluation.patience both say when the phase ends: give one".to_owned()
            })?;
            positive("converge.improvement", converge.improvement)?;
            at_least_one("converge.rounds", converge.rounds.into())?;
            require(converge.rounds <= 16, || {
                format!(
                    "converge.rounds = {}: each doubles the phase; give at most 16",
                    converge.rounds
                )
            })?;
        }
        require(role != Role::Game || self.evaluation.samples >= 2, || {
            "evaluation.samples must be at least 2".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use textgan_models::{DiscriminatorConfig, GeneratorConfig, NoiseConfig};
    use textgan_nn::ops::Relaxation;

    use super::*;
    use crate::config::{
        Adversarial, Estimator, Judged, LatentConfig, MaximumLikelihood, MonteCarlo, Phase,
        Proximal, Reward,
    };
    use crate::losses::Divergence;
    use crate::{BuiltIn, Recipe};

    fn monte_carlo(search: MonteCarlo) -> Estimator {
        Estimator::Reinforce {
            reward: Reward { monte_carlo: Some(search), ..Reward::default() },
            baseline: Default::default(),
            entropy: 0.0,
            proximal: None,
        }
    }

    fn refusal(train: &TrainConfig, phases: &[Phase], discriminator: bool) -> Option<String> {
        let discriminator_config = DiscriminatorConfig::default();
        let recipe = Recipe {
            train,
            phases,
            noise: &NoiseConfig::default(),
            generator: &GeneratorConfig::default(),
            discriminator: discriminator.then_some(&discriminator_config),
        };
        recipe.check().err().map(|error| error.to_string())
    }

    fn likelihood(change: fn(&mut PhaseSettings, &mut MaximumLikelihood)) -> Phase {
        let (mut settings, mut objective) =
            (PhaseSettings { steps: Some(1), ..Default::default() }, Default::default());
        change(&mut settings, &mut objective);
        Phase { settings, objective: objective.into() }
    }

    fn adversarial(change: fn(&mut Adversarial)) -> Phase {
        let mut objective = Adversarial::default();
        change(&mut objective);
        Phase::<BuiltIn>::of_steps(1, objective)
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let cases: Vec<(Vec<Phase>, &str)> = vec![
            (vec![], "no [[phase]]"),
            (vec![likelihood(|s, _| s.epochs = Some(1))], "either steps or epochs"),
            (vec![likelihood(|s, _| s.steps = None)], "either steps or epochs"),
            (vec![likelihood(|_, p| p.learning_rate = f64::NAN)], "learning_rate = NaN"),
            (
                vec![likelihood(|_, _| ()), adversarial(|p| p.generator_steps = 0)],
                "phase.1 (adversarial): generator_steps",
            ),
            (vec![likelihood(|s, _| s.cross_fit = true), likelihood(|_, _| ())], "cross_fit"),
            (vec![adversarial(|p| p.divergence = Divergence::Wasserstein)], "weight_clip"),
            (
                vec![adversarial(|p| {
                    (p.divergence, p.judged) = (Divergence::Relativistic, Judged::Prefixes)
                })],
                "relativistic-average",
            ),
            (vec![adversarial(|p| p.latent = Some(LatentConfig::default()))], "anchor is 0"),
            (vec![adversarial(|p| p.reference = -1.0)], "reference = -1"),
            (vec![adversarial(|p| p.discriminator.replay = 1.0)], "discriminator.replay = 1"),
            (vec![adversarial(|p| p.discriminator.r2 = f32::NAN)], "discriminator.r2 = NaN"),
            (
                vec![adversarial(|p| {
                    p.discriminator.replay = 0.5;
                    p.estimator = Estimator::Gumbel {
                        relaxation: Relaxation::Soft,
                        temperature: Default::default(),
                    };
                })],
                "leave one of them out",
            ),
            (
                vec![adversarial(|p| {
                    p.estimator = Estimator::Reinforce {
                        reward: Reward::default(),
                        baseline: Default::default(),
                        entropy: 0.0,
                        proximal: Some(Proximal { epochs: 0, clip: 0.2 }),
                    }
                })],
                "proximal.epochs",
            ),
            (
                vec![likelihood(|_, p| {
                    p.latent = Some(LatentConfig { learn: false, ..LatentConfig::default() });
                })],
                "latent.learn = false",
            ),
            (
                vec![
                    likelihood(|_, p| p.latent = Some(LatentConfig::default())),
                    likelihood(|_, p| {
                        let mut latent = LatentConfig::default();
                        latent.encoder.width += 1;
                        p.latent = Some(latent);
                    }),
                ],
                "phase.1 (maximum-likelihood): the latent.encoder must be the same",
            ),
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
        let bounded = adversarial(|p| {
            p.divergence = Divergence::Wasserstein;
            p.discriminator.spectral_norm = 1.0;
        });
        assert_eq!(refusal(&TrainConfig::default(), &[bounded], true), None);
        let config = TrainConfig::default();
        for (phases, expected) in cases {
            let message = refusal(&config, &phases, true).expect(expected);
            assert!(message.contains(expected), "{message} lacks {expected}");
        }
        assert_eq!(refusal(&config, &[likelihood(|_, _| ())], false), None);
        let message = refusal(&config, &[adversarial(|_| ())], false).expect("no discriminator");
        assert!(message.contains("[discriminator]"), "{message}");
        let config = TrainConfig { batch_size: 0, ..config };
        let message = refusal(&config, &[likelihood(|_, _| ())], true).expect("no batch");
        assert!(message.contains("[train]: batch_size"), "{message}");
    }
}
