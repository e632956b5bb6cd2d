use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a discriminator is shown, and what keeps it smooth: `discriminator = { .. }` of a phase in which
/// one learns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DiscriminatorLearning {
    /// Shows it real texts of the lengths that the generated ones have, so that length tells nothing.
    /// Where the split has none of a length, one of the nearest length is taken.
    pub match_lengths: bool,
    /// Share of the generated texts of a batch that are older samples instead of fresh ones
    /// (Shrivastava et al., 2017), so that it does not forget what the generator has given up.
    pub replay: f32,
    /// How many older samples are kept for that; the newest stay.
    pub replay_size: usize,
    /// Weight of the gradient penalty on real texts, `r1 / 2` times the squared norm of the logit's
    /// gradient by the embedded text (R1; Mescheder et al., 2018). The norm is estimated from the
    /// logit's change under a small random change of the embeddings (Lin et al., 2025), which costs
    /// one pass more and no second derivative.
    pub r1: f32,
    /// The same on generated texts (R2), as R3GAN wants both (Huang et al., 2024).
    pub r2: f32,
    /// Standard deviation of the small random change, in the units of the embeddings.
    pub penalty_deviation: f32,
    /// Keeps the largest singular value of every matrix at most this after each update (Miyato et
    /// al., 2018; as a projection, Gouk et al., 2021); 0 does not. Embeddings are spared. The
    /// matrices of a recurrent layer's gates are one matrix.
    pub spectral_norm: f32,
    /// Keeps every weight of a matrix within this distance of 0 (Arjovsky et al., 2017); 0 does not.
    /// Embeddings are spared. The Wasserstein divergence needs this or `spectral_norm`.
    pub weight_clip: f32,
}

impl Default for DiscriminatorLearning {
    fn default() -> Self {
        Self {
            match_lengths: false,
            replay: 0.0,
            replay_size: 4096,
            r1: 0.0,
            r2: 0.0,
            penalty_deviation: 0.01,
            spectral_norm: 0.0,
            weight_clip: 0.0,
        }
    }
}
