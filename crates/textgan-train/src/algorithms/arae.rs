use std::sync::Arc;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{
    CODE_PARAMETERS, Context, DiscriminatorConfig, EmbeddingConfig, Generator, Sizes, unit_rows,
};
use textgan_nn::ops::{self, Relaxation};
use textgan_nn::{Mode, Parameters};
use textgan_random::Key;

use super::codes::{CodeCritic, CodeEncoder};
use super::{GENERATOR, optimizer_problem};
use crate::algorithm::{Accuracy, Algorithm, Bounds, Critic, Learner, Loss, Update};
use crate::config::{OptimizerConfig, Problem, at_least_one, positive, require};
use crate::data::Rows;
use crate::generated::{Generated, Texts};
use crate::losses::{Divergence, gumbel, likelihood, weighed};
use crate::metric::{Group, Metric, Unit};
use crate::networks::{Network, Networks};
use crate::objective::{Declared, Objective, Opponent, Pace, Plan, Role};
use crate::step::Step;
use crate::{Error, Result};

/// `kind = "arae"`: an adversarially regularised autoencoder (Zhao et al., 2018, arXiv 1706.04223). An encoder
/// makes a code of a text, from which the generator learns to write it; the network that makes codes of noise
/// (`noise.code`) learns to make such as a critic cannot tell from those of texts, and the encoder to make such
/// as it cannot either. Other than there codes are told by direction alone, encoder and generator share one
/// update (which a gate does not hold back: it teaches what the critic reads), and the critic's loss and bound are
/// the logistic one and a spectral norm in place of Wasserstein's and clipped weights.
///
/// With a transformer on both sides, codes of several `parts`, a critic of their windows, the forward divergence and
/// `enhancement` it is TILGAN (Diao et al., 2021). Other than there the generator reads all parts at every word in
/// place of attention to them, the encoder reads from left to right, a code has the same number of parts whatever the
/// text's length, the critic of windows reads them all in place of one at random and is weighed together with the
/// other, the encoder plays by the same divergence turned round, and the words of the enhancement are relaxed samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Arae {
    /// The network whose features of a text become its code. Its dropout is that of the reconstruction.
    pub encoder: DiscriminatorConfig,
    /// The parts of a code, all made alike: of `n` parts, part `k` of what the encoder knows after `k n`ths of the text.
    pub parts: usize,
    /// Width of the critic's two hidden layers.
    pub critic_hidden: usize,
    /// How many parts beside each other a second critic reads, whose mean over all such windows is added to what
    /// the first one makes of the whole code; 0 for none.
    pub window: usize,
    /// Full learning rate of encoder and generator.
    pub learning_rate: f64,
    /// Their optimizer.
    pub optimizer: OptimizerConfig,
    /// Standard deviation of what is added to a code before the generator reads it, at the beginning; it falls to
    /// 0 in a straight line over the phase.
    pub blur: f32,
    /// What the encoder's own game against the critic counts beside the reconstruction.
    pub adversarial: f32,
    /// What the generator's own game against the critic counts beside the reconstruction: texts that it writes of codes
    /// of noise are read by the encoder, and should give codes that look like those of texts.
    pub enhancement: f32,
    /// Temperature of the relaxation of those texts' words.
    pub temperature: f32,
    /// Updates of the critic a step.
    pub critic_steps: u64,
    /// Full learning rate of the critic.
    pub critic_learning_rate: f64,
    /// The critic's optimizer.
    pub critic_optimizer: OptimizerConfig,
    /// What the critic and those that play against it minimise.
    pub divergence: Divergence,
    /// Largest distance of the critic's weights from 0; 0 for none.
    pub weight_clip: f32,
    /// Largest singular value of the critic's matrices; 0 for none.
    pub spectral_norm: f32,
    /// Full learning rate of the network that makes codes of noise.
    pub code_learning_rate: f64,
    /// Its optimizer.
    pub code_optimizer: OptimizerConfig,
    /// What its loss is multiplied by; with 0 it learns nothing.
    pub weight: f32,
}

