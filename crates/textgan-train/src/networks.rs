//! The networks of a run, by name.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use textgan_artifact::copy_atomic;
use textgan_models::{
    Discriminator, Generator, GeneratorConfig, NoiseConfig, NoiseEncoder, NoiseEncoderConfig,
    Sequences, Sizes, Tokens, build_discriminator, build_generator, load_discriminator,
    load_generator, save_discriminator,
};
use textgan_nn::{Mode, Parameters};
use textgan_random::Key;

use crate::config::Judged;
use crate::data::TrainData;
use crate::objective::Plan;
use crate::{Error, Result};

/// A network of an algorithm's own: see [`Networks::custom`].
pub trait Network: Any + Send + Sync {
    /// The variables, by name.
    fn parameters(&self) -> &Parameters;
}

/// The networks of a run: made when an objective first asks for them, each from weights drawn under
/// its name, and kept from then on. Checkpoints hold them all.
pub struct Networks<'a> {
    data: &'a TrainData<'a>,
    plan: &'a Plan<'a>,
    sizes: Sizes,
    key: Key,
    generator: Arc<dyn Generator>,
    discriminator: Option<Judges>,
    encoder: Option<Arc<NoiseEncoder>>,
    /// Those of [`writer`](Self::writer).
    writers: BTreeMap<&'static str, Arc<dyn Generator>>,
    /// Those of [`custom`](Self::custom), with their weights.
    custom: BTreeMap<&'static str, (Arc<dyn Any + Send + Sync>, Parameters)>,
    /// Those of [`lagged`](Self::lagged); they last as long as a phase.
    lagged: BTreeMap<&'static str, Arc<dyn Generator>>,
    /// See [`is_blind`](Self::is_blind).
    blind: bool,
}

/// A discriminator twice, over the same weights.
#[derive(Clone)]
pub struct Judges {
    /// Its weights get gradients.
    pub learning: Arc<dyn Discriminator>,
    /// Its weights get none: for the generator's updates, and for looking.
    pub frozen: Arc<dyn Discriminator>,
}

impl<'a> Networks<'a> {
    /// The generator alone, from the plan; `key` names the initial weights.
    pub(crate) fn new(plan: &'a Plan<'a>, data: &'a TrainData<'a>, key: Key) -> Result<Self> {
        let sizes = plan.sizes(data);
        let device = &Device::Cpu;
        let mut generator =
            build_generator(plan.generator, plan.noise, &sizes, &key.child("generator"), device)?;
        generator.set_precision(plan.train.precision);
        if let Some(folder) = &plan.train.init_from {
            check_tokenizer(folder, data)?;
            let stored = load_generator(folder, device)?;
            let told = |network: &dyn Generator| serde_json::json!({ "generator": network.architecture(), "noise": network.noise() });
            check_alike(folder, &told(stored.as_ref()), &told(generator.as_ref()))?;
            start_from(folder, generator.parameters(), stored.parameters())?;
        }
        Ok(Self {
            data,
            plan,
            sizes,
            key,
            generator: generator.into(),
            discriminator: None,
            encoder: None,
            writers: BTreeMap::new(),
            custom: BTreeMap::new(),
            lagged: BTreeMap::new(),
            blind: false,
        })
    }

    /// What the run reads.
    pub fn data(&self) -> &'a TrainData<'a> {
        self.data
    }

    /// What the run was told.
    pub fn plan(&self) -> &'a Plan<'a> {
        self.plan
    }

    /// The sizes that the data decides.
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// The generator.
    pub fn generator(&self) -> Arc<dyn Generator> {
        self.generator.clone()
    }

    /// The discriminator of the plan.
    ///
    /// # Errors
    /// When the plan has none, or it cannot be built.
    pub fn discriminator(&mut self) -> Result<Judges> {
        if let Some(judges) = &self.discriminator {
            return Ok(judges.clone());
        }
        let config = self.plan.discriminator.ok_or_else(|| Error::Train {
            problem: "a phase asks for a discriminator: it needs a [discriminator] table"
                .to_owned(),
        })?;
        let key = self.key.child("discriminator");
        let device = &Device::Cpu;
        let network = build_discriminator(config, &self.sizes, self.data.words, &key, device)?;
        if let Some(folder) = &self.plan.train.init_discriminator_from {
            check_tokenizer(folder, self.data)?;
            let stored = load_discriminator(folder, device)?;
            let told = |network: &dyn Discriminator| serde_json::json!({ "discriminator": network.architecture(), "sizes": network.sizes() });
            check_alike(folder, &told(stored.as_ref()), &told(network.as_ref()))?;
            start_from(folder, network.parameters(), stored.parameters())?;
        }
        let judges = Judges { frozen: network.frozen()?.into(), learning: network.into() };
        Ok(self.discriminator.insert(judges).clone())
    }

