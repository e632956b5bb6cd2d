//! The two losses of the game, as pure functions of realness logits.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_nn::ops::softplus;

use crate::Result;

/// What the two networks minimise, over realness logits `r` of real and `f` of generated text.
///
/// `s` is the softplus `ln(1 + e^x)`, `m` the mean over the other side's logits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Divergence {
    /// Discriminator `s(-r) + s(f)`, generator `s(-f)` (Goodfellow et al., 2014).
    #[default]
    NonSaturating,
    /// Discriminator `s(-r) + s(f)`, generator `-s(f)`: Goodfellow et al.'s game as it was first written.
    Saturating,
    /// Discriminator `s(-r) + s(f)`, generator `-f`: of the divergences that the logit estimates, the
    /// Kullback-Leibler one (Nie et al., 2019).
    KullbackLeibler,
    /// Discriminator `s(-r) + s(f)`, generator `-w f` with the weight `w = e^f`, the ratio that the logit estimates,
    /// kept within 1/2 and 2: the Kullback-Leibler divergence from real to generated text (Diao et al., 2021).
    ForwardKullbackLeibler,
    /// Discriminator `tanh(f) - tanh(r)`, generator `-tanh(f)` (Nie et al., 2019).
    TotalVariation,
    /// Discriminator `s(-(r - f))`, generator `s(-(f - r))`, real and generated text in pairs
    /// (Jolicoeur-Martineau, 2018).
    Relativistic,
    /// Discriminator `(s(-(r - m(f))) + s(f - m(r))) / 2`, generator the same with the sides
    /// exchanged (Jolicoeur-Martineau, 2018).
    RelativisticAverage,
    /// Discriminator `max(0, 1 - r) + max(0, 1 + f)`, generator `-f` (Lim and Ye, 2017).
    Hinge,
    /// Discriminator `((r - 1)^2 + f^2) / 2`, generator `(f - 1)^2 / 2` (Mao et al., 2017).
    LeastSquares,
    /// Discriminator `f - r`, generator `-f` (Arjovsky et al., 2017). The discriminator must be
    /// kept Lipschitz, here by `spectral_norm` or `weight_clip`.
    Wasserstein,
}

impl Divergence {
    /// The discriminator's loss, a scalar, from `real` logits `[m]` and `fake` logits `[n]`.
    /// `Relativistic` pairs them and needs `m = n`.
    pub fn discriminator_loss(self, real: &Tensor, fake: &Tensor) -> Result<Tensor> {
        let loss = match self {
            Self::NonSaturating
            | Self::Saturating
            | Self::KullbackLeibler
            | Self::ForwardKullbackLeibler => {
                (mean(&softplus(&real.neg()?)?)? + mean(&softplus(fake)?)?)?
            }
            Self::TotalVariation => (mean(&fake.tanh()?)? - mean(&real.tanh()?)?)?,
            Self::Relativistic => mean(&softplus(&(fake - real)?)?)?,
            Self::RelativisticAverage => relativistic_average(real, fake)?,
            Self::Hinge => {
                let real = mean(&real.affine(-1.0, 1.0)?.relu()?)?;
                (real + mean(&fake.affine(1.0, 1.0)?.relu()?)?)?
            }
            Self::LeastSquares => {
                ((mean(&real.affine(1.0, -1.0)?.sqr()?)? + mean(&fake.sqr()?)?)? * 0.5)?
            }
            Self::Wasserstein => (mean(fake)? - mean(real)?)?,
        };
        Ok(loss)
    }

    /// The generator's loss, a scalar, from the same logits. Only the relativistic ones read
    /// `real`.
    pub fn generator_loss(self, real: &Tensor, fake: &Tensor) -> Result<Tensor> {
        let loss = match self {
            Self::NonSaturating => mean(&softplus(&fake.neg()?)?)?,
            Self::Relativistic => mean(&softplus(&(real - fake)?)?)?,
            Self::RelativisticAverage => relativistic_average(fake, real)?,
            Self::Saturating => mean(&softplus(fake)?)?.neg()?,
            Self::TotalVariation => mean(&fake.tanh()?)?.neg()?,
            Self::Hinge | Self::Wasserstein | Self::KullbackLeibler => mean(fake)?.neg()?,
            Self::ForwardKullbackLeibler => {
                let weight =
                    fake.detach().clamp(-std::f32::consts::LN_2, std::f32::consts::LN_2)?;
                mean(&(weight.exp()? * fake)?)?.neg()?
            }
            Self::LeastSquares => (mean(&fake.affine(1.0, -1.0)?.sqr()?)? * 0.5)?,
        };
        Ok(loss)
    }

    /// Whether the generator's loss depends on real text.
    pub fn is_relativistic(self) -> bool {
        matches!(self, Self::Relativistic | Self::RelativisticAverage)
    }

    /// The logit that parts real from generated, given the mean logits of both.
    ///
    /// Where only differences of logits matter there is no natural zero; there it is the middle.
    pub fn threshold(self, mean_real: f64, mean_fake: f64) -> f64 {
        match self {
            Self::NonSaturating
            | Self::Saturating
            | Self::KullbackLeibler
            | Self::ForwardKullbackLeibler
            | Self::TotalVariation
            | Self::Hinge => 0.0,
            Self::LeastSquares => 0.5,
            Self::Relativistic | Self::RelativisticAverage | Self::Wasserstein => {
                0.5 * (mean_real + mean_fake)
            }
        }
    }
}

/// `(s(-(winner - m(loser))) + s(loser - m(winner))) / 2`.
fn relativistic_average(winner: &Tensor, loser: &Tensor) -> Result<Tensor> {
    let winner_lead = winner.broadcast_sub(&loser.mean_all()?)?;
    let loser_lead = loser.broadcast_sub(&winner.mean_all()?)?;
    Ok(((mean(&softplus(&winner_lead.neg()?)?)? + mean(&softplus(&loser_lead)?)?)? * 0.5)?)
}