impl Default for Arae {
    fn default() -> Self {
        Self {
            encoder: DiscriminatorConfig::default(),
            parts: 1,
            critic_hidden: 128,
            window: 0,
            learning_rate: 2e-3,
            optimizer: OptimizerConfig::default(),
            blur: 0.3,
            adversarial: 0.1,
            enhancement: 0.0,
            temperature: 1.0,
            critic_steps: 5,
            critic_learning_rate: 1e-3,
            critic_optimizer: OptimizerConfig { beta1: 0.5, ..OptimizerConfig::default() },
            divergence: Divergence::NonSaturating,
            weight_clip: 0.0,
            spectral_norm: 1.0,
            code_learning_rate: 1e-3,
            code_optimizer: OptimizerConfig { beta1: 0.5, ..OptimizerConfig::default() },
            weight: 1.0,
        }
    }
}

/// The learner that tells codes of texts from codes of noise.
const CRITIC: &str = "critic";
/// The network that makes codes of texts, and the one that tells codes apart.
const ENCODER: &str = "code-encoder";
const JUDGE: &str = "code-critic";
/// The learner that makes codes of noise.
const CODE: &str = "code";

impl Objective for Arae {
    fn kind(&self) -> &'static str {
        "arae"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn check(&self, plan: &Plan<'_>) -> Problem {
        require(plan.noise.code.is_some(), || {
            "it needs a network that makes codes of noise: noise.code = { width = 48 }".to_owned()
        })?;
        at_least_one("critic_hidden", self.critic_hidden as u64)?;
        at_least_one("parts", self.parts as u64)?;
        require(plan.noise.width().is_multiple_of(self.parts), || {
            let width = plan.noise.width();
            format!("noise.code.width = {width} is not a multiple of parts = {}", self.parts)
        })?;
        require(self.window <= self.parts, || {
            format!("window = {} is more than the parts = {} of a code", self.window, self.parts)
        })?;
        let whole = match &self.encoder {
            DiscriminatorConfig::Rnn(network) => network.bidirectional,
            DiscriminatorConfig::Cnn(_) => true,
            _ => false,
        };
        require(self.parts == 1 || !whole, || {
            "parts of a code are made of beginnings of a text: take an encoder that reads from left to right, a \
             transformer or an rnn with bidirectional = false"
                .to_owned()
        })?;
        require(!matches!(self.encoder.embedding(), EmbeddingConfig::WordVectors { .. }), || {
            "encoder.embedding.kind = \"word-vectors\" is for discriminators: take \"learned\""
                .to_owned()
        })?;
        positive("temperature", self.temperature.into())?;
        at_least_one("critic_steps", self.critic_steps)?;
        positive("learning_rate", self.learning_rate)?;
        positive("critic_learning_rate", self.critic_learning_rate)?;
        positive("code_learning_rate", self.code_learning_rate)?;
        for (key, value) in [
            ("blur", self.blur),
            ("adversarial", self.adversarial),
            ("enhancement", self.enhancement),
            ("weight_clip", self.weight_clip),
            ("spectral_norm", self.spectral_norm),
            ("weight", self.weight),
        ] {
            require(value >= 0.0, || format!("{key} = {value} must not be negative"))?;
        }
        require(
            self.divergence != Divergence::Wasserstein
                || self.weight_clip > 0.0
                || self.spectral_norm > 0.0,
            || "divergence = \"wasserstein\" needs spectral_norm or weight_clip".to_owned(),
        )?;
        require(self.divergence != Divergence::LeastSquares, || {
            "divergence = \"least-squares\" has no opposite for the encoder to play: take another"
                .to_owned()
        })?;
        optimizer_problem(&self.optimizer)?;
        optimizer_problem(&self.critic_optimizer)?;
        optimizer_problem(&self.code_optimizer)
    }

    fn declares(&self) -> Vec<Declared> {
        let Self { encoder, parts, critic_hidden, window, .. } = self;
        let critic = serde_json::json!({ "hidden": critic_hidden, "window": window });
        vec![
            Declared { name: ENCODER, config: serde_json::json!([encoder, parts]) },
            Declared { name: JUDGE, config: critic },
        ]
    }

    fn declared_parameters(&self, plan: &Plan<'_>, sizes: &Sizes) -> Result<u64> {
        let encoder = self.encoder.parameter_count(sizes)?;
        let (code, judge) = (plan.noise.width() as u64, self.critic_hidden as u64);
        let features = self.encoder.features(sizes) as u64;
        // A critic of windows is no larger than that of the whole.
        let critics = if self.window > 0 { 2 } else { 1 };
        let products = [
            (code / self.parts as u64, features.saturating_add(1)),
            (critics * judge, code + 1),
            (critics * judge, judge + 1),
            (critics, judge + 1),
        ];
        Ok(products.iter().fold(encoder, |sum, &(a, b)| sum.saturating_add(a.saturating_mul(b))))
    }

