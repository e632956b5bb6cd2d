//! What a model is compared with, besides its baseline's own curve, and what comes of it.

use std::path::PathBuf;

use textgan_generate::{Drawn, Model};

use crate::bench::{Bench, Measured};
use crate::draws::Draws;
use crate::evaluate::samples_key;
use crate::evaluation::{ControlScores, Sweep};
use crate::quality::{self, Protocol};
use crate::verdict::{Duel, Judgement, Pairing, judge};
use crate::writer::Writer;
use crate::{Decoding, Result, Truth};

impl Bench<'_> {
    /// The curves of what a claim must beat, besides the baseline's own.
    pub fn controls(
        &self,
        model: Writer<'_>,
        baseline: Writer<'_>,
        folders: &[(String, PathBuf)],
    ) -> Result<Vec<ControlScores>> {
        let mut controls = Vec::new();
        for (name, folder) in folders {
            self.progress.begin(&format!("evaluating the control {name}"), None);
            let model = Model::load(folder)?;
            self.check(&model)?;
            let labels = self.labels_for(&model);
            let draws = Draws::new(&model, labels, samples_key(self.key), self.config);
            let mut at = Vec::new();
            for &temperature in &self.config.sweep {
                at.push((temperature, draws.at(temperature)?.as_ref().clone()));
            }
            let sweep = self.curve(&model, "temperature", &at)?;
            controls.push(ControlScores { name: name.clone(), sweep, model: None });
            self.progress.finish();
        }
        for &decoding in &self.config.controls {
            let name = decoding.name();
            self.progress.begin(&format!("evaluating the control {name}"), None);
            let baseline = self.decoded(decoding, baseline)?;
            let model = self.decoded(decoding, model)?;
            let name = name.to_owned();
            controls.push(ControlScores { name, sweep: baseline, model: Some(model) });
            self.progress.finish();
        }
        Ok(controls)
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
