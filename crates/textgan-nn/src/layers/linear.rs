use candle_core::Tensor;

use crate::{Builder, Init, Result, ops};

/// How to make a [`Linear`] layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearConfig {
    /// Width of the input.
    pub input: usize,
    /// Width of the output.
    pub output: usize,
    /// Whether a bias is added. Default: yes.
    pub bias: bool,
    /// How the weight begins. Default: [`Init::FanIn`].
    pub init: Init,
}

impl LinearConfig {
    /// The textbook layer: a bias, initial values as PyTorch's.
    pub fn new(input: usize, output: usize) -> Self {
        Self { input, output, bias: true, init: Init::FanIn }
    }
}

/// `y = x W^T + b`, parameters `weight: [output, input]` and `bias: [output]`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Creates the parameters. The bias begins uniform in `±1/sqrt(input)`, as PyTorch's.
    ///
    /// # Errors
    /// If a name is taken.
    pub fn new(builder: &mut Builder<'_>, config: &LinearConfig) -> Result<Self> {
        let weight = builder.get("weight", (config.output, config.input), config.init.clone())?;
        let bound = 1.0 / (config.input.max(1) as f32).sqrt();
        let bias = match config.bias {
            true => Some(builder.get("bias", config.output, Init::Uniform { bound })?),
            false => None,
        };
        Ok(Self { weight, bias })
    }

    /// # Shapes
    /// `x: [.., input]` to `[.., output]`.
    ///
    /// # Errors
    /// If the width of `x` differs.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::linear(x, &self.weight, self.bias.as_ref())
    }

    /// `[output, input]`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `[output]`, if there is one.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }
}
