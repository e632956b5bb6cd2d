use std::sync::Arc;

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{Context, Generator, Sequences, Sizes};
use textgan_nn::layers::{Linear, LinearConfig, Recurrent, RecurrentConfig};
use textgan_nn::{Builder, Mode, Parameters, kernels::CellKind};
use textgan_random::Key;

use super::turns::turns;
use super::{DISCRIMINATOR, GENERATOR, generator_learner};
use crate::Result;
use crate::algorithm::{Accuracy, Algorithm, Critic, Learner, Loss, Update};
use crate::config::{OptimizerConfig, Problem, at_least_one, require};
use crate::data::Rows;
use crate::generated::{Generated, Texts};
use crate::losses::{Divergence, likelihood};
use crate::metric::{Group, Metric, Unit};
use crate::networks::{Network, Networks};
use crate::objective::{Declared, Objective, Opponent, Pace, Plan, Role};
use crate::step::Step;

/// `kind = "professor-forcing"`: likelihood, and states that do not tell whether a text is read or written (Lamb
/// et al., 2016, arXiv 1610.09038). A discriminator reads the generator's states over real texts and over its own;
/// the generator learns real text and to be taken for one that reads it. Other than there it reads one way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProfessorForcing {
    /// Width of the discriminator's recurrent state.
    pub hidden: usize,
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
    /// What the game counts beside the likelihood; with 0 there is likelihood alone.
    pub weight: f32,
}

impl Default for ProfessorForcing {
    fn default() -> Self {
        Self {
            hidden: 64,
            discriminator_steps: 1,
            learning_rate: 1e-3,
            optimizer: OptimizerConfig::default(),
            discriminator_learning_rate: 1e-3,
            discriminator_optimizer: OptimizerConfig::default(),
            weight: 0.1,
        }
    }
}

impl Objective for ProfessorForcing {
    fn kind(&self) -> &'static str {
        "professor-forcing"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn check(&self, _: &Plan<'_>) -> Problem {
        at_least_one("hidden", self.hidden as u64)?;
        turns!(self).check()?;
        require(self.weight >= 0.0, || format!("weight = {} must not be negative", self.weight))
    }

    fn declares(&self) -> Vec<Declared> {
        vec![Declared { name: READER, config: serde_json::json!({ "hidden": self.hidden }) }]
    }

    fn declared_parameters(&self, plan: &Plan<'_>, sizes: &Sizes) -> Result<u64> {
        // The states are as wide as the generator's head, which has at most all of its weights.
        let all = plan.generator.parameter_count(plan.noise, sizes)?;
        let (width, hidden) = (all / sizes.vocab.max(1) as u64, self.hidden as u64);
        Ok(hidden.saturating_mul(3).saturating_mul(width.saturating_add(hidden).saturating_add(3)))
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: 1 })
    }

    fn opponent(&self) -> Opponent {
        Opponent::Own
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let generator = networks.generator();
        let width = generator.head().dim(1)?;
        let reader =
            networks.custom(READER, |_, _, key| StateReader::new(width, self.hidden, key))?;
        Ok(Box::new(Game { config: self.clone(), generator, reader }))
    }
}

/// Tells the states of a generator that reads, positive, from those of one that writes.
struct StateReader {
    parameters: Parameters,
    recurrent: Recurrent,
    output: Linear,
}

impl StateReader {
    fn new(width: usize, hidden: usize, key: &Key) -> Result<Self> {
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, *key, &Device::Cpu);
        let recurrent = RecurrentConfig::new(CellKind::Gru, width, hidden);
        Ok(Self {
            recurrent: Recurrent::new(&mut builder.child("gru"), &recurrent)?,
            output: Linear::new(&mut builder.child("output"), &LinearConfig::new(hidden, 1))?,
            parameters,
        })
    }

    /// `[batch]` from states `[batch, time, width]` of `texts`.
    fn logits(&self, states: &Tensor, texts: &Sequences) -> Result<Tensor> {
        let read = self.recurrent.forward(states, texts.lengths(), None, Mode::Evaluate)?;
        Ok(self.output.forward(&self.recurrent.last(&read)?)?.squeeze(1)?)
    }
}

impl Network for StateReader {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }
}

/// The network that tells reading from writing.
const READER: &str = "state-reader";
/// What the two play by.
const DIVERGENCE: Divergence = Divergence::NonSaturating;

/// The game under way.
struct Game {
    config: ProfessorForcing,
    generator: Arc<dyn Generator>,
    reader: Arc<StateReader>,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        let config = &self.config;
        let generator =
            generator_learner(self.generator.as_ref(), &config.optimizer, config.learning_rate);
        let (optimizer, rate) =
            (&config.discriminator_optimizer, config.discriminator_learning_rate);
        let parameters = self.reader.parameters().clone();
        let reader = Learner {
            sorted: false,
            ..Learner::new(DISCRIMINATOR, parameters, optimizer, rate, Rows::Discriminator)
        };
        vec![generator, reader]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        for _ in 0..self.config.discriminator_steps {
            let update = step.update(DISCRIMINATOR)?;
            let fake = step.sample(&update, self.generator.as_ref())?;
            let loss = self.told_apart(&update, &fake)?;
            step.descend(update, loss)?;
        }
        if !step.gate_is_open() {
            return Ok(());
        }
        let update = step.update(GENERATOR)?;
        let fake = step.sample(&update, self.generator.as_ref())?;
        let loss = self.forced(&update, &fake)?;
        step.descend(update, loss)
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(self)
    }
}

