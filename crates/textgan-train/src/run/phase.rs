//! Where phases begin and end.

use std::collections::BTreeMap;
use std::path::Path;

use textgan_models::{save_discriminator, save_generator};
use textgan_nn::{Optimizer, Parameters};
use textgan_random::Key;

use super::{Course, Run, Side};
use crate::Result;
use crate::average::Average;
use crate::batches::Batches;
use crate::config::{Keep, Phase};
use crate::data::Half;
use crate::error::io;
use crate::game::Player;
use crate::summary::{End, PhaseSummary, Summary};

impl Run<'_> {
    /// Prepares the phase at hand, at its beginning or in its midst.
    pub fn enter_phase(&mut self) -> Result<()> {
        let Some(phase) = self.phase() else { return Ok(()) };
        self.course = Some(self.course_of(phase, &self.phase_key())?);
        if phase.rollout_lag().is_some() {
            self.game.begin_policy()?;
        }
        if self.state.phase_step == 0 {
            if self.is_first_adversarial() {
                self.save_generator("baseline")?;
            }
            self.log("begin", None, &BTreeMap::new())?;
        } else {
            self.load_companions(&self.latest.clone())?;
        }
        self.progress.begin(phase.kind(), Some(self.course().steps));
        self.progress.advance(self.state.phase_step);
        Ok(())
    }

    /// Batches and fresh optimizers for `phase`, whose draws are named by `key`.
    pub(super) fn course_of(&self, phase: &Phase, key: &Key) -> Result<Course> {
        let objective = phase.objective();
        let data = self.game.data;
        let batches = |half: Half, name: &str| {
            let rows = half.rows(data.train.len());
            let lengths = rows.iter().map(|&row| data.train[row].tokens.len()).collect();
            let config = self.recipe.train;
            Batches::new(
                rows,
                lengths,
                config.batch_size,
                config.length_window,
                key.child("batches").child(name),
            )
        };
        let generator = batches(Half::of_generator(phase.cross_fit()), "generator");
        let steps = match phase {
            Phase::MaximumLikelihood(phase) => phase
                .steps
                .or(phase.epochs.map(|epochs| epochs * generator.per_epoch()))
                .unwrap_or(0),
            Phase::Discriminator(phase) => phase.steps,
            Phase::Adversarial(phase) => phase.steps,
        };
        let turns = objective.turns();
        let side = |player: Player, learning: Parameters, batches: Batches| -> Result<Side> {
            if !turns.contains(&player) {
                return Ok(Side { batches, optimizer: None, average: None });
            }
            let (config, rate) = objective.optimizer(player);
            let optimizer = Some(Optimizer::new(config.adam(rate), &learning)?);
            let average = match config.average {
                0.0 => None,
                kept => Some(Average::new(learning, kept)?),
            };
            Ok(Side { batches, optimizer, average })
        };
        // The encoder has no gradient, and no business, where nothing is encoded.
        let mut writers = Parameters::new();
        writers.share("generator", self.game.generator.parameters())?;
        if let (Some(encoder), Some(_)) = (&self.game.encoder, phase.latent()) {
            writers.share("encoder", encoder.parameters())?;
        }
        let mut judges = Parameters::new();
        if let Some(networks) = &self.game.judges {
            judges.share("discriminator", networks.learning.parameters())?;
        }
        let judged = batches(Half::of_discriminator(phase.cross_fit()), "discriminator");
        Ok(Course {
            steps,
            generator: side(Player::Generator, writers, generator)?,
            discriminator: side(Player::Discriminator, judges, judged)?,
        })
    }

    /// Hands on the weights that the phase keeps, and moves to the next phase.
    pub fn end_phase(&mut self, ended: End) -> Result<()> {
        let Some(phase) = self.phase() else { return Ok(()) };
        let rest = std::mem::take(&mut self.state.interval).means();
        if !rest.is_empty() {
            self.log("train", None, &rest)?;
        }
        let keep = match phase {
            Phase::MaximumLikelihood(phase) => phase.keep,
            Phase::Discriminator(_) => Keep::Last,
            Phase::Adversarial(phase) => phase.keep,
        };
        let best = self.state.convergence.best;
        let kept_step = match (keep, best, self.state.best.clone()) {
            (Keep::Best, Some((_, step)), Some(name)) => {
                self.load_networks(&name)?;
                Some(step)
            }
            _ => {
                // What was learned last is handed on as its average, where there is one.
                self.swap_averages()?;
                None
            }
        };
        let summary = PhaseSummary {
            kind: phase.kind().to_owned(),
            steps: self.state.phase_step,
            ended,
            generator_updates: self.state.generator_updates,
            discriminator_updates: self.state.discriminator_updates,
            kept_step,
            best_score: best.map(|(score, _)| score),
            evaluation: std::mem::take(&mut self.state.evaluation),
        };
        self.log("end", Some(ended.name()), &BTreeMap::new())?;
        self.progress.finish();
        self.progress.message(&summary.to_string());
        self.course = None;
        self.game.rollout_policy = None;
        self.state.next_phase(summary);
        self.checkpoint_beginning()
    }

    /// The checkpoint between two phases, before the first and after the last.
    pub(super) fn checkpoint_beginning(&mut self) -> Result<()> {
        let (step, phase) = (self.state.step, self.state.phase);
        let name = match self.phase() {
            Some(_) => format!("step-{step:06}-phase-{}", phase + 1),
            None => format!("step-{step:06}-end"),
        };
        self.state.beginning = Some(name.clone());
        self.write_latest(name)
    }

    /// Publishes the models and the summary.
    pub fn finish(&mut self) -> Result<Summary> {
        self.save_generator("model")?;
        if let Some(judges) = &self.game.judges {
            save_discriminator(&self.out.join("discriminator"), judges.learning.as_ref())?;
        }
        let summary = Summary {
            steps: self.state.step,
            generator_parameters: self.game.generator.parameters().count() as u64,
            discriminator_parameters: self
                .game
                .judges
                .as_ref()
                .map(|judges| judges.learning.parameters().count() as u64),
            train_sentences: self.game.data.train.len() as u64,
            valid_sentences: self.game.data.valid.len() as u64,
            phases: self.state.done.clone(),
        };
        summary.write(&self.out.join("summary.json"))?;
        Ok(summary)
    }

    fn save_generator(&self, name: &str) -> Result<()> {
        let data = self.game.data;
        let mut card = data.card.clone();
        card.labels = data.labels.to_vec();
        card.facts
            .push(("parameters".to_owned(), self.game.generator.parameters().count().to_string()));
        card.facts.extend(self.state.done.iter().map(|phase| (phase.kind.clone(), phase.facts())));
        Ok(save_generator(
            &self.out.join(name),
            self.game.generator.as_ref(),
            data.tokenizer,
            &card,
        )?)
    }

    fn is_first_adversarial(&self) -> bool {
        let first =
            self.recipe.phases.iter().position(|phase| matches!(phase, Phase::Adversarial(_)));
        first == Some(self.state.phase)
    }

    /// Moments of the optimizers, averages of weights, and the rollout policy, from checkpoint `name`; what it does not
    /// have stays as it is.
    pub(super) fn load_companions(&mut self, name: &str) -> Result<()> {
        let folder = self.checkpoints.path(name);
        let policy = folder.join(super::ROLLOUT_POLICY);
        if let Some(network) = &self.game.rollout_policy
            && policy.exists()
        {
            network.parameters().load(&policy)?;
        }
        let load = |side: &mut Side, name: &str| -> Result<()> {
            let path = folder.join(format!("{name}-optimizer.safetensors"));
            if let Some(optimizer) = &mut side.optimizer
                && path.exists()
            {
                optimizer.load(&path)?;
            }
            let path = folder.join(format!("{name}-average.safetensors"));
            match &side.average {
                Some(average) if path.exists() => Ok(average.mean.load(&path)?),
                _ => Ok(()),
            }
        };
        let course = self.course();
        load(&mut course.generator, "generator")?;
        load(&mut course.discriminator, "discriminator")
    }

    /// Puts the networks back to the phase's best evaluation, or to its beginning, and halves the
    /// learning rates. The steps go on, so what is drawn from here on is new.
    pub(super) fn roll_back(&mut self) -> Result<()> {
        let best = self.state.convergence.best.and(self.state.best.clone());
        let Some(name) = best.or_else(|| self.state.beginning.clone()) else { return Ok(()) };
        self.load_networks(&name)?;
        if let Some(phase) = self.phase() {
            self.course = Some(self.course_of(phase, &self.phase_key())?);
            if phase.rollout_lag().is_some() {
                self.game.begin_policy()?;
            }
        }
        self.load_companions(&name)?;
        self.state.learning_rate_scale *= 0.5;
        self.state.roll_backs += 1;
        self.state.watch.forgive();
        self.progress.message(&format!("rolled back to {name}; learning rates are halved"));
        Ok(())
    }
}

impl End {
    /// Its name in files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::StepLimit => "step-limit",
            Self::Converged => "converged",
            Self::Alarm => "alarm",
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
