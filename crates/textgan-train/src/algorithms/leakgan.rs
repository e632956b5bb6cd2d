use std::sync::Arc;

use candle_core::{Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{
    DiscriminatorConfig, Generator, GeneratorConfig, Guidance, LEAK_PARAMETERS, Sequences,
};
use textgan_nn::Mode;
use textgan_random::Key;

use super::discriminator::Judge;
use super::turns::turns;
use super::{GENERATOR, generator_parameters};
use crate::algorithm::{Algorithm, Critic, Learner, Loss};
use crate::config::{
    Baseline, DiscriminatorLearning, Judged, MonteCarlo, OptimizerConfig, Problem, RewardScore,
    at_least_one, positive, require,
};
use crate::data::Rows;
use crate::generated::Generated;
use crate::losses::Divergence;
use crate::losses::gumbel::sample_nll;
use crate::losses::likelihood::likelihood;
use crate::losses::reinforce::{Players, action_values, policy_loss, with_cuts};
use crate::losses::returns::advantages;
use crate::metric::{Group, Metric, Unit};
use crate::networks::{Judges, Networks};
use crate::objective::{Objective, Opponent, Pace, Plan, Role};
use crate::step::Step;
use crate::{Error, Result};

/// The name of the manager as a learner.
const MANAGER: &str = "manager";

/// `kind = "leakgan"`: a worker writes, a manager that sees the discriminator's features `f_t` of the text so far
/// tells it where they should go (Guo et al., 2018, arXiv 1709.08624). The manager's goal `g_t` is held to where the
/// features went, by how much that was worth: it descends `-Q_t cos(f_(t+c) - f_t, g_t)`, with `Q_t` the value of the
/// text as far as `t + c`, by completions of it (their expectation is the paper's `Q(f_t, g_t)`), rescaled by its
/// rank in the batch: `sigmoid(sharpness (1/2 - rank / batch))`. The worker earns for a word how well the features
/// have followed the last goals, `(1 / c) sum_(i=1..c) cos(f_t - f_(t-i), g_(t-i))`.
///
/// Steps of the game and of likelihood alternate in turns of a `cycle`. In those the manager learns where the
/// features of real text go, and the worker its words. With `likelihood_share = 1` there are no others: this is the
/// pretraining.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Leakgan {
    /// Updates of the discriminator a step.
    pub discriminator_steps: u64,
    /// Full learning rate of the worker.
    pub learning_rate: f64,
    /// Full learning rate of the manager.
    pub manager_learning_rate: f64,
    /// The optimizer of worker and manager.
    pub optimizer: OptimizerConfig,
    /// Full learning rate of the discriminator.
    pub discriminator_learning_rate: f64,
    /// The discriminator's optimizer.
    pub discriminator_optimizer: OptimizerConfig,
    /// Steps of a cycle.
    pub cycle: u64,
    /// The share of a cycle, at its end, whose steps are of likelihood.
    pub likelihood_share: f32,
    /// Completions of a prefix.
    pub rollouts: usize,
    /// How sharply a rank tells good texts from bad ones.
    pub sharpness: f32,
    /// What the worker earns is multiplied by, and what the manager's goals are worth; with 0 the game teaches
    /// nothing.
    pub weight: f32,
}

impl Default for Leakgan {
    fn default() -> Self {
        Self {
            discriminator_steps: 1,
            learning_rate: 1e-3,
            manager_learning_rate: 1e-3,
            optimizer: OptimizerConfig::default(),
            discriminator_learning_rate: 1e-3,
            discriminator_optimizer: OptimizerConfig::default(),
            cycle: 20,
            likelihood_share: 0.25,
            rollouts: 4,
            sharpness: 12.0,
            weight: 1.0,
        }
    }
}

impl Leakgan {
    /// Whether a step of this number is of likelihood.
    fn is_likelihood(&self, number: u64) -> bool {
        let game = self.cycle as f32 * (1.0 - self.likelihood_share);
        (number % self.cycle) as f32 >= game.round()
    }
}