fn mean(x: &Tensor) -> Result<Tensor> {
    Ok(x.mean_all()?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    const ALL: [Divergence; 10] = [
        Divergence::NonSaturating,
        Divergence::Saturating,
        Divergence::KullbackLeibler,
        Divergence::ForwardKullbackLeibler,
        Divergence::TotalVariation,
        Divergence::Relativistic,
        Divergence::RelativisticAverage,
        Divergence::Hinge,
        Divergence::LeastSquares,
        Divergence::Wasserstein,
    ];

    fn s(x: f64) -> f64 {
        if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() }
    }

    fn mean(x: &[f64]) -> f64 {
        x.iter().sum::<f64>() / x.len() as f64
    }

    /// The formulas of the documentation, written out.
    fn by_hand(divergence: Divergence, r: &[f64], f: &[f64]) -> (f64, f64) {
        let each =
            |x: &[f64], g: &dyn Fn(f64) -> f64| mean(&x.iter().map(|&x| g(x)).collect::<Vec<_>>());
        let pairs = |g: &dyn Fn(f64, f64) -> f64| {
            mean(&r.iter().zip(f).map(|(&r, &f)| g(r, f)).collect::<Vec<_>>())
        };
        let (mr, mf) = (mean(r), mean(f));
        match divergence {
            Divergence::NonSaturating => (each(r, &|r| s(-r)) + each(f, &s), each(f, &|f| s(-f))),
            Divergence::Saturating => (each(r, &|r| s(-r)) + each(f, &s), -each(f, &s)),
            Divergence::KullbackLeibler => (each(r, &|r| s(-r)) + each(f, &s), -mf),
            Divergence::ForwardKullbackLeibler => {
                let weighed = |f: f64| f.exp().clamp(0.5, 2.0) * f;
                (each(r, &|r| s(-r)) + each(f, &s), -each(f, &weighed))
            }
            Divergence::TotalVariation => {
                (each(f, &f64::tanh) - each(r, &f64::tanh), -each(f, &f64::tanh))
            }
            Divergence::Relativistic => (pairs(&|r, f| s(-(r - f))), pairs(&|r, f| s(-(f - r)))),
            Divergence::RelativisticAverage => (
                (each(r, &|r| s(-(r - mf))) + each(f, &|f| s(f - mr))) / 2.0,
                (each(f, &|f| s(-(f - mr))) + each(r, &|r| s(r - mf))) / 2.0,
            ),
            Divergence::Hinge => {
                (each(r, &|r| (1.0 - r).max(0.0)) + each(f, &|f| (1.0 + f).max(0.0)), -mf)
            }
            Divergence::LeastSquares => (
                0.5 * (each(r, &|r| (r - 1.0).powi(2)) + each(f, &|f| f * f)),
                0.5 * each(f, &|f| (f - 1.0).powi(2)),
            ),
            Divergence::Wasserstein => (mf - mr, -mf),
        }
    }

    fn logits(values: &[f64]) -> Var {
        let values: Vec<f32> = values.iter().map(|&x| x as f32).collect();
        Var::new(values.as_slice(), &Device::Cpu).expect("a vector fits")
    }

    #[test]
    fn losses_are_their_formulas() -> Result<()> {
        let cases: [(&[f64], &[f64]); 4] = [
            (&[0.0, 0.0], &[0.0, 0.0]),
            (&[1.5, -0.3, 0.2], &[-1.0, 0.4, 2.0]),
            (&[90.0, -120.0], &[150.0, -200.0]),
            (&[0.5], &[-0.5]),
        ];
        for divergence in ALL {
            for (real, fake) in cases {
                let (d, g) = by_hand(divergence, real, fake);
                let (real, fake) = (logits(real), logits(fake));
                let d_loss = divergence.discriminator_loss(&real, &fake)?.to_scalar::<f32>()?;
                let g_loss = divergence.generator_loss(&real, &fake)?.to_scalar::<f32>()?;
                let close = |a: f32, b: f64| (f64::from(a) - b).abs() <= 1e-5 * (1.0 + b.abs());
                assert!(close(d_loss, d), "{divergence:?} discriminator: {d_loss} for {d}");
                assert!(close(g_loss, g), "{divergence:?} generator: {g_loss} for {g}");
            }
        }
        Ok(())
    }

    /// Descent on the discriminator's loss raises real logits and lowers generated ones; descent on
    /// the generator's raises generated ones.
    #[test]
    fn gradients_point_the_right_way() -> Result<()> {
        for divergence in ALL {
            for (real, fake) in [([0.4, 0.4], [0.4, 0.4]), ([0.3, -0.4], [0.1, 0.2])] {
                let (real, fake) = (logits(&real), logits(&fake));
                let grads = divergence.discriminator_loss(&real, &fake)?.backward()?;
                let sum = |x: &Var| -> Result<f32> {
                    let grad = grads.get(x).expect("a gradient");
                    assert!(grad.to_vec1::<f32>()?.iter().all(|x| x.is_finite()));
                    Ok(grad.sum_all()?.to_scalar::<f32>()?)
                };
                assert!(sum(&real)? < 0.0 && sum(&fake)? > 0.0, "{divergence:?} discriminator");
                let grads = divergence.generator_loss(&real, &fake)?.backward()?;
                let up = grads.get(&fake).expect("a gradient").sum_all()?.to_scalar::<f32>()?;
                assert!(up < 0.0, "{divergence:?} generator");
            }
        }
        Ok(())
    }
}
