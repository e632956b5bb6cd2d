//! How large a generator is, before it is built.

use super::{GeneratorConfig, LeakConfig, LstmConfig, RelationalConfig, Sizes, TransformerConfig};
use crate::{DiscriminatorConfig, Error, NoiseConfig, Result};

impl GeneratorConfig {
    /// The number of weights that [`build_generator`](crate::build_generator) would make.
    ///
    /// # Errors
    /// When the configuration describes no model, or one beyond any machine.
    ///
    /// ```
    /// # use textgan_models::*;
    /// let sizes = Sizes { vocab: 4_000, labels: 0, max_length: 32 };
    /// let count = GeneratorConfig::default().parameter_count(&NoiseConfig::default(), &sizes)?;
    /// assert_eq!(count, 358_720);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn parameter_count(&self, noise: &NoiseConfig, sizes: &Sizes) -> Result<u64> {
        let (parts, key) = match self {
            Self::Transformer(config) => {
                config.validate()?;
                (transformer_parts(config), "generator.width")
            }
            Self::Lstm(config) => {
                config.validate()?;
                (lstm_parts(config), "generator.hidden")
            }
            Self::RelationalMemory(config) => {
                config.validate()?;
                (relational_parts(config), "generator.head_width")
            }
            Self::Leak(config) => {
                config.validate()?;
                (leak_parts(config, sizes)?, "generator.hidden")
            }
        };
        let (embedding, head, condition) = match self {
            Self::Transformer(config) => (config.width, config.width, config.width),
            Self::Lstm(config) => {
                (config.embedding, config.hidden, config.condition_width(noise.placement))
            }
            Self::RelationalMemory(config) => {
                (config.embedding, config.memory(), config.condition_width(noise.placement))
            }
            Self::Leak(config) => {
                (config.embedding, config.read(), config.condition_width(noise.placement))
            }
        };
        let tied = match self {
            Self::Transformer(TransformerConfig { tied, .. }) => *tied,
            Self::Lstm(LstmConfig { tied, .. }) => *tied,
            Self::RelationalMemory(_) | Self::Leak(_) => false,
        };
        let mut products = parts;
        products.push([1, sizes.vocab, embedding]);
        products.push([1, sizes.vocab, if tied { 0 } else { head }]);
        products.push([1, condition, noise.width()]);
        if let Some(code) = &noise.code {
            noise.validate()?;
            let (hidden, later) = (code.hidden, code.layers - 1);
            products.extend([[1, hidden, noise.dimension], [later, hidden, hidden]]);
            products.extend([
                [code.layers, hidden, 1],
                [1, code.width, hidden],
                [1, 1, code.width],
            ]);
        }
        products.push([1, condition, sizes.labels]);
        checked_sum(&products).ok_or_else(|| {
            Error::config(key, "with these sizes there are more weights than can be counted")
        })
    }

    /// About how many numbers a training step keeps for the backward pass over `batch` rows of
    /// `time` tokens, the head left out. An estimate, to compare with the memory there is.
    pub fn activation_estimate(&self, batch: usize, time: usize) -> u64 {
        let per_token = match self {
            Self::Transformer(config) => {
                let block = 10 * config.width
                    + 4 * config.feed_forward_width()
                    + config.heads.saturating_mul(time);
                block.saturating_mul(config.layers).saturating_add(4 * config.width)
            }
            Self::Lstm(config) => config
                .hidden
                .saturating_mul(16 * config.layers)
                .saturating_add(2 * config.embedding),
            Self::RelationalMemory(config) => config
                .memory()
                .saturating_mul(40 + 4 * config.layers)
                .saturating_add(2 * config.embedding),
            Self::Leak(config) => {
                let features: usize = config.leak.filters.iter().map(|&(_, count)| count).sum();
                let states = config.hidden.saturating_add(config.manager).saturating_mul(16);
                states
                    .saturating_add(features.saturating_mul(5))
                    .saturating_add(config.read().saturating_mul(2))
                    .saturating_add(2 * config.embedding)
            }
        };
        (per_token as u64).saturating_mul(batch as u64).saturating_mul(time as u64)
    }
}

/// Weights of the blocks and the last norm, as products to be summed.
fn transformer_parts(config: &TransformerConfig) -> Vec<[usize; 3]> {
    let (width, inner, layers) = (config.width, config.feed_forward_width(), config.layers);
    let mut parts = vec![[1, 1, width], [2, layers, width]];
    parts.extend([[layers, width, width]; 4]);
    parts.extend([[layers, width, inner]; 3]);
    parts
}