impl Objective for Leakgan {
    fn kind(&self) -> &'static str {
        "leakgan"
    }

    fn role(&self) -> Role {
        match self.likelihood_share < 1.0 {
            true => Role::Game,
            false => Role::Generator,
        }
    }

    fn opponent(&self) -> Opponent {
        Opponent::Discriminator
    }

    fn check(&self, plan: &Plan<'_>) -> Problem {
        let leaks = match (plan.generator, plan.discriminator) {
            (GeneratorConfig::Leak(generator), Some(DiscriminatorConfig::Cnn(discriminator))) => {
                generator.leak == *discriminator
            }
            _ => false,
        };
        require(leaks, || {
            "it needs a [generator] with kind = \"leak\", whose `leak` says what [discriminator], of kind = \
             \"cnn\", says"
                .to_owned()
        })?;
        let (init, judge) = (&plan.train.init_from, &plan.train.init_discriminator_from);
        require(init.is_some() == judge.is_some(), || {
            "the generator was told a discriminator, and goes on with that one: set train.init_from and \
             train.init_discriminator_from together"
                .to_owned()
        })?;
        let first = plan.phases.iter().find(|phase| phase.objective.kind() == self.kind());
        let is_told = first.is_some_and(|phase| phase.objective.role() == Role::Generator);
        require(is_told || init.is_some(), || {
            "a game would change at once what the generator has learned to read: put a phase of this kind with \
             likelihood_share = 1.0 before the likelihood that it begins with"
                .to_owned()
        })?;
        turns!(self).check()?;
        at_least_one("cycle", self.cycle)?;
        at_least_one("rollouts", self.rollouts as u64)?;
        positive("manager_learning_rate", self.manager_learning_rate)?;
        positive("sharpness", self.sharpness.into())?;
        require((0.0..=1.0).contains(&self.likelihood_share), || {
            format!("likelihood_share = {} is outside 0 to 1", self.likelihood_share)
        })?;
        require(self.weight >= 0.0, || format!("weight = {} must not be negative", self.weight))?;
        let likelihood =
            (0..self.cycle).filter(|&number| self.is_likelihood(number)).count() as u64;
        let share = self.likelihood_share;
        require(
            (likelihood > 0 || share == 0.0) && (likelihood < self.cycle || share == 1.0),
            || {
                format!(
                    "likelihood_share = {share} of a cycle of {} is {likelihood} steps: raise cycle, or say 0 or 1",
                    self.cycle
                )
            },
        )?;
        require(self.discriminator_optimizer.average == 0.0, || {
            "the generator is told the discriminator as it is: discriminator_optimizer.average must be 0"
                .to_owned()
        })
    }

    fn pace(&self) -> Option<Pace> {
        (self.role() == Role::Game)
            .then_some(Pace { learning_rate: self.learning_rate, updates: 1 })
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let learning = DiscriminatorLearning::default();
        let judge = Judge::new(networks, Divergence::NonSaturating, Judged::Whole, learning)?;
        let horizon = match networks.plan().generator {
            GeneratorConfig::Leak(config) => config.horizon,
            _ => return Err(no_guidance()),
        };
        let generator = networks.generator();
        let leaks = !networks.is_blind();
        Ok(Box::new(Game { config: self.clone(), generator, judge, horizon, leaks }))
    }
}

/// The weights of the discriminator, each with the one that the generator has of it.
fn leaked<'a>(
    judges: &'a Judges,
    generator: &'a dyn Generator,
) -> impl Iterator<Item = (&'a Var, &'a Var)> {
    judges.learning.parameters().iter().filter_map(|(name, ours)| {
        let told = generator.parameters().get(&format!("{LEAK_PARAMETERS}.{name}"))?;
        Some((ours, told))
    })
}

