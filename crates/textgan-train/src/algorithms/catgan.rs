use std::sync::Arc;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{Generator, Tokens};
use textgan_nn::Parameters;
use textgan_nn::ops::Relaxation;

use super::discriminator::{Judge, divergence_problem, learning_problem};
use super::turns::turns;
use super::{DISCRIMINATOR, GENERATOR, needs_discriminator};
use crate::Result;
use crate::algorithm::{Algorithm, Critic, Learner, Loss, Update};
use crate::config::{
    DiscriminatorLearning, Judged, OptimizerConfig, Problem, Temperature, positive, require,
};
use crate::generated::Generated;
use crate::losses::{Divergence, gumbel, weighed};
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Objective, Pace, Plan, Role};
use crate::step::Step;

/// `kind = "catgan"`: evolutionary training (CatGAN; Liu et al., 2020, arXiv 1911.06641; E-GAN, Wang et al., 2019). At
/// every step the generator has a child by each mutation, which descends another loss through the Gumbel softmax
/// of its words; the fittest child's loss is the one that is descended. Fitness is how real the child's texts look,
/// `mean D`, and how surprising they are to the generator as it was, times `diversity`. Texts of labels are judged
/// under their labels by a discriminator that reads them, and compared with real texts of the same labels. Other than
/// there, a population is one parent, children are tried by a plain gradient step, and the temperature does not
/// mutate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Catgan {
    /// The losses that children descend.
    pub mutations: Vec<Divergence>,
    /// What the discriminator minimises.
    pub divergence: Divergence,
    /// What a nat a token of surprise is worth beside the discriminator's logit.
    pub diversity: f32,
    /// How far a child is from its parent when it is tried, as a share of the length of the parent's weights.
    pub distance: f32,
    /// Updates of the discriminator a step.
    pub discriminator_steps: u64,
    /// Full learning rate of the generator.
    pub learning_rate: f64,
    /// The generator's optimizer.
    pub optimizer: OptimizerConfig,
    /// Full learning rate of the discriminator.
    pub discriminator_learning_rate: f64,
    /// The discriminator's optimizer.
    pub discriminator_optimizer: OptimizerConfig,
    /// Temperature of the relaxation.
    pub temperature: Temperature,
    /// What the generator's loss is multiplied by; with 0 it learns nothing.
    pub weight: f32,
    /// What keeps the discriminator smooth.
    pub discriminator: DiscriminatorLearning,
}

impl Default for Catgan {
    fn default() -> Self {
        use Divergence::{Hinge, NonSaturating, Relativistic};
        Self {
            mutations: vec![Relativistic, NonSaturating, Hinge],
            divergence: Relativistic,
            diversity: 0.1,
            distance: 1e-3,
            discriminator_steps: 1,
            learning_rate: 1e-4,
            optimizer: OptimizerConfig::default(),
            discriminator_learning_rate: 1e-4,
            discriminator_optimizer: OptimizerConfig::default(),
            temperature: Temperature { start: 1.0, end: 0.01 },
            weight: 1.0,
            discriminator: DiscriminatorLearning::default(),
        }
    }
}

impl Objective for Catgan {
    fn kind(&self) -> &'static str {
        "catgan"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn check(&self, plan: &Plan<'_>) -> Problem {
        needs_discriminator(plan)?;
        require(!self.mutations.is_empty(), || {
            "mutations = [] leaves no child: name a divergence or more".to_owned()
        })?;
        require(plan.train.replicas == 1 || self.mutations.len() == 1, || {
            "several mutations are tried on the weights themselves, one after another: they need train.replicas = 1"
                .to_owned()
        })?;
        turns!(self).check()?;
        positive("distance", self.distance.into())?;
        positive("temperature.start", self.temperature.start.into())?;
        positive("temperature.end", self.temperature.end.into())?;
        require(self.diversity >= 0.0, || {
            format!("diversity = {} must not be negative", self.diversity)
        })?;
        require(self.weight >= 0.0, || format!("weight = {} must not be negative", self.weight))?;
        require(self.discriminator.replay == 0.0, || {
            "discriminator.replay keeps words, and this discriminator reads mixtures of words: leave it out"
                .to_owned()
        })?;
        learning_problem(&self.discriminator)?;
        divergence_problem(self.divergence, Judged::Whole, &self.discriminator)
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: 1 })
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let judge = Judge::new(networks, self.divergence, Judged::Whole, self.discriminator)?;
        Ok(Box::new(Game { config: self.clone(), generator: networks.generator(), judge }))
    }
}

