use std::path::Path;

use textgan_artifact::Progress;
use textgan_random::Key;

use crate::Result;
use crate::data::TrainData;
use crate::meter::Meter;
use crate::run::{Recipe, Run};
use crate::summary::{End, Summary};

/// Trains as `recipe` says and leaves everything in `out`; goes on where an earlier call was
/// stopped or killed, and ends with the same bytes as if it had not been.
///
/// `key` names every random draw; the validation loss has the noise vectors
/// `key.child("validation-noise").index(k)`.
///
/// # Errors
/// [`Error::Interrupted`](crate::Error::Interrupted) when `progress` asks to stop, after a
/// checkpoint; [`Error::NonFinite`](crate::Error::NonFinite) before a step that would ruin the
/// weights; others when the recipe, the data or `out` cannot be used.
pub fn train(
    recipe: &Recipe<'_>,
    data: &TrainData<'_>,
    key: &Key,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Summary> {
    let mut run = Run::begin(*recipe, data, key, out, progress)?;
    run.announce_duration()?;
    while let Some(phase) = run.phase() {
        let objective = phase.objective();
        run.enter_phase()?;
        let mut meter = Meter::start();
        let ended = loop {
            if run.evaluation_is_due()
                && let Some(end) = run.evaluate()?
            {
                break end;
            }
            run.sample_if_due()?;
            if run.is_at_limit() {
                break End::StepLimit;
            }
            for player in objective.turns() {
                let turn = run.turn(player)?;
                let loss = objective.loss(&run.game, &turn)?;
                meter.note(&turn, &loss);
                run.apply(player, loss)?;
            }
            run.finish_step()?;
            progress.advance(1);
            progress.status(&meter.line(run.steps_left()));
            if run.checkpoint_is_due() {
                run.checkpoint(true)?;
            }
            if progress.stop_requested() {
                return Err(run.interrupt());
            }
        };
        run.end_phase(ended)?;
    }
    run.finish()
}
