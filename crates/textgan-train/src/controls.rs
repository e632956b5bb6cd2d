//! What a claim must beat, trained from the same baseline: as many more likelihood updates, and
//! likelihood on what the discriminator's language model writes.

use crate::algorithms::{Distillation, writes};
use crate::blind::Blind;
use crate::config::{Control, PhaseSettings};
use crate::objective::{Objective, Opponent, Plan, PlannedPhase, Role};

/// A control as a phase of its own.
pub(crate) struct ControlPhase<'a> {
    name: String,
    settings: PhaseSettings,
    objective: Box<dyn Objective + 'a>,
}

impl ControlPhase<'_> {
    /// What decides it, for a run that goes on.
    pub fn json(&self) -> serde_json::Value {
        let kind = self.objective.kind();
        serde_json::json!({"control": self.name, "kind": kind, "settings": self.settings})
    }

    /// As the loop takes it.
    pub fn planned(&self) -> PlannedPhase<'_> {
        PlannedPhase {
            settings: &self.settings,
            objective: self.objective.as_ref(),
            control: Some(&self.name),
        }
    }
}

/// The controls that the plan asks for; none without a game.
///
/// Each makes as many updates of the generator as the first game may (times a factor for some), at the
/// game's rate and schedule, on the batches that follow those of maximum likelihood.
///
/// # Errors
/// What a control that is asked for lacks.
pub(crate) fn of<'a>(plan: &Plan<'a>) -> std::result::Result<Vec<ControlPhase<'a>>, String> {
    let Some(place) = plan.phases.iter().position(|phase| phase.objective.role() == Role::Game)
    else {
        return Ok(Vec::new());
    };
    let game = plan.phases[place];
    let mut controls = Vec::new();
    if plan.train.controls.is_empty() {
        return Ok(controls);
    }
    let pace = game.objective.pace().ok_or_else(|| {
        let kind = game.objective.kind();
        format!("train.controls repeat a game's updates, and {kind} does not tell its pace")
    })?;
    let likelihood = || {
        likelihood_again(plan, place, pace.learning_rate).ok_or_else(|| {
            "train.controls: likelihood goes on from the game's baseline, and there is no phase of likelihood \
             before the game"
                .to_owned()
        })
    };
    for control in &plan.train.controls {
        let (name, factor, objective): (_, _, Box<dyn Objective + 'a>) = match control {
            Control::Likelihood => ("likelihood".to_owned(), 1, likelihood()?),
            Control::LongLikelihood => {
                let factor = plan.train.long_likelihood;
                (format!("likelihood-{factor}x"), factor, likelihood()?)
            }
            Control::Distillation => {
                if !writes(plan) {
                    return Err("train.controls: distillation learns from a language model, and no phase makes one \
                                (kind = \"language-model\")"
                        .to_owned());
                }
                let learning_rate = pace.learning_rate;
                let objective = Distillation { learning_rate, ..Distillation::default() };
                ("distillation".to_owned(), 1, Box::new(objective))
            }
            Control::Blind => {
                let objective = blind(game.objective)?;
                let evaluation = evaluated_never(game.settings);
                let keep = crate::Keep::Last;
                let settings =
                    PhaseSettings { gate: None, evaluation, keep, ..game.settings.clone() };
                controls.push(ControlPhase { name: "blind".to_owned(), settings, objective });
                continue;
            }
        };
        let times = |number: u64| number * pace.updates * factor;
        let settings = PhaseSettings {
            steps: game.settings.steps.map(times),
            epochs: game.settings.epochs.map(times),
            schedule: game.settings.schedule.clone(),
            evaluation: evaluated_never(game.settings),
            keep: crate::Keep::Last,
            cross_fit: game.settings.cross_fit,
            ..PhaseSettings::default()
        };
        controls.push(ControlPhase { name, settings, objective });
    }
    Ok(controls)
}

fn evaluated_never(settings: &PhaseSettings) -> crate::EvaluationConfig {
    crate::EvaluationConfig { every: 0, ..settings.evaluation.clone() }
}

/// The game without what its discriminator knows, of games that have one.
fn blind<'a>(game: &'a dyn Objective) -> std::result::Result<Box<dyn Objective + 'a>, String> {
    match game.opponent() {
        Opponent::None => Err(format!(
            "train.controls: {} is not played blind: it has no discriminator of which one that has learned nothing \
             could take the place; leave \"blind\" out",
            game.kind()
        )),
        Opponent::Discriminator | Opponent::Own => Ok(Box::new(Blind(game))),
    }
}

fn likelihood_again(
    plan: &Plan<'_>,
    game: usize,
    learning_rate: f64,
) -> Option<Box<dyn Objective>> {
    plan.phases[..game].iter().rev().find_map(|phase| phase.objective.at_rate(learning_rate))
}
