use std::sync::Arc;
use textgan_models::{Generator, Sizes, Tokens};
use textgan_nn::ops::Relaxation;

use super::discriminator::{Judge, divergence_problem, weight_clip};
use super::maximum_likelihood::{Writer, declared_encoder, encoder_parameters, latent_problem};
use super::{DISCRIMINATOR, GENERATOR, needs_discriminator, optimizer_problem};
use crate::Result;
use crate::algorithm::{Algorithm, Critic, Learner, Loss, Update};
use crate::config::{
    Adversarial, Estimator, Judged, MonteCarlo, Problem, at_least_one, positive, require,
};
use crate::data::Rows;
use crate::generated::Generated;
use crate::losses::{gumbel, reinforce};
use crate::networks::Networks;
use crate::objective::{Declared, Objective, Pace, Plan, Role};
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

    fn check(&self, plan: &Plan<'_>) -> Problem {
        needs_discriminator(plan)?;
        at_least_one("discriminator_steps", self.discriminator_steps)?;
        at_least_one("generator_steps", self.generator_steps)?;
        positive("learning_rate", self.learning_rate)?;
        positive("discriminator_learning_rate", self.discriminator_learning_rate)?;
        optimizer_problem(&self.optimizer)?;
        optimizer_problem(&self.discriminator_optimizer)?;
        require(self.anchor >= 0.0, || format!("anchor = {} must not be negative", self.anchor))?;
        require(self.latent.is_none() || self.anchor > 0.0, || {
            "latent belongs to the anchor, and anchor is 0: raise it, or leave latent out"
                .to_owned()
        })?;
        latent_problem(self.latent.as_ref(), plan)?;
        match &self.estimator {
            Estimator::Gumbel { temperature, .. } => {
                positive("estimator.temperature.start", temperature.start.into())?;
                positive("estimator.temperature.end", temperature.end.into())?;
            }
            Estimator::Reinforce { reward, .. } => {
                if let Some(search) = reward.monte_carlo {
                    search_problem(search, self.judged)?;
                }
            }
        }
        divergence_problem(self.divergence, self.judged, self.weight_clip)
    }

    fn declares(&self) -> Vec<Declared> {
        self.latent.iter().filter_map(declared_encoder).collect()
    }

    fn declared_parameters(&self, plan: &Plan<'_>, sizes: &Sizes) -> Result<u64> {
        let policy = match self.rollout_lag() {
            Some(_) => plan.generator.parameter_count(plan.noise, sizes)?,
            None => 0,
        };
        Ok(policy.saturating_add(encoder_parameters(self.latent.as_ref(), plan, sizes)?))
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: self.generator_steps })
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let policy = match self.rollout_lag() {
            Some(lag) => Some((networks.lagged("rollout-policy")?, lag)),
            None => None,
        };
        Ok(Box::new(Game {
            config: self.clone(),
            writer: Writer::new(networks, self.latent.as_ref())?,
            judge: Judge::new(networks, self.divergence, self.judged)?,
            policy,
        }))
    }
}

impl Adversarial {
    /// How slowly the rollout policy follows the generator, where it is not the generator itself.
    fn rollout_lag(&self) -> Option<f32> {
        let Estimator::Reinforce { reward, .. } = &self.estimator else { return None };
        reward.monte_carlo.map(|search| search.lag).filter(|&lag| lag > 0.0)
    }
}

/// The game under way.
struct Game {
    config: Adversarial,
    writer: Writer,
    judge: Judge,
    /// Who completes sentences in the generator's place, and how slowly it follows.
    policy: Option<(Arc<dyn Generator>, f32)>,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        let config = &self.config;
        let discriminator = Learner {
            name: DISCRIMINATOR,
            parameters: self.judge.parameters.clone(),
            optimizer: config.discriminator_optimizer.clone(),
            learning_rate: config.discriminator_learning_rate,
            reads: Rows::Discriminator,
            sorted: false,
            weight_clip: weight_clip(config.weight_clip),
        };
        let generator = Learner {
            name: GENERATOR,
            parameters: self.writer.parameters.clone(),
            optimizer: config.optimizer.clone(),
            learning_rate: config.learning_rate,
            reads: Rows::Generator,
            sorted: true,
            weight_clip: None,
        };
        vec![generator, discriminator]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        for _ in 0..self.config.discriminator_steps {
            let update = step.update(DISCRIMINATOR)?;
            let loss = self.discriminator_loss(step, &update)?;
            step.descend(update, loss)?;
        }
        if !step.gate_is_open() {
            return Ok(());
        }
        for _ in 0..self.config.generator_steps {
            let update = step.update(GENERATOR)?;
            let loss = self.generator_loss(step, &update)?;
            step.descend(update, loss)?;
            if let Some((policy, lag)) = &self.policy {
                policy.parameters().approach(self.writer.generator.parameters(), *lag)?;
            }
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
    fn discriminator_loss(&self, step: &Step<'_, '_>, update: &Update) -> Result<Loss> {
        let fake = step.sample(update, self.writer.generator.as_ref())?;
        match &self.config.estimator {
            Estimator::Gumbel { relaxation: Relaxation::Soft, temperature } => {
                let temperature = temperature.at(step.number(), step.steps());
                let mixtures = self.relax(&fake, Relaxation::Soft, temperature, update)?.detach();
                self.judge.loss(update, &fake, &Tokens::Soft(&mixtures))
            }
            _ => self.judge.loss(update, &fake, &Tokens::Hard(fake.sequences.targets())),
        }
    }

    fn generator_loss(&self, step: &mut Step<'_, '_>, update: &Update) -> Result<Loss> {
        let fake = step.sample(update, self.writer.generator.as_ref())?;
        let mut loss = match &self.config.estimator {
            Estimator::Gumbel { relaxation, temperature } => {
                let temperature = temperature.at(step.number(), step.steps());
                let relaxed = self.relax(&fake, *relaxation, temperature, update)?;
                let (judges, divergence) = (&self.judge.networks, self.judge.divergence);
                gumbel::loss(
                    judges,
                    divergence,
                    self.judge.judged,
                    &update.real,
                    &fake,
                    &relaxed,
                    temperature,
                )?
            }
            Estimator::Reinforce { reward, baseline, entropy } => {
                let generator = self.writer.generator.as_ref();
                let policy = self.policy.as_ref().map_or(generator, |(policy, _)| policy.as_ref());
                let players =
                    reinforce::Players { generator, policy, judges: &self.judge.networks };
                let mean = step.memory().number(MEAN_RETURN);
                let (loss, mean) = reinforce::loss(
                    &players,
                    &fake,
                    reward,
                    *baseline,
                    *entropy,
                    self.judge.judged,
                    mean,
                    &update.key.child("rollouts"),
                )?;
                step.memory().set_number(MEAN_RETURN, mean);
                loss
            }
        };
        if self.config.anchor > 0.0 {
            let anchor = self.writer.likelihood(&update.real, &update.key)?;
            loss.metrics.extend(anchor.metrics());
            loss.value = (loss.value + (anchor.loss * f64::from(self.config.anchor))?)?;
        }
        Ok(loss)
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
