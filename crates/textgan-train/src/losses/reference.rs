//! How far a generator has gone from where it began.

use candle_core::Tensor;
use textgan_models::Generator;
use textgan_nn::Mode;
use textgan_nn::ops::{self, HeadInput, JudgeKind, RatioOptions};

use super::NEVER_SAMPLED;
use crate::Result;
use crate::generated::Generated;
use crate::metric::{Group, Metric, Unit};

/// `sum_i weight KL(G_i || G0_i)` over the places `i` of `fake` texts, a scalar with a gradient for
/// `generator`, and the divergence in nats a text. Each term is exact over the vocabulary; prefixes are
/// those that the generator wrote, and what its words do to later prefixes is left out.
///
/// `hidden`, `[batch * time, width]`, is the generator's state at every place.
pub(crate) fn divergence(
    generator: &dyn Generator,
    hidden: &Tensor,
    reference: &dyn Generator,
    fake: &Generated,
    weight: f32,
) -> Result<(Tensor, Metric)> {
    let texts = &fake.sequences;
    let weights: Vec<f32> = texts.weights().into_iter().map(|real| real * weight).collect();
    let before = reference.hidden(&fake.context(), texts, Mode::Evaluate)?.flatten_to(1)?.detach();
    let policy = HeadInput { hidden, head: generator.head() };
    let before = HeadInput { hidden: &before, head: reference.head() };
    let options = RatioOptions {
        judge: JudgeKind::LanguageModel,
        bound: f32::INFINITY,
        excluded: &NEVER_SAMPLED,
        precision: generator.precision(),
    };
    let found = ops::head_expected_policy_loss(policy, before, &weights, None, options)?;
    let nats = -found.ratios.expected.iter().map(|&x| f64::from(x)).sum::<f64>();
    let nats = nats / texts.batch() as f64;
    let metric = Metric::new("reference_kl", nats, Unit::NatsPerText, Group::Game);
    Ok((found.loss, metric.live("KL(G || G0)")))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use textgan_models::Sequences;

    use super::*;
    use crate::testing::{in_game, log_probs_by_token, players};

    /// Against candle's own operations; and a generator has not gone from itself.
    #[test]
    fn the_divergence_and_its_gradient_are_those_of_the_formula() -> Result<()> {
        in_game(|game| {
            let reference = players()?.generator;
            for (_, variable) in reference.parameters().iter() {
                variable.set(&(variable.as_detached_tensor() * -1.5)?)?;
            }
            let sequences = Sequences::from_samples(&[vec![4, 5], vec![5]], &[true; 2], None)?;
            let noise = Tensor::new(&[[0.3f32, -0.7], [1.0, 0.2]], &Device::Cpu)?;
            let fake = Generated { sequences, noise, log_probs: Vec::new() };
            let texts = &fake.sequences;
            let log_probs =
                |model: &dyn Generator| log_probs_by_token(model, &fake.context(), texts);
            let own = log_probs(game.generator.as_ref())?;
            let other = log_probs(reference.as_ref())?.detach();
            let by_place = (own.exp()? * (&own - other)?)?.sum(2)?;
            let mask = Tensor::from_vec(texts.weights(), by_place.dims(), &Device::Cpu)?;
            let expected = ((by_place * mask)?.sum_all()? * 0.5)?;

            let of = |reference: &dyn Generator| {
                let generator = game.generator.as_ref();
                let hidden = generator.hidden(&fake.context(), texts, Mode::Evaluate)?;
                divergence(generator, &hidden.flatten_to(1)?, reference, &fake, 0.5)
            };
            let (found, metric) = of(reference.as_ref())?;
            let nats = f64::from(expected.to_scalar::<f32>()?);
            assert!((metric.value - nats).abs() < 1e-4 * nats, "{} {nats}", metric.value);
            let (found, expected) = (found.backward()?, expected.backward()?);
            for (name, variable) in game.generator.parameters().iter() {
                let (Some(one), Some(other)) = (found.get(variable), expected.get(variable)) else {
                    panic!("{name} has no gradient")
                };
                let difference = (one - other)?.abs()?.max_all()?.to_scalar::<f32>()?;
                let size = other.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(difference <= 1e-5 + 1e-3 * size, "{name}: {difference} of {size}");
            }
            let (_, none) = of(game.generator.as_ref())?;
            assert!(none.value.abs() < 1e-5, "{}", none.value);
            Ok(())
        })
    }
}