    /// Whether the phase that begins is a game against a discriminator that has learned nothing and never will.
    pub fn is_blind(&self) -> bool {
        self.blind
    }

    /// Calls `begin` with [`is_blind`](Self::is_blind).
    pub(crate) fn blindly<T>(&mut self, begin: impl FnOnce(&mut Self) -> T) -> T {
        self.blind = true;
        let begun = begin(self);
        self.blind = false;
        begun
    }

    /// Gives the discriminator, where there is one, weights that have learned nothing.
    ///
    /// # Errors
    /// When it cannot be built.
    pub(crate) fn forget_discriminator(&self) -> Result<()> {
        let (Some(judges), Some(config)) = (&self.discriminator, self.plan.discriminator) else {
            return Ok(());
        };
        let key = self.key.child("discriminator").child("blind");
        let (words, device) = (self.data.words, &Device::Cpu);
        let fresh = build_discriminator(config, &self.sizes, words, &key, device)?;
        let ours = judges.learning.parameters().iter();
        for ((_, variable), (_, other)) in ours.zip(fresh.parameters().iter()) {
            variable.set(&other.as_detached_tensor())?;
        }
        Ok(())
    }

    /// The encoder `q(z | x)` from texts to the noise that may have made them.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn encoder(&mut self, config: &NoiseEncoderConfig) -> Result<Arc<NoiseEncoder>> {
        if let Some(encoder) = &self.encoder {
            return Ok(encoder.clone());
        }
        let key = self.key.child("encoder");
        let encoder = NoiseEncoder::new(config, self.plan.noise, &self.sizes, &key, &Device::Cpu)?;
        Ok(self.encoder.insert(Arc::new(encoder)).clone())
    }

    /// The encoder, if a phase has asked for one.
    pub fn found_encoder(&self) -> Option<Arc<NoiseEncoder>> {
        self.encoder.clone()
    }

    /// Another model that writes, or judges by what it would have written: made from `config`, unless
    /// an earlier phase has.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn writer(
        &mut self,
        name: &'static str,
        config: &GeneratorConfig,
        noise: &NoiseConfig,
    ) -> Result<Arc<dyn Generator>> {
        if let Some(writer) = self.writers.get(name) {
            return Ok(writer.clone());
        }
        let key = self.key.child(name);
        let writer: Arc<dyn Generator> =
            build_generator(config, noise, &self.sizes, &key, &Device::Cpu)?.into();
        self.writers.insert(name, writer.clone());
        Ok(writer)
    }

    /// The writer of that name, if a phase has asked for one.
    pub fn found_writer(&self, name: &str) -> Option<Arc<dyn Generator>> {
        self.writers.get(name).cloned()
    }

    /// A copy of the generator as it is when the phase begins, for algorithms that let it follow
    /// the generator or stay behind. It lasts as long as the phase.
    ///
    /// # Errors
    /// When it cannot be built; not in practice, as the generator was before.
    pub fn lagged(&mut self, name: &'static str) -> Result<Arc<dyn Generator>> {
        if let Some(copy) = self.lagged.get(name) {
            return Ok(copy.clone());
        }
        let copy: Arc<dyn Generator> = self.generator.copy()?.into();
        self.lagged.insert(name, copy.clone());
        Ok(copy)
    }

    /// A network of the algorithm's own: `build` makes it, with the key of its name, unless an
    /// earlier phase has.
    ///
    /// # Errors
    /// What `build` says, and a name that another kind of network has.
    pub fn custom<N: Network>(
        &mut self,
        name: &'static str,
        build: impl FnOnce(&Sizes, &NoiseConfig, &Key) -> Result<N>,
    ) -> Result<Arc<N>> {
        if let Some((network, _)) = self.custom.get(name) {
            return network.clone().downcast().map_err(|_| Error::Train {
                problem: format!("two phases ask for networks of different kinds named {name}"),
            });
        }
        let network = Arc::new(build(&self.sizes, self.plan.noise, &self.key.child(name))?);
        self.custom.insert(name, (network.clone(), network.parameters().clone()));
        Ok(network)
    }

    /// The parameters of all lasting networks, each with the name of its file.
    pub(crate) fn lasting(&self) -> Vec<(&'static str, &Parameters)> {
        let mut networks = vec![("generator", self.generator.parameters())];
        let judges = self.discriminator.as_ref();
        networks.extend(judges.map(|judges| ("discriminator", judges.learning.parameters())));
        networks.extend(self.encoder.as_ref().map(|network| ("encoder", network.parameters())));
        networks.extend(self.writers.iter().map(|(name, network)| (*name, network.parameters())));
        networks.extend(self.custom.iter().map(|(name, (_, parameters))| (*name, parameters)));
        networks
    }

    /// The parameters of the networks that last as long as the phase.
    pub(crate) fn passing(&self) -> impl Iterator<Item = (&'static str, &Parameters)> {
        self.lagged.iter().map(|(name, network)| (*name, network.parameters()))
    }

    /// Forgets what lasts as long as a phase.
    pub(crate) fn forget_passing(&mut self) {
        self.lagged.clear();
    }

    /// The other models that write.
    pub(crate) fn writers(&self) -> impl Iterator<Item = (&'static str, &dyn Generator)> {
        self.writers.iter().map(|(name, network)| (*name, network.as_ref()))
    }

    /// Writes the discriminator's folder, if there is one.
    pub(crate) fn publish_discriminator(&self, folder: &Path) -> Result<()> {
        match &self.discriminator {
            Some(judges) => save_discriminator(folder, judges.learning.as_ref())?,
            None => return Ok(()),
        }
        // Weights are of use only with the vocabulary they were trained with.
        if let Some(tokenizer) = self.data.tokenizer {
            let target = folder.join("tokenizer.json");
            // A run that goes on from here does not write it again.
            copy_atomic(tokenizer, target)?;
        }
        Ok(())
    }

    /// The number of weights of the discriminators: networks that judge, and language models that do.
    pub(crate) fn discriminator_parameters(&self) -> Option<u64> {
        let judges = self.discriminator.iter().map(|judges| judges.learning.parameters());
        let writers = self.writers.values().map(|writer| writer.parameters());
        let counts: Vec<u64> =
            judges.chain(writers).map(|weights| weights.count() as u64).collect();
        (!counts.is_empty()).then(|| counts.iter().sum())
    }
}

