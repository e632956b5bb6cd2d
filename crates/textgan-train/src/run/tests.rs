use textgan_artifact::Quiet;
use textgan_models::{DiscriminatorConfig, GeneratorConfig, NoiseConfig};
use textgan_nn::Parameters;
use textgan_random::Key;

use super::{Current, Run};
use crate::algorithm::{Algorithm, Learner, Loss};
use crate::config::{Adversarial, Estimator, OptimizerConfig, Phase, PhaseSettings, TrainConfig};
use crate::data::Rows;
use crate::networks::Networks;
use crate::objective::{Objective, Plan, PlannedPhase, Role};
use crate::step::Step;
use crate::testing::{generator_config, with_data};
use crate::{Error, Result};

/// Runs `test` inside the first phase of a run of `objective`.
fn in_phase(
    objective: &dyn Objective,
    settings: &PhaseSettings,
    test: impl for<'a> FnOnce(&mut Run<'a>, Current<'a>) -> Result<()>,
) -> Result<()> {
    with_replicas(1, objective, settings, test)
}

/// The same with so many replicas.
fn with_replicas(
    replicas: usize,
    objective: &dyn Objective,
    settings: &PhaseSettings,
    test: impl for<'a> FnOnce(&mut Run<'a>, Current<'a>) -> Result<()>,
) -> Result<()> {
    fn inside<'a>(
        run: &mut Run<'a>,
        test: impl FnOnce(&mut Run<'a>, Current<'a>) -> Result<()>,
    ) -> Result<()> {
        let Some(phase) = run.enter_phase()? else { panic!("a phase") };
        test(run, phase)
    }
    with_data(|data| {
        let folder = tempfile::tempdir().expect("a folder");
        let (train, generator) =
            (TrainConfig { batch_size: 4, replicas, ..TrainConfig::default() }, generator_config());
        let (noise, discriminator) = (
            NoiseConfig { dimension: 2, ..NoiseConfig::default() },
            DiscriminatorConfig::default(),
        );
        let plan = plan(&train, &noise, &generator, &discriminator, objective, settings);
        let key = Key::root(1);
        let mut run = Run::begin(&plan, Vec::new(), data, &key, folder.path().into(), &Quiet)?;
        inside(&mut run, test)
    })
}

fn plan<'a>(
    train: &'a TrainConfig,
    noise: &'a NoiseConfig,
    generator: &'a GeneratorConfig,
    discriminator: &'a DiscriminatorConfig,
    objective: &'a dyn Objective,
    settings: &'a PhaseSettings,
) -> Plan<'a> {
    let phases = vec![PlannedPhase { settings, objective, control: None }];
    Plan { train, phases, noise, generator, discriminator: Some(discriminator) }
}

fn steps(steps: u64) -> PhaseSettings {
    PhaseSettings { steps: Some(steps), ..PhaseSettings::default() }
}

fn bits(parameters: &Parameters) -> Result<Vec<u32>> {
    let mut bits = Vec::new();
    for (_, variable) in parameters.iter() {
        bits.extend(variable.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f32::to_bits));
    }
    Ok(bits)
}

/// Moves the generator by the gradients of a loss that reads the discriminator's weights too.
struct Meddling;

impl Objective for Meddling {
    fn kind(&self) -> &'static str {
        "meddling"
    }

    fn role(&self) -> Role {
        Role::Generator
    }

    fn check(&self, _: &Plan<'_>) -> std::result::Result<(), String> {
        Ok(())
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let weights = networks.generator().parameters().clone();
        let others = networks.discriminator()?.learning.parameters().clone();
        Ok(Box::new(Meddler { weights, others }))
    }
}

struct Meddler {
    weights: Parameters,
    others: Parameters,
}

impl Algorithm for Meddler {
    fn learners(&self) -> Vec<Learner> {
        let (weights, optimizer) = (self.weights.clone(), OptimizerConfig::default());
        vec![Learner::new("generator", weights, &optimizer, 1e-2, Rows::Generator)]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let update = step.update("generator")?;
        let mut value = candle_core::Tensor::new(0f32, &candle_core::Device::Cpu)?;
        for (_, variable) in self.weights.iter().chain(self.others.iter()) {
            value = (value + variable.sqr()?.sum_all()?)?;
        }
        if step.number() == 1 {
            value = (value * f64::NAN)?;
        }
        step.descend(update, Loss::new(value, Vec::new()))
    }
}

/// A loss may have gradients in others' weights too; they are not followed. A loss that is no number
/// is refused before the optimizer, and the good checkpoint named.
#[test]
fn an_update_moves_its_own_learner_only_and_never_by_nan() -> Result<()> {
    in_phase(&Meddling, &steps(2), |run, mut phase| {
        let weights = |run: &mut Run<'_>| -> Result<_> {
            let others = run.networks.discriminator()?.learning;
            Ok((bits(run.networks.generator().parameters())?, bits(others.parameters())?))
        };
        let before = weights(run)?;
        run.step(&mut phase)?;
        let after = weights(run)?;
        assert!(before.0 != after.0 && before.1 == after.1);

        let error = run.step(&mut phase).expect_err("not finite");
        let Error::NonFinite { checkpoint, what, .. } = error else { panic!("{error}") };
        assert!(checkpoint.join("generator.safetensors").exists());
        assert_eq!(what, "the generator loss");
        assert_eq!(after, weights(run)?);
        Ok(())
    })
}

