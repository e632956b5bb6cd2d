use candle_core::{Device, Shape, Tensor, Var};
use textgan_random::{Key, Stream};

use crate::{Error, Parameters, Result};

/// How a parameter begins.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Init {
    /// All zeros.
    Zeros,
    /// All ones.
    Ones,
    /// Independent normal draws with mean zero.
    Normal {
        /// The standard deviation.
        std: f32,
    },
    /// Independent uniform draws in `-bound..bound`.
    Uniform {
        /// The largest magnitude.
        bound: f32,
    },
    /// Uniform with bound `1 / sqrt(fan_in)`, what PyTorch gives its linear layers; `fan_in` is
    /// the product of all dimensions but the first.
    FanIn,
    /// These values, in row-major order: word vectors read from a file, for example.
    Values(Vec<f32>),
}

impl Init {
    fn draw(&self, shape: &Shape, name: &str, stream: &mut Stream) -> Result<Vec<f32>> {
        let n = shape.elem_count();
        let mut uniform =
            |bound: f32| (0..n).map(|_| (2.0 * stream.uniform() - 1.0) * bound).collect();
        Ok(match self {
            Self::Zeros => vec![0.0; n],
            Self::Ones => vec![1.0; n],
            Self::Uniform { bound } => uniform(*bound),
            Self::FanIn => {
                let fan_in: usize = shape.dims().iter().skip(1).product();
                uniform(1.0 / (fan_in.max(1) as f32).sqrt())
            }
            Self::Normal { std } => (0..n).map(|_| stream.normal() * std).collect(),
            Self::Values(values) if values.len() == n => values.clone(),
            Self::Values(values) => {
                return Err(Error::argument(
                    "Init::Values",
                    format!("{} values for parameter `{name}` of shape {shape:?}", values.len()),
                ));
            }
        })
    }
}

/// Creates named parameters.
///
/// A parameter draws from the stream of its own full name, so its first value depends neither on
/// the order in which layers are created nor on which others exist.
///
/// ```
/// use candle_core::Device;
/// use textgan_nn::{Builder, Init, Parameters};
/// use textgan_random::Key;
///
/// # fn main() -> textgan_nn::Result<()> {
/// let mut parameters = Parameters::new();
/// let mut builder = Builder::new(&mut parameters, Key::root(1), &Device::Cpu);
/// let weight = builder.child("layers.0").child("mlp").get("weight", (3, 2), Init::FanIn)?;
/// assert_eq!(weight.dims(), [3, 2]);
/// assert!(parameters.get("layers.0.mlp.weight").is_some());
/// # Ok(())
/// # }
/// ```
pub struct Builder<'a> {
    source: Source<'a>,
    device: &'a Device,
    prefix: String,
}

