//! Which checkpoint a run goes on from, and whether it may.

use std::path::Path;

use serde_json::Value;
use textgan_artifact::{Progress, copy_atomic, write_atomic};

use crate::checkpoint::{Checkpoints, LATEST};
use crate::error::io;
use crate::record::GROWING;
use crate::state::State;
use crate::{Error, Result};

/// Keys of a phase that say how long it lasts, and nothing else.
const LENGTH: [&str; 2] = ["steps", "epochs"];
/// The key that says what of a phase is kept at its end; until then all of it is there.
const KEEP: &str = "keep";
/// Where a phase says how long it waits for a better evaluation.
const PATIENCE: &str = "/evaluation/patience";
/// The key that only controls have.
const CONTROL: &str = "control";

/// The checkpoint that a run of `phases` goes on from, and its state; `None` if there is none yet.
///
/// All else that decides a run, its `recipe`, must be what it was: another seed, network or text would
/// make of old weights something that no config describes. A checkpoint of other phases serves as long as it is on the way of these: what is done must be
/// the same, the phase at hand may last longer if no step was made by its length, and what comes after is free. So a
/// finished run can be extended by more steps or by more phases. Nothing that was trained is trained again otherwise.
pub(super) fn find(
    checkpoints: &Checkpoints,
    recipe: &Value,
    phases: &[Value],
    out: &Path,
    progress: &dyn Progress,
) -> Result<Option<(String, State)>> {
    let Some((name, latest)) = checkpoints.latest(progress)? else { return Ok(None) };
    if let Some(difference) = changed(String::new(), &latest.recipe, recipe) {
        return Err(Error::OtherRun { folder: out.to_owned(), difference });
    }
    if latest.phases == phases {
        return Ok(Some((name, latest)));
    }
    let difference = difference(&latest.phases, phases);
    let mut all = checkpoints.all()?;
    all.sort_by_key(|(_, state)| std::cmp::Reverse((state.phase, state.phase_step)));
    match all.into_iter().find(|(_, state)| is_on_the_way(state, phases)) {
        Some((name, mut state)) if trained(&state) >= trained(&latest) => {
            let patience = |of: &[Value]| of.get(state.phase)?.pointer(PATIENCE).cloned();
            if patience(&state.phases) != patience(phases) {
                state.convergence.stale = 0;
            }
            state.phases = phases.to_vec();
            Ok(Some((name, state)))
        }
        _ => Err(Error::OtherRun { folder: out.to_owned(), difference }),
    }
}

/// The steps of all phases but controls that a checkpoint knows of.
fn trained(state: &State) -> u64 {
    let is_control = state.phases.get(state.phase).is_some_and(|at| at.get(CONTROL).is_some());
    let at_hand = if is_control { 0 } else { state.phase_step };
    let done = state.done.iter().filter(|phase| phase.control.is_none());
    done.map(|phase| phase.steps).sum::<u64>() + at_hand
}

fn is_on_the_way(state: &State, phases: &[Value]) -> bool {
    let at = state.phase;
    let done_alike = phases.len() >= at && state.phases[..at] == phases[..at];
    let at_hand_alike = match (state.phases.get(at), phases.get(at)) {
        _ if state.phase_step == 0 => at > 0,
        (Some(old), Some(new)) => {
            let number = |of: &Value, key| of.get(key).and_then(Value::as_u64);
            let [was, is] = [old, new].map(|of| (number(of, "steps"), number(of, "epochs")));
            let longer = match (was, is) {
                ((Some(_), None), (Some(steps), None)) => steps >= state.phase_step,
                ((None, Some(was)), (None, Some(is))) => is >= was,
                _ => was == is,
            };
            let as_long = LENGTH.iter().all(|key| old.get(key) == new.get(key));
            longer
                && (as_long || !state.follows_length)
                && without_length(old) == without_length(new)
        }
        _ => false,
    };
    done_alike && at_hand_alike
}

fn without_length(phase: &Value) -> Value {
    let mut phase = phase.clone();
    if let Some(patience) = phase.pointer_mut(PATIENCE) {
        *patience = Value::Null;
    }
    if let Value::Object(table) = &mut phase {
        table.retain(|key, _| !LENGTH.contains(&key.as_str()) && key != KEEP);
    }
    phase
}

/// The first value of the recipe that is not what it was, for a reader.
fn changed(name: String, old: &Value, new: &Value) -> Option<String> {
    if old == new {
        return None;
    }
    if let (Value::Object(old), Value::Object(new)) = (old, new) {
        let mut keys = old.keys().chain(new.keys());
        return keys.find_map(|key| {
            let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            let value = |table: &serde_json::Map<String, Value>| {
                table.get(key).cloned().unwrap_or(Value::Null)
            };
            changed(name, &value(old), &value(new))
        });
    }
    Some(match name.as_str() {
        "text" => "it was trained on other text, or with another vocabulary".to_owned(),
        "key" => "it had another seed".to_owned(),
        _ => format!("{name} was {old} and is now {new}"),
    })
}

