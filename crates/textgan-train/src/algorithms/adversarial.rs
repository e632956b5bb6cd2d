use std::sync::Arc;
use textgan_models::{Generator, Sizes, Tokens};
use textgan_nn::Mode;
use textgan_nn::ops::Relaxation;

use super::discriminator::{Judge, divergence_problem, learning_problem};
use super::maximum_likelihood::{Writer, declared_encoder, encoder_parameters, latent_problem};
use super::turns::turns;
use super::{DISCRIMINATOR, GENERATOR};
use crate::Result;
use crate::algorithm::{Algorithm, Critic, Learner, Loss, Update};
use crate::config::{
    Adversarial, Estimator, Judged, MonteCarlo, Problem, Proximal, at_least_one, positive, require,
};
use crate::data::Rows;
use crate::generated::Generated;
use crate::losses::{gumbel, proximal, reference, reinforce, taylor};
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Declared, Objective, Opponent, Pace, Plan, Role};
use crate::step::Step;

/// What the moving average of returns is called in memory.
const MEAN_RETURN: &str = "mean return";

impl Objective for Adversarial {
    fn kind(&self) -> &'static str {
        "adversarial"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn opponent(&self) -> Opponent {
        Opponent::Discriminator
    }

    fn check(&self, plan: &Plan<'_>) -> Problem {
        turns!(self).check()?;
        at_least_one("generator_steps", self.generator_steps)?;
        require(self.anchor >= 0.0, || format!("anchor = {} must not be negative", self.anchor))?;
        require(self.reference >= 0.0, || {
            format!("reference = {} must not be negative", self.reference)
        })?;
        require(self.latent.is_none() || self.anchor > 0.0, || {
            "latent belongs to the anchor, and anchor is 0: raise it, or leave latent out"
                .to_owned()
        })?;
        latent_problem(self.latent.as_ref(), plan)?;
        match &self.estimator {
            Estimator::Gumbel { relaxation, temperature } => {
                positive("estimator.temperature.start", temperature.start.into())?;
                positive("estimator.temperature.end", temperature.end.into())?;
                let replays = self.discriminator.replay > 0.0;
                require(*relaxation != Relaxation::Soft || !replays, || {
                    "discriminator.replay keeps words, and with relaxation = \"soft\" the discriminator \
                     reads mixtures of words: leave one of them out"
                        .to_owned()
                })?;
            }
            Estimator::Reinforce { reward, proximal, .. } => {
                if let Some(search) = reward.monte_carlo {
                    search_problem(search, self.judged)?;
                }
                if let Some(Proximal { epochs, clip }) = *proximal {
                    at_least_one("estimator.proximal.epochs", epochs)?;
                    positive("estimator.proximal.clip", clip.into())?;
                }
            }
            Estimator::Taylor { bandwidth, .. } => {
                positive("estimator.bandwidth", (*bandwidth).into())?;
                require(self.judged == Judged::Whole, || {
                    "estimator.kind = \"taylor\" judges whole texts: leave judged out".to_owned()
                })?;
            }
        }
        learning_problem(&self.discriminator)?;
        divergence_problem(self.divergence, self.judged, &self.discriminator)
    }

    fn declares(&self) -> Vec<Declared> {
        self.latent.iter().filter_map(declared_encoder).collect()
    }

    fn declared_parameters(&self, plan: &Plan<'_>, sizes: &Sizes) -> Result<u64> {
        let copies = u64::from(self.rollout_lag().is_some()) + u64::from(self.reference > 0.0);
        let copies = match copies {
            0 => 0,
            copies => plan.generator.parameter_count(plan.noise, sizes)?.saturating_mul(copies),
        };
        // The kernel, and what it is made of.
        let pairs = match self.estimator {
            Estimator::Taylor { .. } => (sizes.vocab as u64).saturating_pow(2),
            _ => 0,
        };
        let encoder = encoder_parameters(self.latent.as_ref(), plan, sizes)?;
        Ok(copies.saturating_add(pairs).saturating_add(encoder))
    }