/// Weights of the layers.
fn lstm_parts(config: &LstmConfig) -> Vec<[usize; 3]> {
    let (hidden, later) = (config.hidden, config.layers - 1);
    let mut parts = vec![[1, hidden, config.embedding]; 4];
    parts.extend([[later, hidden, hidden]; 4]);
    parts.extend([[config.layers, hidden, hidden]; 4]);
    parts.extend([[config.layers, hidden, 8]]);
    parts
}

/// Weights of the memory.
fn relational_parts(config: &RelationalConfig) -> Vec<[usize; 3]> {
    let width = config.width();
    let mut parts = vec![[1, width, config.embedding], [1, 1, width]];
    // Query, key, value, the layers that read, and two times two gates, one of them without a bias.
    parts.extend([[3, width, width], [config.layers, width, width], [4, width, width]]);
    parts.extend([[3, 1, width], [config.layers, 1, width], [2, 1, width]]);
    parts.push([4, 1, width]);
    parts
}

/// Weights of worker, manager and what is leaked.
fn leak_parts(config: &LeakConfig, sizes: &Sizes) -> Result<Vec<[usize; 3]>> {
    let features: usize = config.leak.filters.iter().map(|&(_, count)| count).sum();
    let leaked = DiscriminatorConfig::Cnn(config.leak.clone()).parameter_count(sizes)?;
    let lstm =
        |inputs: usize, hidden: usize| [[4, hidden, inputs], [4, hidden, hidden], [8, hidden, 1]];
    let mut parts = vec![[1, 1, usize::try_from(leaked).unwrap_or(usize::MAX)]];
    parts.extend(lstm(config.embedding, config.hidden));
    parts.extend(lstm(features, config.manager));
    parts.extend([[1, features, config.manager], [1, 1, features], [1, config.goal, features]]);
    Ok(parts)
}

fn checked_sum(products: &[[usize; 3]]) -> Option<u64> {
    products.iter().try_fold(0u64, |sum, product| {
        let size = product.iter().try_fold(1u64, |size, &n| size.checked_mul(n as u64))?;
        sum.checked_add(size)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CodeConfig, Placement, build_generator};
    use candle_core::Device;
    use textgan_random::Key;

    #[test]
    fn the_count_is_that_of_the_built_model() -> Result<()> {
        let sizes = Sizes { vocab: 37, labels: 3, max_length: 5 };
        for tied in [true, false] {
            let transformer =
                TransformerConfig { width: 16, layers: 3, tied, ..TransformerConfig::default() };
            let lstm =
                LstmConfig { embedding: 12, hidden: 12, layers: 3, tied, ..LstmConfig::default() };
            let uneven = LstmConfig { embedding: 12, hidden: 20, tied: false, ..lstm.clone() };
            let memory = RelationalConfig {
                embedding: 12,
                slots: if tied { 1 } else { 3 },
                head_width: 7,
                ..RelationalConfig::default()
            };
            let leak = LeakConfig { hidden: 9, manager: 7, goal: 5, ..LeakConfig::default() };
            for config in [
                GeneratorConfig::Leak(leak),
                GeneratorConfig::RelationalMemory(memory),
                GeneratorConfig::Transformer(transformer),
                GeneratorConfig::Lstm(lstm),
                GeneratorConfig::Lstm(uneven),
            ] {
                for placement in [Placement::Begin, Placement::Every] {
                    for code in [None, Some(CodeConfig { width: 9, hidden: 11, layers: 2 })] {
                        let noise = NoiseConfig { dimension: 7, placement, code };
                        let built =
                            build_generator(&config, &noise, &sizes, &Key::root(1), &Device::Cpu)?;
                        let count = config.parameter_count(&noise, &sizes)?;
                        assert_eq!(count, built.parameters().count() as u64, "{config:?}");
                    }
                }
            }
        }
        Ok(())
    }

    #[test]
    fn sizes_beyond_counting_are_refused() {
        let sizes = Sizes { vocab: usize::MAX, labels: 0, max_length: 5 };
        let noise = NoiseConfig::default();
        let error = GeneratorConfig::default().parameter_count(&noise, &sizes).unwrap_err();
        assert!(error.to_string().contains("generator.width"), "{error}");
    }
}