    fn opponent(&self) -> Opponent {
        Opponent::Own
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: 1 })
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let generator = networks.generator();
        let width = generator.noise().width();
        let encoder =
            networks.custom(ENCODER, |sizes, _, key| CodeEncoder::new(self, sizes, width, key))?;
        let critic = networks.custom(JUDGE, |_, _, key| CodeCritic::new(self, width, key))?;
        Ok(Box::new(Game { config: self.clone(), generator, encoder, critic }))
    }
}

/// The game under way.
struct Game {
    config: Arae,
    generator: Arc<dyn Generator>,
    encoder: Arc<CodeEncoder>,
    critic: Arc<CodeCritic>,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        let Arae { learning_rate, critic_learning_rate, code_learning_rate, .. } = self.config;
        let mut autoencoder = Parameters::new();
        let mut code = Parameters::new();
        for (name, variable) in self.generator.parameters().iter() {
            let side = if name.starts_with(CODE_PARAMETERS) { &mut code } else { &mut autoencoder };
            let inserted = side.insert(format!("{GENERATOR}.{name}"), variable.clone());
            debug_assert!(inserted.is_ok(), "invariant: a network has no name twice");
        }
        let shared = autoencoder.share("encoder", self.encoder.parameters());
        debug_assert!(shared.is_ok(), "invariant: no generator has a name that begins so");
        let of = |name, parameters, optimizer, rate, reads| Learner {
            sorted: false,
            ..Learner::new(name, parameters, optimizer, rate, reads)
        };
        let bound = |bound: f32| (bound > 0.0).then_some(bound.into());
        let critic = self.critic.parameters().clone();
        vec![
            of(GENERATOR, autoencoder, &self.config.optimizer, learning_rate, Rows::Generator),
            Learner {
                bounds: Bounds {
                    weight: bound(self.config.weight_clip),
                    spectral_norm: bound(self.config.spectral_norm),
                },
                ..of(
                    CRITIC,
                    critic,
                    &self.config.critic_optimizer,
                    critic_learning_rate,
                    Rows::Discriminator,
                )
            },
            of(CODE, code, &self.config.code_optimizer, code_learning_rate, Rows::Generator),
        ]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let through = step.number() as f32 / step.steps().max(1) as f32;
        let update = step.update(GENERATOR)?;
        let mut loss = self.reconstruction(&update, self.config.blur * (1.0 - through))?;
        if self.config.enhancement > 0.0 && step.gate_is_open() {
            let fake = step.sample(&update, self.generator.as_ref())?;
            let enhanced = self.enhanced(&update, &fake)?;
            let value = f64::from(enhanced.to_scalar::<f32>()?);
            loss.metrics.push(Metric::new("enhancement_loss", value, Unit::Plain, Group::Game));
            loss.value = (loss.value + (enhanced * f64::from(self.config.enhancement))?)?;
        }
        step.descend(update, loss)?;
        for _ in 0..self.config.critic_steps {
            let update = step.update(CRITIC)?;
            let loss = self.told_apart(&update)?;
            step.descend(update, loss)?;
        }
        if !step.gate_is_open() {
            return Ok(());
        }
        let update = step.update(CODE)?;
        let loss = self.likeness(&update)?;
        step.descend(update, loss)
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(self)
    }
}

impl Game {
    /// Codes that the generator makes of noise, named by `key`.
    fn made(&self, key: &Key, rows: usize) -> Result<Tensor> {
        let noise = likelihood::noise(self.generator.as_ref(), &key.child("noise"), 0, rows)?;
        let codes = self.generator.codes(&noise)?;
        codes.ok_or_else(|| Error::Train { problem: "the generator makes no codes".to_owned() })
    }

