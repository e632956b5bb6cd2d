use std::sync::Arc;

use super::dispatch::simd;

/// Sines and cosines of rotary positions (Su et al., 2021), in the layout of Llama in Hugging Face
/// `transformers`: number `i` of a head is paired with number `i + head_dim / 2`, and the pair at
/// position `t` is turned by the angle `t * theta^(-2 i / head_dim)`. A clone shares the table.
#[derive(Clone, Debug)]
pub struct Rotary {
    head_dim: usize,
    positions: usize,
    /// `[positions, head_dim / 2]`.
    cosines: Arc<[f32]>,
    sines: Arc<[f32]>,
}

impl Rotary {
    /// A table for positions `0..positions`. An odd `head_dim` leaves the last number unturned.
    pub fn new(head_dim: usize, positions: usize, theta: f32) -> Self {
        let half = head_dim / 2;
        let angle = |position: usize, pair: usize| {
            let frequency = f64::from(theta).powf(-2.0 * pair as f64 / head_dim as f64);
            position as f64 * frequency
        };
        let table = |f: fn(f64) -> f64| -> Arc<[f32]> {
            (0..positions * half).map(|i| f(angle(i / half, i % half)) as f32).collect()
        };
        Self { head_dim, positions, cosines: table(f64::cos), sines: table(f64::sin) }
    }

    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// How many positions the table has.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Cosines of one position, one a pair.
    ///
    /// # Panics
    /// If the table has no such position.
    pub fn cosines(&self, position: usize) -> &[f32] {
        &self.cosines[position * (self.head_dim / 2)..][..self.head_dim / 2]
    }

    /// Sines of one position, one a pair.
    ///
    /// # Panics
    /// If the table has no such position.
    pub fn sines(&self, position: usize) -> &[f32] {
        &self.sines[position * (self.head_dim / 2)..][..self.head_dim / 2]
    }

    /// Turns every head of a row `[heads * head_dim]` to `position`, in place.
    ///
    /// # Panics
    /// If the table has no such position.
    pub fn turn(&self, row: &mut [f32], position: usize) {
        turn(row, self.head_dim, self.cosines(position), self.sines(position), 1.0);
    }

    /// Turns back what [`Rotary::turn`] turned; also its gradient, a turn being orthogonal.
    ///
    /// # Panics
    /// If the table has no such position.
    pub fn turn_back(&self, row: &mut [f32], position: usize) {
        turn(row, self.head_dim, self.cosines(position), self.sines(position), -1.0);
    }
}

simd! {
    fn turn(row: &mut [f32], head_dim: usize, cosines: &[f32], sines: &[f32], direction: f32) {
        let half = cosines.len();
        let sines = &sines[..half];
        for head in row.chunks_exact_mut(head_dim) {
            let (first, second) = head.split_at_mut(half);
            let second = &mut second[..half];
            for i in 0..half {
                let (x, y, sine) = (first[i], second[i], direction * sines[i]);
                first[i] = x.mul_add(cosines[i], -y * sine);
                second[i] = y.mul_add(cosines[i], x * sine);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_keeps_lengths_and_can_be_undone() {
        let rotary = Rotary::new(5, 4, 10_000.0);
        let before: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let mut row = before.clone();
        rotary.turn(&mut row, 3);
        assert_ne!(row, before);
        assert_eq!((row[4], row[9]), (4.0, 9.0));
        let length = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>();
        assert!((length(&row) - length(&before)).abs() < 1e-3);
        rotary.turn_back(&mut row, 3);
        for (a, b) in row.iter().zip(&before) {
            assert!((a - b).abs() < 1e-5);
        }
        rotary.turn(&mut row, 0);
        assert!((row[1] - 1.0).abs() < 1e-5);
    }
}