fn no_guidance() -> Error {
    Error::Train {
        problem: "this generator has no manager: set generator.kind = \"leak\"".to_owned(),
    }
}

/// The game under way.
struct Game {
    config: Leakgan,
    generator: Arc<dyn Generator>,
    judge: Judge,
    horizon: usize,
    /// Whether the generator is told what the discriminator becomes: not where it never learns, since other features
    /// than it is used to would only harm it.
    leaks: bool,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        let config = &self.config;
        let part = |manager: bool| {
            let of_manager = |name: &str| matches!(name.split('.').next(), Some(MANAGER | "goal"));
            generator_parameters(self.generator.as_ref(), |name| of_manager(name) == manager)
        };
        let learner = |name, parameters, rate| {
            Learner::new(name, parameters, &config.optimizer, rate, Rows::Generator)
        };
        let (optimizer, rate) =
            (&config.discriminator_optimizer, config.discriminator_learning_rate);
        vec![
            learner(GENERATOR, part(false), config.learning_rate),
            learner(MANAGER, part(true), config.manager_learning_rate),
            self.judge.learner(optimizer, rate),
        ]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        turns!(self.config).teach(&self.judge, step, |step, update| {
            step.sample(update, self.generator.as_ref())
        })?;
        step.once(|| self.leak())?;
        match self.config.is_likelihood(step.number()) {
            true => self.imitate(step),
            false if step.gate_is_open() => self.play(step),
            false => Ok(()),
        }
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(&self.judge)
    }
}

impl Game {
    /// The generator is told what the discriminator is now.
    fn leak(&self) -> Result<()> {
        if self.leaks {
            for (ours, told) in leaked(&self.judge.networks, self.generator.as_ref()) {
                told.set(&ours.as_detached_tensor())?;
            }
        }
        Ok(())
    }

    fn guidance(&self, texts: &Sequences, mode: Mode<'_>) -> Result<Guidance> {
        self.generator.guidance(texts, mode)?.ok_or_else(no_guidance)
    }

    /// A step of likelihood.
    fn imitate(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let update = step.update(MANAGER)?;
        let guidance = self.guidance(&update.real, Mode::Train(&update.key.child("dropout")))?;
        let worth: Vec<Vec<f32>> =
            update.real.lengths().iter().map(|&length| vec![1.0; length]).collect();
        let loss = manager_loss(&guidance, &worth, self.horizon)?;
        step.descend(update, loss)?;

        let update = step.update(GENERATOR)?;
        let found = likelihood(self.generator.as_ref(), &update.real, &update.key, None)?;
        let metrics = found.metrics();
        step.descend(update, Loss::new(found.loss, metrics))
    }

    /// A step of the game: manager and worker learn from the same samples, which are drawn before either moves.
    fn play(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let update = step.update(GENERATOR)?;
        let fake = step.sample(&update, self.generator.as_ref())?;
        let [manager, worker] = self.losses(&fake, &update.key.child("rollouts"))?;
        let turn = step.update(MANAGER)?;
        step.descend(turn, manager)?;
        step.descend(update, worker)
    }