/// Both players move in a step of the game, whatever the estimator.
#[test]
fn both_players_move_in_a_step() -> Result<()> {
    let reinforce = Estimator::Reinforce {
        reward: Default::default(),
        baseline: Default::default(),
        entropy: 0.1,
        proximal: None,
    };
    for estimator in [Estimator::default(), reinforce] {
        let game = Adversarial { estimator, anchor: 0.1, ..Adversarial::default() };
        in_phase(&game, &steps(2), |run, mut phase| {
            let judges = run.networks.discriminator()?;
            let read = |run: &Run<'_>| -> Result<_> {
                let generator = bits(run.networks.generator().parameters())?;
                Ok((generator, bits(judges.learning.parameters())?))
            };
            let before = read(run)?;
            run.step(&mut phase)?;
            let after = read(run)?;
            assert!(before.0 != after.0 && before.1 != after.1);
            Ok(())
        })?;
    }
    Ok(())
}

/// The halves that the two players read in a cross-fitted phase have no row in common.
#[test]
fn cross_fitted_players_read_different_rows() -> Result<()> {
    let settings = PhaseSettings { cross_fit: true, ..steps(1) };
    in_phase(&Adversarial::default(), &settings, |_, mut phase| {
        let mut read = phase.course.sides.iter_mut().map(|side| -> Vec<usize> {
            let batches = &mut side.batches;
            (0..2 * batches.per_epoch()).flat_map(|number| batches.batch(number)).collect()
        });
        let (Some(generator), Some(discriminator)) = (read.next(), read.next()) else {
            panic!("two learners")
        };
        assert!(!generator.is_empty() && generator.iter().all(|row| !discriminator.contains(row)));
        Ok(())
    })
}

/// Phases are tables of one kind each.
#[test]
fn a_phase_can_hold_any_objective() {
    let phase: Phase<&str> = Phase::of_steps(3, "an objective");
    assert_eq!(phase.settings.steps, Some(3));
}

/// Rounds double what was done, each with the schedule anew.
#[test]
fn rounds_double_and_begin_the_schedule_again() -> Result<()> {
    let converge = Some(crate::ConvergeConfig { rounds: 2, ..Default::default() });
    let schedule = crate::ScheduleConfig {
        decay: crate::Decay::Linear,
        final_fraction: 0.0,
        ..Default::default()
    };
    let settings = PhaseSettings { converge, schedule, ..steps(10) };
    let objective = crate::MaximumLikelihood::default();
    in_phase(&objective, &settings, |_, phase| {
        let course = &phase.course;
        assert_eq!((course.steps, course.round), (40, 10));
        let ends: Vec<u64> = (0..=40).filter(|&step| course.ends_round(step)).collect();
        assert_eq!(ends, [10, 20, 40]);
        for (step, expected) in [(0, 1.0), (9, 0.0), (10, 1.0), (19, 0.0), (20, 1.0), (39, 0.0)] {
            assert!((course.fraction(step) - expected).abs() < 1e-9, "step {step}");
        }
        Ok(())
    })
}

/// An encoder that is held is not among what moves.
#[test]
fn a_held_encoder_does_not_learn() -> Result<()> {
    let objective = |learn| crate::MaximumLikelihood {
        latent: Some(crate::LatentConfig { learn, ..Default::default() }),
        ..Default::default()
    };
    in_phase(&objective(true), &steps(3), |run, phase| {
        let learns = |algorithm: &dyn Algorithm| {
            let parameters = algorithm.learners().remove(0).parameters;
            parameters.iter().any(|(name, _)| name.starts_with("encoder"))
        };
        assert!(learns(phase.algorithm.as_ref()));
        let held = objective(false).begin(&mut run.networks)?;
        assert!(!learns(held.as_ref()));
        Ok(())
    })
}

/// What a replica meets, the others hear: a loss that is no number, an error, an update that not all make.
#[test]
fn replicas_fail_together() -> Result<()> {
    struct Odd(Trouble);
    #[derive(Clone, Copy)]
    enum Trouble {
        NoNumber,
        Alone,
        Other,
    }
    impl Objective for Odd {
        fn kind(&self) -> &'static str {
            "odd"
        }
        fn role(&self) -> Role {
            Role::Generator
        }
        fn check(&self, _: &Plan<'_>) -> std::result::Result<(), String> {
            Ok(())
        }
        fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
            Ok(Box::new(Playing(self.0, networks.generator().parameters().clone())))
        }
    }
    struct Playing(Trouble, Parameters);
    impl Algorithm for Playing {
        fn learners(&self) -> Vec<Learner> {
            let optimizer = OptimizerConfig::default();
            vec![Learner::new("generator", self.1.clone(), &optimizer, 1e-2, Rows::Generator)]
        }
        fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
            let odd = step.replica_number == 1;
            let update = step.update("generator")?;
            let mut value = candle_core::Tensor::new(0f32, &candle_core::Device::Cpu)?;
            for (_, variable) in self.1.iter() {
                value = (value + variable.sqr()?.sum_all()?)?;
            }
            match self.0 {
                Trouble::NoNumber if odd => value = (value * f64::NAN)?,
                Trouble::Alone if odd => return Ok(()),
                Trouble::Other if odd => {
                    return Err(Error::Train { problem: "an error of its own".to_owned() });
                }
                _ => {}
            }
            step.descend(update, Loss::new(value, Vec::new()))
        }
    }
    for (trouble, expected) in [
        (Trouble::NoNumber, "the generator loss is not finite"),
        (Trouble::Alone, "did not all make the same updates"),
        (Trouble::Other, "an error of its own"),
    ] {
        with_replicas(3, &Odd(trouble), &steps(2), |run, mut phase| {
            let before = bits(run.networks.generator().parameters())?;
            let error = run.step(&mut phase).expect_err("a replica is in trouble").to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(bits(run.networks.generator().parameters())?, before);
            assert_eq!(phase.course.sides.len(), 1, "the learners are still there");
            Ok(())
        })?;
    }
    Ok(())
}
