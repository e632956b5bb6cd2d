//! Curves that others have published on the oracle task.

use crate::evaluation::{Point, PublishedCurve};

/// The oracle that they were measured on: SeqGAN's, by name, and the length of its sequences.
const ORACLE: &str = "lstm-5000x32-711bcc33";
const LENGTH: usize = 20;

/// Maximum likelihood with its temperature, `NLL_oracle` and `NLL_test`: a selection of the points
/// of the published sweep.
const MAXIMUM_LIKELIHOOD: [(f32, f64, f64); 23] = [
    (1.3699, 9.9731, 7.5899),
    (1.2195, 9.784, 7.5785),
    (1.0989, 9.5898, 7.5853),
    (1.0, 9.4005, 7.6097),
    (0.9174, 9.1695, 7.6507),
    (0.8696, 9.0524, 7.687),
    (0.8475, 8.9617, 7.7078),
    (0.7874, 8.7265, 7.7803),
    (0.7353, 8.4899, 7.8676),
    (0.6897, 8.2359, 7.9689),
    (0.6623, 8.0518, 8.044),
    (0.6494, 7.9479, 8.0837),
    (0.6135, 7.6643, 8.2113),
    (0.5814, 7.3728, 8.3509),
    (0.5525, 7.0608, 8.5018),
    (0.5435, 6.9548, 8.5545),
    (0.5263, 6.7914, 8.6634),
    (0.5025, 6.5261, 8.835),
    (0.4808, 6.2829, 9.0158),
    (0.4608, 6.0767, 9.2052),
    (0.4425, 5.9093, 9.4026),
    (0.4255, 5.7374, 9.6074),
    (0.4098, 5.5784, 9.819),
];

/// The curves published for an oracle and a length, if any.
pub(super) fn curves(oracle: &str, length: usize) -> Vec<PublishedCurve> {
    if oracle != ORACLE || length != LENGTH {
        return Vec::new();
    }
    let point = |(temperature, quality, diversity)| Point { temperature, quality, diversity };
    vec![PublishedCurve {
        name: "maximum likelihood".to_owned(),
        quality: "nll-oracle".to_owned(),
        diversity: "nll-test".to_owned(),
        source: "Caccia et al., Language GANs Falling Short, ICLR 2020: temperature sweep of \
                 maximum likelihood on SeqGAN's oracle"
            .to_owned(),
        points: MAXIMUM_LIKELIHOOD.map(point).to_vec(),
    }]
}
