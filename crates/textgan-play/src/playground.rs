use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use textgan_generate::{Model, Options};

/// Why a model could not be read.
pub type LoadError = Box<dyn std::error::Error + Send + Sync>;

type Load = dyn Fn(&str) -> Result<Model, LoadError> + Send + Sync;

/// Models that are kept in memory.
const KEPT: usize = 4;

/// What is played with: a generator, as it was after some steps, and who judges it.
pub struct Playground {
    pub(crate) name: String,
    pub(crate) verdict: Option<String>,
    pub(crate) choices: Vec<Choice>,
    pub(crate) options: Options,
    pub(crate) real_texts: Vec<(String, Option<String>)>,
    load: Box<Load>,
    /// The models that were asked for last, the newest at the end.
    loaded: Mutex<Vec<(String, Arc<Model>)>>,
}

/// A model that visitors can choose.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Choice {
    pub id: String,
    pub title: String,
}

impl Playground {
    /// A playground with a title; `load` reads the model of an id when it is asked for, with its critic if it
    /// has one.
    pub fn new(
        name: impl Into<String>,
        load: impl Fn(&str) -> Result<Model, LoadError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            verdict: None,
            choices: Vec::new(),
            options: Options::default(),
            real_texts: Vec::new(),
            load: Box::new(load),
            loaded: Mutex::default(),
        }
    }

    /// Lets visitors choose a model; the first one is what they begin with.
    #[must_use]
    pub fn with_model(mut self, id: impl Into<String>, title: impl Into<String>) -> Self {
        self.choices.push(Choice { id: id.into(), title: title.into() });
        self
    }

    /// The one sentence that an evaluation said of the run.
    #[must_use]
    pub fn with_verdict(self, sentence: Option<String>) -> Self {
        Self { verdict: sentence, ..self }
    }

    /// How texts are decoded to begin with.
    #[must_use]
    pub fn with_options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// Real texts that the generator has not seen, each with its label if it has one; with none there is no duel.
    #[must_use]
    pub fn with_real_texts(self, real_texts: Vec<(String, Option<String>)>) -> Self {
        Self { real_texts, ..self }
    }

    /// The model of an id, if there is one.
    pub(crate) fn model(&self, id: &str) -> Option<Result<Arc<Model>, LoadError>> {
        self.choices.iter().find(|choice| choice.id == id)?;
        // What another thread left is whole at every moment.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = loaded.iter().position(|(kept, _)| kept == id) {
            let found = loaded.remove(at);
            loaded.push(found.clone());
            return Some(Ok(found.1));
        }
        let model = match (self.load)(id) {
            Ok(model) => Arc::new(model),
            Err(error) => return Some(Err(error)),
        };
        if loaded.len() == KEPT {
            loaded.remove(0);
        }
        loaded.push((id.to_owned(), model.clone()));
        Some(Ok(model))
    }
}
