//! What is looked at between steps.

use textgan_models::{Conditions, Sampler, SamplingOptions, sample};

use super::{Current, Run};
use crate::Result;
use crate::checkpoint::SNAPSHOTS;
use crate::config::AlarmAction;
use crate::evaluation::{EvaluationKeys, evaluate};
use crate::objective::Role;
use crate::record::SampleLine;
use crate::summary::End;
use crate::{Error, metric::Metric};

/// Roll-backs of a phase before an alarm ends it.
const ROLL_BACKS: u32 = 2;

impl<'a> Run<'a> {
    /// Whether the phase asks for an evaluation before its next step: at its interval, at its end,
    /// and where it is a game, at its beginning, which the alarms compare with.
    pub fn evaluation_is_due(&self, phase: &Current<'_>) -> bool {
        let step = self.state.phase_step;
        let every = phase.planned.settings.evaluation.every;
        let begins = step == 0 && phase.planned.objective.role() == Role::Game;
        let ends_round = phase.course.ends_round(step);
        begins
            || ends_round
            || self.is_at_limit(phase)
            || (step > 0 && every > 0 && step.is_multiple_of(every))
    }

    /// Evaluates, keeps the best weights, looks at the alarms; says whether the phase is over.
    ///
    /// Nothing is written before all is measured, so a stop in between loses nothing.
    pub fn evaluate(&mut self, phase: &mut Current<'a>) -> Result<Option<End>> {
        let progress = self.progress;
        progress.status("evaluating");
        let keys = EvaluationKeys {
            noise: self.key.child("validation-noise"),
            samples: self.key.child("evaluation"),
        };
        let (stop, team) = (|| progress.stop_requested(), self.team);
        let (algorithm, planned) = (phase.algorithm.as_ref(), phase.planned);
        let found = phase.course.with_averages(|| {
            evaluate(team, &self.networks, &self.held_out, planned, algorithm, keys, &stop)
        })?;
        let Some(found) = found else { return Err(self.interrupt(phase)) };
        if let Some(metric) = found.metrics.iter().find(|metric| !metric.value.is_finite()) {
            return Err(Error::NonFinite {
                what: metric.name.replace('_', " "),
                step: self.state.step,
                phase: self.state.phase,
                kind: phase.course.kind,
                checkpoint: self.latest_checkpoint(),
            });
        }
        for metric in &found.metrics {
            self.state.know(metric.name, metric.kind);
        }
        let value = |metric: &Metric| (metric.name.to_owned(), metric.value);
        self.state.evaluation = found.metrics.iter().map(value).collect();
        self.log("evaluation", None, &self.state.evaluation.clone())?;
        phase.course.with_averages(|| self.histograms(found.logits.as_ref()))?;
        let values = describe(self.state.evaluation.iter());
        progress.message(&format!("step {}: {values}", self.state.step));

        if !self.state.gate_open {
            let passed = planned.settings.gate.as_ref().is_none_or(|gate| found.passes(gate));
            self.state.gate_open = passed;
            if passed && planned.settings.gate.is_some() {
                progress.message("the discriminator has passed the gate: the generator moves");
            }
            // What nobody teaches will not learn.
            if !passed && planned.objective.role() == Role::Game && phase.course.sides.len() < 2 {
                progress
                    .message("the discriminator does not pass the gate, and nothing teaches it");
                return Ok(Some(End::Gate));
            }
        }
        let settings = &planned.settings.evaluation;
        let step = self.state.phase_step;
        // A game that makes nothing better hands on what it began with.
        let counts = step > 0 || planned.objective.role() == Role::Game;
        if let (Some(score), true) = (found.score, counts)
            && self.state.convergence.observe(step, score, settings.min_improvement)
        {
            self.keep_best(phase)?;
        }
        if let (Some(converge), true) = (&planned.settings.converge, phase.course.ends_round(step))
        {
            // Scores are losses with their sign turned.
            let now = self.state.convergence.best.map_or(0.0, |(score, _)| -score);
            if let Some(before) = self.state.round_loss.replace(now) {
                let improvement = (before - now) / before.abs().max(1e-12);
                let converged = improvement < converge.improvement;
                self.state.converged = Some(converged);
                progress.message(&format!(
                    "as many more updates improved the loss by {:.2} %: {}converged",
                    100.0 * improvement,
                    if converged { "" } else { "not " }
                ));
                if converged {
                    return Ok(Some(End::Converged));
                }
            }
        }
        if let Some(distinct) = found.distinct {
            self.gather_notes()?;
            let accuracy = self.state.accuracy();
            let alarms = &planned.settings.alarms;
            for alarm in self.state.watch.look(alarms, distinct, accuracy, found.sees()) {
                progress.message(&alarm.message);
                let values = [("value".to_owned(), alarm.value)].into();
                let note = format!("{}: {}", alarm.name, alarm.action.name());
                self.log("alarm", Some(&note), &values)?;
                match alarm.action {
                    AlarmAction::Report => {}
                    AlarmAction::RollBack if self.state.roll_backs < ROLL_BACKS => {
                        self.roll_back(phase)?
                    }
                    AlarmAction::Stop | AlarmAction::RollBack => return Ok(Some(End::Alarm)),
                }
            }
        }
        Ok(self.state.convergence.is_over(settings.patience).then_some(End::Converged))
    }

