//! What a discriminator knows, measured on damaged text: no update of the generator helps before it
//! knows something.

use textgan_models::Sequences;
use textgan_random::{Key, Stream};

use crate::config::Damage;

/// Tells apart two lists of scores: the share of pairs in which the first is larger, ties counting
/// half (the area under the ROC curve; Mann and Whitney, 1947). `None` if a list is empty.
pub(crate) fn auc(larger: &[f32], smaller: &[f32]) -> Option<f64> {
    if larger.is_empty() || smaller.is_empty() {
        return None;
    }
    let mut sorted = smaller.to_vec();
    sorted.sort_by(f32::total_cmp);
    let won = |score: &f32| {
        let below = sorted.partition_point(|other| other < score);
        let not_above = sorted.partition_point(|other| other <= score);
        0.5 * (below + not_above) as f64
    };
    let won: f64 = larger.iter().map(won).sum();
    Some(won / (larger.len() * smaller.len()) as f64)
}

/// The texts, each damaged at one place; a text that cannot be damaged so stays as it is. Content
/// words are replaced by others of `vocab`.
pub(crate) fn damaged(
    texts: &Sequences,
    damage: Damage,
    vocab: usize,
    pairs: &[(u32, u32)],
    key: &Key,
) -> Vec<Vec<u32>> {
    (0..texts.batch())
        .map(|row| {
            let mut tokens = texts.row(row).to_vec();
            let mut stream = key.index(row as u64).stream();
            damage_one(&mut tokens, damage, vocab, pairs, &mut stream);
            tokens
        })
        .collect()
}

fn damage_one(
    tokens: &mut Vec<u32>,
    damage: Damage,
    vocab: usize,
    pairs: &[(u32, u32)],
    stream: &mut Stream,
) {
    let mut below = |bound: usize| stream.below(bound.max(1) as u64) as usize;
    match damage {
        Damage::Swapped => {
            // Neighbours that differ: swapping two equal words damages nothing.
            let differ = |&place: &usize| tokens[place] != tokens[place + 1];
            let places: Vec<usize> = (0..tokens.len().saturating_sub(1)).filter(differ).collect();
            if let Some(&place) = places.get(below(places.len())) {
                tokens.swap(place, place + 1);
            }
        }
        Damage::Replaced => {
            let content = vocab.saturating_sub(FIRST_WORD as usize);
            if content < 2 || tokens.is_empty() {
                return;
            }
            let place = below(tokens.len());
            let others = below(content - 1) as u32 + FIRST_WORD;
            // Skips the word itself.
            tokens[place] = if others >= tokens[place] { others + 1 } else { others };
        }
        Damage::Cut => {
            if tokens.len() >= 2 {
                let kept = 1 + below(tokens.len() - 1);
                tokens.truncate(kept);
            }
        }
        Damage::Confused => {
            let other = |token: u32| {
                pairs.iter().find_map(|&(a, b)| match token {
                    _ if token == a => Some(b),
                    _ if token == b => Some(a),
                    _ => None,
                })
            };
            let places: Vec<usize> =
                (0..tokens.len()).filter(|&place| other(tokens[place]).is_some()).collect();
            if let Some(&place) = places.get(below(places.len())) {
                tokens[place] = other(tokens[place]).unwrap_or(tokens[place]);
            }
        }
    }
}

/// Content begins at this id.
const FIRST_WORD: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auc_counts_pairs() {
        assert_eq!(auc(&[2.0, 3.0], &[0.0, 1.0]), Some(1.0));
        assert_eq!(auc(&[0.0, 1.0], &[2.0, 3.0]), Some(0.0));
        assert_eq!(auc(&[1.0, 1.0], &[1.0]), Some(0.5));
        assert_eq!(auc(&[1.0, 3.0], &[2.0, 2.0]), Some(0.5));
        assert_eq!(auc(&[], &[2.0]), None);
    }

    #[test]
    fn damage_is_what_it_says_at_one_place() {
        let rows: [&[u32]; 3] = [&[4, 5, 6, 7], &[8, 8], &[5, 9, 4]];
        let Ok(texts) = Sequences::from_rows(&rows, None, 8) else { panic!("texts") };
        let key = Key::root(1);
        for seed in 0..20 {
            let key = key.index(seed);
            let of = |damage| damaged(&texts, damage, 10, &[(5, 9)], &key);
            let swapped = of(Damage::Swapped);
            let moved = swapped[0].iter().zip(rows[0]).filter(|(a, b)| a != b).count();
            let mut sorted = swapped[0].clone();
            sorted.sort_unstable();
            assert_eq!((moved, &sorted[..], &swapped[1][..]), (2, rows[0], rows[1]));
            let replaced = of(Damage::Replaced);
            for (row, original) in replaced.iter().zip(rows) {
                let changed = row.iter().zip(original).filter(|(a, b)| a != b).count();
                assert_eq!(changed, 1, "{row:?} of {original:?}");
                assert!(row.iter().all(|&token| (4..10).contains(&token)));
            }
            let cut = of(Damage::Cut);
            assert!(cut.iter().zip(rows).all(|(row, all)| {
                row.len() < all.len() && !row.is_empty() && all.starts_with(row)
            }));
            let confused = of(Damage::Confused);
            assert!(confused[2] == [9, 9, 4] || confused[2] == [5, 5, 4], "{confused:?}");
            assert_eq!(confused[1], rows[1], "no such word");
        }
    }
}