    /// The losses of manager and worker on these samples.
    fn losses(&self, fake: &Generated, key: &Key) -> Result<[Loss; 2]> {
        let (generator, texts) = (self.generator.as_ref(), &fake.sequences);
        let guidance = self.guidance(texts, Mode::Evaluate)?;

        let players = Players { policy: generator, judges: &self.judge.networks };
        let search = MonteCarlo { rollouts: self.config.rollouts, lag: 0.0 };
        let values = action_values(&players, fake, RewardScore::Sigmoid, &search, key)?;
        let total: f64 = values.iter().filter_map(|row| row.last()).map(|&x| f64::from(x)).sum();
        let mean = total / values.len() as f64;
        let mut worth = ahead(&rescaled(&values, self.config.sharpness), self.horizon);
        worth.iter_mut().flatten().for_each(|worth| *worth *= self.config.weight);
        let manager = manager_loss(&guidance, &worth, self.horizon)?;

        let earned = intrinsic(&Plain::of(&guidance)?, texts.lengths(), self.horizon);
        let words = earned.iter().map(Vec::len).sum::<usize>().max(1) as f64;
        let followed = earned.iter().flatten().map(|&x| f64::from(x)).sum::<f64>() / words;
        let (mut advantages, _) =
            advantages(&with_cuts(earned, texts), Baseline::LeaveOneOut, None);
        advantages.iter_mut().flatten().for_each(|advantage| *advantage *= self.config.weight);
        let value = policy_loss(generator, fake, &advantages, 0.0)?;
        let metrics = vec![
            Metric::new("return", mean, Unit::Plain, Group::Game).live("return"),
            Metric::new("intrinsic_reward", followed, Unit::Plain, Group::Game).live("followed"),
            sample_nll(fake),
        ];
        Ok([manager, Loss::new(value, metrics)])
    }
}

/// Values by their rank at each place among all texts, the best first: `sigmoid(sharpness (1/2 - rank / texts))`. A text
/// that has ended keeps the value of its whole. A discriminator that is sure of all its opinions still says which of
/// two it likes better.
fn rescaled(values: &[Vec<f32>], sharpness: f32) -> Vec<Vec<f32>> {
    let mut rescaled: Vec<Vec<f32>> = values.to_vec();
    let longest = values.iter().map(Vec::len).max().unwrap_or(0);
    let count = values.len() as f32;
    for place in 0..longest {
        let at = |row: usize| {
            let values = &values[row];
            values.get(place).or(values.last()).copied().unwrap_or(0.0)
        };
        let mut rows: Vec<usize> = (0..values.len()).collect();
        rows.sort_by(|&a, &b| at(b).total_cmp(&at(a)));
        for (rank, row) in rows.into_iter().enumerate() {
            let x = sharpness * (0.5 - (rank + 1) as f32 / count);
            if let Some(value) = rescaled[row].get_mut(place) {
                *value = 0.5 * (0.5 * x).tanh() + 0.5;
            }
        }
    }
    rescaled
}

/// For each place of a text, before its word, the value of the text `horizon` words on or of all of it; of the values
/// after each word.
fn ahead(values: &[Vec<f32>], horizon: usize) -> Vec<Vec<f32>> {
    let text = |values: &Vec<f32>| {
        let last = values.len().saturating_sub(1);
        (0..values.len()).map(|place| values[(place + horizon - 1).min(last)]).collect()
    };
    values.iter().map(text).collect()
}

/// Features and goals as plain numbers.
struct Plain {
    /// `[batch, time + 1, width]`.
    features: Vec<f32>,
    /// `[batch, time, width]`.
    goals: Vec<f32>,
    time: usize,
    width: usize,
}

impl Plain {
    fn of(guidance: &Guidance) -> Result<Self> {
        let (_, time, width) = guidance.goals.dims3()?;
        let plain = |tensor: &Tensor| tensor.detach().flatten_all()?.to_vec1();
        let (features, goals) = (plain(&guidance.features)?, plain(&guidance.goals)?);
        Ok(Self { features, goals, time, width })
    }

    fn goal(&self, row: usize, place: usize) -> &[f32] {
        &self.goals[(row * self.time + place) * self.width..][..self.width]
    }

    /// Where the features of a text went from one place to another, as a vector of length 1; 0 where they stayed.
    fn way(&self, row: usize, from: usize, to: usize) -> Vec<f32> {
        let at = |place: usize| {
            &self.features[(row * (self.time + 1) + place) * self.width..][..self.width]
        };
        let way = at(to).iter().zip(at(from)).map(|(to, from)| to - from);
        let mut way: Vec<f32> = way.collect();
        let length = way.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length > 0.0 {
            way.iter_mut().for_each(|x| *x /= length);
        }
        way
    }
}

