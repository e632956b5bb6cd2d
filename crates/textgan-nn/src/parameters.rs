use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{CpuStorage, Device, InplaceOp2, Layout, Tensor, Var};
use rayon::prelude::*;

use crate::kernels::pointwise;
use crate::ops::argument::fused;
use crate::ops::storage::cpu_slice;
use crate::tensor_file::{self, Stored};
use crate::{Error, Result};

/// Hugging Face `transformers` refuses a file that does not say which framework's layout it has.
const FORMAT: (&str, &str) = ("format", "pt");

/// The variables of a model, sorted by name.
///
/// The order is the same in every process, which candle's `VarMap` does not promise. Layers hold
/// the tensors of these variables, so loading or stepping changes the model in place. A clone is
/// the same variables once more; [`deep_clone`](Self::deep_clone) copies them.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    variables: BTreeMap<String, Var>,
}

impl Parameters {
    /// No parameters yet; a [`Builder`](crate::Builder) adds them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a variable.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn insert(&mut self, name: String, variable: Var) -> Result<()> {
        match self.variables.entry(name) {
            std::collections::btree_map::Entry::Occupied(entry) => {
                Err(Error::DuplicateParameter { name: entry.key().clone() })
            }
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(variable);
                Ok(())
            }
        }
    }

    /// Adds all variables of `other`, named `prefix` and a dot and their name. They are shared, not
    /// copied: an optimizer over the union trains both models.
    ///
    /// # Errors
    /// If a name is taken.
    pub fn share(&mut self, prefix: &str, other: &Self) -> Result<()> {
        for (name, variable) in other.iter() {
            self.insert(format!("{prefix}.{name}"), variable.clone())?;
        }
        Ok(())
    }

    /// The variable of this name.
    pub fn get(&self, name: &str) -> Option<&Var> {
        self.variables.get(name)
    }

    /// All variables, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Var)> {
        self.variables.iter().map(|(name, variable)| (name.as_str(), variable))
    }

    /// How many numbers there are in all variables together.
    pub fn count(&self) -> usize {
        self.variables.values().map(|variable| variable.elem_count()).sum()
    }

    /// How many variables there are.
    pub fn len(&self) -> usize {
        self.variables.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }

    /// The current values without their gradient, by name. They share storage with the variables.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.iter()
            .map(|(name, variable)| (name.to_owned(), variable.as_detached_tensor()))
            .collect()
    }

    /// A store of new variables with the same names and values.
    ///
    /// # Errors
    /// If candle cannot allocate them.
    pub fn deep_clone(&self) -> Result<Self> {
        let mut copy = Self::new();
        for (name, variable) in self.iter() {
            // `Var::from_tensor` copies only what is a variable itself.
            copy.insert(name.to_owned(), Var::from_tensor(&variable.copy()?)?)?;
        }
        Ok(copy)
    }

    /// Sets every variable to the value of the same name in `other`: how a lagged copy catches up.
    ///
    /// # Errors
    /// If the names or shapes differ; nothing is changed then.
    pub fn copy_from(&self, other: &Self) -> Result<()> {
        for (to, from) in self.pairs(other)? {
            to.set(from.as_tensor())?;
        }
        Ok(())
    }

    /// Moves every variable towards the value of the same name in `other`: of its own value it keeps
    /// the share `kept`. Repeated, an exponential moving average of the other model's weights.
    ///
    /// # Errors
    /// If the names or shapes differ; nothing is changed then.
    pub fn approach(&self, other: &Self, kept: f32) -> Result<()> {
        for (ours, theirs) in self.pairs(other)? {
            let theirs = theirs.as_detached_tensor().contiguous()?;
            match fused(&[ours.as_tensor(), &theirs]) {
                true => ours.inplace_op2(&theirs, &Approach { kept })?,
                false => {
                    let kept = f64::from(kept);
                    let old = (ours.as_detached_tensor() * kept)?;
                    ours.set(&(old + (theirs * (1.0 - kept))?)?)?;
                }
            }
        }
        Ok(())
    }

    /// Exchanges the values of the two models.
    ///
    /// # Errors
    /// If the names or shapes differ; nothing is changed then.
    pub fn swap(&self, other: &Self) -> Result<()> {
        for (ours, theirs) in self.pairs(other)? {
            let old = ours.copy()?;
            ours.set(theirs.as_tensor())?;
            theirs.set(&old)?;
        }
        Ok(())
    }

    /// Writes a safetensors file. Its bytes depend on names and values only. The file is synced to
    /// disk but not moved into place: publishing it atomically is the caller's.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut stored = BTreeMap::new();
        for (name, variable) in self.iter() {
            let values = variable.flatten_all()?.to_vec1::<f32>()?;
            stored.insert(name.to_owned(), Stored { dims: variable.dims().to_vec(), values });
        }
        tensor_file::write(path, &stored, FORMAT)
    }

    /// Sets every variable from a safetensors file.
    ///
    /// # Errors
    /// If the file cannot be read, or if its names and shapes are not exactly these; nothing is
    /// changed then.
    pub fn load(&self, path: &Path) -> Result<()> {
        let (stored, _) = tensor_file::read(path, FORMAT.0)?;
        let found = stored.iter().map(|(name, tensor)| (name.as_str(), tensor.dims.clone()));
        self.check_against(&path.display().to_string(), found)?;
        for ((_, variable), (_, tensor)) in self.iter().zip(stored) {
            variable.set(&Tensor::from_vec(tensor.values, tensor.dims, variable.device())?)?;
        }
        Ok(())
    }

    /// Reads a safetensors file into a store of its own.
    ///
    /// # Errors
    /// If the file cannot be read or has tensors that are not `f32`.
    pub fn read(path: &Path, device: &Device) -> Result<Self> {
        let mut parameters = Self::new();
        for (name, tensor) in tensor_file::read(path, FORMAT.0)?.0 {
            parameters.insert(name, Var::from_vec(tensor.values, tensor.dims, device)?)?;
        }
        Ok(parameters)
    }

    /// Variables of the same name here and in `other`, those that are shared left out.
    fn pairs<'a>(&'a self, other: &'a Self) -> Result<impl Iterator<Item = (&'a Var, &'a Var)>> {
        let dims = |variable: &Var| variable.dims().to_vec();
        self.check_against("the other model", other.iter().map(|(name, v)| (name, dims(v))))?;
        let pairs = self.variables.values().zip(other.variables.values());
        Ok(pairs.filter(|(ours, theirs)| ours.id() != theirs.id()))
    }

    fn check_against<'a>(
        &self,
        origin: &str,
        found: impl Iterator<Item = (&'a str, Vec<usize>)>,
    ) -> Result<()> {
        let mismatch = |name: &str, problem: String| {
            Err(Error::ParameterMismatch {
                origin: origin.to_owned(),
                name: name.to_owned(),
                problem,
            })
        };
        let mut found: BTreeMap<&str, Vec<usize>> = found.collect();
        for (name, variable) in self.iter() {
            match found.remove(name) {
                None => return mismatch(name, "is missing".to_owned()),
                Some(dims) if dims != variable.dims() => {
                    let problem = format!("has shape {dims:?}, expected {:?}", variable.dims());
                    return mismatch(name, problem);
                }
                Some(_) => {}
            }
        }
        match found.keys().next() {
            Some(name) => mismatch(name, "is not a parameter of this model".to_owned()),
            None => Ok(()),
        }
    }
}

