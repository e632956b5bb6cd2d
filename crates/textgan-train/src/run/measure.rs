//! What is looked at between steps.

use textgan_models::{Conditions, Sampler, SamplingOptions, sample};

use super::Run;
use crate::Result;
use crate::config::{AlarmAction, Phase};
use crate::evaluation::{EvaluationKeys, evaluate};
use crate::record::SampleLine;
use crate::summary::End;

/// Roll-backs of a phase before an alarm ends it.
const ROLL_BACKS: u32 = 2;

impl Run<'_> {
    /// Whether the phase asks for an evaluation before its next step: at its interval, at its end,
    /// and where it is adversarial, at its beginning, which the alarms compare with.
    pub fn evaluation_is_due(&mut self) -> bool {
        let step = self.state.phase_step;
        let every = match self.phase() {
            Some(Phase::MaximumLikelihood(phase)) => phase.validate_every,
            Some(Phase::Discriminator(phase)) => phase.evaluate_every,
            Some(Phase::Adversarial(phase)) => phase.convergence.every,
            None => return false,
        };
        let begins = step == 0 && matches!(self.phase(), Some(Phase::Adversarial(_)));
        begins || self.is_at_limit() || (step > 0 && every > 0 && step.is_multiple_of(every))
    }

    /// Evaluates, keeps the best weights, looks at the alarms; says whether the phase is over.
    ///
    /// Nothing is written before all is measured, so a stop in between loses nothing.
    pub fn evaluate(&mut self) -> Result<Option<End>> {
        let Some(phase) = self.phase() else { return Ok(None) };
        let progress = self.progress;
        progress.status("evaluating");
        let keys = EvaluationKeys {
            noise: self.key.child("validation-noise"),
            samples: self.key.child("evaluation"),
        };
        let stop = || progress.stop_requested();
        let found = self.with_averages(|run| {
            evaluate(&run.game, &run.held_out, phase, run.recipe.train, keys, &stop)
        })?;
        let Some(found) = found else { return Err(self.interrupt()) };
        if let Some((name, _)) = found.values.iter().find(|(_, value)| !value.is_finite()) {
            return Err(self.non_finite(name.replace('_', " ")));
        }
        self.log("evaluation", None, &found.values)?;
        progress.message(&format!("step {}: {}", self.state.step, describe(found.values.iter())));
        self.state.evaluation = found.values;

        let (patience, min_improvement) = match phase {
            Phase::MaximumLikelihood(phase) => (phase.patience, phase.min_improvement),
            Phase::Discriminator(_) => (0, 0.0),
            Phase::Adversarial(phase) => {
                (phase.convergence.patience, phase.convergence.min_improvement)
            }
        };
        let step = self.state.phase_step;
        if let (Some(score), 1..) = (found.score, step)
            && self.state.convergence.observe(step, score, min_improvement)
        {
            self.keep_best()?;
        }
        if let (Phase::Adversarial(phase), Some(distinct)) = (phase, found.distinct) {
            for alarm in self.state.watch.look(&phase.alarms, distinct, self.state.accuracy) {
                progress.message(&alarm.message);
                let values = [("value".to_owned(), alarm.value)].into();
                let note = format!("{}: {}", alarm.name, alarm.action.name());
                self.log("alarm", Some(&note), &values)?;
                match alarm.action {
                    AlarmAction::Report => {}
                    AlarmAction::RollBack if self.state.roll_backs < ROLL_BACKS => {
                        self.roll_back()?
                    }
                    AlarmAction::Stop | AlarmAction::RollBack => return Ok(Some(End::Alarm)),
                }
            }
        }
        Ok(self.state.convergence.is_over(patience).then_some(End::Converged))
    }

    /// Saves the networks as the phase's best, with the weights that were evaluated.
    fn keep_best(&mut self) -> Result<()> {
        let name = format!("best-step-{:06}", self.state.step);
        let checkpoints = self.checkpoints.clone();
        checkpoints.write(&name, None, |folder| {
            self.with_averages(|run| run.save_networks(folder))?;
            self.save_companions(folder)
        })?;
        self.state.best = Some(name);
        Ok(())
    }

    /// Samples the fixed noise vectors when it is time, for a reader.
    pub fn sample_if_due(&mut self) -> Result<()> {
        let config = self.recipe.train;
        let due = config.sample_every > 0
            && (self.is_at_limit() || self.state.phase_step.is_multiple_of(config.sample_every));
        if !due || config.fixed_samples == 0 {
            return Ok(());
        }
        let data = self.game.data;
        let key = self.key.child("fixed-samples");
        let rows = config.fixed_samples;
        let noise = self.game.noise.draw(&key.child("noise"), 0, rows);
        let labels: Option<Vec<u32>> = (!data.labels.is_empty())
            .then(|| (0..rows).map(|row| (row % data.labels.len()) as u32).collect());
        let conditions = Conditions { rows, noise: &noise, labels: labels.as_deref() };
        let [greedy, sampled] = self.with_averages(|run| {
            let mut sampler = run.game.generator.sampler()?;
            let mut texts = |options: &SamplingOptions| -> Result<Vec<String>> {
                let sampler: &mut dyn Sampler = sampler.as_mut();
                let samples = sample(sampler, &conditions, &[], options, &key.child("tokens"), 0)?;
                Ok(samples.tokens.iter().map(|tokens| (data.decode)(tokens)).collect())
            };
            Ok([texts(&SamplingOptions::greedy())?, texts(&SamplingOptions::default())?])
        })?;
        for (index, (greedy, sampled)) in greedy.into_iter().zip(sampled).enumerate() {
            if index < config.samples_shown {
                self.progress.message(&format!("  {sampled}"));
            }
            let label = labels.as_ref().map(|labels| data.labels[labels[index] as usize].as_str());
            let (phase, step) = (self.state.phase, self.state.step);
            self.record.sample(&SampleLine { phase, step, index, label, greedy, sampled })?;
        }
        Ok(())
    }
}

impl AlarmAction {
    fn name(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Stop => "stop",
            Self::RollBack => "roll-back",
        }
    }
}

/// Numbers for a reader: `validation loss 3.214, kl 2.01`.
pub(super) fn describe<'a>(values: impl Iterator<Item = (&'a String, &'a f64)>) -> String {
    let words: Vec<String> =
        values.map(|(name, value)| format!("{} {value:.4}", name.replace('_', " "))).collect();
    words.join(", ")
}