    fn pace(&self) -> Option<Pace> {
        let updates = self.generator_steps * self.epochs();
        Some(Pace { learning_rate: self.learning_rate, updates })
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let policy = match self.rollout_lag() {
            Some(lag) => Some((networks.lagged("rollout-policy")?, lag)),
            None => None,
        };
        let reference = match self.reference > 0.0 {
            true => Some(networks.lagged("reference")?),
            false => None,
        };
        Ok(Box::new(Game {
            config: self.clone(),
            writer: Writer::new(networks, self.latent.as_ref())?,
            judge: Judge::new(networks, self.divergence, self.judged, self.discriminator)?,
            policy,
            reference,
        }))
    }
}

impl Adversarial {
    /// How slowly the rollout policy follows the generator, where it is not the generator itself.
    fn rollout_lag(&self) -> Option<f32> {
        let Estimator::Reinforce { reward, .. } = &self.estimator else { return None };
        reward.monte_carlo.map(|search| search.lag).filter(|&lag| lag > 0.0)
    }

    /// Updates of the generator on the same samples.
    fn epochs(&self) -> u64 {
        match &self.estimator {
            Estimator::Reinforce { proximal: Some(proximal), .. } => proximal.epochs,
            _ => 1,
        }
    }
}

/// The game under way.
struct Game {
    config: Adversarial,
    writer: Writer,
    judge: Judge,
    /// Who completes sentences in the generator's place, and how slowly it follows.
    policy: Option<(Arc<dyn Generator>, f32)>,
    /// The generator as the phase found it.
    reference: Option<Arc<dyn Generator>>,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        let config = &self.config;
        let (optimizer, rate) =
            (&config.discriminator_optimizer, config.discriminator_learning_rate);
        let discriminator = self.judge.learner(optimizer, rate);
        let parameters = self.writer.parameters.clone();
        let (optimizer, rate) = (&config.optimizer, config.learning_rate);
        let generator = Learner::new(GENERATOR, parameters, optimizer, rate, Rows::Generator);
        vec![generator, discriminator]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        for _ in 0..self.config.discriminator_steps {
            let mut update = step.update(DISCRIMINATOR)?;
            let loss = self.discriminator_loss(step, &mut update)?;
            step.descend(update, loss)?;
        }
        if !step.gate_is_open() {
            return Ok(());
        }
        for _ in 0..self.config.generator_steps {
            self.update_generator(step)?;
        }
        Ok(())
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(&self.judge)
    }
}

impl Game {
    /// Generated sentences are read as the generator's update will show them: as words, or as
    /// mixtures of words where the relaxation is soft.
    fn discriminator_loss(&self, step: &mut Step<'_, '_>, update: &mut Update) -> Result<Loss> {
        let fresh = step.sample(update, self.writer.generator.as_ref())?;
        match &self.config.estimator {
            Estimator::Gumbel { relaxation: Relaxation::Soft, temperature } => {
                let temperature = step.temperature(*temperature);
                let mixtures = self.relax(&fresh, Relaxation::Soft, temperature, update)?.detach();
                let fake = self.judge.shown(step, update, fresh)?;
                self.judge.loss(update, &fake, &Tokens::Soft(&mixtures))
            }
            _ => {
                let fake = self.judge.shown(step, update, fresh)?;
                self.judge.loss(update, &fake, &Tokens::Hard(fake.targets()))
            }
        }
    }

