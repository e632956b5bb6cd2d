use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Tensor, Var};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::adam::{self, Update};
use crate::ops::argument::fused;
use crate::ops::storage::{cpu_slice, with_slices};
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
///
/// On the CPU a parameter is read and written once a step, by all threads; a sum of squares is taken
/// over constant pieces in a constant order.
pub struct Optimizer {
    config: AdamConfig,
    entries: Vec<Entry>,
    steps: u64,
}

struct Entry {
    name: String,
    variable: Var,
    moments: Moments,
}

/// The running means of gradients and of their squares.
enum Moments {
    /// Of a variable in `f32` on the CPU, in row-major order.
    Host { first: Vec<f32>, second: Vec<f32> },
    /// Of any other variable.
    Device { first: Tensor, second: Tensor },
}

impl Moments {
    fn zeros(variable: &Var) -> Result<Self> {
        Ok(match fused(&[variable.as_tensor()]) {
            true => {
                let zeros = vec![0.0; variable.elem_count()];
                Self::Host { first: zeros.clone(), second: zeros }
            }
            false => {
                let zeros = variable.zeros_like()?;
                Self::Device { first: zeros.clone(), second: zeros }
            }
        })
    }

    fn from_values(variable: &Var, first: Vec<f32>, second: Vec<f32>) -> Result<Self> {
        let tensor = |values| -> Result<Tensor> {
            let tensor = Tensor::from_vec(values, variable.shape(), variable.device())?;
            Ok(tensor.to_dtype(variable.dtype())?)
        };
        Ok(match fused(&[variable.as_tensor()]) {
            true => Self::Host { first, second },
            false => Self::Device { first: tensor(first)?, second: tensor(second)? },
        })
    }

    fn values(&self) -> Result<[Vec<f32>; 2]> {
        let values = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1();
        Ok(match self {
            Self::Host { first, second } => [first.clone(), second.clone()],
            Self::Device { first, second } => [values(first)?, values(second)?],
        })
    }
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
                moments: Moments::zeros(variable)?,
            });
        }
        Ok(Self { config, entries, steps: 0 })
    }

    /// The gradients of the parameters, in their order: what [`descend`](Self::descend) takes.
    ///
    /// # Errors
    /// If a parameter has no gradient.
    pub fn gradients(&self, gradients: &GradStore) -> Result<Vec<Tensor>> {
        let find = |entry: &Entry| match gradients.get(entry.variable.as_tensor()) {
            Some(gradient) => Ok(gradient.contiguous()?),
            None => Err(Error::NoGradient { name: entry.name.clone() }),
        };
        self.entries.iter().map(find).collect()
    }

    /// The norm of the gradient over all parameters; nothing is changed. When two optimizers share
    /// one loss, ask both before either steps.
    ///
    /// # Errors
    /// If the gradient is not finite.
    pub fn norm(&self, gradients: &[Tensor]) -> Result<f32> {
        let mut total = 0f64;
        for gradient in gradients {
            total += sum_of_squares(gradient)?;
        }
        let norm = total.sqrt() as f32;
        match norm.is_finite() {
            true => Ok(norm),
            false => Err(self.non_finite(gradients, norm)?),
        }
    }

    /// One update with this learning rate.
    ///
    /// # Errors
    /// If a parameter has no gradient, or if the gradient is not finite; no weight and no moment
    /// is changed then.
    pub fn step(&mut self, gradients: &GradStore, learning_rate: f32) -> Result<StepStats> {
        let gradients = self.gradients(gradients)?;
        self.descend(&gradients, learning_rate)
    }

    /// One update along [`gradients`](Self::gradients), or a mean of several of them.
    ///
    /// # Errors
    /// If the gradient is not finite; no weight and no moment is changed then.
    pub fn descend(&mut self, gradients: &[Tensor], learning_rate: f32) -> Result<StepStats> {
        let grad_norm = self.norm(gradients)?;
        let limit = self.config.clip_norm.unwrap_or(f32::INFINITY);
        let clipped = grad_norm > limit;

        self.steps += 1;
        let AdamConfig { beta1, beta2, epsilon, weight_decay, .. } = self.config;
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(self.steps as f64);
        for (entry, gradient) in self.entries.iter_mut().zip(gradients) {
            let decay = if entry.variable.rank() >= 2 { weight_decay } else { 0.0 };
            let update = Update {
                beta1,
                beta2,
                epsilon,
                gradient_scale: if clipped { limit / grad_norm } else { 1.0 },
                step_size: (f64::from(learning_rate) / correction(beta1)) as f32,
                second_scale: (1.0 / correction(beta2)) as f32,
                kept: 1.0 - learning_rate * decay,
            };
            match &mut entry.moments {
                Moments::Host { first, second } => {
                    let step = HostStep { update, moments: Mutex::new((first, second)) };
                    entry.variable.inplace_op2(gradient, &step)?;
                }
                Moments::Device { first, second } => {
                    composed_step(&entry.variable, gradient, &update, first, second)?;
                }
            }
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
            for (kind, values) in ["first", "second"].into_iter().zip(entry.moments.values()?) {
                let stored = Stored { dims: entry.variable.dims().to_vec(), values };
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
            let mut take = |kind: &str| -> Result<Vec<f32>> {
                let name = format!("{kind}.{name}");
                let Stored { dims, values } =
                    tensors.remove(&name).ok_or_else(|| mismatch(&name, "is missing"))?;
                if dims != variable.dims() {
                    let problem = format!("has shape {dims:?}, expected {:?}", variable.dims());
                    return Err(mismatch(&name, &problem));
                }
                Ok(values)
            };
            moments.push(Moments::from_values(variable, take("first")?, take("second")?)?);
        }
        if let Some(name) = tensors.keys().next() {
            return Err(mismatch(name, "belongs to no parameter of this optimizer"));
        }
        for (entry, moments) in self.entries.iter_mut().zip(moments) {
            entry.moments = moments;
        }
        self.steps = steps;
        Ok(())
    }

    fn non_finite(&self, gradients: &[Tensor], norm: f32) -> Result<Error> {
        let mut name = "their sum of squares".to_owned();
        for (entry, gradient) in self.entries.iter().zip(gradients) {
            let values = gradient.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            if values.iter().any(|value| !value.is_finite()) {
                name = entry.name.clone();
                break;
            }
        }
        Ok(Error::NonFinite { norm, name })
    }
}

