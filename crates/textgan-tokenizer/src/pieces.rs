//! One order for the pieces of a unigram vocabulary.

/// The step between the scores that the trainer of `tokenizers` gives to characters that its
/// expectation maximisation dropped (`finalize` in `models/unigram/trainer.rs`).
const STEP: f64 = 0.0001;

/// Orders `pieces` by falling score, ties by their bytes.
///
/// The trainer keeps every character. Those that its expectation maximisation dropped get the
/// lowest scores (lowest, lowest + step, lowest + 2 steps, ..) in the order of a hash table, which
/// differs from process to process. The same scores are handed out again here, by code point.
pub(crate) fn order(pieces: &mut [(String, f64)]) {
    let lowest = pieces.iter().map(|piece| piece.1).fold(f64::INFINITY, f64::min);
    let mut dropped: Vec<usize> = Vec::new();
    // The penalty is added up as the trainer adds it up, to meet the same bits.
    let mut penalty = 0.0;
    loop {
        let rung = lowest + penalty;
        let before = dropped.len();
        dropped.extend((0..pieces.len()).filter(|&i| {
            pieces[i].1.to_bits() == rung.to_bits() && pieces[i].0.chars().nth(1).is_none()
        }));
        if dropped.len() == before {
            break;
        }
        penalty += STEP;
    }
    let mut scores: Vec<f64> = dropped.iter().map(|&i| pieces[i].1).collect();
    scores.sort_unstable_by(|a, b| b.total_cmp(a));
    dropped.sort_unstable_by(|&a, &b| pieces[a].0.cmp(&pieces[b].0));
    for (&i, score) in dropped.iter().zip(scores) {
        pieces[i].1 = score;
    }
    pieces.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_characters_do_not_keep_the_order_of_a_hash_table() {
        let lowest = -9.25;
        let second = lowest + STEP;
        let third = lowest + (STEP + STEP);
        let vocabulary = |x: f64, y: f64, z: f64| {
            let mut pieces: Vec<(String, f64)> =
                [("the", -1.0), ("x", x), ("an", -2.0), ("y", y), ("z", z), ("e", -2.0)]
                    .map(|(piece, score)| (piece.to_owned(), score))
                    .to_vec();
            order(&mut pieces);
            pieces
        };
        let expected = vocabulary(third, second, lowest);
        assert_eq!(vocabulary(lowest, second, third), expected);
        assert_eq!(vocabulary(second, third, lowest), expected);
        let names: Vec<&str> = expected.iter().map(|piece| piece.0.as_str()).collect();
        assert_eq!(names, ["the", "an", "e", "x", "y", "z"]);
    }
}
