use candle_core::Tensor;
use textgan_models::{Sequences, Tokens, generator_layers};
use textgan_nn::{Mode, Parameters, ops};
use textgan_random::Key;

use super::{DISCRIMINATOR, optimizer_problem};
use crate::Result;
use crate::algorithm::{Accuracy, Algorithm, Bounds, Critic, Learner, Loss, Update};
use crate::config::{
    DiscriminatorLearning, DiscriminatorOnly, Judged, OptimizerConfig, Problem, at_least_one,
    positive, require,
};
use crate::data::Rows;
use crate::generated::{Generated, Texts};
use crate::losses::Divergence;
use crate::metric::{Group, Metric, Unit};
use crate::networks::{Judges, Networks};
use crate::objective::{Objective, Opponent, Plan, Role};
use crate::step::Step;

impl Objective for DiscriminatorOnly {
    fn kind(&self) -> &'static str {
        "discriminator"
    }

    fn role(&self) -> Role {
        Role::Discriminator
    }

    fn opponent(&self) -> Opponent {
        Opponent::Discriminator
    }

    fn check(&self, _: &Plan<'_>) -> Problem {
        positive("learning_rate", self.learning_rate)?;
        optimizer_problem(&self.optimizer)?;
        learning_problem(&self.discriminator)?;
        divergence_problem(self.divergence, self.judged, &self.discriminator)
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let generator = networks.generator();
        let judge = Judge::new(networks, self.divergence, self.judged, self.discriminator)?;
        if self.begin_as_generator {
            // What does not fit is said before anything is trained.
            generator_layers(judge.networks.learning.as_ref(), generator.as_ref())?;
        }
        Ok(Box::new(Telling { config: self.clone(), generator, judge }))
    }
}

/// The discriminator's own phase under way.
struct Telling {
    config: DiscriminatorOnly,
    generator: std::sync::Arc<dyn textgan_models::Generator>,
    judge: Judge,
}

impl Algorithm for Telling {
    fn learners(&self) -> Vec<Learner> {
        vec![self.judge.learner(&self.config.optimizer, self.config.learning_rate)]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        if self.config.begin_as_generator && step.number() == 0 {
            let network = self.judge.networks.learning.as_ref();
            step.once(|| {
                for (own, other) in generator_layers(network, self.generator.as_ref())? {
                    own.set(other)?;
                }
                Ok(())
            })?;
        }
        let mut update = step.update(DISCRIMINATOR)?;
        let fresh = step.sample(&update, self.generator.as_ref())?;
        let fake = self.judge.shown(step, &mut update, fresh)?;
        let loss = self.judge.loss(&update, &fake, &Tokens::Hard(fake.targets()))?;
        step.descend(update, loss)
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(&self.judge)
    }
}

/// The discriminator with what it minimises.
pub(super) struct Judge {
    pub networks: Judges,
    pub divergence: Divergence,
    pub judged: Judged,
    pub learning: DiscriminatorLearning,
    /// Its weights, as a learner's.
    pub parameters: Parameters,
}

impl Judge {
    pub fn new(
        networks: &mut Networks<'_>,
        divergence: Divergence,
        judged: Judged,
        learning: DiscriminatorLearning,
    ) -> Result<Self> {
        let judges = networks.discriminator()?;
        if judged == Judged::Prefixes && !judges.learning.reads_prefixes() {
            let problem =
                "judged = \"prefixes\" needs a discriminator that reads from left to right: \
                 [discriminator] with kind = \"rnn\" and one direction"
                    .to_owned();
            return Err(crate::Error::Train { problem });
        }
        let mut parameters = Parameters::new();
        parameters.share(DISCRIMINATOR, judges.learning.parameters())?;
        Ok(Self { networks: judges, divergence, judged, learning, parameters })
    }

    /// What moves it.
    pub fn learner(&self, optimizer: &OptimizerConfig, learning_rate: f64) -> Learner {
        let bound = |bound: f32| (bound > 0.0).then_some(bound.into());
        let parameters = self.parameters.clone();
        Learner {
            sorted: false,
            carries: true,
            bounds: Bounds {
                weight: bound(self.learning.weight_clip),
                spectral_norm: bound(self.learning.spectral_norm),
            },
            ..Learner::new(DISCRIMINATOR, parameters, optimizer, learning_rate, Rows::Discriminator)
        }
    }