impl Judges {
    /// The discriminator's opinion of `tokens`, which `sequences` gives the lengths and labels of:
    /// `[texts]` (`[texts * representations]` where it has [several](Discriminator::opinions)), or `[tokens]`
    /// where prefixes are judged. Only in training do its weights get gradients.
    ///
    /// # Errors
    /// When tokens and sequences do not fit each other or the network.
    pub fn judge(
        &self,
        tokens: &Tokens<'_>,
        sequences: &Sequences,
        judged: Judged,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        let network = match mode {
            Mode::Train(_) => &self.learning,
            Mode::Evaluate => &self.frozen,
        };
        let (lengths, labels) = (sequences.lengths(), sequences.labels());
        match judged {
            Judged::Whole => Ok(network.opinions(tokens, lengths, labels, mode)?.flatten_all()?),
            Judged::Prefixes => {
                let realness = network.realness(tokens, lengths, labels, mode)?;
                Ok(realness.flatten_all()?.index_select(&places(sequences)?, 0)?)
            }
        }
    }
}

/// Places of the tokens of a padded `[batch, time]`, flattened: `[tokens]`.
pub(crate) fn places(sequences: &Sequences) -> Result<Tensor> {
    let time = sequences.time();
    let row = |(row, &length): (usize, &usize)| row * time..row * time + length;
    let places: Vec<u32> =
        sequences.lengths().iter().enumerate().flat_map(row).map(|place| place as u32).collect();
    let count = places.len();
    Ok(Tensor::from_vec(places, count, &Device::Cpu)?)
}

fn start_from(folder: &Path, network: &Parameters, stored: &Parameters) -> Result<()> {
    network
        .copy_from(stored)
        .map_err(|error| Error::InitFrom { folder: folder.to_owned(), problem: error.to_string() })
}

/// Refuses weights of a network that would compute something else with them. What only training reads
/// may differ.
fn check_alike(folder: &Path, stored: &serde_json::Value, own: &serde_json::Value) -> Result<()> {
    let read_in_training = |name: &str| name.ends_with("dropout") || name.ends_with("std");
    fn difference(
        name: &str,
        stored: &serde_json::Value,
        own: &serde_json::Value,
        passes: &dyn Fn(&str) -> bool,
    ) -> Option<String> {
        use serde_json::Value::Object;
        match (stored, own) {
            _ if stored == own || passes(name) => None,
            (Object(stored), Object(own)) => stored.keys().chain(own.keys()).find_map(|key| {
                let value = |of: &serde_json::Map<_, _>| of.get(key).cloned().unwrap_or_default();
                difference(&format!("{name}.{key}"), &value(stored), &value(own), passes)
            }),
            _ => Some(format!(
                "its {} is {stored}, and this run's is {own}",
                name.trim_start_matches('.')
            )),
        }
    }
    match difference("", stored, own, &read_in_training) {
        Some(problem) => Err(Error::InitFrom { folder: folder.to_owned(), problem }),
        None => Ok(()),
    }
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