/// Where parameters come from.
enum Source<'a> {
    New { parameters: &'a mut Parameters, key: Key },
    Frozen(&'a Parameters),
}

impl<'a> Builder<'a> {
    /// A builder that puts parameters into `parameters`, their values drawn from `key`.
    pub fn new(parameters: &'a mut Parameters, key: Key, device: &'a Device) -> Self {
        Self { source: Source::New { parameters, key }, device, prefix: String::new() }
    }

    /// A builder over parameters that exist: what it builds has the same weights, also after they
    /// change, and passes them no gradient. So a network can be played against without the work of
    /// training it.
    pub fn frozen(parameters: &'a Parameters, device: &'a Device) -> Self {
        Self { source: Source::Frozen(parameters), device, prefix: String::new() }
    }

    /// A builder whose names begin with `name` and a dot, below this one's.
    pub fn child(&mut self, name: &str) -> Builder<'_> {
        let prefix = self.full_name(name);
        let source = match &mut self.source {
            Source::New { parameters, key } => Source::New { parameters, key: *key },
            Source::Frozen(parameters) => Source::Frozen(parameters),
        };
        Builder { source, device: self.device, prefix }
    }

    /// Creates the parameter `name` and returns the variable's tensor; a [`Builder::frozen`] one
    /// returns the tensor that there is.
    ///
    /// # Errors
    /// If the name is taken, or if [`Init::Values`] has the wrong number of values. If frozen, when
    /// there is no parameter of this name and shape.
    pub fn get(&mut self, name: &str, shape: impl Into<Shape>, init: Init) -> Result<Tensor> {
        let (name, shape) = (self.full_name(name), shape.into());
        match &mut self.source {
            Source::New { parameters, key } => {
                let values = init.draw(&shape, &name, &mut key.child(&name).stream())?;
                let variable = Var::from_vec(values, shape, self.device)?;
                let tensor = variable.as_tensor().clone();
                parameters.insert(name, variable)?;
                Ok(tensor)
            }
            Source::Frozen(parameters) => match parameters.get(&name) {
                Some(variable) if *variable.shape() == shape => Ok(variable.as_detached_tensor()),
                found => {
                    let problem = match found {
                        Some(variable) => {
                            format!("has shape {:?}, expected {shape:?}", variable.shape())
                        }
                        None => "is missing".to_owned(),
                    };
                    let origin = "the frozen model".to_owned();
                    Err(Error::ParameterMismatch { origin, name, problem })
                }
            },
        }
    }

    /// The device that parameters are created on.
    pub fn device(&self) -> &'a Device {
        self.device
    }

    fn full_name(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(names: &[&str], wanted: &str) -> Vec<f32> {
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, Key::root(3), &Device::Cpu);
        for name in names {
            builder.get(name, 8, Init::Normal { std: 1.0 }).unwrap();
        }
        parameters.get(wanted).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_value_depends_on_its_name_only() {
        assert_eq!(values(&["a", "b"], "b"), values(&["b"], "b"));
        assert_ne!(values(&["a", "b"], "a"), values(&["a", "b"], "b"));
    }

    #[test]
    fn a_name_is_given_once() {
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, Key::root(3), &Device::Cpu);
        builder.get("a", 1, Init::Zeros).unwrap();
        let error = builder.get("a", 1, Init::Zeros).unwrap_err();
        assert!(matches!(error, Error::DuplicateParameter { name } if name == "a"));
    }

    #[test]
    fn given_values_must_fill_the_shape() {
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, Key::root(3), &Device::Cpu);
        assert!(builder.get("a", (2, 2), Init::Values(vec![0.0; 3])).is_err());
        let given = builder.get("b", (1, 2), Init::Values(vec![1.0, 2.0])).unwrap();
        assert_eq!(given.to_vec2::<f32>().unwrap(), [[1.0, 2.0]]);
    }

    #[test]
    fn bounds_hold() {
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, Key::root(3), &Device::Cpu);
        let weight = builder.get("w", (50, 16), Init::FanIn).unwrap();
        let largest = weight
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap()
            .into_iter()
            .fold(0f32, |m, x| m.max(x.abs()));
        assert!(largest <= 0.25 && largest > 0.24, "{largest}");
    }

    #[test]
    fn a_frozen_parameter_follows_the_variable_and_passes_no_gradient() {
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, Key::root(3), &Device::Cpu);
        builder.child("a").get("w", 2, Init::Ones).unwrap();
        let mut frozen = Builder::frozen(&parameters, &Device::Cpu);
        let tensor = frozen.child("a").get("w", 2, Init::Zeros).unwrap();
        assert!(!tensor.track_op());
        let variable = parameters.get("a.w").unwrap();
        variable.set(&Tensor::new(&[5f32, 6.0], &Device::Cpu).unwrap()).unwrap();
        assert_eq!(tensor.to_vec1::<f32>().unwrap(), [5.0, 6.0]);
        assert!(Builder::frozen(&parameters, &Device::Cpu).get("w", 2, Init::Ones).is_err());
        assert!(Builder::frozen(&parameters, &Device::Cpu).get("a.w", 3, Init::Ones).is_err());
    }
}
