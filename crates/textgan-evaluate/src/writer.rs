//! Who writes the texts that are measured.

use std::path::Path;

use textgan_generate::Model;

use crate::evaluate::Inputs;
use crate::{Error, EvaluateConfig, Result};

/// A generator, and who chooses among its samples.
#[derive(Clone, Copy)]
pub(crate) struct Writer<'a> {
    model: &'a Path,
    discriminator: Option<&'a Path>,
    pub candidates: usize,
}

impl<'a> Writer<'a> {
    /// The model as it is configured.
    pub fn of(inputs: &Inputs<'a>, config: &EvaluateConfig) -> Result<Self> {
        let EvaluateConfig { candidates, .. } = *config;
        if candidates > 1 && inputs.discriminator.is_none() {
            let message =
                "there is no discriminator to choose by: the run has trained none; leave it out";
            return Err(Error::Config { key: "candidates", message: message.to_owned() });
        }
        let discriminator = inputs.discriminator.filter(|_| candidates > 1);
        Ok(Self { model: inputs.model, discriminator, candidates })
    }

    pub fn alone(model: &'a Path) -> Self {
        Self { model, discriminator: None, candidates: 1 }
    }

    /// How its samples are drawn, for protocols.
    pub fn told(self, drawn: String) -> String {
        match self.candidates {
            1 => drawn,
            candidates => format!("{drawn}|chosen-of:{candidates}"),
        }
    }

    pub fn load(self) -> Result<Model> {
        let model = Model::load(self.model)?;
        match self.discriminator {
            Some(folder) => Ok(model.with_discriminator(folder)?),
            None => Ok(model),
        }
    }
}