    /// The generated texts that an update shows, some of which may be older than the `fresh` ones; the
    /// update's real texts become of their lengths where that is asked for.
    pub fn shown(
        &self,
        step: &mut Step<'_, '_>,
        update: &mut Update,
        fresh: Generated,
    ) -> Result<Sequences> {
        let DiscriminatorLearning { replay, replay_size, match_lengths, .. } = self.learning;
        let fake = match replay > 0.0 {
            true => step.replay(update, &fresh, replay, replay_size)?.sequences,
            false => fresh.sequences,
        };
        if match_lengths {
            update.real = step.real_like(update, &fake)?;
        }
        Ok(fake)
    }

    /// The loss on the update's real text and on `tokens`, the form in which the discriminator
    /// reads the `fake` texts.
    pub fn loss(&self, update: &Update, fake: &Sequences, tokens: &Tokens<'_>) -> Result<Loss> {
        let dropout = update.key.child("dropout");
        let (real_mode, fake_mode) = (dropout.child("real"), dropout.child("fake"));
        let judge = |tokens: &Tokens<'_>, sequences: &Sequences, mode: &Key| {
            self.networks.judge(tokens, sequences, self.judged, Mode::Train(mode))
        };
        let real_tokens = Tokens::Hard(update.real.targets());
        let real = judge(&real_tokens, &update.real, &real_mode)?;
        let fake_texts = fake;
        let fake = judge(tokens, fake_texts, &fake_mode)?;
        let mut value = self.divergence.discriminator_loss(&real, &fake)?;
        let mut penalties = 0.0;
        for (weight, tokens, texts, mode, logits) in [
            (self.learning.r1, &real_tokens, &update.real, &real_mode, &real),
            (self.learning.r2, tokens, fake_texts, &fake_mode, &fake),
        ] {
            if weight > 0.0 {
                let key = mode.child("gradient-penalty");
                let penalty = self.gradient_penalty(tokens, texts, logits, mode, &key)?;
                penalties += f64::from(penalty.to_scalar::<f32>()?);
                value = (value + (penalty * (0.5 * f64::from(weight)))?)?;
            }
        }
        let threshold = |real, fake| self.divergence.threshold(real, fake);
        let accuracy = Accuracy::of(threshold, &real.to_vec1()?, &fake.to_vec1()?);
        let loss = f64::from(value.to_scalar::<f32>()?);
        let share = |name, value, live| {
            Metric::new(name, value, Unit::Share, Group::Discriminator).live(live)
        };
        let mut metrics = vec![
            Metric::new("discriminator_loss", loss, Unit::Plain, Group::Game).live("D"),
            share("accuracy_real", accuracy.real, "right on real"),
            share("accuracy_fake", accuracy.fake, "right on generated"),
        ];
        if self.learning.r1 > 0.0 || self.learning.r2 > 0.0 {
            metrics.push(Metric::new(
                "gradient_norm2",
                penalties,
                Unit::Plain,
                Group::Discriminator,
            ));
        }
        Ok(Loss { value, metrics, accuracy: Some(accuracy) })
    }

    /// An estimate of the squared norm of the logit's gradient by the embedded text, mean over logits:
    /// `(D(x + s e) - D(x))^2 / s^2` with `e` standard normal, whose expectation it is as `s` goes to
    /// 0. `logits` are `D(x)`, under the dropout of `mode`.
    fn gradient_penalty(
        &self,
        tokens: &Tokens<'_>,
        texts: &Sequences,
        logits: &Tensor,
        mode: &Key,
        key: &Key,
    ) -> Result<Tensor> {
        let embedded = match tokens {
            Tokens::Soft(mixtures) => (*mixtures).clone(),
            Tokens::Hard(ids) => {
                let table = self.networks.learning.embedding();
                ops::embedding(table, ids, (texts.batch(), texts.time()))?
            }
        };
        let deviation = self.learning.penalty_deviation;
        let mut noise = vec![0.0; embedded.elem_count()];
        key.stream().fill_normal(&mut noise);
        noise.iter_mut().for_each(|x| *x *= deviation);
        let moved = (&embedded + Tensor::from_vec(noise, embedded.dims(), embedded.device())?)?;
        let mode = Mode::Train(mode);
        let moved = self.networks.judge(&Tokens::Soft(&moved), texts, self.judged, mode)?;
        let change = ((moved - logits)? * (1.0 / f64::from(deviation)))?;
        Ok(change.sqr()?.mean_all()?)
    }
}

impl Critic for Judge {
    fn logits(&self, texts: &Texts<'_>) -> Result<Vec<f32>> {
        let tokens = Tokens::Hard(texts.sequences.targets());
        let logits = self.networks.judge(&tokens, texts.sequences, self.judged, Mode::Evaluate)?;
        Ok(logits.detach().to_vec1()?)
    }

