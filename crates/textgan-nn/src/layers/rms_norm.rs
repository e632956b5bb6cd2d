use candle_core::Tensor;

use crate::{Builder, Init, Result, ops};

/// How to make an [`RmsNorm`].
#[derive(Clone, Debug, PartialEq)]
pub struct RmsNormConfig {
    /// Width of the input.
    pub width: usize,
    /// Added to the mean square. Default: `1e-5`.
    pub epsilon: f32,
}

impl RmsNormConfig {
    /// The usual layer.
    pub fn new(width: usize) -> Self {
        Self { width, epsilon: 1e-5 }
    }
}

/// Root-mean-square normalisation with a learned gain (Zhang and Sennrich, 2019), parameter
/// `weight: [width]`, ones at first.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: Tensor,
    epsilon: f32,
}

impl RmsNorm {
    /// Creates the gain.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn new(builder: &mut Builder<'_>, config: &RmsNormConfig) -> Result<Self> {
        let weight = builder.get("weight", config.width, Init::Ones)?;
        Ok(Self { weight, epsilon: config.epsilon })
    }

    /// # Shapes
    /// `[.., width]` to `[.., width]`.
    ///
    /// # Errors
    /// If the width of `x` differs.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::rms_norm(x, &self.weight, self.epsilon)
    }

    /// `[width]`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// What is added to the mean square.
    pub fn epsilon(&self) -> f32 {
        self.epsilon
    }
}
