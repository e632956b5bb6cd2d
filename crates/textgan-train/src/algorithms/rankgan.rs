use std::sync::Arc;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{Discriminator, Generator, Sequences, Tokens};
use textgan_nn::{Mode, Parameters};

use super::turns::turns;
use super::{DISCRIMINATOR, GENERATOR, generator_learner};
use crate::Result;
use crate::algorithm::{Accuracy, Algorithm, Critic, Learner, Loss};
use crate::config::{Baseline, OptimizerConfig, Problem, positive, require};
use crate::data::Rows;
use crate::generated::Texts;
use crate::losses::gumbel::sample_nll;
use crate::losses::reinforce;
use crate::losses::returns::{advantages, whiten};
use crate::metric::{Group, Metric, Unit};
use crate::networks::{Judges, Networks};
use crate::objective::{Objective, Opponent, Pace, Plan, Role};
use crate::step::Step;

/// `kind = "rankgan"`: adversarial ranking (Lin et al., 2017, arXiv 1705.11001). The discriminator's
/// features place texts in a space where they are ranked by their likeness to reference texts `u`: with
/// `a(s, u) = gamma cos(s, u)`, a text `s` among others `C` has the rank
/// `R(s | C) = mean_u exp a(s, u) / (exp a(s, u) + sum_c exp a(c, u))`. The ranker learns
/// `-mean ln R(real | fakes) - mean ln(1 - R(fake | reals))`; the generator earns its rank among real texts,
/// times their number, less what the batch's other texts earn. A whole text earns at once, where the paper
/// completes its beginnings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rankgan {
    /// Updates of the ranker a step.
    pub discriminator_steps: u64,
    /// Full learning rate of the generator.
    pub learning_rate: f64,
    /// The generator's optimizer.
    pub optimizer: OptimizerConfig,
    /// Full learning rate of the ranker.
    pub discriminator_learning_rate: f64,
    /// The ranker's optimizer.
    pub discriminator_optimizer: OptimizerConfig,
    /// How much likeness counts.
    pub gamma: f32,
    /// Scales the advantages of a batch to mean 0 and standard deviation 1.
    pub whiten: bool,
    /// What the generator's loss is multiplied by; with 0 it learns nothing.
    pub weight: f32,
}

impl Default for Rankgan {
    fn default() -> Self {
        Self {
            discriminator_steps: 1,
            learning_rate: 1e-3,
            optimizer: OptimizerConfig::default(),
            discriminator_learning_rate: 1e-3,
            discriminator_optimizer: OptimizerConfig::default(),
            gamma: 5.0,
            whiten: false,
            weight: 1.0,
        }
    }
}

impl Objective for Rankgan {
    fn kind(&self) -> &'static str {
        "rankgan"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn opponent(&self) -> Opponent {
        Opponent::Discriminator
    }

    fn check(&self, plan: &Plan<'_>) -> Problem {
        turns!(self).check()?;
        positive("gamma", self.gamma.into())?;
        require(self.weight >= 0.0, || format!("weight = {} must not be negative", self.weight))?;
        require(plan.train.batch_size / plan.train.replicas >= 4, || {
            "half of a batch is ranked by the other half: train.batch_size must be at least 4 for each replica"
                .to_owned()
        })
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: 1 })
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        /// References that held-out texts are ranked by.
        const FIXED: usize = 64;
        let judges = networks.discriminator()?;
        let data = networks.data();
        let fixed = data.sequences(data.train.iter().take(FIXED))?;
        let parameters = below_features(judges.learning.as_ref(), &fixed)?;
        let ranker = Ranker { judges, parameters, gamma: f64::from(self.gamma), fixed };
        Ok(Box::new(Game { config: self.clone(), generator: networks.generator(), ranker }))
    }
}

