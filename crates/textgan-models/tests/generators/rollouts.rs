//! Prefixes that are continued.

use textgan_models::{
    Conditions, EOS, Generator, Prefix, Rollouts, SamplingOptions, Sequences, Start, rollouts,
    sample,
};
use textgan_random::Key;

use crate::{NOISE, SIZES, all_generators, draw_noise, sequences};

/// More than fit a tile together.
const COUNT: usize = 18;

fn roll(generator: &dyn Generator, options: &SamplingOptions, texts: &Sequences) -> Rollouts {
    let (z, _) = draw_noise(texts.batch());
    let conditions = Conditions { rows: texts.batch(), noise: &z, labels: texts.labels() };
    let mut sampler = generator.sampler().unwrap();
    let key = Key::root(12);
    rollouts(sampler.as_mut(), &conditions, texts, COUNT, options, &key).unwrap()
}

/// Each prefix of each text, continued by the plain sampler that reads it from the beginning, alone.
#[test]
fn a_rollout_is_what_the_sampler_would_have_written() {
    let texts = sequences();
    let (z, _) = draw_noise(texts.batch());
    let (every, mut all_ended) = (SamplingOptions::default, Vec::new());
    for (name, generator) in all_generators() {
        let mut sampler = generator.sampler().unwrap();
        for options in [
            every(),
            SamplingOptions { top_k: Some(6), temperature: 0.8, ..every() },
            SamplingOptions { top_p: Some(0.9), max_length: Some(SIZES.max_length), ..every() },
        ] {
            let found = roll(generator.as_ref(), &options, &texts);
            let expected: Vec<(usize, usize)> = (0..texts.batch())
                .flat_map(|text| (1..texts.lengths()[text]).map(move |kept| (text, kept)))
                .collect();
            assert_eq!(found.prefixes, expected, "{name}");
            for (i, (text, kept)) in expected.into_iter().enumerate() {
                let conditions = Conditions {
                    rows: 1,
                    noise: &z[text * NOISE..][..NOISE],
                    labels: texts.labels().map(|labels| &labels[text..=text]),
                };
                let prompt = &texts.row(text)[..kept];
                let key = Key::root(12).index(text as u64).index(kept as u64);
                for number in 0..COUNT {
                    let alone = sample(
                        sampler.as_mut(),
                        &conditions,
                        prompt,
                        &options,
                        &key,
                        number as u64,
                    )
                    .unwrap();
                    let place = i * COUNT + number;
                    assert_eq!(found.tokens[place], alone.tokens[0], "{name}: {text} {kept}");
                    assert_eq!(found.ended[place], alone.ended[0], "{name}: {text} {kept}");
                }
            }
            all_ended.extend(found.ended);
        }
    }
    assert!(all_ended.contains(&true) && all_ended.contains(&false), "this proves little");
}

#[test]
fn rollouts_do_not_depend_on_threads_or_on_other_texts() {
    let texts = sequences();
    let on_threads = |threads: usize, work: &(dyn Fn() -> Rollouts + Sync)| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
    };
    for (name, generator) in all_generators() {
        let options = SamplingOptions::default();
        let whole = on_threads(1, &|| roll(generator.as_ref(), &options, &texts));
        let threaded = on_threads(3, &|| roll(generator.as_ref(), &options, &texts));
        assert!(whole == threaded, "{name}");
        let first = roll(generator.as_ref(), &options, &texts.select(&[0, 1]).unwrap());
        assert!(whole.tokens.starts_with(&first.tokens), "{name}");
    }
}

/// The sampler that completions come from goes on as if there had been none.
#[test]
fn completions_leave_the_rows_as_they_are() {
    let (z, _) = draw_noise(2);
    let conditions = Conditions { rows: 2, noise: &z, labels: None };
    for (name, generator) in all_generators() {
        let logits_after = |complete: bool| {
            let mut sampler = generator.sampler().unwrap();
            let mut logits = vec![0.0; 2 * SIZES.vocab];
            sampler.begin(&conditions).unwrap();
            sampler.step(&[2, 2], &mut logits).unwrap();
            sampler.step(&[7, 9], &mut logits).unwrap();
            if complete {
                let prefix = Prefix { row: 1, tokens: 1 };
                let start = Start { prefix, token: 11, key: Key::root(1) };
                let options = SamplingOptions::default();
                let completions = sampler.complete(&[start; 3], 5, &options).unwrap();
                assert_eq!(completions.len(), 15);
                assert_eq!(completions[..5], completions[5..10], "{name}: the same streams");
            }
            sampler.step(&[8, 5], &mut logits).unwrap();
            logits
        };
        assert!(logits_after(false) == logits_after(true), "{name}");
    }
}

#[test]
fn a_start_that_does_not_fit_is_refused() {
    let (z, _) = draw_noise(1);
    for (name, generator) in all_generators() {
        let mut sampler = generator.sampler().unwrap();
        sampler.begin(&Conditions { rows: 1, noise: &z, labels: None }).unwrap();
        let mut logits = vec![0.0; SIZES.vocab];
        for token in [2, 5, 6, 7] {
            sampler.step(&[token], &mut logits).unwrap();
        }
        let options = SamplingOptions { max_length: Some(3), ..SamplingOptions::default() };
        let complete = |row: usize, tokens: usize, token: u32| {
            let start = Start { prefix: Prefix { row, tokens }, token, key: Key::root(1) };
            sampler.complete(&[start], 1, &options)
        };
        assert!(complete(0, 3, 8).is_ok(), "{name}");
        for (row, tokens, token) in [(1, 1, 8), (0, 5, 8), (0, 4, 8), (0, 1, SIZES.vocab as u32)] {
            assert!(complete(row, tokens, token).is_err(), "{name}: {row} {tokens} {token}");
        }
        let full = complete(0, 3, 8).unwrap();
        assert!(full[0].tokens.is_empty(), "{name}: three tokens are all there may be");
    }
}

/// A rollout of a text that ended may go on where it ended, and is a text of its own.
#[test]
fn rollouts_make_a_batch() {
    let texts = sequences();
    let (_, generator) = all_generators().swap_remove(0);
    let found = roll(generator.as_ref(), &SamplingOptions::default(), &texts);
    let batch = found.sequences(texts.labels()).unwrap();
    assert_eq!(batch.batch(), found.prefixes.len() * COUNT);
    for (row, (tokens, ended)) in found.tokens.iter().zip(&found.ended).enumerate() {
        assert_eq!(batch.row(row), tokens);
        assert_eq!(
            batch.targets()[row * batch.time()..][..batch.lengths()[row]].last() == Some(&EOS),
            *ended
        );
        let (text, _) = found.prefixes[row / COUNT];
        assert_eq!(batch.labels().unwrap()[row], texts.labels().unwrap()[text]);
    }
}
