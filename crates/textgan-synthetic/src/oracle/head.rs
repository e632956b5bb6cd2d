//! From a state to a distribution over the vocabulary: the cost of an oracle.

/// Columns of a panel: the product runs along panels, so that its sums stay in registers.
pub(super) const LANES: usize = 8;

/// The weights of the output, in panels of columns.
pub(super) struct Head {
    /// `[panels, hidden]` of eight columns each; the last panel is filled up with zeros.
    weights: Vec<[f32; LANES]>,
    /// `[panels]`; what fills the last panel has no probability.
    bias: Vec<[f32; LANES]>,
}

impl Head {
    /// `weights`: `[hidden, vocabulary]`; `bias`: `[vocabulary]`.
    pub fn new(weights: &[f32], bias: &[f32]) -> Self {
        let vocabulary = bias.len();
        let panels = vocabulary.div_ceil(LANES);
        let hidden = weights.len() / vocabulary;
        let column = |values: &[f32], panel: usize, filler: f32| -> [f32; LANES] {
            std::array::from_fn(|lane| values.get(panel * LANES + lane).copied().unwrap_or(filler))
        };
        let rows: Vec<&[f32]> = weights.chunks_exact(vocabulary).collect();
        Self {
            weights: (0..panels * hidden)
                .map(|i| column(rows[i % hidden], i / hidden, 0.0))
                .collect(),
            bias: (0..panels).map(|panel| column(bias, panel, f32::NEG_INFINITY)).collect(),
        }
    }

    /// Panels of the vocabulary.
    pub fn panels(&self) -> usize {
        self.bias.len()
    }

    /// The logits of `ROWS` states `[hidden]`: one list of panels a row.
    ///
    /// Every logit is one sum in the order of the hidden units, whatever the number of rows.
    pub fn logits<const ROWS: usize>(
        &self,
        states: &[[f32; ROWS]],
        out: &mut [Vec<[f32; LANES]>; ROWS],
    ) {
        let panels = self.weights.chunks_exact(states.len()).zip(&self.bias);
        for (panel, (weights, bias)) in panels.enumerate() {
            let mut sums = [*bias; ROWS];
            for (state, weights) in states.iter().zip(weights) {
                for (sums, state) in sums.iter_mut().zip(state) {
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum += state * weight;
                    }
                }
            }
            for (out, sums) in out.iter_mut().zip(sums) {
                out[panel] = sums;
            }
        }
    }
}
