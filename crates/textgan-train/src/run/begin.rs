//! From a plan to a run: fresh, or where it was left.

use textgan_artifact::Progress;
use textgan_models::Sizes;
use textgan_random::Key;

use super::{Run, resume};
use crate::checkpoint::Checkpoints;
use crate::data::{Rows, TrainData};
use crate::evaluation::HeldOut;
use crate::networks::Networks;
use crate::objective::{Plan, Role};
use crate::record::Record;
use crate::replicas::Crew;
use crate::state::State;
use crate::train::Outputs;
use crate::{Error, Result, footprint};

impl<'a> Run<'a> {
    /// Checks everything, builds the networks, and goes to the latest checkpoint in its folder. `phases`
    /// are those of the plan, as JSON.
    pub fn begin(
        plan: &'a Plan<'a>,
        phases: Vec<serde_json::Value>,
        data: &'a TrainData<'a>,
        key: &Key,
        outputs: Outputs<'a>,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let (out, team) = (outputs.out, outputs.team);
        plan.check()?;
        data.check()?;
        if team.size() > plan.train.replicas {
            let problem = format!(
                "{} processes cannot share out a step of {} replicas: set train.replicas to as many or more",
                team.size(),
                plan.train.replicas
            );
            return Err(Error::Train { problem });
        }
        plan.check_halves(data)?;
        footprint::check(plan, data, progress)?;
        team.check_processors()?;
        let mut networks = Networks::new(plan, data, key.child("initialisation"))?;
        // Every network exists from the first: what cannot be built is refused before an hour of
        // training, and checkpoints always hold the same files.
        for (number, phase) in (1..).zip(&plan.phases) {
            phase.objective.begin(&mut networks).map_err(|error| match error {
                Error::Train { problem } => {
                    Error::Phase { number, kind: phase.objective.kind(), problem }
                }
                error => error,
            })?;
            networks.forget_passing();
        }
        let games = plan.phases.iter().any(|phase| phase.objective.role() == Role::Game);
        let held_out = HeldOut::new(data, plan.train, games)?;
        let recipe = recipe(plan, data, key)?;
        let found = match team.leads() {
            true => {
                let checkpoints = Checkpoints::of(out)?;
                Some(resume::find(&checkpoints, &recipe, &phases, out, progress)?)
            }
            false => None,
        };
        // The folder is there once its owner has something to say.
        let left = match team.size() {
            1 => found.flatten(),
            _ => team.tell("where to go on", found)?,
        };
        let checkpoints = Checkpoints::of(out)?;
        let written = left.as_ref().map(|(_, state)| state.written.clone()).unwrap_or_default();
        let step = left.as_ref().map_or(0, |(_, state)| state.step);
        let mut run = Self {
            plan,
            networks,
            state: State { recipe, ..State::new(phases, plan.train.replicas) },
            team,
            crew: Crew::new(team.part(team.rank(), plan.train.replicas).len())?,
            out,
            key: *key,
            progress,
            held_out,
            checkpoints,
            latest: String::new(),
            record: match team.leads() {
                true => Some(Record::open(out, &written, outputs.events, step)?),
                false => None,
            },
        };
        match left {
            Some((name, state)) => {
                run.state = state;
                run.load_networks(&name)?;
                if team.leads() {
                    run.checkpoints.set_latest(&name, &run.state)?;
                }
                run.latest = name;
                run.progress.message(&format!("going on from step {}", run.state.step));
            }
            None => run.checkpoint_beginning(None)?,
        }
        Ok(run)
    }
}

/// All that decides a run besides its phases: what a checkpoint is good for.
fn recipe(plan: &Plan<'_>, data: &TrainData<'_>, key: &Key) -> Result<serde_json::Value> {
    let mut train = serde_json::json!(plan.train);
    if let Some(table) = train.as_object_mut() {
        // They are phases.
        table.retain(|name, _| !["controls", "long_likelihood"].contains(&name.as_str()));
    }
    let mut text = blake3::Hasher::new();
    text.update(format!("{} {} {:?}", data.vocab_size, data.max_length, data.labels).as_bytes());
    for rows in [data.train, data.valid] {
        text.update(&rows.len().to_le_bytes());
        for row in rows {
            text.update(format!(" {:?} {}", row.label, row.tokens.len()).as_bytes());
            row.tokens.iter().for_each(|token| {
                text.update(&token.to_le_bytes());
            });
        }
    }
    if let Some(tokenizer) = data.tokenizer {
        text.update(textgan_artifact::hash_file(tokenizer)?.as_bytes());
    }
    Ok(serde_json::json!({
        "key": textgan_artifact::hash_bytes(key.as_bytes()),
        "generator": plan.generator,
        "discriminator": plan.discriminator,
        "noise": plan.noise,
        "train": train,
        "text": text.finalize().to_hex().to_string(),
    }))
}

impl Plan<'_> {
    /// Cross-fitting takes a row for each network at least, and a batch one for each replica.
    fn check_halves(&self, data: &TrainData<'_>) -> Result<()> {
        let cross_fit = self.phases.iter().any(|phase| phase.settings.cross_fit);
        if cross_fit && Rows::Discriminator.of(data.train.len(), true).is_empty() {
            return Err(Error::EmptySplit { split: "second half of the train" });
        }
        let replicas = self.train.replicas;
        for reads in [Rows::Generator, Rows::Discriminator] {
            let rows = reads.of(data.train.len(), cross_fit).len();
            // Batches differ in size by at most one.
            if rows / rows.div_ceil(self.train.batch_size).max(1) < replicas {
                let problem = format!(
                    "{rows} sentences make batches too small for {replicas} replicas: set train.replicas lower"
                );
                return Err(Error::Train { problem });
            }
        }
        Ok(())
    }

    /// The sizes that the data decides.
    pub(crate) fn sizes(&self, data: &TrainData<'_>) -> Sizes {
        Sizes { vocab: data.vocab_size, labels: data.labels.len(), max_length: data.max_length }
    }
}