/// The game under way.
struct Game {
    config: Catgan,
    generator: Arc<dyn Generator>,
    judge: Judge,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        let [generator, discriminator] =
            turns!(self.config).learners(self.generator.as_ref(), &self.judge);
        // The generator reads real texts too: those that its own are compared with.
        vec![Learner { sorted: false, ..generator }, discriminator]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let generator = self.generator.as_ref();
        let temperature = self.config.temperature.at(step.number(), step.steps());
        for _ in 0..self.config.discriminator_steps {
            let mut update = step.update(DISCRIMINATOR)?;
            let fresh = step.sample(&update, generator)?;
            let mixtures = self.relaxed(&fresh, &update, temperature)?.detach();
            let fake = self.judge.shown(step, &mut update, fresh)?;
            let loss = self.judge.loss(&update, &fake, &Tokens::Soft(&mixtures))?;
            step.descend(update, loss)?;
        }
        if !step.gate_is_open() {
            return Ok(());
        }
        let update = step.update(GENERATOR)?;
        let fake = step.sample(&update, generator)?;
        let mut fittest: Option<(f64, usize)> = None;
        if self.config.mutations.len() > 1 {
            for mutation in 0..self.config.mutations.len() {
                let fitness = self.fitness(mutation, &update, &fake, temperature)?;
                if fittest.is_none_or(|(best, _)| fitness > best) {
                    fittest = Some((fitness, mutation));
                }
            }
        }
        let chosen = fittest.map_or(0, |(_, mutation)| mutation);
        let mut loss = self.child(chosen, &update, &fake, temperature)?;
        loss.value = weighed(&loss.value, self.config.weight)?;
        let plain = |name, value| Metric::new(name, value, Unit::Plain, Group::Game);
        loss.metrics.push(plain("mutation", chosen as f64));
        loss.metrics.extend(fittest.map(|(fitness, _)| plain("fitness", fitness).live("fitness")));
        step.descend(update, loss)
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(&self.judge)
    }
}

impl Game {
    fn relaxed(&self, fake: &Generated, update: &Update, temperature: f32) -> Result<Tensor> {
        let embedding = self.judge.networks.frozen.embedding();
        let key = update.key.child("gumbel");
        gumbel::relax(self.generator.as_ref(), embedding, fake, Relaxation::Soft, temperature, &key)
    }

    /// The loss of a child.
    fn child(
        &self,
        mutation: usize,
        update: &Update,
        fake: &Generated,
        temperature: f32,
    ) -> Result<Loss> {
        let divergence = self.config.mutations[mutation];
        let mixtures = self.relaxed(fake, update, temperature)?;
        let (judges, judged) = (&self.judge.networks, Judged::Whole);
        gumbel::loss(judges, divergence, judged, &update.real, fake, &mixtures, temperature)
    }