    /// One batch of samples, and one update of the generator on it or several.
    fn update_generator(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let update = step.update(GENERATOR)?;
        let generator = self.writer.generator.as_ref();
        let fake = step.sample(&update, generator)?;
        match &self.config.estimator {
            Estimator::Gumbel { relaxation, temperature } => {
                let temperature = step.temperature(*temperature);
                let relaxed = self.relax(&fake, *relaxation, temperature, &update)?;
                let (judges, divergence) = (&self.judge.networks, self.judge.divergence);
                let judged = self.judge.judged;
                let real = &update.real;
                let loss =
                    gumbel::loss(judges, divergence, judged, real, &fake, &relaxed, temperature)?;
                self.descend(step, update, loss, &fake)
            }
            Estimator::Taylor { bandwidth, baseline } => {
                let mean = step.memory().number(MEAN_RETURN);
                let judges = &self.judge.networks;
                let (loss, mean) =
                    taylor::policy_loss(generator, judges, &fake, *bandwidth, *baseline, mean)?;
                step.memory().set_number(MEAN_RETURN, mean);
                self.descend(step, update, loss, &fake)
            }
            Estimator::Reinforce { reward, baseline, entropy, proximal } => {
                let policy = self.policy.as_ref().map_or(generator, |(policy, _)| policy.as_ref());
                let players = reinforce::Players { policy, judges: &self.judge.networks };
                let mean = step.memory().number(MEAN_RETURN);
                let (judged, key) = (self.judge.judged, update.key.child("rollouts"));
                let credit =
                    reinforce::credit(&players, &fake, reward, *baseline, judged, mean, &key)?;
                step.memory().set_number(MEAN_RETURN, credit.moving_average);
                let Some(proximal) = proximal else {
                    let value =
                        reinforce::policy_loss(generator, &fake, &credit.advantages, *entropy)?;
                    let loss = Loss::new(value, credit.metrics(&fake));
                    return self.descend(step, update, loss, &fake);
                };
                let old = reinforce::action_log_probs(generator, &fake)?;
                let mut update = update;
                for epoch in 1..=proximal.epochs {
                    let new = reinforce::action_log_probs(generator, &fake)?;
                    let (weights, clipped) =
                        proximal::surrogate(&credit.advantages, &old, &new, proximal.clip);
                    let value = reinforce::policy_loss(generator, &fake, &weights, *entropy)?;
                    let mut loss = Loss::new(value, credit.metrics(&fake));
                    loss.metrics.push(Metric::new("clipped", clipped, Unit::Share, Group::Game));
                    self.descend(step, update, loss, &fake)?;
                    if epoch == proximal.epochs {
                        break;
                    }
                    update = step.update(GENERATOR)?;
                }
                Ok(())
            }
        }
    }

    /// Descends a loss with what is added to any: the likelihood of real text, and the divergence from
    /// where the generator began.
    fn descend(
        &self,
        step: &mut Step<'_, '_>,
        update: Update,
        mut loss: Loss,
        fake: &Generated,
    ) -> Result<()> {
        let generator = self.writer.generator.as_ref();
        if self.config.anchor > 0.0 {
            let anchor = self.writer.likelihood(&update.real, &update.key)?;
            loss.metrics.extend(anchor.metrics());
            loss.value = (loss.value + (anchor.loss * f64::from(self.config.anchor))?)?;
        }
        if let Some(reference) = &self.reference {
            let hidden = generator.hidden(&fake.context(), &fake.sequences, Mode::Evaluate)?;
            let weight = self.config.reference / fake.sequences.batch() as f32;
            let (divergence, metric) = reference::divergence(
                generator,
                &hidden.flatten_to(1)?,
                reference.as_ref(),
                fake,
                weight,
            )?;
            loss.metrics.push(metric);
            loss.value = (loss.value + divergence)?;
        }
        step.descend(update, loss)?;
        if let Some((policy, lag)) = &self.policy {
            step.once(|| Ok(policy.parameters().approach(generator.parameters(), *lag)?))?;
        }
        Ok(())
    }

    fn relax(
        &self,
        fake: &Generated,
        relaxation: Relaxation,
        temperature: f32,
        update: &Update,
    ) -> Result<candle_core::Tensor> {
        let embedding = self.judge.networks.frozen.embedding();
        let key = update.key.child("gumbel");
        gumbel::relax(
            self.writer.generator.as_ref(),
            embedding,
            fake,
            relaxation,
            temperature,
            &key,
        )
    }
}

fn search_problem(search: MonteCarlo, judged: Judged) -> Problem {
    at_least_one("estimator.reward.monte_carlo.rollouts", search.rollouts as u64)?;
    require((0.0..1.0).contains(&search.lag), || {
        format!("estimator.reward.monte_carlo.lag = {} is outside [0, 1)", search.lag)
    })?;
    require(judged == Judged::Whole, || {
        "estimator.reward.monte_carlo completes prefixes, so that whole sentences can be \
         judged: it needs judged = \"whole\""
            .to_owned()
    })
}
