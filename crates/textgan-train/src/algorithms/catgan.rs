use std::sync::Arc;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{Generator, Sizes, Tokens};
use textgan_nn::Parameters;
use textgan_nn::ops::Relaxation;

use super::discriminator::{Judge, divergence_problem, learning_problem};
use super::turns::turns;
use super::{DISCRIMINATOR, GENERATOR, generator_learner};
use crate::Result;
use crate::algorithm::{Algorithm, Critic, Learner, Loss, Update};
use crate::config::{
    DiscriminatorLearning, Judged, OptimizerConfig, Problem, Temperature, positive, require,
};
use crate::generated::Generated;
use crate::losses::{Divergence, gumbel, weighed};
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Objective, Opponent, Pace, Plan, Role};
use crate::step::Step;

/// `kind = "catgan"`: evolutionary training (CatGAN; Liu et al., 2020, arXiv 1911.06641; E-GAN, Wang et al., 2019). At
/// every step each of a population of generators, its `parents`, has a child by each mutation, which descends another
/// loss through the Gumbel softmax of its words; as many of the fittest children as there are parents are the next
/// population, and the fittest of them is the model. Fitness is how real the child's texts look, `mean D`, and how
/// surprising they are to its parent, times `diversity`. Texts of labels are judged under their labels by a
/// discriminator that reads them, and compared with real texts of the same labels. Other than there, children are
/// tried by a plain gradient step, moments and averaged weights belong to a place in the population and not to who stands
/// there, the parents write for the discriminator in turn, and the temperature does not mutate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Catgan {
    /// How many generators the population has, all alike when the phase begins.
    pub parents: usize,
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
            parents: 1,
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

    fn opponent(&self) -> Opponent {
        Opponent::Discriminator
    }

    fn check(&self, plan: &Plan<'_>) -> Problem {
        require(!self.mutations.is_empty(), || {
            "mutations = [] leaves no child: name a divergence or more".to_owned()
        })?;
        require((1..=POPULATION.len()).contains(&self.parents), || {
            format!("parents = {} is outside 1..={}", self.parents, POPULATION.len())
        })?;
        require(plan.train.replicas == 1 || !self.selects(), || {
            "several children are tried on the weights themselves, one after another: they need train.replicas = 1"
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

    fn declared_parameters(&self, plan: &Plan<'_>, sizes: &Sizes) -> Result<u64> {
        let others = self.parents as u64 - 1;
        Ok(plan.generator.parameter_count(plan.noise, sizes)?.saturating_mul(others))
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: 1 })
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let judge = Judge::new(networks, self.divergence, Judged::Whole, self.discriminator)?;
        let mut population = vec![networks.generator()];
        for name in &POPULATION[1..self.parents] {
            population.push(networks.lagged(name)?);
        }
        Ok(Box::new(Game { config: self.clone(), population, judge }))
    }
}

impl Catgan {
    /// Whether there is more than one child to choose among.
    fn selects(&self) -> bool {
        self.parents * self.mutations.len() > 1
    }
}

/// The learners that move the places of the population; the first is the model.
const POPULATION: [&str; 8] =
    [GENERATOR, "parent-2", "parent-3", "parent-4", "parent-5", "parent-6", "parent-7", "parent-8"];

/// The game under way.
struct Game {
    config: Catgan,
    population: Vec<Arc<dyn Generator>>,
    judge: Judge,
}

/// What a parent writes of an update of its own, from which its children learn.
struct Written {
    update: Update,
    fake: Generated,
    /// The parent's weights, where there is more than one child.
    weights: Option<Parameters>,
}

/// A child that was tried.
struct Child {
    fitness: Option<f64>,
    parent: usize,
    mutation: usize,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        let turns = turns!(self.config);
        let [generator, discriminator] = turns.learners(self.model(), &self.judge);
        // Parents read real texts too: those that their own are compared with.
        let mut learners = vec![Learner { sorted: false, ..generator }];
        for (name, parent) in POPULATION.iter().zip(&self.population).skip(1) {
            let learner = generator_learner(parent.as_ref(), turns.optimizer, turns.learning_rate);
            learners.push(Learner { name, sorted: false, ..learner });
        }
        learners.push(discriminator);
        learners
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let temperature = step.temperature(self.config.temperature);
        for turn in 0..self.config.discriminator_steps {
            let turn = step.number() * self.config.discriminator_steps + turn;
            let writer = self.population[(turn % self.population.len() as u64) as usize].as_ref();
            let mut update = step.update(DISCRIMINATOR)?;
            let fresh = step.sample(&update, writer)?;
            let mixtures = self.relaxed(writer, &fresh, &update, temperature)?.detach();
            let fake = self.judge.shown(step, &mut update, fresh)?;
            let loss = self.judge.loss(&update, &fake, &Tokens::Soft(&mixtures))?;
            step.descend(update, loss)?;
        }
        if !step.gate_is_open() {
            return Ok(());
        }
        let mut written = Vec::new();
        for (name, parent) in POPULATION.iter().zip(&self.population) {
            let update = step.update(name)?;
            let fake = step.sample(&update, parent.as_ref())?;
            let weights = match self.config.selects() {
                true => Some(parent.parameters().deep_clone()?),
                false => None,
            };
            written.push(Written { update, fake, weights });
        }
        let fittest = self.fittest(&written, temperature)?;
        for (place, child) in fittest.into_iter().enumerate() {
            let (generator, parent) = (self.population[place].as_ref(), &written[child.parent]);
            if let Some(weights) = &parent.weights
                && place != child.parent
            {
                generator.parameters().copy_from(weights)?;
            }
            let learner = written[place].update.learner;
            let update = Update { learner, ..parent.update.clone() };
            let mut loss =
                self.child(generator, child.mutation, &update, &parent.fake, temperature)?;
            loss.value = weighed(&loss.value, self.config.weight)?;
            let plain = |name, value| Metric::new(name, value, Unit::Plain, Group::Game);
            loss.metrics.push(plain("mutation", child.mutation as f64));
            let fitness = child.fitness.map(|fitness| plain("fitness", fitness).live("fitness"));
            loss.metrics.extend(fitness);
            step.descend(update, loss)?;
        }
        Ok(())
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(&self.judge)
    }
}

