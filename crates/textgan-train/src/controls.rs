//! What a claim must beat, trained from the same baseline: as many more likelihood updates, and
//! likelihood on what the discriminator's language model writes.

use crate::algorithms::{Distillation, writes};
use crate::config::{Control, PhaseSettings};
use crate::objective::{Objective, Plan, PlannedPhase, Role};

/// A control as a phase of its own.
pub(crate) struct ControlPhase {
    name: String,
    settings: PhaseSettings,
    objective: Box<dyn Objective>,
}

impl ControlPhase {
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

/// The controls that the plan asks for: none without a game that can be repeated by likelihood.
///
/// Each makes as many updates of the generator as the first game may (times a factor for some), at the
/// game's rate and schedule, on the batches that follow those of maximum likelihood.
pub(crate) fn of(plan: &Plan<'_>) -> Vec<ControlPhase> {
    let Some(place) = plan.phases.iter().position(|phase| phase.objective.role() == Role::Game)
    else {
        return Vec::new();
    };
    let game = plan.phases[place];
    let Some(pace) = game.objective.pace() else { return Vec::new() };
    let likelihood = || likelihood_again(plan, place, pace.learning_rate);
    let mut controls = Vec::new();
    for control in &plan.train.controls {
        let (name, factor, objective) = match control {
            Control::Likelihood => ("likelihood".to_owned(), 1, likelihood()),
            Control::LongLikelihood => {
                let factor = plan.train.long_likelihood;
                (format!("likelihood-{factor}x"), factor, likelihood())
            }
            Control::Distillation => {
                let objective: Option<Box<dyn Objective>> = writes(plan).then(|| {
                    Box::new(Distillation {
                        learning_rate: pace.learning_rate,
                        ..Distillation::default()
                    }) as Box<dyn Objective>
                });
                ("distillation".to_owned(), 1, objective)
            }
        };
        let Some(objective) = objective else { continue };
        let times = |number: u64| number * pace.updates * factor;
        let settings = PhaseSettings {
            steps: game.settings.steps.map(times),
            epochs: game.settings.epochs.map(times),
            schedule: game.settings.schedule.clone(),
            evaluation: crate::EvaluationConfig { every: 0, ..game.settings.evaluation.clone() },
            keep: crate::Keep::Last,
            cross_fit: game.settings.cross_fit,
            ..PhaseSettings::default()
        };
        controls.push(ControlPhase { name, settings, objective });
    }
    controls
}

fn likelihood_again(
    plan: &Plan<'_>,
    game: usize,
    learning_rate: f64,
) -> Option<Box<dyn Objective>> {
    plan.phases[..game].iter().rev().find_map(|phase| phase.objective.at_rate(learning_rate))
}
