//! What a model is compared with, besides its baseline's own curve, and what comes of it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use textgan_artifact::Team;
use textgan_generate::{Drawn, Model};

use crate::bench::{Bench, Measured};
use crate::draws::Draws;
use crate::evaluate::samples_key;
use crate::evaluation::{ControlScores, Sweep};
use crate::quality::{self, Protocol};
use crate::series::Series;
use crate::verdict::{Duel, Judgement, Pairing, judge};
use crate::writer::Writer;
use crate::{Decoding, Result, Truth};

/// Everything that was measured.
pub(crate) struct All {
    pub model: Measured,
    pub baseline: Option<Measured>,
    pub controls: Vec<ControlScores>,
    pub training_text: Vec<Series>,
}

/// One of the works that make it, none of which needs another.
enum Work<'w> {
    Model(&'static str, Writer<'w>),
    /// A control that was trained: its name and its generator.
    Trained(&'w str, &'w Path),
    /// A control of decoding, of the baseline or of the model.
    Decoded(Decoding, Writer<'w>),
    TrainingText,
}

/// What one of them found.
#[derive(Serialize, Deserialize)]
enum Found {
    Model(Box<Measured>),
    Curve(Sweep),
    TrainingText(Vec<Series>),
}

impl Bench<'_> {
    /// Measures the model, what it is compared with, and with two temperatures or more the curves of what a claim must
    /// beat besides the baseline's own; shared out over the processes of a team.
    pub fn all(
        &self,
        team: &Team,
        model: Writer<'_>,
        baseline: Option<Writer<'_>>,
        folders: &[(String, PathBuf)],
    ) -> Result<All> {
        let mut works = vec![Work::Model("the trained model", model)];
        works.extend(
            baseline.map(|writer| Work::Model("the maximum-likelihood checkpoint", writer)),
        );
        // What has no curve has no rivals.
        let (folders, decodings) = match self.config.sweep[..] {
            [_, _, ..] => (folders, &self.config.controls[..]),
            _ => (&[][..], &[][..]),
        };
        if let Some(baseline) = baseline {
            works.extend(folders.iter().map(|(name, folder)| Work::Trained(name, folder)));
            let both = |&how| [Work::Decoded(how, baseline), Work::Decoded(how, model)];
            works.extend(decodings.iter().flat_map(both));
        }
        works.push(Work::TrainingText);
        let found = team.map("what was measured", works.len(), |work| self.work(&works[work]))?;

        let (mut models, mut curves, mut training_text) = (Vec::new(), Vec::new(), Vec::new());
        for found in found {
            match found {
                Found::Model(model) => models.push(*model),
                Found::Curve(curve) => curves.push(curve),
                Found::TrainingText(series) => training_text = series,
            }
        }
        let (mut models, mut curves) = (models.into_iter(), curves.into_iter());
        let trained = folders.iter().map(|(name, _)| (name.as_str(), false));
        let decoded = decodings.iter().map(|how| (how.name(), true));
        let controls = trained.chain(decoded).map_while(|(name, of_both)| {
            let sweep = curves.next()?;
            let model = if of_both { curves.next() } else { None };
            Some(ControlScores { name: name.to_owned(), sweep, model })
        });
        let controls = controls.collect();
        let Some(model) = models.next() else {
            unreachable!("the model is the first of the works")
        };
        Ok(All { model, baseline: models.next(), controls, training_text })
    }

    fn work(&self, work: &Work<'_>) -> Result<Found> {
        Ok(match *work {
            Work::Model(name, writer) => Found::Model(Box::new(self.measure(name, writer)?)),
            Work::Trained(name, folder) => {
                self.progress.begin(&format!("evaluating the control {name}"), None);
                let curve = self.trained(folder)?;
                self.progress.finish();
                Found::Curve(curve)
            }
            Work::Decoded(how, writer) => {
                self.progress.begin(&format!("evaluating the control {}", how.name()), None);
                let curve = self.decoded(how, writer)?;
                self.progress.finish();
                Found::Curve(curve)
            }
            Work::TrainingText => Found::TrainingText(self.training_text()?),
        })
    }

    /// The curve of a generator that other means made of the baseline.
    fn trained(&self, folder: &Path) -> Result<Sweep> {
        let model = Model::load(folder)?;
        self.check(&model)?;
        let labels = self.labels_for(&model);
        let draws = Draws::new(&model, labels, samples_key(self.key), self.config);
        let mut at = Vec::new();
        for &temperature in &self.config.sweep {
            at.push((temperature, draws.at(temperature)?.as_ref().clone()));
        }
        self.curve(&model, "temperature", &at)
    }

    /// The curve of a generator whose samples are decoded in another way.
    fn decoded(&self, decoding: Decoding, writer: Writer<'_>) -> Result<Sweep> {
        let model = writer.load()?;
        let labels = self.labels_for(&model);
        let key = samples_key(self.key);
        let at = decoding.draw(&model, writer.candidates, labels, &key, self.config)?;
        self.curve(&model, decoding.parameter(), &at)
    }

    /// Quality and diversity of samples that were drawn at some values of a knob.
    fn curve(&self, model: &Model, parameter: &str, at: &[(f32, Drawn)]) -> Result<Sweep> {
        let drawn = format!("{parameter}:swept");
        let protocol = Protocol { tokens: self.tokens.to_owned(), drawn: drawn.clone() };
        let batches = self.config.batches;
        let mut found = Vec::new();
        for (_, samples) in at {
            let mut series = quality::measure(&samples.tokens, &self.real, &protocol, batches);
            if let Some(exact) = self.truth.map(Truth::exact) {
                series.extend(exact.samples(&self.samples(model, samples, &drawn))?);
            }
            found.push(series);
            self.go_on()?;
        }
        let values: Vec<f32> = at.iter().map(|(value, _)| *value).collect();
        Ok(Sweep { parameter: parameter.to_owned(), ..Sweep::of(&values, &found) })
    }

    /// Whether the model is better than its baseline at any temperature and than every control.
    pub fn judge(
        &self,
        model: &Measured,
        baseline: &Measured,
        controls: &[ControlScores],
        converged: Option<bool>,
    ) -> Result<Option<Judgement>> {
        let (Some(ours), Some(theirs)) = (&model.sweep, &baseline.sweep) else { return Ok(None) };
        if self.config.sweep.len() < 2 || self.config.verdict.is_empty() {
            return Ok(None);
        }
        let rival = |name: &str, model, sweep| Duel {
            name: name.to_owned(),
            model: vec![model],
            rival: vec![sweep],
            // Both sides have the same noise and streams.
            pairing: Pairing::Paired,
        };
        let mut duels = vec![rival("temperature", ours, theirs)];
        duels.extend(controls.iter().map(|control| {
            rival(&control.name, control.model.as_ref().unwrap_or(ours), &control.sweep)
        }));
        judge(&duels, &self.config.verdict, converged).map(Some)
    }
}
