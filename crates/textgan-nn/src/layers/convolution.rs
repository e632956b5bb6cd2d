use candle_core::Tensor;

use crate::{Builder, Error, Init, Result, ops};

/// How to make a [`TextConv`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextConvConfig {
    /// Width of the embeddings.
    pub embed: usize,
    /// The filter banks: tokens a filter covers, and how many filters of that width there are.
    pub filters: Vec<(usize, usize)>,
}

/// Filters of several widths, ReLU, and the maximum over time (Kim, 2014).
///
/// Parameters: `convs.0.weight: [filters, 1, width, embed]` and `convs.0.bias: [filters]` for the
/// first width and so on, the layout and initial distribution of PyTorch's `Conv2d(1, filters,
/// (width, embed))`.
#[derive(Clone, Debug)]
pub struct TextConv {
    banks: Vec<(Tensor, Tensor)>,
    output: usize,
}

impl TextConv {
    /// Creates the parameters.
    ///
    /// # Errors
    /// If there is no filter, a size is zero, or a name is taken.
    pub fn new(builder: &mut Builder<'_>, config: &TextConvConfig) -> Result<Self> {
        let zero = config.filters.iter().any(|&(width, filters)| width == 0 || filters == 0);
        if config.filters.is_empty() || zero || config.embed == 0 {
            let problem = format!("expected filters, and no size of 0: {config:?}");
            return Err(Error::argument("TextConv", problem));
        }
        let mut banks = Vec::with_capacity(config.filters.len());
        for (i, &(width, filters)) in config.filters.iter().enumerate() {
            let mut builder = builder.child(&format!("convs.{i}"));
            let bound = 1.0 / ((width * config.embed) as f32).sqrt();
            let weight = builder.get("weight", (filters, 1, width, config.embed), Init::FanIn)?;
            banks.push((weight, builder.get("bias", filters, Init::Uniform { bound })?));
        }
        let output = config.filters.iter().map(|&(_, filters)| filters).sum();
        Ok(Self { banks, output })
    }

    /// # Shapes
    /// `x: [batch, time, embed]`, one length a row, to `[batch, output]`: the banks side by side.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn forward(&self, x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let features: Vec<Tensor> = self
            .banks
            .iter()
            .map(|(weight, bias)| ops::text_convolution(x, weight, bias, lengths))
            .collect::<Result<_>>()?;
        Ok(Tensor::cat(&features, 1)?)
    }

    /// The banks of filters: `[filters, 1, width, embed]` and `[filters]`.
    pub fn banks(&self) -> &[(Tensor, Tensor)] {
        &self.banks
    }

    /// How many filters there are in all.
    pub fn output(&self) -> usize {
        self.output
    }
}
