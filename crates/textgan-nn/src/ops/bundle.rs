use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Shape, Tensor};

use super::storage::{tensor, with_slices};
use crate::Result;

/// Several weights as one argument of a custom operation, which takes three tensors at most.
///
/// The argument is [`Bundle::token`], one number without a meaning. The operation reads the weights
/// from its bundle, and on the way back leaves their gradient there; the token is the root of a tree
/// of operations whose leaves are the weights, and hands each its own. Concatenating the weights
/// would do as well, but it copies them all and their gradients two times.
#[derive(Clone)]
pub(crate) struct Bundle<const N: usize> {
    weights: [Tensor; N],
    token: Tensor,
    gradients: Gradients,
}

/// One a weight, from the operation to the tree.
type Gradients = Arc<Mutex<Vec<Option<Tensor>>>>;

impl<const N: usize> Bundle<N> {
    pub(crate) fn new(weights: [&Tensor; N]) -> Result<Self> {
        let gradients = Gradients::default();
        let none = Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu)?;
        let mut nodes: Vec<Tensor> = weights.into_iter().cloned().collect();
        let mut leaves = true;
        while nodes.len() > 1 || leaves {
            let join = |(index, three): (usize, &[Tensor])| {
                let at = |i: usize| three.get(i).unwrap_or(&none);
                let gradients = leaves.then(|| (gradients.clone(), 3 * index));
                at(0).apply_op3(at(1), at(2), Join { gradients })
            };
            nodes = nodes.chunks(3).enumerate().map(join).collect::<candle_core::Result<_>>()?;
            leaves = false;
        }
        let token = nodes.pop().unwrap_or(none);
        Ok(Self { weights: weights.map(Tensor::clone), token, gradients })
    }

    /// Stands for the weights among the arguments of the operation.
    pub(crate) fn token(&self) -> &Tensor {
        &self.token
    }

    /// Whether anybody asks for a gradient of a weight.
    pub(crate) fn wanted(&self) -> bool {
        self.token.track_op()
    }

    /// Calls `f` with the numbers of each weight.
    pub(crate) fn with_slices<R>(
        &self,
        f: impl FnOnce([&[f32]; N]) -> candle_core::Result<R>,
    ) -> candle_core::Result<R> {
        with_slices(self.weights.each_ref(), f)
    }

    /// Leaves the gradients of all weights, one after the other, and returns that of the token.
    pub(crate) fn hand_out(&self, gradient: Vec<f32>) -> candle_core::Result<Tensor> {
        let gradient =
            tensor(gradient, self.weights.iter().map(Tensor::elem_count).sum::<usize>())?;
        let mut first = 0;
        let cut = |weight: &Tensor| {
            let part = gradient.narrow(0, first, weight.elem_count())?.reshape(weight.shape())?;
            first += weight.elem_count();
            Ok(Some(part))
        };
        let parts = self.weights.iter().map(cut).collect::<candle_core::Result<_>>()?;
        *self.gradients.lock().unwrap_or_else(PoisonError::into_inner) = parts;
        self.token.zeros_like()
    }
}

/// A node of the tree.
struct Join {
    /// Of a node above weights: where their gradients are, and the index of the first.
    gradients: Option<(Gradients, usize)>,
}

impl CustomOp3 for Join {
    fn name(&self) -> &'static str {
        "bundle of weights"
    }

    fn cpu_fwd(
        &self,
        _s1: &CpuStorage,
        _l1: &Layout,
        _s2: &CpuStorage,
        _l2: &Layout,
        _s3: &CpuStorage,
        _l3: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(1)))
    }

    fn bwd(
        &self,
        one: &Tensor,
        two: &Tensor,
        three: &Tensor,
        _token: &Tensor,
        d_token: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some((gradients, first)) = &self.gradients else {
            let zero = |child: &Tensor| child.track_op().then(|| d_token.clone());
            return Ok((zero(one), zero(two), zero(three)));
        };
        let mut gradients = gradients.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = gradients.iter_mut().skip(*first);
        // Taken, so the memory is free as soon as candle has added it up.
        let mut take = |weight: &Tensor| {
            let gradient = next.next().and_then(Option::take);
            gradient.filter(|_| weight.track_op())
        };
        Ok((take(one), take(two), take(three)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    /// The sum of squares of all weights.
    struct Squares<const N: usize>(Bundle<N>);

    impl<const N: usize> candle_core::CustomOp1 for Squares<N> {
        fn name(&self) -> &'static str {
            "squares"
        }

        fn cpu_fwd(
            &self,
            _s: &CpuStorage,
            _l: &Layout,
        ) -> candle_core::Result<(CpuStorage, Shape)> {
            let sum = self.0.with_slices(|all| Ok(all.concat().iter().map(|x| x * x).sum()))?;
            Ok((CpuStorage::F32(vec![sum]), Shape::from(())))
        }

        fn bwd(&self, _: &Tensor, _: &Tensor, d: &Tensor) -> candle_core::Result<Option<Tensor>> {
            let d = d.to_scalar::<f32>()?;
            let gradient =
                self.0.with_slices(|all| Ok(all.concat().iter().map(|x| 2.0 * x * d).collect()))?;
            self.0.hand_out(gradient).map(Some)
        }
    }

    fn check<const N: usize>() {
        let vars: [Var; N] = std::array::from_fn(|i| {
            let values: Vec<f32> = (0..=i).map(|j| (10 * i + j) as f32).collect();
            Var::from_vec(values, (1, i + 1), &Device::Cpu).unwrap()
        });
        // The second weight is frozen.
        let frozen = vars.get(1).map(|var| var.as_detached_tensor());
        let weights: [&Tensor; N] =
            std::array::from_fn(|i| frozen.as_ref().filter(|_| i == 1).unwrap_or(&vars[i]));
        let bundle = Bundle::new(weights).unwrap();
        let loss = bundle.token().apply_op1(Squares(bundle.clone())).unwrap();
        // A graph can be walked more than once.
        for _ in 0..2 {
            let gradients = (&loss * 3.0).unwrap().backward().unwrap();
            for (i, var) in vars.iter().enumerate() {
                let found = gradients.get(var).map(|g| g.to_vec2::<f32>().unwrap());
                let expected = (var.as_tensor() * 6.0).unwrap().to_vec2::<f32>().unwrap();
                assert_eq!(found, (i != 1).then_some(expected), "weight {i} of {N}");
            }
        }
    }

    #[test]
    fn each_weight_gets_its_own_gradient() {
        check::<1>();
        check::<2>();
        check::<4>();
        check::<9>();
        check::<10>();
    }
}