    /// How well texts can be written from their codes, nats a token, and the encoder's game.
    fn reconstruction(&self, update: &Update, blur: f32) -> Result<Loss> {
        let (real, generator) = (&update.real, self.generator.as_ref());
        let dropped = update.key.child("encoder-dropout");
        let codes = self.encoder.codes(real, Mode::Train(&dropped))?;
        let mut noise = vec![0.0; codes.elem_count()];
        update.key.child("blur").stream().fill_normal(&mut noise);
        noise.iter_mut().for_each(|x| *x *= blur);
        let blurred = (&codes + Tensor::from_vec(noise, codes.dims(), codes.device())?)?;
        let context = Context { noise: &unit_rows(&blurred)?, labels: real.labels() };
        let dropout = update.key.child("dropout");
        let hidden = generator.hidden(&context, real, Mode::Train(&dropout))?.flatten_to(1)?;
        let share = 1.0 / real.tokens() as f32;
        let weights: Vec<f32> = real.weights().into_iter().map(|there| there * share).collect();
        let (head, precision) = (generator.head(), generator.precision());
        let written = ops::head_cross_entropy(&hidden, head, real.targets(), &weights, precision)?;
        let nll = f64::from(written.loss.to_scalar::<f32>()?);
        let mut value = written.loss;
        if self.config.adversarial > 0.0 {
            // What a code of a text does to be taken for one of noise.
            let logits = self.critic.logits(&codes)?.neg()?;
            let made = self.made(&update.key.child("beside"), real.batch())?.detach();
            let beside = self.critic.logits(&made)?.neg()?.detach();
            let taken = self.config.divergence.generator_loss(&beside, &logits)?;
            value = (value + (taken * f64::from(self.config.adversarial))?)?;
        }
        let nll = Metric::new("nll", nll, Unit::NatsPerToken, Group::Likelihood).live("loss");
        Ok(Loss::new(value, vec![nll]))
    }

    /// How unlike codes of texts those of texts look that are written of codes of noise.
    fn enhanced(&self, update: &Update, fake: &Generated) -> Result<Tensor> {
        let (generator, embedding) =
            (self.generator.as_ref(), self.encoder.body.frozen.embedding());
        let (temperature, key) = (self.config.temperature, update.key.child("gumbel"));
        let mixtures =
            gumbel::relax(generator, embedding, fake, Relaxation::Soft, temperature, &key)?;
        let codes = self.encoder.codes_of_mixtures(&mixtures, &fake.sequences)?;
        let logits = self.critic.logits(&codes)?;
        self.unlike(update, &logits)
    }

    /// How unlike codes of texts codes look that have these logits.
    fn unlike(&self, update: &Update, logits: &Tensor) -> Result<Tensor> {
        let divergence = self.config.divergence;
        let real = match divergence.is_relativistic() {
            true => {
                let codes = self.encoder.codes(&update.real, Mode::Evaluate)?.detach();
                self.critic.logits(&codes)?.detach()
            }
            false => logits.detach(),
        };
        divergence.generator_loss(&real, logits)
    }

    /// The critic's loss.
    fn told_apart(&self, update: &Update) -> Result<Loss> {
        let real =
            self.critic.logits(&self.encoder.codes(&update.real, Mode::Evaluate)?.detach())?;
        let made = self.made(&update.key, update.real.batch())?.detach();
        let fake = self.critic.logits(&made)?;
        let divergence = self.config.divergence;
        let value = divergence.discriminator_loss(&real, &fake)?;
        let threshold = |real, fake| divergence.threshold(real, fake);
        let accuracy = Accuracy::of(threshold, &real.to_vec1()?, &fake.to_vec1()?);
        let loss = f64::from(value.to_scalar::<f32>()?);
        let metrics =
            vec![Metric::new("critic_loss", loss, Unit::Plain, Group::Game).live("critic")];
        Ok(Loss { value, metrics, accuracy: Some(accuracy) })
    }

    /// How unlike codes of texts the codes of noise look.
    fn likeness(&self, update: &Update) -> Result<Loss> {
        let fake = self.critic.logits(&self.made(&update.key, update.real.batch())?)?;
        let value = self.unlike(update, &fake)?;
        let loss = f64::from(value.to_scalar::<f32>()?);
        let metrics = vec![Metric::new("code_loss", loss, Unit::Plain, Group::Game).live("code")];
        Ok(Loss::new(weighed(&value, self.config.weight)?, metrics))
    }
}

/// It judges a text by its code.
impl Critic for Game {
    fn logits(&self, texts: &Texts<'_>) -> Result<Vec<f32>> {
        let codes = self.encoder.codes(texts.sequences, Mode::Evaluate)?.detach();
        Ok(self.critic.logits(&codes)?.detach().to_vec1()?)
    }

