//! From a recipe to a run: fresh, or where it was left.

use std::path::Path;

use candle_core::Device;
use textgan_artifact::Progress;
use textgan_models::{
    NoiseEncoder, Sizes, build_discriminator, build_generator, load_discriminator, load_generator,
};
use textgan_nn::Parameters;
use textgan_random::Key;

use super::{Recipe, Run, resume};
use crate::checkpoint::Checkpoints;
use crate::config::{Judged, Phase};
use crate::data::{Half, TrainData};
use crate::evaluation::HeldOut;
use crate::game::{Game, Judges};
use crate::record::Record;
use crate::state::{State, Written};
use crate::{Error, Result, memory};

impl<'a> Run<'a> {
    /// Checks everything, builds the networks, and goes to the latest checkpoint in `out`.
    pub fn begin(
        recipe: Recipe<'a>,
        data: &'a TrainData<'a>,
        key: &Key,
        out: &'a Path,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        recipe.check(data)?;
        memory::check(&recipe, data, progress)?;
        let game = recipe.game(data, &key.child("initialisation"))?;
        let held_out = HeldOut::new(&game, recipe.train, recipe.phases)?;
        let checkpoints = Checkpoints::of(out)?;
        let phases: Vec<serde_json::Value> =
            recipe.phases.iter().map(|phase| serde_json::json!(phase)).collect();
        let left = resume::find(&checkpoints, &phases, out)?;
        let written = left.as_ref().map_or(Written::default(), |(_, state)| state.written);
        let mut run = Self {
            recipe,
            game,
            state: State::new(phases),
            out,
            key: *key,
            progress,
            held_out,
            checkpoints,
            latest: String::new(),
            record: Record::open(out, written)?,
            course: None,
        };
        match left {
            Some((name, state)) => {
                run.state = state;
                run.load_networks(&name)?;
                run.checkpoints.set_latest(&name, &run.state)?;
                run.latest = name;
                run.progress.message(&format!("going on from step {}", run.state.step));
            }
            None => run.checkpoint_beginning()?,
        }
        Ok(run)
    }
}

impl Recipe<'_> {
    fn check(&self, data: &TrainData<'_>) -> Result<()> {
        self.train.validate(self.phases, self.discriminator.is_some())?;
        data.check()?;
        if let Some(number) = self.phases.iter().position(|phase| phase.latent().is_some())
            && self.noise.dimension == 0
        {
            let problem = "latent needs noise, and noise.dimension is 0".to_owned();
            return Err(Error::Phase {
                number: number + 1,
                kind: self.phases[number].kind(),
                problem,
            });
        }
        if self.phases.iter().any(Phase::cross_fit) && Half::Odd.rows(data.train.len()).is_empty() {
            return Err(Error::EmptySplit { split: "second half of the train" });
        }
        Ok(())
    }

    /// The networks, each initialised from its own key, or from the folders that the config names.
    fn game<'d>(&self, data: &'d TrainData<'d>, key: &Key) -> Result<Game<'d>>
    where
        Self: 'd,
    {
        let device = &Device::Cpu;
        let sizes = self.sizes(data);
        let mut generator =
            build_generator(self.generator, self.noise, &sizes, &key.child("generator"), device)?;
        generator.set_precision(self.train.precision);
        let discriminator = match self.discriminator {
            Some(config) => Some(build_discriminator(
                config,
                &sizes,
                data.words,
                &key.child("discriminator"),
                device,
            )?),
            None => None,
        };
        let encoder = match self.phases.iter().find_map(Phase::latent) {
            Some(latent) => Some(NoiseEncoder::new(
                &latent.encoder,
                self.noise,
                &sizes,
                &key.child("encoder"),
                device,
            )?),
            None => None,
        };
        if let Some(folder) = &self.train.init_from {
            check_tokenizer(folder, data)?;
            start_from(
                folder,
                generator.parameters(),
                load_generator(folder, device)?.parameters(),
            )?;
        }
        if let (Some(folder), Some(network)) = (&self.train.init_discriminator_from, &discriminator)
        {
            start_from(
                folder,
                network.parameters(),
                load_discriminator(folder, device)?.parameters(),
            )?;
        }
        let judges = discriminator.map(Judges::new).transpose()?;
        self.check_prefixes(judges.as_ref())?;
        Ok(Game {
            data,
            noise: self.noise.clone(),
            sample_length: None,
            generator,
            rollout_policy: None,
            judges,
            encoder,
        })
    }

    /// Refuses to judge prefixes with a network that knows whole sentences only.
    fn check_prefixes(&self, judges: Option<&Judges>) -> Result<()> {
        if judges.is_none_or(|judges| judges.learning.reads_prefixes()) {
            return Ok(());
        }
        let judges_prefixes = |phase: &Phase| match phase {
            Phase::MaximumLikelihood(_) => false,
            Phase::Discriminator(phase) => phase.judged == Judged::Prefixes,
            Phase::Adversarial(phase) => phase.judged == Judged::Prefixes,
        };
        match self.phases.iter().position(judges_prefixes) {
            None => Ok(()),
            Some(number) => {
                let problem =
                    "judged = \"prefixes\" needs a discriminator that reads from left to right: \
                               [discriminator] with kind = \"rnn\" and one direction"
                        .to_owned();
                Err(Error::Phase { number: number + 1, kind: self.phases[number].kind(), problem })
            }
        }
    }

    /// The sizes that the data decides.
    pub(crate) fn sizes(&self, data: &TrainData<'_>) -> Sizes {
        Sizes { vocab: data.vocab_size, labels: data.labels.len(), max_length: data.max_length }
    }
}

fn start_from(folder: &Path, network: &Parameters, stored: &Parameters) -> Result<()> {
    network
        .copy_from(stored)
        .map_err(|error| Error::InitFrom { folder: folder.to_owned(), problem: error.to_string() })
}

/// Weights are of use only with the vocabulary they were trained with.
fn check_tokenizer(folder: &Path, data: &TrainData<'_>) -> Result<()> {
    let Some(ours) = data.tokenizer else { return Ok(()) };
    let theirs = folder.join("tokenizer.json");
    if !theirs.exists() {
        return Ok(());
    }
    let read = |path: &Path| std::fs::read(path).map_err(crate::error::io("read", path));
    if read(ours)? == read(&theirs)? {
        return Ok(());
    }
    let problem =
        "its tokenizer is not this run's; set tokenizer.kind = \"file\" with its tokenizer.json"
            .to_owned();
    Err(Error::InitFrom { folder: folder.to_owned(), problem })
}
