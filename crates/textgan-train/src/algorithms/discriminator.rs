use textgan_models::Tokens;
use textgan_nn::{Mode, Parameters};

use super::{DISCRIMINATOR, needs_discriminator, optimizer_problem};
use crate::Result;
use crate::algorithm::{Accuracy, Algorithm, Critic, Learner, Loss, Update};
use crate::config::{DiscriminatorOnly, Judged, Problem, positive, require};
use crate::data::Rows;
use crate::generated::{Generated, Texts};
use crate::losses::Divergence;
use crate::metric::{Group, Metric, Unit};
use crate::networks::{Judges, Networks};
use crate::objective::{Objective, Plan, Role};
use crate::step::Step;

impl Objective for DiscriminatorOnly {
    fn kind(&self) -> &'static str {
        "discriminator"
    }

    fn role(&self) -> Role {
        Role::Discriminator
    }

    fn check(&self, plan: &Plan<'_>) -> Problem {
        needs_discriminator(plan)?;
        positive("learning_rate", self.learning_rate)?;
        optimizer_problem(&self.optimizer)?;
        divergence_problem(self.divergence, self.judged, self.weight_clip)
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let generator = networks.generator();
        let judge = Judge::new(networks, self.divergence, self.judged)?;
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
        vec![Learner {
            name: DISCRIMINATOR,
            parameters: self.judge.parameters.clone(),
            optimizer: self.config.optimizer.clone(),
            learning_rate: self.config.learning_rate,
            reads: Rows::Discriminator,
            sorted: false,
            weight_clip: weight_clip(self.config.weight_clip),
        }]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let update = step.update(DISCRIMINATOR)?;
        let fake = step.sample(&update, self.generator.as_ref())?;
        let loss = self.judge.loss(&update, &fake, &Tokens::Hard(fake.sequences.targets()))?;
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
    /// Its weights, as a learner's.
    pub parameters: Parameters,
}

impl Judge {
    pub fn new(
        networks: &mut Networks<'_>,
        divergence: Divergence,
        judged: Judged,
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
        Ok(Self { networks: judges, divergence, judged, parameters })
    }

    /// The loss on the update's real text and on `tokens`, the form in which the discriminator
    /// reads the `fake` texts.
    pub fn loss(&self, update: &Update, fake: &Generated, tokens: &Tokens<'_>) -> Result<Loss> {
        let dropout = update.key.child("dropout");
        let judge = |tokens: &Tokens<'_>, sequences, name| {
            let mode = dropout.child(name);
            self.networks.judge(tokens, sequences, self.judged, Mode::Train(&mode))
        };
        let real = judge(&Tokens::Hard(update.real.targets()), &update.real, "real")?;
        let fake = judge(tokens, &fake.sequences, "fake")?;
        let value = self.divergence.discriminator_loss(&real, &fake)?;
        let threshold = |real, fake| self.divergence.threshold(real, fake);
        let accuracy = Accuracy::of(threshold, &real.to_vec1()?, &fake.to_vec1()?);
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

/// A bound on weights, where there is one.
pub(super) fn weight_clip(bound: f32) -> Option<f64> {
    (bound > 0.0).then_some(bound.into())
}

/// A divergence that fits what is judged.
pub(super) fn divergence_problem(
    divergence: Divergence,
    judged: Judged,
    weight_clip: f32,
) -> Problem {
    require(divergence != Divergence::Wasserstein || weight_clip > 0.0, || {
        "divergence = \"wasserstein\" needs weight_clip, such as 0.05".to_owned()
    })?;
    require(divergence != Divergence::Relativistic || judged == Judged::Whole, || {
        "divergence = \"relativistic\" compares sentences in pairs, whose prefixes do not match up: \
         use \"relativistic-average\" with judged = \"prefixes\""
            .to_owned()
    })
}
