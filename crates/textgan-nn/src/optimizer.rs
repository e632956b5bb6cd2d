use std::collections::BTreeMap;
use std::path::Path;

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tensor_file::{self, Stored};
use crate::{Error, Parameters, Result};

/// Adam (Kingma and Ba, 2015) with decoupled weight decay (Loshchilov and Hutter, 2019).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdamConfig {
    /// The peak of the learning rate; a schedule may scale it.
    pub learning_rate: f32,
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of squared gradients.
    pub beta2: f32,
    /// Added to the root of the mean square.
    pub epsilon: f32,
    /// Decoupled decay of matrices, as a share of the learning rate; vectors (biases and gains) do
    /// not decay. Zero is plain Adam.
    pub weight_decay: f32,
    /// Largest norm of the gradient over all parameters; a longer one is scaled down to it.
    pub clip_norm: Option<f32>,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            clip_norm: Some(1.0),
        }
    }
}

/// What one step saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepStats {
    /// Norm of the gradient over all parameters, before clipping.
    pub grad_norm: f32,
    /// Whether it was clipped.
    pub clipped: bool,
}

/// Updates [`Parameters`] in place, by name, and keeps its moments where they can be saved.
pub struct Optimizer {
    config: AdamConfig,
    entries: Vec<Entry>,
    steps: u64,
}

struct Entry {
    name: String,
    variable: Var,
    first: Tensor,
    second: Tensor,
}

impl Optimizer {
    /// An optimizer for all of `parameters`, its moments at zero.
    ///
    /// # Errors
    /// If candle cannot allocate the moments.
    pub fn new(config: AdamConfig, parameters: &Parameters) -> Result<Self> {
        let mut entries = Vec::with_capacity(parameters.len());
        for (name, variable) in parameters.iter() {
            entries.push(Entry {
                name: name.to_owned(),
                variable: variable.clone(),
                first: variable.as_tensor().zeros_like()?,
                second: variable.as_tensor().zeros_like()?,
            });
        }
        Ok(Self { config, entries, steps: 0 })
    }

    /// One update with this learning rate.
    ///
    /// # Errors
    /// If a parameter has no gradient, or if the gradient is not finite; no weight and no moment
    /// is changed then.
    pub fn step(&mut self, gradients: &GradStore, learning_rate: f32) -> Result<StepStats> {
        let gradients = self.gradients(gradients)?;
        let mut total = 0f64;
        for gradient in &gradients {
            total += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
        let grad_norm = total.sqrt() as f32;
        if !grad_norm.is_finite() {
            return Err(self.non_finite(&gradients, grad_norm)?);
        }
        let limit = self.config.clip_norm.unwrap_or(f32::INFINITY);
        let clipped = grad_norm > limit;
        let scale = if clipped { limit / grad_norm } else { 1.0 };

        self.steps += 1;
        let AdamConfig { beta1, beta2, epsilon, weight_decay, .. } = self.config;
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(self.steps as f64);
        let (correct1, correct2) = (correction(beta1), correction(beta2));
        for (entry, gradient) in self.entries.iter_mut().zip(&gradients) {
            let gradient = (gradient * f64::from(scale))?;
            let (beta1, beta2) = (f64::from(beta1), f64::from(beta2));
            entry.first = ((&entry.first * beta1)? + (&gradient * (1.0 - beta1))?)?;
            entry.second = ((&entry.second * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
            let root = ((&entry.second * (1.0 / correct2))?.sqrt()? + f64::from(epsilon))?;
            let update = ((&entry.first * (1.0 / correct1))? / root)?;
            let decay = if entry.variable.rank() >= 2 { weight_decay } else { 0.0 };
            let kept =
                (entry.variable.as_detached_tensor() * (1.0 - f64::from(learning_rate * decay)))?;
            entry.variable.set(&(kept - (update * f64::from(learning_rate))?)?)?;
        }
        Ok(StepStats { grad_norm, clipped })
    }

    /// How many updates there have been.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The configuration.
    pub fn config(&self) -> &AdamConfig {
        &self.config
    }

    /// Writes moments and step count to a safetensors file, synced to disk.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut tensors = BTreeMap::new();
        for entry in &self.entries {
            for (kind, moment) in [("first", &entry.first), ("second", &entry.second)] {
                let values = moment.flatten_all()?.to_vec1::<f32>()?;
                let stored = Stored { dims: moment.dims().to_vec(), values };
                tensors.insert(format!("{kind}.{}", entry.name), stored);
            }
        }
        tensor_file::write(path, &tensors, ("steps", &self.steps.to_string()))
    }

    /// Reads what [`Optimizer::save`] wrote; the next step continues to the same bits.
    ///
    /// # Errors
    /// If the file cannot be read or belongs to other parameters; nothing is changed then.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let mismatch = |name: &str, problem: &str| Error::ParameterMismatch {
            origin: path.display().to_string(),
            name: name.to_owned(),
            problem: problem.to_owned(),
        };
        let (mut tensors, steps) = tensor_file::read(path, "steps")?;
        let steps = steps
            .and_then(|steps| steps.parse().ok())
            .ok_or_else(|| mismatch("steps", "is missing from the metadata"))?;
        let mut moments = Vec::with_capacity(self.entries.len());
        for Entry { name, variable, .. } in &self.entries {
            let mut take = |kind: &str| -> Result<Tensor> {
                let name = format!("{kind}.{name}");
                let Stored { dims, values } =
                    tensors.remove(&name).ok_or_else(|| mismatch(&name, "is missing"))?;
                if dims != variable.dims() {
                    let problem = format!("has shape {dims:?}, expected {:?}", variable.dims());
                    return Err(mismatch(&name, &problem));
                }
                Ok(Tensor::from_vec(values, dims, variable.device())?)
            };
            moments.push((take("first")?, take("second")?));
        }
        if let Some(name) = tensors.keys().next() {
            return Err(mismatch(name, "belongs to no parameter of this optimizer"));
        }
        for (entry, (first, second)) in self.entries.iter_mut().zip(moments) {
            entry.first = first;
            entry.second = second;
        }
        self.steps = steps;
        Ok(())
    }

    fn gradients(&self, gradients: &GradStore) -> Result<Vec<Tensor>> {
        let find = |entry: &Entry| match gradients.get(entry.variable.as_tensor()) {
            Some(gradient) => Ok(gradient.contiguous()?),
            None => Err(Error::NoGradient { name: entry.name.clone() }),
        };
        self.entries.iter().map(find).collect()
    }

    fn non_finite(&self, gradients: &[Tensor], norm: f32) -> Result<Error> {
        let mut name = "their sum of squares".to_owned();
        for (entry, gradient) in self.entries.iter().zip(gradients) {
            let values = gradient.flatten_all()?.to_vec1::<f32>()?;
            if values.iter().any(|value| !value.is_finite()) {
                name = entry.name.clone();
                break;
            }
        }
        Ok(Error::NonFinite { norm, name })
    }
}