/// The game under way.
struct Game {
    config: Rankgan,
    generator: Arc<dyn Generator>,
    ranker: Ranker,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        let config = &self.config;
        let generator =
            generator_learner(self.generator.as_ref(), &config.optimizer, config.learning_rate);
        let parameters = self.ranker.parameters.clone();
        let (optimizer, rate) =
            (&config.discriminator_optimizer, config.discriminator_learning_rate);
        let ranker = Learner::new(DISCRIMINATOR, parameters, optimizer, rate, Rows::Discriminator);
        // The generator reads real texts too: those that its own are ranked among.
        vec![
            Learner { sorted: false, ..generator },
            Learner { sorted: false, carries: true, ..ranker },
        ]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let generator = self.generator.as_ref();
        for _ in 0..self.config.discriminator_steps {
            let update = step.update(DISCRIMINATOR)?;
            let fake = step.sample(&update, generator)?;
            let dropout = update.key.child("dropout");
            let (of_real, of_fake) = (dropout.child("real"), dropout.child("fake"));
            let ranker = self.ranker.judges.learning.as_ref();
            let real = features(ranker, &update.real, Mode::Train(&of_real))?;
            let fake = features(ranker, &fake.sequences, Mode::Train(&of_fake))?;
            step.descend(update, self.ranker.loss(&real, &fake)?)?;
        }
        if !step.gate_is_open() {
            return Ok(());
        }
        let update = step.update(GENERATOR)?;
        let fake = step.sample(&update, generator)?;
        let ranker = self.ranker.judges.frozen.as_ref();
        let real = features(ranker, &update.real, Mode::Evaluate)?;
        let written = features(ranker, &fake.sequences, Mode::Evaluate)?;
        let (references, others) = halves(&real)?;
        let count = others.dim(0)? as f32 + 1.0;
        let ranks = self.ranker.ranks(&written, &references, &others)?.to_vec1::<f32>()?;
        let earned: Vec<f32> = ranks.into_iter().map(|rank| rank * count).collect();
        let returns = reinforce::of_sentences(&earned, &fake.sequences);
        let (mut advantages, _) = advantages(&returns, Baseline::LeaveOneOut, None);
        if self.config.whiten {
            whiten(&mut advantages);
        }
        advantages.iter_mut().flatten().for_each(|advantage| *advantage *= self.config.weight);
        let value = reinforce::policy_loss(generator, &fake, &advantages, 0.0)?;
        let mean = earned.iter().map(|&x| f64::from(x)).sum::<f64>() / earned.len() as f64;
        let metric = Metric::new("rank", mean, Unit::Plain, Group::Game).live("rank");
        step.descend(update, Loss::new(value, vec![metric, sample_nll(&fake)]))
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(&self.ranker)
    }
}

/// The discriminator as a ranker.
struct Ranker {
    judges: Judges,
    /// The weights that features depend on: the layer that makes a logit of them has no part in this game.
    parameters: Parameters,
    gamma: f64,
    /// References for texts that come alone.
    fixed: Sequences,
}

impl Ranker {
    /// `R(s | C)` of each of some texts among `others`, `[texts]`; all are unit vectors, `[.., features]`.
    fn ranks(&self, texts: &Tensor, references: &Tensor, others: &Tensor) -> Result<Tensor> {
        let likeness = |texts: &Tensor| -> Result<Tensor> {
            Ok((texts.matmul(&references.t()?)? * self.gamma)?.exp()?)
        };
        let (own, others) = (likeness(texts)?, likeness(others)?.sum_keepdim(0)?);
        Ok((&own / own.broadcast_add(&others)?)?.mean(1)?)
    }

    /// Of unit vectors of real and of generated texts: the first half of the real ones are references.
    fn loss(&self, real: &Tensor, fake: &Tensor) -> Result<Loss> {
        let (references, real) = halves(real)?;
        let of_real = self.ranks(&real, &references, fake)?;
        let of_fake = self.ranks(fake, &references, &real)?;
        let value = (of_real.log()?.mean_all()? + (1.0 - &of_fake)?.log()?.mean_all()?)?.neg()?;
        // Who is told as real is likelier to the references than the mean of both.
        let likeness = |texts: &Tensor| -> Result<Vec<f32>> {
            Ok(texts.matmul(&references.t()?)?.mean(1)?.to_vec1()?)
        };
        let threshold = |real: f64, fake: f64| 0.5 * (real + fake);
        let accuracy = Accuracy::of(threshold, &likeness(&real)?, &likeness(fake)?);
        let loss = f64::from(value.to_scalar::<f32>()?);
        let share = |name, value, live| {
            Metric::new(name, value, Unit::Share, Group::Discriminator).live(live)
        };
        let metrics = vec![
            Metric::new("discriminator_loss", loss, Unit::Plain, Group::Game).live("D"),
            share("accuracy_real", accuracy.real, "right on real"),
            share("accuracy_fake", accuracy.fake, "right on generated"),
        ];
        Ok(Loss { value, metrics, accuracy: Some(accuracy) })
    }
}

