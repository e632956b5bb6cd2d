use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use textgan_generate::{Drawn, Labels, Model, Options};
use textgan_random::Key;

use crate::{EvaluateConfig, Result};

/// The samples of a model by temperature, each drawn once.
///
/// The same noise and the same random streams are used at each, so that they differ by the
/// temperature only.
pub(crate) struct Draws<'a> {
    model: &'a Model,
    labels: Labels<'a>,
    key: Key,
    config: &'a EvaluateConfig,
    /// Of which each sample is chosen.
    candidates: usize,
    /// By the bits of the temperature.
    drawn: RefCell<HashMap<u32, Rc<Drawn>>>,
}

impl<'a> Draws<'a> {
    pub fn new(model: &'a Model, labels: Labels<'a>, key: Key, config: &'a EvaluateConfig) -> Self {
        Self { model, labels, key, config, candidates: 1, drawn: RefCell::default() }
    }

    /// Each sample is chosen of so many.
    pub fn of_candidates(self, candidates: usize) -> Self {
        Self { candidates, ..self }
    }

    /// As many samples as are configured.
    pub fn at(&self, temperature: f32) -> Result<Rc<Drawn>> {
        if let Some(drawn) = self.drawn.borrow().get(&temperature.to_bits()) {
            return Ok(drawn.clone());
        }
        let EvaluateConfig { batch_size, samples, .. } = *self.config;
        let candidates = self.candidates;
        let options = Options {
            temperature: Some(temperature),
            batch_size,
            candidates,
            ..Options::default()
        };
        let drawn = Rc::new(self.model.draw(&options, self.labels, &self.key, samples)?);
        self.drawn.borrow_mut().insert(temperature.to_bits(), drawn.clone());
        Ok(drawn)
    }
}