impl Game {
    /// The reader's loss.
    fn told_apart(&self, update: &Update, fake: &Generated) -> Result<Loss> {
        let real = self.states(&update.real, None, &update.key)?.detach();
        let written = self.states(&fake.sequences, Some(&fake.noise), &update.key)?.detach();
        let real = self.reader.logits(&real, &update.real)?;
        let written = self.reader.logits(&written, &fake.sequences)?;
        let value = DIVERGENCE.discriminator_loss(&real, &written)?;
        let threshold = |real, fake| DIVERGENCE.threshold(real, fake);
        let accuracy = Accuracy::of(threshold, &real.to_vec1()?, &written.to_vec1()?);
        let loss = f64::from(value.to_scalar::<f32>()?);
        let share = |name, value| Metric::new(name, value, Unit::Share, Group::Discriminator);
        let metrics = vec![
            Metric::new("discriminator_loss", loss, Unit::Plain, Group::Game).live("D"),
            share("accuracy_real", accuracy.real).live("right on real"),
            share("accuracy_fake", accuracy.fake).live("right on generated"),
        ];
        Ok(Loss { value, metrics, accuracy: Some(accuracy) })
    }

    /// The generator's loss: of likelihood, and of being seen to write.
    fn forced(&self, update: &Update, fake: &Generated) -> Result<Loss> {
        let generator = self.generator.as_ref();
        let learned = likelihood::likelihood(generator, &update.real, &update.key, None)?;
        let mut metrics = learned.metrics();
        let states = self.states(&fake.sequences, Some(&fake.noise), &update.key)?;
        let written = self.reader.logits(&states, &fake.sequences)?;
        let game = DIVERGENCE.generator_loss(&written.detach(), &written)?;
        let loss = f64::from(game.to_scalar::<f32>()?);
        metrics.push(Metric::new("generator_loss", loss, Unit::Plain, Group::Game).live("G"));
        let value = (learned.loss + (game * f64::from(self.config.weight))?)?;
        Ok(Loss::new(value, metrics))
    }

    /// The generator's states over texts, `[batch, time, width]`; of real ones with noise from its prior.
    fn states(&self, texts: &Sequences, noise: Option<&Tensor>, key: &Key) -> Result<Tensor> {
        let generator = self.generator.as_ref();
        let drawn = match noise {
            Some(noise) => noise.clone(),
            None => likelihood::noise(generator, &key.child("noise"), 0, texts.batch())?,
        };
        let context = Context { noise: &drawn, labels: texts.labels() };
        Ok(generator.hidden(&context, texts, Mode::Evaluate)?)
    }
}

/// It judges a text by the states that it leaves in the generator.
impl Critic for Game {
    fn logits(&self, texts: &Texts<'_>) -> Result<Vec<f32>> {
        let key = Key::root(0).child("critic");
        let states = self.states(texts.sequences, texts.noise, &key)?.detach();
        Ok(self.reader.logits(&states, texts.sequences)?.detach().to_vec1()?)
    }

    fn threshold(&self, mean_real: f64, mean_fake: f64) -> f64 {
        DIVERGENCE.threshold(mean_real, mean_fake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::in_game;

    /// The reader learns to tell, every weight of both hears of its loss, and without the game there is
    /// likelihood alone.
    #[test]
    fn states_are_told_apart_and_the_generator_hears_of_it() -> Result<()> {
        in_game(|players| {
            let width = players.generator.head().dim(1)?;
            let of = |weight: f32| -> Result<Game> {
                let reader = Arc::new(StateReader::new(width, 8, &Key::root(2))?);
                let config = ProfessorForcing { weight, ..ProfessorForcing::default() };
                Ok(Game { config, generator: players.generator.clone(), reader })
            };
            let game = of(3.0)?;
            let texts = [[4, 4]; 64];
            let real = Sequences::from_samples(&texts, &[true; 64], None)?;
            let update = Update { learner: 0, key: Key::root(6), real };
            let fake = Generated::draw(game.generator.as_ref(), &Key::root(8), 0, 64, None)?;
            let mut losses = Vec::new();
            for _ in 0..40 {
                let loss = game.told_apart(&update, &fake)?;
                losses.push(loss.value.to_scalar::<f32>()?);
                let gradients = loss.value.backward()?;
                for (name, variable) in game.reader.parameters().iter() {
                    let Some(gradient) = gradients.get(variable) else {
                        panic!("{name}: no gradient")
                    };
                    variable.set(&(variable.as_detached_tensor() - (gradient * 0.5)?)?)?;
                }
            }
            assert!(losses[39] < 0.7 * losses[0], "{losses:?}");
            let loss = game.forced(&update, &fake)?;
            let gradients = loss.value.backward()?;
            let alone = of(0.0)?;
            let alone = alone.forced(&update, &fake)?.value.backward()?;
            let likelihood =
                likelihood::likelihood(game.generator.as_ref(), &update.real, &update.key, None)?;
            let likelihood = likelihood.loss.backward()?;
            let mut apart = [0.0f32; 2];
            for (name, variable) in game.generator.parameters().iter() {
                let [Some(with), Some(without), Some(learned)] =
                    [&gradients, &alone, &likelihood].map(|found| found.get(variable))
                else {
                    panic!("{name}: no gradient")
                };
                for (apart, found) in apart.iter_mut().zip([with, without]) {
                    *apart += (found - learned)?.abs()?.sum_all()?.to_scalar::<f32>()?;
                }
            }
            assert!(apart[0] > 1e-3 && apart[1] < 1e-6, "{apart:?}");
            Ok(())
        })
    }
}