    /// How fit the child of a mutation is: the generator takes a step down its loss, writes, and takes it back.
    fn fitness(
        &self,
        mutation: usize,
        update: &Update,
        fake: &Generated,
        temperature: f32,
    ) -> Result<f64> {
        let gradients = self.child(mutation, update, fake, temperature)?.value.backward()?;
        let parameters = self.generator.parameters();
        let parent = parameters.deep_clone()?;
        let square =
            |x: &Tensor| -> Result<f64> { Ok(f64::from(x.sqr()?.sum_all()?.to_scalar::<f32>()?)) };
        let (mut length, mut steepness) = (0.0, 0.0);
        for (_, variable) in parameters.iter() {
            length += square(variable)?;
            steepness += gradients.get(variable).map_or(Ok(0.0), square)?;
        }
        let rate = f64::from(self.config.distance) * (length / steepness.max(1e-30)).sqrt();
        for (_, variable) in parameters.iter() {
            if let Some(gradient) = gradients.get(variable) {
                variable.set(&(variable.as_detached_tensor() - (gradient * rate)?)?)?;
            }
        }
        let written = self.written(update, &parent, parameters);
        parameters.copy_from(&parent)?;
        let (realness, surprise) = written?;
        Ok(realness + f64::from(self.config.diversity) * surprise)
    }

    /// How real what the child writes looks, mean logit; and how surprising the parent finds it, nats a token.
    fn written(
        &self,
        update: &Update,
        parent: &Parameters,
        parameters: &Parameters,
    ) -> Result<(f64, f64)> {
        let generator = self.generator.as_ref();
        let (rows, labels) = (update.real.batch(), update.real.labels());
        // The same noise and picks for every child: they differ by what they are.
        let key = update.key.child("children");
        let texts = Generated::draw(generator, &key, 0, rows, labels)?;
        let realness = self.judge.networks.frozen.scores(&texts.sequences)?;
        let realness = realness.iter().map(|&x| f64::from(x)).sum::<f64>() / rows as f64;
        parameters.copy_from(parent)?;
        let (context, sequences) = (texts.context(), &texts.sequences);
        let log_probs = textgan_models::token_log_probs(generator, &context, sequences)?;
        let surprise = -log_probs.iter().map(|&x| f64::from(x)).sum::<f64>();
        Ok((realness, surprise / sequences.tokens() as f64))
    }
}

#[cfg(test)]
mod tests {
    use textgan_models::Sequences;
    use textgan_random::Key;

    use super::*;
    use crate::testing::in_game;

    /// Trying a child leaves the parent as it was, bit for bit; a child that descends looks more real than
    /// the parent, and one that climbs less; diversity is worth what it says.
    #[test]
    fn children_are_tried_and_taken_back() -> Result<()> {
        in_game(|players| {
            let of = |diversity: f32, distance: f32| Game {
                config: Catgan {
                    mutations: vec![Divergence::NonSaturating, Divergence::Saturating],
                    diversity,
                    distance,
                    ..Catgan::default()
                },
                generator: players.generator.clone(),
                judge: Judge {
                    networks: players.judges.clone(),
                    divergence: Divergence::NonSaturating,
                    judged: Judged::Whole,
                    learning: DiscriminatorLearning::default(),
                    parameters: Parameters::new(),
                },
            };
            let real = Sequences::from_samples(&[[4]; 2000], &[true; 2000], None)?;
            let update = Update { learner: 0, key: Key::root(1), real };
            let fake = Generated::draw(players.generator.as_ref(), &Key::root(2), 0, 2000, None)?;
            let weights = players.generator.parameters().tensors();
            let still = of(0.0, 1e-9).fitness(0, &update, &fake, 1.0)?;
            let down = of(0.0, 0.3).fitness(0, &update, &fake, 1.0)?;
            assert!(down > still, "{still} to {down}");
            let surprised = of(2.0, 1e-9).fitness(0, &update, &fake, 1.0)?;
            let own = fake.nll();
            assert!((surprised - still - 2.0 * own).abs() < 0.1 * own, "{surprised} {still} {own}");
            for (name, tensor) in players.generator.parameters().tensors() {
                let apart = (tensor - &weights[&name])?.abs()?.max_all()?.to_scalar::<f32>()?;
                assert_eq!(apart, 0.0, "{name}");
            }
            Ok(())
        })
    }
}