/// The first difference, for a reader.
fn difference(old: &[Value], new: &[Value]) -> String {
    for (number, (old, new)) in old.iter().zip(new).enumerate() {
        if let (Value::Object(old), Value::Object(new)) = (old, new) {
            for key in old.keys().chain(new.keys()) {
                if old.get(key) != new.get(key) {
                    let show =
                        |value: Option<&Value>| value.map_or("absent".to_owned(), Value::to_string);
                    let [old, new] = [old.get(key), new.get(key)].map(show);
                    // What is done already, or was made by how long it would be.
                    let why = match LENGTH.contains(&key.as_str()) {
                        true => {
                            " (it can be made longer while its rates do not follow its length, not shorter)"
                        }
                        false => "",
                    };
                    return format!("phase.{number}.{key} was {old} and is now {new}{why}");
                }
            }
        }
    }
    format!("it had {} phases and now there are {}", old.len(), new.len())
}

/// Prepares `partial` so that [`train`](crate::train) goes on from the finished training in
/// `finished`, with more steps or more phases.
///
/// The result has the same bits as if the run had been that long from the first. A phase that is made longer has a
/// constant learning rate, and an algorithm that does not ask for its length; others are refused when the run goes on.
///
/// # Errors
/// If a file cannot be copied.
pub fn extend(finished: &Path, partial: &Path) -> Result<()> {
    std::fs::create_dir_all(partial).map_err(io("create", partial))?;
    for name in GROWING {
        let from = finished.join(name);
        copy_atomic(from, partial.join(name))?;
    }
    // What it published, too: more phases publish anew, and controls do not.
    for entry in std::fs::read_dir(finished).map_err(io("read", finished))? {
        let path = entry.map_err(io("read", finished))?.path();
        if let Some(name) = path.file_name()
            && path.is_dir()
        {
            copy_folder(&path, &partial.join(name))?;
        }
    }
    // Last, since a run goes on as soon as there is one.
    let latest = finished.join("checkpoints").join(LATEST);
    let name = std::fs::read(&latest).map_err(io("read", latest))?;
    Ok(write_atomic(partial.join("checkpoints").join(LATEST), &name)?)
}

/// Copies everything but [`LATEST`].
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).map_err(io("create", to))?;
    for entry in std::fs::read_dir(from).map_err(io("read", from))? {
        let entry = entry.map_err(io("read", from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else if entry.file_name() != LATEST {
            copy_atomic(path, target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_longer_run_goes_on_and_another_does_not() {
        let phases =
            [json!({"kind": "a", "steps": 10, "rate": 1}), json!({"kind": "b", "steps": 5})];
        let state =
            |phase, phase_step| State { phase, phase_step, ..State::new(phases.to_vec(), 1) };
        let longer = [json!({"kind": "a", "steps": 20, "rate": 1}), phases[1].clone()];
        let shorter = [json!({"kind": "a", "steps": 9, "rate": 1}), phases[1].clone()];
        let other = [json!({"kind": "a", "steps": 10, "rate": 2}), phases[1].clone()];
        let third = [phases[0].clone(), json!({"kind": "c"})];
        for (state, phases, expected) in [
            (state(0, 10), &longer[..], true),
            (state(0, 10), &shorter[..], false),
            (State { follows_length: true, ..state(0, 10) }, &longer[..], false),
            (State { follows_length: true, ..state(0, 10) }, &phases[..], true),
            (state(0, 10), &longer[..1], true),
            (state(0, 10), &other, false),
            (state(0, 0), &longer, false),
            (state(1, 0), &longer, false),
            (state(1, 0), &third, true),
            (state(1, 3), &third, false),
            (state(2, 0), &[phases[0].clone(), phases[1].clone(), json!({"kind": "c"})], true),
            (state(2, 0), &phases[..1], false),
        ] {
            assert_eq!(
                is_on_the_way(&state, phases),
                expected,
                "{} {} {phases:?}",
                state.phase,
                state.phase_step
            );
        }
        let epochs = |epochs: u64, patience: u64| {
            [
                json!({"kind": "a", "epochs": epochs, "evaluation": { "every": 5, "patience": patience } }),
            ]
        };
        let at = State { phase: 0, phase_step: 10, ..State::new(epochs(5, 2).to_vec(), 1) };
        assert!(is_on_the_way(&at, &epochs(6, 3)));
        assert!(!is_on_the_way(&at, &epochs(4, 2)));
        assert!(!is_on_the_way(&at, &[json!({"kind": "a", "steps": 99, "evaluation": {}})]));
        let mut other_score = epochs(6, 2);
        other_score[0]["evaluation"]["every"] = json!(4);
        assert!(!is_on_the_way(&at, &other_score));
        assert_eq!(difference(&phases, &other), "phase.0.rate was 1 and is now 2");
        assert_eq!(difference(&phases, &phases[..1]), "it had 2 phases and now there are 1");
    }
}