    /// What TensorBoard shows of the weights of the networks that last, and of what the critic says of real and generated
    /// texts.
    fn histograms(&mut self, logits: Option<&[Vec<f32>; 2]>) -> Result<()> {
        let (step, Some(record)) = (self.state.step, &mut self.record) else { return Ok(()) };
        for (name, logits) in ["real", "generated"].into_iter().zip(logits.into_iter().flatten()) {
            let tag = format!("logits/{name}");
            record.histogram(step, &tag, || Ok(logits.clone()))?;
        }
        for (network, parameters) in self.networks.lasting() {
            for (name, weights) in parameters.iter() {
                let values = || Ok(weights.flatten_all()?.to_vec1()?);
                record.histogram(step, &format!("{network}/{name}"), values)?;
            }
        }
        Ok(())
    }

    /// Saves the networks as the phase's best, with the weights that were evaluated.
    fn keep_best(&mut self, phase: &Current<'_>) -> Result<()> {
        let name = format!("best-step-{:06}", self.state.step);
        if self.team.leads() {
            self.checkpoints.write(&name, None, |folder| {
                phase.course.with_averages(|| self.save_networks(folder))?;
                self.save_companions(folder, &phase.course)
            })?;
        }
        self.team.wait(&format!("checkpoint {name}"))?;
        self.state.best = Some(name);
        Ok(())
    }

    /// Keeps the generator as it is when it is time, with the weights that would be evaluated. A step that is made
    /// again after an interruption has the same bits, so what is there already is written over.
    pub fn snapshot_if_due(&mut self, phase: &Current<'_>) -> Result<()> {
        let (first, step) = (self.plan.train.first_snapshot, self.state.phase_step);
        let moves = matches!(phase.planned.objective.role(), Role::Generator | Role::Game);
        // Which steps does not depend on how long the phase is: one that is extended has left the same.
        let is_due = first > 0 && step.is_multiple_of(first) && (step / first).is_power_of_two();
        if !is_due || !moves || phase.planned.control.is_some() || !self.team.leads() {
            return Ok(());
        }
        let folder = self.out.join(SNAPSHOTS);
        textgan_artifact::make_folder(&folder)?;
        let path = folder.join(format!("step-{:06}.safetensors", self.state.step));
        textgan_artifact::replace_file(&path, |draft| {
            let generator = self.networks.generator();
            phase.course.with_averages(|| Ok(generator.parameters().save(draft)?))
        })
    }

    /// Samples the fixed noise vectors when it is time, for a reader.
    pub fn sample_if_due(&mut self, phase: &Current<'_>) -> Result<()> {
        let config = self.plan.train;
        let due = config.sample_every > 0
            && (self.is_at_limit(phase)
                || self.state.phase_step.is_multiple_of(config.sample_every));
        let Some(record) = self.record.as_mut().filter(|_| due && config.fixed_samples > 0) else {
            return Ok(());
        };
        let (data, generator) = (self.networks.data(), self.networks.generator());
        let key = self.key.child("fixed-samples");
        let rows = config.fixed_samples;
        let noise = generator.noise().draw(&key.child("noise"), 0, rows);
        let labels: Option<Vec<u32>> = (!data.labels.is_empty())
            .then(|| (0..rows).map(|row| (row % data.labels.len()) as u32).collect());
        let conditions = Conditions { rows, noise: &noise, labels: labels.as_deref() };
        let [greedy, sampled] = phase.course.with_averages(|| {
            let mut sampler = generator.sampler()?;
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
            record.sample(&SampleLine { phase, step, index, label, greedy, sampled })?;
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