impl Critic for Ranker {
    /// The mean likeness to fixed references.
    fn logits(&self, texts: &Texts<'_>) -> Result<Vec<f32>> {
        let ranker = self.judges.frozen.as_ref();
        let references = features(ranker, &self.fixed, Mode::Evaluate)?;
        let found = features(ranker, texts.sequences, Mode::Evaluate)?;
        Ok((found.matmul(&references.t()?)? * self.gamma)?.mean(1)?.detach().to_vec1()?)
    }

    fn threshold(&self, mean_real: f64, mean_fake: f64) -> f64 {
        0.5 * (mean_real + mean_fake)
    }
}

/// What a network makes of whole texts, as vectors of length 1, `[texts, features]`.
fn features(network: &dyn Discriminator, texts: &Sequences, mode: Mode<'_>) -> Result<Tensor> {
    let whole = super::whole_features(network, &Tokens::Hard(texts.targets()), texts, mode)?;
    let length = (whole.sqr()?.sum_keepdim(1)? + 1e-12)?.sqrt()?;
    Ok(whole.broadcast_div(&length)?)
}

/// The weights of a network that its features depend on, by where a gradient arrives.
fn below_features(network: &dyn Discriminator, texts: &Sequences) -> Result<Parameters> {
    let gradients = features(network, texts, Mode::Evaluate)?.sum_all()?.backward()?;
    let mut parameters = Parameters::new();
    for (name, variable) in network.parameters().iter() {
        if gradients.get(variable).is_some() {
            parameters.insert(format!("{DISCRIMINATOR}.{name}"), variable.clone())?;
        }
    }
    Ok(parameters)
}

/// The first half of some rows, and the rest.
fn halves(rows: &Tensor) -> Result<(Tensor, Tensor)> {
    let count = rows.dim(0)?;
    Ok((rows.narrow(0, 0, count / 2)?, rows.narrow(0, count / 2, count - count / 2)?))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::testing::in_game;

    /// Two references, one other text: by hand.
    #[test]
    fn ranks_and_the_loss_are_those_of_the_formulas() -> Result<()> {
        in_game(|game| {
            let fixed = Sequences::from_samples(&[[4]], &[true], None)?;
            let parameters = below_features(game.judges.learning.as_ref(), &fixed)?;
            let ranker = Ranker { judges: game.judges.clone(), parameters, gamma: 2.0, fixed };
            let real = [[1f32, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, 0.6]];
            let (real, fake) =
                (Tensor::new(&real, &Device::Cpu)?, Tensor::new(&[[0f32, -1.0]], &Device::Cpu)?);
            let (references, others) = halves(&real)?;
            let e = |cosine: f64| (2.0 * cosine).exp();
            // The fake one among the two others, by each reference.
            let by = |own: f64, others: [f64; 2]| e(own) / (e(own) + e(others[0]) + e(others[1]));
            let rank = 0.5 * (by(0.0, [0.6, 0.8]) + by(-1.0, [0.8, 0.6]));
            let found = ranker.ranks(&fake, &references, &others)?.to_vec1::<f32>()?;
            assert!((f64::from(found[0]) - rank).abs() < 1e-6, "{found:?} {rank}");
            // Each real one among the fake one.
            let of = |x: f64, y: f64| 0.5 * (e(x) / (e(x) + e(0.0)) + e(y) / (e(y) + e(-1.0)));
            let expected = -0.5 * (of(0.6, 0.8).ln() + of(0.8, 0.6).ln()) - (1.0 - rank).ln();
            let loss = ranker.loss(&real, &fake)?;
            let found = f64::from(loss.value.to_scalar::<f32>()?);
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");

            // Everything but the layer of the logit learns.
            let texts = [vec![4, 5], vec![5], vec![4], vec![5, 5]];
            let texts = Sequences::from_samples(&texts, &[true; 4], None)?;
            let learning = ranker.judges.learning.as_ref();
            let found = features(learning, &texts, Mode::Evaluate)?;
            let gradients = ranker.loss(&found, &found)?.value.backward()?;
            let all = learning.parameters().iter().count();
            assert_eq!(ranker.parameters.iter().count(), all - 2);
            assert!(ranker.parameters.iter().all(|(_, v)| gradients.get(v).is_some()));
            Ok(())
        })
    }
}
