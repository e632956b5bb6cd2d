//! Plain-slice pieces of the operations, for code that computes without a graph.
//!
//! Each kernel is one safe loop over slices, compiled for several instruction sets
//! ([`InstructionSet`]) and run on the calling thread, except for the `matmul_*` products, which
//! share constant tiles of rows among the threads of the pool.
//!
//! ```
//! use textgan_nn::kernels::{exp_sum, matmul_nt, pick, row_max};
//!
//! // Two hidden rows against a vocabulary of three, then a draw from the second row.
//! let (hidden, head) = ([1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 9.0, 0.0, 0.0, 9.0]);
//! let mut logits = [0.0; 6];
//! matmul_nt(2, 3, 2, &hidden, &head, &mut logits, false);
//! assert_eq!(logits, [0.0, 9.0, 0.0, 0.0, 0.0, 9.0]);
//! let row = &logits[3..];
//! let mut weights = [0.0; 3];
//! let sum = exp_sum(row, row_max(row), 1.0, &mut weights);
//! assert_eq!(pick(&weights, 0.5 * sum), 2);
//! ```

pub(crate) mod adam;
mod arithmetic;
pub(crate) mod attention;
pub(crate) mod block;
pub(crate) mod buffer;
mod convolution;
pub(crate) mod dispatch;
pub(crate) mod gemm;
pub(crate) mod gumbel;
mod lookup;
pub(crate) mod math;
pub(crate) mod memory;
pub(crate) mod norm;
mod packed;
pub(crate) mod pointwise;
mod product;
mod random;
pub(crate) mod ratio;
mod recurrent;
mod rotary;
pub(crate) mod softmax;
#[cfg(target_arch = "x86_64")]
mod tiles;

pub use attention::{Cache, attend, keys_len, store_key};
pub(crate) use convolution::Convolution;
pub use dispatch::InstructionSet;
pub use gemm::{matmul_nn, matmul_nt, matmul_tn};
pub use lookup::{HardTexts, TextFeatures, TextFilters, highway};
pub use norm::{add_layer_norm, rms_norm};
pub use packed::{Packed, Precision, Start, Strided};
pub use pointwise::{gelu, swiglu};
pub use random::Noise;
pub(crate) use recurrent::{
    Cell, GruCell, Layout, LstmCell, PackedWeights, Saved, TransposedWeights, Walk, backward,
    forward, parameter_gradient,
};
pub use recurrent::{CellKind, Direction, Stepper};
pub use rotary::Rotary;
pub use softmax::{exp_sum, pick, row_max};