impl Game {
    /// The one that the run is about.
    fn model(&self) -> &dyn Generator {
        self.population[0].as_ref()
    }

    /// The children that are the next population, the fittest first.
    fn fittest(&self, written: &[Written], temperature: f32) -> Result<Vec<Child>> {
        // All are tried on the same noise and labels.
        let trial = &written[0].update;
        let mut children = Vec::new();
        for (parent, written) in written.iter().enumerate() {
            for mutation in 0..self.config.mutations.len() {
                let generator = self.population[parent].as_ref();
                let fitness = match &written.weights {
                    Some(weights) => {
                        let loss = self.child(
                            generator,
                            mutation,
                            &written.update,
                            &written.fake,
                            temperature,
                        )?;
                        Some(self.fitness(generator, weights, &loss, trial)?)
                    }
                    None => None,
                };
                children.push(Child { fitness, parent, mutation });
            }
        }
        let fitness = |child: &Child| child.fitness.unwrap_or_default();
        // Stable: of children that are as fit the first comes first.
        children.sort_by(|a, b| fitness(b).total_cmp(&fitness(a)));
        children.truncate(self.config.parents);
        Ok(children)
    }

    fn relaxed(
        &self,
        generator: &dyn Generator,
        fake: &Generated,
        update: &Update,
        temperature: f32,
    ) -> Result<Tensor> {
        let embedding = self.judge.networks.frozen.embedding();
        let key = update.key.child("gumbel");
        gumbel::relax(generator, embedding, fake, Relaxation::Soft, temperature, &key)
    }

    /// The loss of a child of `generator`.
    fn child(
        &self,
        generator: &dyn Generator,
        mutation: usize,
        update: &Update,
        fake: &Generated,
        temperature: f32,
    ) -> Result<Loss> {
        let divergence = self.config.mutations[mutation];
        let mixtures = self.relaxed(generator, fake, update, temperature)?;
        let (judges, judged) = (&self.judge.networks, Judged::Whole);
        gumbel::loss(judges, divergence, judged, &update.real, fake, &mixtures, temperature)
    }

    /// How fit the child that descends `loss` is: the parent, of these `weights`, takes a step down, writes on the
    /// noise and the labels of `trial`, and takes the step back.
    fn fitness(
        &self,
        parent: &dyn Generator,
        weights: &Parameters,
        loss: &Loss,
        trial: &Update,
    ) -> Result<f64> {
        let gradients = loss.value.backward()?;
        let parameters = parent.parameters();
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
        let written = self.written(parent, trial, weights);
        parameters.copy_from(weights)?;
        let (realness, surprise) = written?;
        Ok(realness + f64::from(self.config.diversity) * surprise)
    }

    /// How real what the child writes looks, mean logit; and how surprising the parent finds it, nats a token, whose
    /// `weights` it then has again.
    fn written(
        &self,
        generator: &dyn Generator,
        trial: &Update,
        weights: &Parameters,
    ) -> Result<(f64, f64)> {
        let (rows, labels) = (trial.real.batch(), trial.real.labels());
        // The same noise and picks for every child: they differ by what they are.
        let key = trial.key.child("children");
        let texts = Generated::draw(generator, &key, 0, rows, labels)?;
        let realness = self.judge.networks.frozen.scores(&texts.sequences)?;
        let realness = realness.iter().map(|&x| f64::from(x)).sum::<f64>() / rows as f64;
        generator.parameters().copy_from(weights)?;
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
                population: vec![players.generator.clone()],
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
            let parent = players.generator.as_ref();
            let weights = parent.parameters().tensors();
            let copy = parent.parameters().deep_clone()?;
            let fitness = |game: Game| {
                let loss = game.child(parent, 0, &update, &fake, 1.0)?;
                game.fitness(parent, &copy, &loss, &update)
            };
            let still = fitness(of(0.0, 1e-9))?;
            let down = fitness(of(0.0, 0.3))?;
            assert!(down > still, "{still} to {down}");
            let surprised = fitness(of(2.0, 1e-9))?;
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