    fn threshold(&self, mean_real: f64, mean_fake: f64) -> f64 {
        self.config.divergence.threshold(mean_real, mean_fake)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use textgan_models::{
        CodeConfig, GeneratorConfig, LstmConfig, NoiseConfig, Sequences, Tokens, build_generator,
    };

    use super::*;
    use crate::testing::VOCAB;

    fn game(config: Arae) -> Result<Game> {
        let sizes = Sizes { vocab: VOCAB, labels: 0, max_length: 3 };
        let code = CodeConfig { width: 6, hidden: 12, layers: 1 };
        let noise = NoiseConfig { dimension: 3, code: Some(code), ..NoiseConfig::default() };
        let layout = LstmConfig { embedding: 8, hidden: 8, ..LstmConfig::default() };
        let layout = GeneratorConfig::Lstm(layout);
        let generator =
            build_generator(&layout, &noise, &sizes, &Key::root(1), &Device::Cpu)?.into();
        let config = Arae { critic_hidden: 8, ..config };
        let encoder = Arc::new(CodeEncoder::new(&config, &sizes, 6, &Key::root(2))?);
        let critic = Arc::new(CodeCritic::new(&config, 6, &Key::root(3))?);
        Ok(Game { config, generator, encoder, critic })
    }

    fn update() -> Result<Update> {
        let texts = [vec![4, 5], vec![5], vec![4, 4], vec![5, 5, 4]];
        let real = Sequences::from_samples(&texts, &[true, true, true, false], None)?;
        Ok(Update { learner: 0, key: Key::root(7), real })
    }

    /// Moves `parameters` down the gradient of `loss`, of which each has one.
    fn descend(parameters: &Parameters, loss: &Loss, rate: f64) -> Result<f32> {
        let gradients = loss.value.backward()?;
        let mut moved = 0.0;
        for (name, variable) in parameters.iter() {
            let Some(gradient) = gradients.get(variable) else { panic!("{name}: no gradient") };
            moved += gradient.sqr()?.sum_all()?.to_scalar::<f32>()?;
            variable.set(&(variable.as_detached_tensor() - (gradient * rate)?)?)?;
        }
        Ok(moved)
    }

    fn scalar(loss: &Loss) -> Result<f32> {
        Ok(loss.value.to_scalar::<f32>()?)
    }

    /// Each learner's own loss falls when it descends, and reaches all its weights and the code network
    /// none with a weight of nothing.
    #[test]
    fn every_learner_hears_of_its_loss() -> Result<()> {
        let game = game(Arae::default())?;
        let update = update()?;
        let learners = game.learners();
        assert_eq!(learners.len(), 3);
        let losses = || -> Result<[Loss; 3]> {
            Ok([
                game.reconstruction(&update, 0.1)?,
                game.told_apart(&update)?,
                game.likeness(&update)?,
            ])
        };
        for index in 0..3 {
            let before = losses()?;
            let moved = descend(&learners[index].parameters, &before[index], 0.05)?;
            assert!(moved > 0.0, "learner {index}");
            let (before, after) = (scalar(&before[index])?, scalar(&losses()?[index])?);
            assert!(after < before, "learner {index}: {before} to {after}");
        }
        let still = self::game(Arae { weight: 0.0, ..Arae::default() })?;
        let gradients = still.likeness(&update)?.value.backward()?;
        let code = &still.learners()[2].parameters;
        // A gradient of nothing, which an optimizer takes.
        for (name, variable) in code.iter() {
            let Some(gradient) = gradients.get(variable) else { panic!("{name}: no gradient") };
            assert_eq!(gradient.abs()?.max_all()?.to_scalar::<f32>()?, 0.0, "{name}");
        }
        Ok(())
    }

    fn tilgan(config: Arae) -> Result<Game> {
        let body = textgan_models::TransformerDiscriminatorConfig {
            layers: 1,
            heads: 2,
            ..Default::default()
        };
        let encoder = DiscriminatorConfig::Transformer(body);
        let divergence = Divergence::ForwardKullbackLeibler;
        game(Arae { encoder, parts: 3, window: 2, divergence, ..config })
    }

    /// Parts are made of beginnings: two texts have those in common that the words before decide. The critic of windows
    /// is the mean of what its layers make of each, and both hear of the loss.
    #[test]
    fn parts_and_their_windows() -> Result<()> {
        let game = tilgan(Arae::default())?;
        let texts = [vec![4, 4, 4], vec![4, 4, 5]];
        let texts = Sequences::from_samples(&texts, &[true; 2], None)?;
        // Parts of 4 places end after 2, 3 and 4 of them.
        let tokens = Tokens::Hard(texts.targets());
        let body = &game.encoder.body.learning;
        let features = game.encoder.features(body, &tokens, &texts, Mode::Evaluate)?;
        let rows = features.to_vec2::<f32>()?;
        assert_eq!(rows[0], rows[3]);
        assert!(rows[1] != rows[4] && rows[2] != rows[5]);

        let codes = game.encoder.codes(&texts, Mode::Evaluate)?.detach();
        let Some(windows) = &game.critic.window else { panic!("a critic of windows") };
        let alone = CodeCritic {
            parameters: Parameters::new(),
            whole: windows.layers.clone(),
            window: None,
        };
        let both = game.critic.logits(&codes)?.to_vec1::<f32>()?;
        let whole = CodeCritic {
            parameters: Parameters::new(),
            whole: game.critic.whole.clone(),
            window: None,
        };
        let whole = whole.logits(&codes)?.to_vec1::<f32>()?;
        let first = alone.logits(&codes.narrow(1, 0, 4)?.contiguous()?)?.to_vec1::<f32>()?;
        let second = alone.logits(&codes.narrow(1, 2, 4)?.contiguous()?)?.to_vec1::<f32>()?;
        for row in 0..2 {
            let expected = whole[row] + 0.5 * (first[row] + second[row]);
            assert!((both[row] - expected).abs() < 1e-5, "{} {expected}", both[row]);
        }
        let update = update()?;
        let gradients = game.told_apart(&update)?.value.backward()?;
        for (name, variable) in game.critic.parameters.iter() {
            assert!(gradients.get(variable).is_some(), "{name}: no gradient");
        }
        Ok(())
    }

    /// The enhancement moves what writes, and nothing of the encoder that reads it again; descending it makes what is
    /// written look more like texts to the critic.
    #[test]
    fn the_enhancement_is_the_generators_alone() -> Result<()> {
        let game = tilgan(Arae::default())?;
        let update = update()?;
        let fake = Generated::draw(game.generator.as_ref(), &Key::root(9), 0, 64, None)?;
        let before = game.enhanced(&update, &fake)?;
        let gradients = before.backward()?;
        for (name, variable) in game.encoder.parameters().iter() {
            assert!(gradients.get(variable).is_none(), "{name}: moved");
        }
        let learners = game.learners();
        for (name, variable) in learners[0].parameters.iter() {
            let reached = gradients.get(variable);
            assert_eq!(reached.is_some(), !name.starts_with("encoder."), "{name}");
            let Some(gradient) = reached else { continue };
            variable.set(&(variable.as_detached_tensor() - (gradient * 0.05)?)?)?;
        }
        let after = game.enhanced(&update, &fake)?.to_scalar::<f32>()?;
        let before = before.to_scalar::<f32>()?;
        assert!(after < before, "{before} to {after}");
        Ok(())
    }

    /// A code is what a text is written from: with two texts to tell apart, each is likelier from its own.
    #[test]
    fn codes_say_which_text() -> Result<()> {
        let game = game(Arae { adversarial: 0.0, ..Arae::default() })?;
        let texts = Sequences::from_samples(&[vec![4, 4, 4], vec![5, 5, 5]], &[true; 2], None)?;
        let update = Update { learner: 0, key: Key::root(5), real: texts.clone() };
        let parameters = &game.learners()[0].parameters;
        for _ in 0..150 {
            descend(parameters, &game.reconstruction(&update, 0.0)?, 0.5)?;
        }
        let codes = game.encoder.codes(&texts, Mode::Evaluate)?.detach();
        let squares = codes.sqr()?.mean(1)?.to_vec1::<f32>()?;
        assert!(squares.iter().all(|square| (square - 1.0).abs() < 1e-3), "{squares:?}");
        let swapped = codes.index_select(&Tensor::new(&[1u32, 0], &Device::Cpu)?, 0)?;
        let nll = |noise: &Tensor| -> Result<f32> {
            let context = Context { noise, labels: None };
            let all = textgan_models::token_log_probs(game.generator.as_ref(), &context, &texts)?;
            Ok(-all.iter().sum::<f32>())
        };
        let (own, other) = (nll(&codes)?, nll(&swapped)?);
        assert!(own + 2.0 < other, "{own} {other}");
        Ok(())
    }
}