/// Numbers that one task moves.
const TILE: usize = 16 * 1024;

/// [`Parameters::approach`] for one variable on the CPU.
struct Approach {
    kept: f32,
}

impl InplaceOp2 for Approach {
    fn name(&self) -> &'static str {
        "approach"
    }

    fn cpu_fwd(
        &self,
        ours: &mut CpuStorage,
        our_layout: &Layout,
        theirs: &CpuStorage,
        their_layout: &Layout,
    ) -> candle_core::Result<()> {
        let theirs = cpu_slice(theirs, their_layout)?;
        let (CpuStorage::F32(ours), Some((start, end))) = (ours, our_layout.contiguous_offsets())
        else {
            candle_core::bail!("approach: the variable is not a contiguous f32 tensor");
        };
        ours[start..end]
            .par_chunks_mut(TILE)
            .zip(theirs.par_chunks(TILE))
            .for_each(|(ours, theirs)| pointwise::approach(ours, theirs, self.kept));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, Init};
    use textgan_random::Key;

    fn parameters(seed: u64, names: &[&str]) -> Parameters {
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, Key::root(seed), &Device::Cpu);
        for name in names {
            builder.get(name, (2, 3), Init::Normal { std: 1.0 }).unwrap();
        }
        parameters
    }

    fn values(parameters: &Parameters, name: &str) -> Vec<Vec<f32>> {
        parameters.get(name).unwrap().to_vec2().unwrap()
    }

    #[test]
    fn saved_and_loaded_values_are_equal_and_so_are_the_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        let one = parameters(1, &["w", "b"]);
        one.save(&first).unwrap();
        let two = parameters(2, &["b", "w"]);
        two.load(&first).unwrap();
        assert_eq!(values(&one, "w"), values(&two, "w"));
        two.save(&second).unwrap();
        assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap());
        let three = Parameters::read(&first, &Device::Cpu).unwrap();
        assert_eq!(values(&one, "b"), values(&three, "b"));
    }

    #[test]
    fn what_does_not_fit_is_named_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        let check = |saved: &[&str], expected: &str| {
            parameters(1, saved).save(&path).unwrap();
            let target = parameters(2, &["b", "w"]);
            let before = values(&target, "b");
            let message = target.load(&path).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("weights"), "{message}");
            assert_eq!(values(&target, "b"), before);
        };
        check(&["b"], "`w` is missing");
        check(&["b", "w", "x"], "`x` is not a parameter");

        std::fs::write(&path, b"no tensors").unwrap();
        assert!(matches!(parameters(1, &["b"]).load(&path), Err(Error::Format { .. })));
        let missing = folder.path().join("missing");
        assert!(matches!(parameters(1, &["b"]).load(&missing), Err(Error::File { .. })));
    }

    #[test]
    fn a_deep_clone_lives_its_own_life() {
        let one = parameters(1, &["w"]);
        let copy = one.deep_clone().unwrap();
        let before = values(&copy, "w");
        one.get("w")
            .unwrap()
            .set(&Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu).unwrap())
            .unwrap();
        assert_eq!(values(&copy, "w"), before);
        copy.copy_from(&one).unwrap();
        assert_eq!(values(&copy, "w"), values(&one, "w"));
    }

    #[test]
    fn a_copy_that_approaches_is_a_moving_average() {
        let (one, average) = (parameters(1, &["b", "w"]), parameters(2, &["b", "w"]));
        let (theirs, before) = (values(&one, "w"), values(&average, "w"));
        average.approach(&one, 0.75).unwrap();
        for (row, (theirs, before)) in values(&average, "w").iter().zip(theirs.iter().zip(&before))
        {
            for (now, (theirs, before)) in row.iter().zip(theirs.iter().zip(before)) {
                assert!((now - (0.75 * before + 0.25 * theirs)).abs() < 1e-6);
            }
        }
        assert_eq!(values(&one, "w"), theirs);
        assert!(average.approach(&parameters(3, &["b"]), 0.5).is_err());
    }

    #[test]
    fn swapped_values_change_places() {
        let (one, two) = (parameters(1, &["w"]), parameters(2, &["w"]));
        let before = (values(&one, "w"), values(&two, "w"));
        one.swap(&two).unwrap();
        assert_eq!((values(&two, "w"), values(&one, "w")), before);
    }

    #[test]
    fn shared_variables_are_the_same_variables() {
        let one = parameters(1, &["w"]);
        let mut both = Parameters::new();
        both.share("generator", &one).unwrap();
        assert_eq!(both.get("generator.w").unwrap().id(), one.get("w").unwrap().id());
        assert_eq!(both.count(), 6);
    }
}
