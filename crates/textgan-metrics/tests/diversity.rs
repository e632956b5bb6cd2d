//! Counting metrics and intervals, against values worked out by hand.

use proptest::prelude::*;
use textgan_metrics::{
    Error, batches, difference, distinct_n, distinct_sentences, exact_copy_rate, interval, lengths,
    ngram_entropy, over_batches,
};

const NONE: [Vec<u32>; 0] = [];

#[test]
fn counts_are_right() {
    let samples = [vec![1, 2, 1, 2], vec![1, 2], vec![7], vec![]];
    assert_eq!(distinct_n(&samples, 1).unwrap(), 3.0 / 7.0);
    assert_eq!(distinct_n(&samples, 2).unwrap(), 2.0 / 4.0); // 12 21 12 12
    assert_eq!(distinct_n(&samples, 3).unwrap(), 1.0);
    assert_eq!(distinct_n(&samples, 5).unwrap(), 0.0);
    let expected = -(0.75f64 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
    assert!((ngram_entropy(&samples, 2).unwrap() - expected).abs() < 1e-15);
    assert_eq!(ngram_entropy(&samples, 9).unwrap(), 0.0);
    assert_eq!(distinct_sentences(&[[1, 2], [1, 2], [2, 1], [1, 1]]).unwrap(), 0.75);
    assert_eq!(exact_copy_rate(&samples, &[vec![1, 2], vec![9]]).unwrap(), 0.25);
    let lengths = lengths(&samples).unwrap();
    assert_eq!((lengths.mean, lengths.min, lengths.max, lengths.empty), (1.75, 0, 4, 1));
    assert!((lengths.deviation - 1.479_019_945_774_904).abs() < 1e-12);
}

#[test]
fn nothing_is_an_error_and_silence_is_not_variety() {
    let silent: [Vec<u32>; 2] = [vec![], vec![]];
    assert_eq!(distinct_n(&NONE, 2), Err(Error::Nothing { set: "samples" }));
    assert_eq!(distinct_n(&silent, 2), Ok(0.0));
    assert_eq!(distinct_n(&silent, 0), Err(Error::Order));
    assert_eq!(ngram_entropy(&NONE, 2), Err(Error::Nothing { set: "samples" }));
    assert_eq!(distinct_sentences(&NONE), Err(Error::Nothing { set: "samples" }));
    assert_eq!(exact_copy_rate(&NONE, &silent), Err(Error::Nothing { set: "samples" }));
    assert_eq!(exact_copy_rate(&silent, &NONE), Err(Error::Nothing { set: "training sentences" }));
    assert_eq!(lengths(&NONE), Err(Error::Nothing { set: "samples" }));
    assert!(interval(&[]).is_err());
    assert_eq!(interval(&[1.0]), Err(Error::Batches { batches: 1 }));
    assert!(interval(&[1.0, f64::NAN]).is_err());
    assert_eq!(
        Error::Batches { batches: 1 }.to_string(),
        "an interval needs at least two batches, there is 1"
    );
    assert_eq!(batches(&[1, 2], 3), Err(Error::Samples { samples: 2, batches: 3 }));
    assert!(batches(&[1, 2], 0).is_err());
}

#[test]
fn intervals_are_students_and_welchs() {
    // scipy: t.interval(0.95, 3, loc=mean, scale=sem) of (1, 2, 3, 4)
    let found = interval(&[1.0, 2.0, 3.0, 4.0]).unwrap();
    assert!((found.low - 0.445_739_743_239_121).abs() < 1e-9, "{found:?}");
    assert!((found.high - 4.554_260_256_760_879).abs() < 1e-9);
    assert!(found.excludes_zero());
    // scipy: ttest_ind((1, 2, 3, 4), (2, 2.5, 2, 2.5, 2), equal_var=False).confidence_interval()
    let found = difference(&[1.0, 2.0, 3.0, 4.0], &[2.0, 2.5, 2.0, 2.5, 2.0]).unwrap();
    assert!((found.low - WELCH.0).abs() < 1e-9 && (found.high - WELCH.1).abs() < 1e-9, "{found:?}");
    assert!(!found.excludes_zero());
    let same = difference(&[1.0, 1.0], &[3.0, 3.0]).unwrap();
    assert_eq!((same.mean, same.low, same.high), (-2.0, -2.0, -2.0));
}
const WELCH: (f64, f64) = (-1.713_418_678_169_927_2, 2.313_418_678_169_927);

#[test]
fn batches_share_nothing_and_miss_nothing() {
    let samples: Vec<u32> = (0..23).collect();
    let parts = batches(&samples, 5).unwrap();
    assert!(parts.iter().all(|part| part.len() == 4 || part.len() == 5));
    assert_eq!(parts.concat(), samples);
    let found = over_batches(&samples, 5, |part| Ok(part.len() as f64)).unwrap();
    assert_eq!((found.mean, found.batches), (4.6, 5));
}

proptest! {
    /// Of many intervals over normal draws, about 95 % must hold the true mean.
    #[test]
    fn intervals_hold_what_they_promise(seed in 0u64..1000) {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut uniform = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut held = 0;
        for _ in 0..1000 {
            let values: Vec<f64> = (0..8)
                .map(|_| (-2.0 * (1.0 - uniform()).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos())
                .collect();
            let found = interval(&values).unwrap();
            held += usize::from(found.low <= 0.0 && 0.0 <= found.high);
        }
        prop_assert!((915..=982).contains(&held), "{held} of 1000");
    }
}
