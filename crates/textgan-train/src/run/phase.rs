//! Where phases begin and end.

use std::collections::BTreeMap;
use std::path::Path;

use textgan_models::{Generator, save_generator};
use textgan_nn::Optimizer;

use super::{Course, Current, Run, Side};
use crate::Result;
use crate::algorithm::Learner;
use crate::average::Average;
use crate::batches::Batches;
use crate::config::Keep;
use crate::error::io;
use crate::meter::Meter;
use crate::objective::{PlannedPhase, Role};
use crate::summary::{End, PhaseSummary, Summary};

impl<'a> Run<'a> {
    /// Prepares the phase at hand, at its beginning or in its midst; `None` when all are done.
    pub fn enter_phase(&mut self) -> Result<Option<Current<'a>>> {
        let Some(planned) = self.planned() else { return Ok(None) };
        let begins = self.state.phase_step == 0;
        // Before there are copies: they are to be of the baseline, too.
        if begins
            && planned.control.is_some()
            && let Some(name) = self.state.baseline.clone()
        {
            self.load_networks(&name)?;
        }
        let algorithm = planned.objective.begin(&mut self.networks)?;
        if begins {
            planned.objective.settle(&self.networks)?;
        }
        let course = self.course_of(planned, algorithm.learners())?;
        let mut phase = Current { planned, algorithm, course, meter: Meter::start() };
        if begins {
            self.state.gate_open = planned.settings.gate.is_none();
            // A game that begins from nothing has no baseline: to be better than random weights is no claim.
            if self.is_first_game() && self.has_learned() {
                self.save_generator("baseline")?;
            }
            self.log("begin", None, &BTreeMap::new())?;
        }
        self.load_companions(&mut phase.course, &self.latest)?;
        self.progress.begin(phase.course.kind, Some(phase.course.steps));
        self.progress.advance(self.state.phase_step);
        Ok(Some(phase))
    }

    /// Batches and fresh optimizers for the phase at hand.
    fn course_of(&self, planned: PlannedPhase<'_>, learners: Vec<Learner>) -> Result<Course> {
        let (data, config, settings) = (self.networks.data(), self.plan.train, planned.settings);
        let mut sides = Vec::with_capacity(learners.len());
        for learner in learners {
            let rows = learner.reads.of(data.train.len(), settings.cross_fit);
            let lengths = rows.iter().map(|&row| data.train[row].tokens.len()).collect();
            let batches = Batches::new(
                rows,
                lengths,
                config.batch_size,
                if learner.sorted { config.length_window } else { 1 },
                self.phase_key().child("batches").child(learner.name),
            );
            let adam = learner.optimizer.adam(learner.learning_rate);
            let optimizer = Optimizer::new(adam, &learner.parameters)?;
            let average = match learner.optimizer.average {
                0.0 => None,
                kept => Some(Average::new(learner.parameters.clone(), kept)?),
            };
            sides.push(Side { learner, batches, optimizer, average });
        }
        let per_epoch = sides.first().map_or(1, |side| side.batches.per_epoch());
        let steps = settings.steps.or(settings.epochs.map(|epochs| epochs * per_epoch));
        let round = steps.unwrap_or(0);
        let doublings = settings.converge.as_ref().map_or(0, |converge| converge.rounds);
        Ok(Course {
            kind: planned.objective.kind(),
            steps: round << doublings,
            round,
            schedule: settings.schedule.clone(),
            sides,
        })
    }

    /// Hands on the weights that the phase keeps, and moves to the next phase.
    pub fn end_phase(&mut self, mut phase: Current<'a>, ended: End) -> Result<()> {
        let rest = self.take_means()?;
        if !rest.is_empty() {
            self.log("train", None, &rest)?;
        }
        let best = self.state.convergence.best;
        let kept_step = match (phase.planned.settings.keep, best, self.state.best.clone()) {
            (Keep::Best, Some((_, step)), Some(name)) => {
                self.load_networks(&name)?;
                self.load_companions(&mut phase.course, &name)?;
                Some(step)
            }
            _ => {
                // What was learned last is handed on as its average, where there is one.
                phase.course.swap_averages()?;
                None
            }
        };
        let is_last = |run: &Self| {
            let next = run.plan.phases.get(run.state.phase + 1);
            next.is_none_or(|next| next.control.is_some())
        };
        match phase.planned.control {
            Some(name) => self.save_generator(&format!("controls/{name}"))?,
            None if is_last(self) => self.publish()?,
            None => {}
        }
        let summary = PhaseSummary {
            control: phase.planned.control.map(str::to_owned),
            kind: phase.course.kind.to_owned(),
            steps: self.state.phase_step,
            ended,
            updates: self.state.updates.clone(),
            kept_step,
            best_score: best.map(|(score, _)| score),
            converged: self.state.converged,
            evaluation: std::mem::take(&mut self.state.evaluation),
        };
        self.log("end", Some(ended.name()), &BTreeMap::new())?;
        self.progress.finish();
        self.progress.message(&summary.to_string());
        self.networks.forget_passing();
        self.state.next_phase(summary);
        self.checkpoint_beginning(Some(&phase.course))
    }

    /// The checkpoint between two phases, before the first and after the last. It has the optimizers of
    /// the course that is `over`, which those of the next may go on from.
    pub(super) fn checkpoint_beginning(&mut self, over: Option<&Course>) -> Result<()> {
        let (step, phase) = (self.state.step, self.state.phase);
        let name = match self.planned() {
            Some(_) => format!("step-{step:06}-phase-{}", phase + 1),
            None => format!("step-{step:06}-end"),
        };
        if self.is_first_game() {
            self.state.baseline = Some(name.clone());
        }
        if phase == self.plan.phases.iter().filter(|phase| phase.control.is_none()).count() {
            self.state.trained = Some(name.clone());
        }
        self.state.beginning = Some(name.clone());
        self.write_latest(name, |run, folder| {
            run.save_networks(folder)?;
            for side in over.iter().flat_map(|course| &course.sides) {
                if side.learner.carries && side.optimizer.steps() > 0 {
                    side.optimizer.save(&folder.join(carried(side.learner.name)))?;
                }
            }
            Ok(())
        })
    }

    /// Publishes the models.
    fn publish(&self) -> Result<()> {
        if !self.team.leads() {
            return Ok(());
        }
        self.save_generator("model")?;
        for (name, writer) in self.networks.writers() {
            self.save_writer(name, writer)?;
        }
        self.networks.publish_discriminator(&self.out.join("discriminator"))
    }

    /// Publishes the summary.
    pub fn finish(&mut self) -> Result<Summary> {
        if self.team.leads() {
            self.forget_controls()?;
        }
        let data = self.networks.data();
        let summary = Summary {
            steps: self.state.step,
            generator_parameters: self.networks.generator().parameters().count() as u64,
            discriminator_parameters: self.networks.discriminator_parameters(),
            train_sentences: data.train.len() as u64,
            valid_sentences: data.valid.len() as u64,
            phases: self.state.done.clone(),
            metrics: self.state.metrics.clone(),
        };
        if self.team.leads() {
            summary.write(&self.out.join("summary.json"))?;
        }
        Ok(summary)
    }

    /// Removes generators of controls that this run has not made.
    fn forget_controls(&self) -> Result<()> {
        let folder = self.out.join("controls");
        let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(()) };
        for entry in entries {
            let entry = entry.map_err(io("read", &folder))?;
            let name = entry.file_name();
            let made = |phase: &PhaseSummary| {
                phase.control.as_deref().map(std::ffi::OsStr::new) == Some(&name)
            };
            if !self.state.done.iter().any(made) {
                textgan_artifact::remove_folder(&entry.path())?;
            }
        }
        Ok(())
    }

    fn save_generator(&self, name: &str) -> Result<()> {
        if !self.team.leads() {
            return Ok(());
        }
        self.save_writer(name, self.networks.generator().as_ref())
    }

    fn save_writer(&self, name: &str, generator: &dyn Generator) -> Result<()> {
        let data = self.networks.data();
        let mut card = data.card.clone();
        card.labels = data.labels.to_vec();
        card.facts.push(("parameters".to_owned(), generator.parameters().count().to_string()));
        card.facts.extend(self.state.done.iter().map(|phase| (phase.kind.clone(), phase.facts())));
        Ok(save_generator(&self.out.join(name), generator, data.tokenizer, &card)?)
    }

    /// Whether the generator has learned by itself before the phase at hand.
    fn has_learned(&self) -> bool {
        let before = self.plan.phases.iter().take(self.state.phase);
        let learned = before.into_iter().any(|phase| phase.objective.role() == Role::Generator);
        learned || self.plan.train.init_from.is_some()
    }

    fn is_first_game(&self) -> bool {
        let is_game = |phase: &PlannedPhase<'_>| phase.objective.role() == Role::Game;
        self.plan.phases.iter().position(is_game) == Some(self.state.phase)
    }

    /// Moments of the optimizers, averages of weights, and networks of this phase alone, from
    /// checkpoint `name`; what it does not have stays as it is.
    fn load_companions(&self, course: &mut Course, name: &str) -> Result<()> {
        let folder = self.checkpoints.path(name);
        for (name, parameters) in self.networks.passing() {
            let path = folder.join(format!("{name}.safetensors"));
            if path.exists() {
                parameters.load(&path)?;
            }
        }
        for side in &mut course.sides {
            let name = side.learner.name;
            let path = folder.join(format!("{name}-optimizer.safetensors"));
            let handed_on = folder.join(carried(name));
            if path.exists() {
                side.optimizer.load(&path)?;
            } else if side.learner.carries && handed_on.exists() {
                match side.optimizer.load(&handed_on) {
                    // Those of another network: this one begins.
                    Err(textgan_nn::Error::ParameterMismatch { .. }) => {}
                    loaded => loaded?,
                }
            }
            let path = folder.join(format!("{name}-average.safetensors"));
            if let Some(average) = &side.average
                && path.exists()
            {
                average.mean.load(&path)?;
            }
        }
        Ok(())
    }

    /// Puts the networks back to the phase's best evaluation, or to its beginning, and halves the
    /// learning rates. The steps go on, so what is drawn from here on is new.
    pub(super) fn roll_back(&mut self, phase: &mut Current<'a>) -> Result<()> {
        let best = self.state.convergence.best.and(self.state.best.clone());
        let Some(name) = best.or_else(|| self.state.beginning.clone()) else { return Ok(()) };
        self.load_networks(&name)?;
        self.networks.forget_passing();
        phase.algorithm = phase.planned.objective.begin(&mut self.networks)?;
        phase.course = self.course_of(phase.planned, phase.algorithm.learners())?;
        self.load_companions(&mut phase.course, &name)?;
        self.state.learning_rate_scale *= 0.5;
        self.state.roll_backs += 1;
        self.state.watch.forgive();
        self.progress.message(&format!("rolled back to {name}; learning rates are halved"));
        Ok(())
    }
}

/// The file of moments that a learner leaves to its next phase.
fn carried(learner: &str) -> String {
    format!("{learner}-carried.safetensors")
}

impl End {
    /// Its name in files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::StepLimit => "step-limit",
            Self::Converged => "converged",
            Self::Alarm => "alarm",
            Self::Gate => "gate",
        }
    }
}

impl Summary {
    fn write(&self, path: &Path) -> Result<()> {
        let mut json =
            serde_json::to_vec_pretty(self).map_err(|error| io("write", path)(error.into()))?;
        json.push(b'\n');
        Ok(textgan_artifact::write_atomic(path, &json)?)
    }
}