/// Numbers that one task adds up or updates.
const TILE: usize = 16 * 1024;

fn sum_of_squares(gradient: &Tensor) -> Result<f64> {
    if !fused(&[gradient]) {
        return Ok(f64::from(gradient.to_dtype(DType::F32)?.sqr()?.sum_all()?.to_scalar::<f32>()?));
    }
    let sums: Vec<f32> = with_slices([gradient], |[gradient]| {
        Ok(gradient.par_chunks(TILE).map(adam::sum_of_squares).collect())
    })?;
    Ok(sums.into_iter().map(f64::from).sum())
}

/// One step of one parameter on the CPU.
struct HostStep<'a> {
    update: Update,
    moments: Mutex<(&'a mut Vec<f32>, &'a mut Vec<f32>)>,
}

impl InplaceOp2 for HostStep<'_> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(
        &self,
        weight: &mut CpuStorage,
        weight_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<()> {
        let gradient = cpu_slice(gradient, gradient_layout)?;
        let (CpuStorage::F32(weight), Some((start, end))) =
            (weight, weight_layout.contiguous_offsets())
        else {
            candle_core::bail!("adam: the variable is not a contiguous f32 tensor");
        };
        let Ok(mut moments) = self.moments.lock() else {
            candle_core::bail!("adam: an earlier step panicked");
        };
        let (first, second) = &mut *moments;
        weight[start..end]
            .par_chunks_mut(TILE)
            .zip(first.par_chunks_mut(TILE).zip(second.par_chunks_mut(TILE)))
            .zip(gradient.par_chunks(TILE))
            .for_each(|((weight, (first, second)), gradient)| {
                adam::adam(&self.update, gradient, weight, first, second);
            });
        Ok(())
    }
}

/// The same step in candle's operations, for other devices.
fn composed_step(
    variable: &Var,
    gradient: &Tensor,
    update: &Update,
    first: &mut Tensor,
    second: &mut Tensor,
) -> Result<()> {
    let gradient = (gradient * f64::from(update.gradient_scale))?;
    let mean = |old: &Tensor, new: Tensor, beta: f32| -> Result<Tensor> {
        Ok(((old * f64::from(beta))? + (new * (1.0 - f64::from(beta)))?)?)
    };
    *first = mean(first, gradient.clone(), update.beta1)?;
    *second = mean(second, gradient.sqr()?, update.beta2)?;
    let root = (&*second * f64::from(update.second_scale))?.sqrt()?;
    let change =
        (&*first * f64::from(update.step_size))?.div(&(root + f64::from(update.epsilon))?)?;
    let kept = (variable.as_detached_tensor() * f64::from(update.kept))?;
    variable.set(&(kept - change)?)?;
    Ok(())
}