/// What each word of some texts earns: `(1 / c) sum_(i=1..c) cos(f_t - f_(t-i), g_(t-i))`, where `t` is the place
/// after it, over those `i` that there are.
fn intrinsic(plain: &Plain, lengths: &[usize], horizon: usize) -> Vec<Vec<f32>> {
    let word = |row: usize, place: usize| {
        let after = place + 1;
        let goals = after.saturating_sub(horizon)..after;
        let followed = goals.map(|from| {
            let way = plain.way(row, from, after);
            way.iter().zip(plain.goal(row, from)).map(|(w, g)| w * g).sum::<f32>()
        });
        followed.sum::<f32>() / horizon as f32
    };
    let text =
        |(row, &length): (usize, &usize)| (0..length).map(|place| word(row, place)).collect();
    lengths.iter().enumerate().map(text).collect()
}

/// `-mean over words of worth_t cos(f_(t+c) - f_t, g_t)`, where a text that ends sooner stays where it ended.
/// `worth: [text][word]`, as many as the text has.
fn manager_loss(guidance: &Guidance, worth: &[Vec<f32>], horizon: usize) -> Result<Loss> {
    let plain = Plain::of(guidance)?;
    let words = worth.iter().map(Vec::len).sum::<usize>().max(1) as f32;
    let mut ways = vec![0.0; plain.goals.len()];
    let mut followed = 0.0;
    for (row, worth) in worth.iter().enumerate() {
        for (place, &worth_here) in worth.iter().enumerate() {
            let way = plain.way(row, place, (place + horizon).min(worth.len()));
            let cosine: f32 = way.iter().zip(plain.goal(row, place)).map(|(w, g)| w * g).sum();
            followed += f64::from(cosine / words);
            let to = &mut ways[(row * plain.time + place) * plain.width..][..plain.width];
            to.iter_mut().zip(way).for_each(|(to, way)| *to = worth_here * way / words);
        }
    }
    let ways = Tensor::from_vec(ways, guidance.goals.dims(), guidance.goals.device())?;
    let value = (&guidance.goals * ways)?.sum_all()?.neg()?;
    let metric = Metric::new("goal_cosine", followed, Unit::Plain, Group::Game).live("goals");
    Ok(Loss::new(value, vec![metric]))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use textgan_models::{
        CnnDiscriminatorConfig, Context, Discriminator, EmbeddingConfig, LeakConfig, NoiseConfig,
        Sizes, Tokens, build_discriminator, build_generator,
    };
    use textgan_nn::{Optimizer, Parameters};

    use super::super::DISCRIMINATOR;
    use super::*;
    use crate::losses::reinforce::action_log_probs;
    use crate::testing::{VOCAB, target_log_probs};

    fn leak() -> CnnDiscriminatorConfig {
        CnnDiscriminatorConfig {
            embedding: EmbeddingConfig::Learned { width: 6, std: 0.5 },
            filters: vec![(1, 5), (2, 4)],
            ..CnnDiscriminatorConfig::default()
        }
    }

    fn game(weight: f32) -> Result<Game> {
        let sizes = Sizes { vocab: VOCAB, labels: 0, max_length: 2 };
        let noise = NoiseConfig { dimension: 2, ..NoiseConfig::default() };
        let (key, device) = (Key::root(3), &Device::Cpu);
        let config = GeneratorConfig::Leak(LeakConfig { leak: leak(), ..LeakConfig::default() });
        let generator = build_generator(&config, &noise, &sizes, &key, device)?;
        let config = DiscriminatorConfig::Cnn(leak());
        let learning: Arc<dyn Discriminator> =
            build_discriminator(&config, &sizes, None, &key, device)?.into();
        let networks = Judges { frozen: learning.frozen()?.into(), learning };
        let mut parameters = Parameters::new();
        parameters.share(DISCRIMINATOR, networks.learning.parameters())?;
        let judge = Judge {
            networks,
            divergence: Divergence::NonSaturating,
            judged: Judged::Whole,
            learning: DiscriminatorLearning::default(),
            parameters,
        };
        let config = Leakgan { weight, ..Leakgan::default() };
        Ok(Game { config, generator: generator.into(), judge, horizon: 2, leaks: true })
    }

    #[test]
    fn ranks_values_and_what_is_earned_are_those_of_the_formulas() {
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let found = rescaled(&[vec![0.3, 0.9], vec![0.5], vec![0.1, 0.2]], 12.0);
        let third = |rank: f32| sigmoid(12.0 * (0.5 - rank / 3.0));
        // The second text has ended, and is still the second best at the second place.
        let expected =
            [vec![third(2.0), third(1.0)], vec![third(1.0)], vec![third(3.0), third(3.0)]];
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        assert_eq!(ahead(&[vec![1.0, 2.0, 3.0]], 2), [vec![2.0, 3.0, 3.0]]);

        // Features go from (0, 0) by (1, 0) to (1, 2); goals are (0.6, 0.8) and then (0, 1).
        let plain = Plain {
            features: vec![0.0, 0.0, 1.0, 0.0, 1.0, 2.0],
            goals: vec![0.6, 0.8, 0.0, 1.0],
            time: 2,
            width: 2,
        };
        let far = (0.6 + 0.8 * 2.0) / 5f32.sqrt();
        let earned = intrinsic(&plain, &[2], 2);
        for (found, expected) in earned[0].iter().zip([0.6 / 2.0, (1.0 + far) / 2.0]) {
            assert!((found - expected).abs() < 1e-6, "{earned:?}");
        }

        // The manager's loss over the same text: its first goal looks two words ahead, its last to the end.
        let features = Tensor::from_slice(&plain.features, (1, 3, 2), &Device::Cpu).unwrap();
        let goals = Tensor::from_slice(&plain.goals, (1, 2, 2), &Device::Cpu).unwrap();
        let guidance = Guidance { features, goals };
        let loss = manager_loss(&guidance, &[vec![0.5, 0.25]], 2).unwrap();
        let found = loss.value.to_scalar::<f32>().unwrap();
        assert!((found + (0.5 * far + 0.25) / 2.0).abs() < 1e-6, "{found}");
    }

    /// The manager's goals turn to where features go, the worker's words to what earned more; with a weight of 0
    /// neither has a gradient but 0.
    #[test]
    fn losses_move_manager_and_worker_unless_their_weight_is_0() -> Result<()> {
        for weight in [1.0f32, 0.0] {
            let game = game(weight)?;
            game.leak()?;
            let learners = game.learners();
            let key = Key::root(11);
            let fake = Generated::draw(game.generator.as_ref(), &key, 0, 12, None)?;
            let losses = game.losses(&fake, &key.child("rollouts"))?;
            for (learner, loss) in [(&learners[1], &losses[0]), (&learners[0], &losses[1])] {
                let gradients = loss.value.backward()?;
                let mut square = 0.0;
                for (name, variable) in learner.parameters.iter() {
                    let gradient = gradients.get(variable);
                    let gradient = gradient.unwrap_or_else(|| panic!("{name} has no gradient"));
                    square += gradient.sqr()?.sum_all()?.to_scalar::<f32>()?;
                }
                assert_eq!(square > 0.0, weight > 0.0, "{}: {square}", learner.name);
            }
            if weight == 0.0 {
                continue;
            }
            // The worker's loss is lower where words are likelier that earned more than others did at their place.
            let guidance = game.guidance(&fake.sequences, Mode::Evaluate)?;
            let lengths = fake.sequences.lengths();
            let earned = intrinsic(&Plain::of(&guidance)?, lengths, game.horizon);
            let earned = with_cuts(earned, &fake.sequences);
            let (advantages, _) = advantages(&earned, Baseline::LeaveOneOut, None);
            let worth = |game: &Game| -> Result<f64> {
                let generator = game.generator.as_ref();
                let log_probs = action_log_probs(generator, &fake)?;
                let pairs = log_probs.iter().flatten().zip(advantages.iter().flatten());
                Ok(pairs.map(|(p, a)| f64::from(p * a)).sum())
            };
            let aligned = |game: &Game| -> Result<f64> {
                let guidance = game.guidance(&fake.sequences, Mode::Evaluate)?;
                let ones: Vec<Vec<f32>> = lengths.iter().map(|&l| vec![1.0; l]).collect();
                let loss = manager_loss(&guidance, &ones, game.horizon)?;
                Ok(-f64::from(loss.value.to_scalar::<f32>()?))
            };
            let (worth_before, aligned_before) = (worth(&game)?, aligned(&game)?);
            for (learner, loss) in [(&learners[1], &losses[0]), (&learners[0], &losses[1])] {
                let mut optimizer =
                    Optimizer::new(learner.optimizer.adam(1e-3), &learner.parameters)?;
                optimizer.step(&loss.value.backward()?, 1e-3)?;
            }
            let (worth_after, aligned_after) = (worth(&game)?, aligned(&game)?);
            assert!(worth_after > worth_before, "{worth_before} {worth_after}");
            assert!(aligned_after > aligned_before, "{aligned_before} {aligned_after}");
        }
        Ok(())
    }

    /// The leak is the discriminator's, and belongs to nobody who learns.
    #[test]
    fn the_leak_follows_the_discriminator_and_learns_nothing_itself() -> Result<()> {
        let game = game(1.0)?;
        game.leak()?;
        let texts = Sequences::from_samples(&[vec![4, 5], vec![5]], &[false, true], None)?;
        let guidance = game.guidance(&texts, Mode::Evaluate)?;
        let judge = game.judge.networks.frozen.as_ref();
        let whole =
            judge.features(&Tokens::Hard(texts.targets()), texts.lengths(), Mode::Evaluate)?;
        let last = guidance.features.narrow(1, texts.time(), 1)?;
        let difference = (whole - last)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(difference < 1e-5, "{difference}");

        let learners = game.learners();
        let names = |learner: &Learner| -> Vec<String> {
            learner.parameters.iter().map(|(name, _)| name.to_owned()).collect()
        };
        assert!(names(&learners[1]).iter().all(|name| {
            name.starts_with("generator.manager.") || name.starts_with("generator.goal.")
        }));
        let all = names(&learners[0]).len() + names(&learners[1]).len();
        let told =
            game.generator.parameters().iter().filter(|(name, _)| game.generator.is_told(name));
        assert_eq!(all + told.count(), game.generator.parameters().iter().count());
        // All that learns by likelihood has a gradient.
        let noise = Tensor::new(&[[0.3f32, -0.7], [0.1, 0.2]], &Device::Cpu)?;
        let context = Context { noise: &noise, labels: None };
        let loss = target_log_probs(game.generator.as_ref(), &context, &texts)?.sum_all()?;
        let gradients = loss.backward()?;
        for learner in &learners[..2] {
            assert!(learner.parameters.iter().all(|(_, v)| gradients.get(v).is_some()));
        }
        Ok(())
    }

    #[test]
    fn turns_of_a_cycle_are_counted() {
        let count = |share: f32| {
            let objective = Leakgan { likelihood_share: share, ..Leakgan::default() };
            (0..20).filter(|&step| objective.is_likelihood(step)).count()
        };
        assert_eq!([0.0, 0.25, 0.5, 1.0].map(count), [0, 5, 10, 20]);
        assert_eq!(Leakgan { likelihood_share: 1.0, ..Leakgan::default() }.role(), Role::Generator);
        assert_eq!(Leakgan::default().role(), Role::Game);
    }
}
