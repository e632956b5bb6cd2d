use textgan_models::Tokens;
use textgan_nn::Mode;

use super::Objective;
use crate::Result;
use crate::config::{DiscriminatorOnly, Judged, OptimizerConfig, ScheduleConfig};
use crate::divergence::Divergence;
use crate::game::{Fresh, Game, Loss, Player, Turn};

impl Objective for DiscriminatorOnly {
    fn turns(&self) -> Vec<Player> {
        vec![Player::Discriminator]
    }

    fn loss(&self, game: &Game<'_>, turn: &Turn) -> Result<Loss> {
        let fresh =
            game.fresh(&turn.key.child("fresh"), 0, turn.real.batch(), turn.real.labels())?;
        discriminator_loss(
            game,
            turn,
            &fresh,
            &Tokens::Hard(fresh.sequences.targets()),
            self.divergence,
            self.judged,
        )
    }

    fn optimizer(&self, _: Player) -> (&OptimizerConfig, f64) {
        (&self.optimizer, self.learning_rate)
    }

    fn schedule(&self) -> &ScheduleConfig {
        &self.schedule
    }

    fn weight_clip(&self) -> Option<f64> {
        (self.weight_clip > 0.0).then_some(self.weight_clip.into())
    }
}

/// The discriminator's loss on the turn's real text and on `fake`, the form in which it reads
/// `fresh` sentences.
pub(super) fn discriminator_loss(
    game: &Game<'_>,
    turn: &Turn,
    fresh: &Fresh,
    fake: &Tokens<'_>,
    divergence: Divergence,
    judged: Judged,
) -> Result<Loss> {
    let dropout = turn.key.child("dropout");
    let real_tokens = Tokens::Hard(turn.real.targets());
    let real = game.judge(&real_tokens, &turn.real, judged, Mode::Train(&dropout.child("real")))?;
    let fake = game.judge(fake, &fresh.sequences, judged, Mode::Train(&dropout.child("fake")))?;
    let value = divergence.discriminator_loss(&real, &fake)?;
    let accuracy = Accuracy::of(divergence, &real.to_vec1()?, &fake.to_vec1()?);
    let facts = vec![
        ("discriminator_loss", f64::from(value.to_scalar::<f32>()?)),
        ("accuracy_real", accuracy.real),
        ("accuracy_fake", accuracy.fake),
    ];
    Ok(Loss { value, facts, moving_average: None })
}

/// How often the discriminator is right.
pub(crate) struct Accuracy {
    /// About real text.
    pub real: f64,
    /// About generated text.
    pub fake: f64,
}

impl Accuracy {
    /// Counted from the logits of real and of generated text.
    pub fn of(divergence: Divergence, real: &[f32], fake: &[f32]) -> Self {
        let mean = |x: &[f32]| x.iter().map(|&x| f64::from(x)).sum::<f64>() / x.len().max(1) as f64;
        let threshold = divergence.threshold(mean(real), mean(fake));
        let share = |x: &[f32], right: &dyn Fn(f64) -> bool| {
            x.iter().filter(|&&x| right(f64::from(x))).count() as f64 / x.len().max(1) as f64
        };
        Self { real: share(real, &|x| x > threshold), fake: share(fake, &|x| x <= threshold) }
    }
}
