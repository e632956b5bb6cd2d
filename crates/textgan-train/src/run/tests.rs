use textgan_artifact::Quiet;
use textgan_models::{DiscriminatorConfig, NoiseConfig};
use textgan_nn::Parameters;
use textgan_random::Key;

use super::{Recipe, Run};
use crate::config::{Adversarial, Estimator, Phase, TrainConfig};
use crate::game::Player;
use crate::testing::{generator_config, with_data};
use crate::{Error, Result};

/// Runs `test` inside the first phase of an adversarial run.
fn in_phase(phase: Adversarial, test: impl FnOnce(&mut Run<'_>) -> Result<()>) -> Result<()> {
    with_data(|data| {
        let folder = tempfile::tempdir().expect("a folder");
        let recipe = Recipe {
            train: &TrainConfig { batch_size: 4, ..TrainConfig::default() },
            phases: &[Phase::Adversarial(phase)],
            noise: &NoiseConfig { dimension: 2, ..NoiseConfig::default() },
            generator: &generator_config(),
            discriminator: Some(&DiscriminatorConfig::default()),
        };
        let mut run = Run::begin(recipe, data, &Key::root(1), folder.path(), &Quiet)?;
        run.enter_phase()?;
        test(&mut run)
    })
}

fn bits(parameters: &Parameters) -> Result<Vec<u32>> {
    let mut bits = Vec::new();
    for (_, variable) in parameters.iter() {
        bits.extend(variable.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f32::to_bits));
    }
    Ok(bits)
}

/// A player's loss has gradients in the other's parameters too; they must not be followed.
#[test]
fn an_update_moves_its_own_player_only() -> Result<()> {
    let reinforce = Estimator::Reinforce {
        reward: Default::default(),
        baseline: Default::default(),
        entropy: 0.1,
    };
    for estimator in [Estimator::default(), reinforce] {
        in_phase(Adversarial { estimator, anchor: 0.1, ..Adversarial::default() }, |run| {
            let Some(phase) = run.phase() else { panic!("a phase") };
            for player in [Player::Generator, Player::Discriminator] {
                let before = (
                    bits(run.game.generator.parameters())?,
                    bits(run.game.judges().learning.parameters())?,
                );
                let turn = run.turn(player)?;
                let loss = phase.objective().loss(&run.game, &turn)?;
                run.apply(player, loss)?;
                let after = (
                    bits(run.game.generator.parameters())?,
                    bits(run.game.judges().learning.parameters())?,
                );
                assert_eq!(before.0 == after.0, player == Player::Discriminator);
                assert_eq!(before.1 == after.1, player == Player::Generator);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Measuring how long a run takes leaves no trace.
#[test]
fn timing_changes_nothing() -> Result<()> {
    in_phase(Adversarial::default(), |run| {
        let state = run.state.clone();
        let before = (
            bits(run.game.generator.parameters())?,
            bits(run.game.judges().learning.parameters())?,
        );
        run.announce_duration()?;
        assert_eq!(
            before,
            (
                bits(run.game.generator.parameters())?,
                bits(run.game.judges().learning.parameters())?
            )
        );
        assert_eq!(state, run.state);
        Ok(())
    })
}

/// A loss that is no number is refused before the optimizer, and the good checkpoint named.
#[test]
fn a_loss_that_is_no_number_touches_nothing() -> Result<()> {
    in_phase(Adversarial::default(), |run| {
        let Some(phase) = run.phase() else { panic!("a phase") };
        let before = bits(run.game.generator.parameters())?;
        let turn = run.turn(Player::Generator)?;
        let mut loss = phase.objective().loss(&run.game, &turn)?;
        loss.value = (loss.value * f64::NAN)?;
        let error = run.apply(Player::Generator, loss).expect_err("not finite");
        let Error::NonFinite { checkpoint, what, .. } = error else { panic!("{error}") };
        assert!(
            checkpoint.join("generator.safetensors").exists() && what == "the generator loss",
            "{what}"
        );
        assert_eq!(before, bits(run.game.generator.parameters())?);
        Ok(())
    })
}

/// The halves that the two players read in a cross-fitted phase have no row in common.
#[test]
fn cross_fitted_players_read_different_rows() -> Result<()> {
    in_phase(Adversarial { cross_fit: true, ..Adversarial::default() }, |run| {
        let read = |run: &mut Run<'_>, player| -> Vec<usize> {
            let batches = &mut run.course().side(player).batches;
            (0..2 * batches.per_epoch()).flat_map(|number| batches.batch(number)).collect()
        };
        let (generator, discriminator) =
            (read(run, Player::Generator), read(run, Player::Discriminator));
        assert!(!generator.is_empty() && generator.iter().all(|row| !discriminator.contains(row)));
        Ok(())
    })
}
