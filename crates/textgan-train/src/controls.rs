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

/// The controls that the plan asks for: none without a game that can be repeated by likelihood.
///
/// Each makes as many updates of the generator as the first game may (times a factor for some), at the
/// game's rate and schedule, on the batches that follow those of maximum likelihood.
pub(crate) fn of<'a>(plan: &Plan<'a>) -> Vec<ControlPhase<'a>> {
    let Some(place) = plan.phases.iter().position(|phase| phase.objective.role() == Role::Game)
    else {
        return Vec::new();
    };
    let game = plan.phases[place];
    let Some(pace) = game.objective.pace() else { return Vec::new() };
    let likelihood = || likelihood_again(plan, place, pace.learning_rate);
    let mut controls = Vec::new();
    for control in &plan.train.controls {
        let (name, factor, objective): (_, _, Option<Box<dyn Objective + 'a>>) = match control {
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
            Control::Blind => {
                let Some(objective) = blind(game.objective) else { continue };
                let evaluation = evaluated_never(game.settings);
                let keep = crate::Keep::Last;
                let settings =
                    PhaseSettings { gate: None, evaluation, keep, ..game.settings.clone() };
                controls.push(ControlPhase { name: "blind".to_owned(), settings, objective });
                continue;
            }
        };
        let Some(objective) = objective else { continue };
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
    controls
}

fn evaluated_never(settings: &PhaseSettings) -> crate::EvaluationConfig {
    crate::EvaluationConfig { every: 0, ..settings.evaluation.clone() }
}

/// The game without what its discriminator knows, of games that have one.
fn blind<'a>(game: &'a dyn Objective) -> Option<Box<dyn Objective + 'a>> {
    let judged = game.opponent() != Opponent::None;
    judged.then(|| Box::new(Blind(game)) as Box<dyn Objective + 'a>)
}

fn likelihood_again(
    plan: &Plan<'_>,
    game: usize,
    learning_rate: f64,
) -> Option<Box<dyn Objective>> {
    plan.phases[..game].iter().rev().find_map(|phase| phase.objective.at_rate(learning_rate))
}