    fn scores(&self, texts: &Texts<'_>) -> Result<Vec<f32>> {
        Ok(self.networks.frozen.scores(texts.sequences)?)
    }

    fn threshold(&self, mean_real: f64, mean_fake: f64) -> f64 {
        self.divergence.threshold(mean_real, mean_fake)
    }
}

/// Numbers that say something.
pub(super) fn learning_problem(learning: &DiscriminatorLearning) -> Problem {
    let DiscriminatorLearning { replay, replay_size, penalty_deviation, .. } = *learning;
    require((0.0..1.0).contains(&replay), || {
        format!("discriminator.replay = {replay} is outside [0, 1)")
    })?;
    at_least_one("discriminator.replay_size", replay_size as u64)?;
    positive("discriminator.penalty_deviation", penalty_deviation.into())?;
    for (key, value) in [
        ("r1", learning.r1),
        ("r2", learning.r2),
        ("spectral_norm", learning.spectral_norm),
        ("weight_clip", learning.weight_clip),
    ] {
        require(value.is_finite() && value >= 0.0, || {
            format!("discriminator.{key} = {value} must not be negative")
        })?;
    }
    Ok(())
}

/// A divergence that fits what is judged.
pub(super) fn divergence_problem(
    divergence: Divergence,
    judged: Judged,
    learning: &DiscriminatorLearning,
) -> Problem {
    let bounded = learning.weight_clip > 0.0 || learning.spectral_norm > 0.0;
    require(divergence != Divergence::Wasserstein || bounded, || {
        "divergence = \"wasserstein\" needs discriminator = { spectral_norm = 1.0 }, or weight_clip, \
         such as 0.05"
            .to_owned()
    })?;
    require(divergence != Divergence::Relativistic || judged == Judged::Whole, || {
        "divergence = \"relativistic\" compares sentences in pairs, whose prefixes do not match up: \
         use \"relativistic-average\" with judged = \"prefixes\""
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::{Device, Var};
    use textgan_models::{
        Discriminator, DiscriminatorConfig, RnnDiscriminatorConfig, Sizes, build_discriminator,
        whole,
    };

    use super::*;

    /// The estimate of the squared norm of a logit's gradient by the embedded text, against candle's own
    /// derivative.
    #[test]
    fn the_gradient_penalty_is_the_squared_norm_of_the_gradient() -> Result<()> {
        let config = RnnDiscriminatorConfig { dropout: 0.0, ..RnnDiscriminatorConfig::default() };
        let config = DiscriminatorConfig::Rnn(config);
        let sizes = Sizes { vocab: 6, labels: 0, max_length: 3 };
        let network = build_discriminator(&config, &sizes, None, &Key::root(3), &Device::Cpu)?;
        let learning: Arc<dyn Discriminator> = network.into();
        let judge = Judge {
            parameters: learning.parameters().clone(),
            networks: Judges { frozen: learning.frozen()?.into(), learning: learning.clone() },
            divergence: Divergence::default(),
            judged: Judged::Whole,
            learning: DiscriminatorLearning::default(),
        };
        let texts = Sequences::from_samples(&[vec![4, 5], vec![5]], &[false, true], None)?;
        let tokens = Tokens::Hard(texts.targets());
        let shape = (texts.batch(), texts.time());
        let embedded =
            Var::from_tensor(&ops::embedding(learning.embedding(), texts.targets(), shape)?)?;
        let soft = Tokens::Soft(embedded.as_tensor());
        let realness = learning.realness(&soft, texts.lengths(), None, Mode::Evaluate)?;
        let gradients = whole(&realness, texts.lengths())?.sum_all()?.backward()?;
        let Some(gradient) = gradients.get(&embedded) else { panic!("a gradient") };
        let expected = gradient.sqr()?.flatten_from(1)?.sum(1)?.mean_all()?.to_scalar::<f32>()?;

        let logits = judge.networks.judge(&tokens, &texts, Judged::Whole, Mode::Evaluate)?;
        let (draws, mut total) = (4000u64, 0.0);
        for draw in 0..draws {
            let key = Key::root(7).index(draw);
            let penalty = judge.gradient_penalty(&tokens, &texts, &logits, &key, &key)?;
            total += penalty.to_scalar::<f32>()?;
        }
        let found = total / draws as f32;
        assert!((found / expected - 1.0).abs() < 0.08, "{found}, expected {expected}");
        Ok(())
    }
}
