//! Sampled texts.

use candle_core::Tensor;
use textgan_models::{
    BOS, Conditions, Context, EOS, Generator, PAD, Placement, Prefix, Samples, SamplingOptions,
    Sequences, infill, sample, token_log_probs,
};
use textgan_nn::Mode;
use textgan_random::Key;

use crate::{
    NOISE, SIZES, all_generators, draw_noise, generator, largest_difference, lstm, transformer,
};

const ROWS: usize = 41;

fn labels() -> Vec<u32> {
    (0..ROWS as u32).map(|row| row % 3).collect()
}

/// Samples rows `from..to` of [`ROWS`].
fn sample_rows(
    generator: &dyn Generator,
    options: &SamplingOptions,
    rows: std::ops::Range<usize>,
) -> Samples {
    let (z, _) = draw_noise(ROWS);
    let conditions = Conditions {
        rows: rows.len(),
        noise: &z[rows.start * NOISE..rows.end * NOISE],
        labels: Some(&labels()[rows.clone()]),
    };
    let mut sampler = generator.sampler().unwrap();
    let key = Key::root(77);
    sample(sampler.as_mut(), &conditions, &[], options, &key, rows.start as u64).unwrap()
}

fn all_options() -> [SamplingOptions; 4] {
    let default = SamplingOptions::default;
    [
        default(),
        SamplingOptions::greedy(),
        SamplingOptions { temperature: 0.7, top_k: Some(7), ..default() },
        SamplingOptions { top_p: Some(0.9), forbid_unknown: true, ..default() },
    ]
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[test]
fn samples_do_not_depend_on_batches_or_threads() {
    for (name, generator) in all_generators() {
        for options in all_options() {
            let whole = on_threads(1, || sample_rows(generator.as_ref(), &options, 0..ROWS));
            let threaded = on_threads(4, || sample_rows(generator.as_ref(), &options, 0..ROWS));
            assert!(whole == threaded, "{name}, {options:?}: threads");
            let mut parts = Samples::default();
            for rows in [0..1, 1..18, 18..20, 20..ROWS] {
                let part = sample_rows(generator.as_ref(), &options, rows);
                parts.tokens.extend(part.tokens);
                parts.ended.extend(part.ended);
                parts.log_probs.extend(part.log_probs);
            }
            assert!(whole == parts, "{name}, {options:?}: batches");
        }
    }
}

#[test]
fn log_probabilities_are_those_of_the_teacher_forced_pass() {
    let (_, noise) = draw_noise(ROWS);
    for (name, generator) in all_generators() {
        for options in all_options() {
            let samples = sample_rows(generator.as_ref(), &options, 0..ROWS);
            let sequences = samples.sequences(Some(&labels())).unwrap();
            let context = Context { noise: &noise, labels: sequences.labels() };
            let scores = token_log_probs(generator.as_ref(), &context, &sequences).unwrap();
            for (row, log_probs) in samples.log_probs.iter().enumerate() {
                let scores = &scores[row * sequences.time()..][..sequences.time()];
                let (scored, padding) = scores.split_at(log_probs.len());
                assert!(largest_difference(log_probs, scored) < 1e-4, "{name}, row {row}");
                assert!(padding.iter().all(|&p| p == 0.0), "{name}, row {row}");
                assert!((samples.log_prob(row) - scored.iter().sum::<f32>()).abs() < 1e-3);
            }
        }
    }
}

#[test]
fn rows_end_or_are_cut_and_hold_content_only() {
    let mut all_ended = Vec::new();
    for (name, generator) in all_generators() {
        let options = SamplingOptions { max_length: Some(6), ..SamplingOptions::default() };
        let samples = sample_rows(generator.as_ref(), &options, 0..ROWS);
        for (row, tokens) in samples.tokens.iter().enumerate() {
            assert!(tokens.iter().all(|token| ![PAD, BOS, EOS].contains(token)), "{name}: {row}");
            assert!(tokens.len() <= 6, "{name}: {row}");
            assert!(samples.ended[row] || tokens.len() == 6, "{name}: {row}");
            assert_eq!(
                samples.log_probs[row].len(),
                tokens.len() + usize::from(samples.ended[row])
            );
        }
        all_ended.extend(samples.ended);
    }
    assert!(all_ended.contains(&true) && all_ended.contains(&false), "this proves little");
}

/// The first token's frequencies over many rows are the model's probabilities.
#[test]
fn frequencies_are_the_probabilities() {
    let rows = 20_000;
    let z = [0.7, -0.3, 1.2, 0.1, -1.4];
    for config in [transformer(true), lstm(1, false)] {
        let generator = generator(&config, Placement::Begin);
        let conditions = Conditions { rows, noise: &z.repeat(rows), labels: None };
        let options = SamplingOptions { max_length: Some(1), ..SamplingOptions::default() };
        let mut sampler = generator.sampler().unwrap();
        let samples =
            sample(sampler.as_mut(), &conditions, &[], &options, &Key::root(4), 0).unwrap();
        let mut frequencies = vec![0.0; SIZES.vocab];
        for tokens in &samples.tokens {
            let first = tokens.first().copied().unwrap_or(EOS);
            frequencies[first as usize] += 1.0 / rows as f32;
        }
        let noise = Tensor::new(&[z], &candle_core::Device::Cpu).unwrap();
        let sequences = textgan_models::Sequences::from_rows(&[&[]], None, 1).unwrap();
        let context = Context { noise: &noise, labels: None };
        let logits = generator.logits(&context, &sequences, Mode::Evaluate).unwrap();
        let mut weights: Vec<f32> = logits
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap()
            .iter()
            .map(|logit| logit.exp())
            .collect();
        (weights[PAD as usize], weights[BOS as usize]) = (0.0, 0.0);
        let total: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
        assert!(largest_difference(&weights, &frequencies) < 0.015, "{config:?}");
    }
}

#[test]
fn a_prompt_is_continued() {
    let (z, _) = draw_noise(3);
    let conditions = Conditions { rows: 3, noise: &z, labels: None };
    let options = SamplingOptions::default();
    let key = Key::root(6);
    for (name, generator) in all_generators() {
        let mut sampler = generator.sampler().unwrap();
        let mut run =
            |prompt: &[u32]| sample(sampler.as_mut(), &conditions, prompt, &options, &key, 0);
        let prompt = [7, 4, 9];
        let continued = run(&prompt).unwrap();
        assert!(continued.tokens.iter().all(|tokens| tokens.starts_with(&prompt)), "{name}");
        let sequences = continued.sequences(None).unwrap();
        let (_, noise) = draw_noise(3);
        let context = Context { noise: &noise, labels: None };
        let scores = token_log_probs(generator.as_ref(), &context, &sequences).unwrap();
        for (row, log_probs) in continued.log_probs.iter().enumerate() {
            let scores = &scores[row * sequences.time()..][..log_probs.len()];
            assert!(largest_difference(log_probs, scores) < 1e-4, "{name}, row {row}");
        }
        for refused in [&[EOS][..], &[PAD], &[23], &[5; SIZES.max_length + 1]] {
            assert!(run(refused).is_err(), "{name}: {refused:?}");
        }
    }
}

/// A fork continues as a row that was fed the same tokens from the beginning.
#[test]
fn prefixes_are_forked_without_computing_them_again() {
    let (z, _) = draw_noise(3);
    let tokens = [[BOS, 5, 9, 12], [BOS, 6, 7, 8], [BOS, 20, 4, 11]];
    // Some more often than once; then the last in the place of one that is dropped.
    let choices: [&[(usize, usize)]; 2] =
        [&[(2, 3), (0, 1), (2, 4), (2, 3), (0, 0)], &[(0, 4), (2, 3)]];
    let all = all_generators();
    for ((name, generator), prefixes) in all.iter().flat_map(|one| choices.map(|few| (one, few))) {
        let mut logits = vec![0.0; 3 * SIZES.vocab];
        let mut sampler = generator.sampler().unwrap();
        sampler.begin(&Conditions { rows: 3, noise: &z, labels: Some(&[0, 1, 2]) }).unwrap();
        for t in 0..4 {
            sampler.step(&tokens.map(|row| row[t]), &mut logits).unwrap();
        }
        let forks: Vec<Prefix> =
            prefixes.iter().map(|&(row, tokens)| Prefix { row, tokens }).collect();
        sampler.fork(&forks).unwrap();
        assert_eq!(sampler.rows(), prefixes.len());
        let next = &[13, 14, 15, 16, BOS][..prefixes.len()];
        let mut logits = vec![0.0; prefixes.len() * SIZES.vocab];
        sampler.step(next, &mut logits).unwrap();

        for (index, &(row, fed)) in prefixes.iter().enumerate() {
            let mut single = generator.sampler().unwrap();
            let noise = &z[row * NOISE..][..NOISE];
            single.begin(&Conditions { rows: 1, noise, labels: Some(&[row as u32]) }).unwrap();
            let mut expected = vec![0.0; SIZES.vocab];
            for token in tokens[row][..fed].iter().chain([&next[index]]) {
                single.step(&[*token], &mut expected).unwrap();
            }
            let found = &logits[index * SIZES.vocab..][..SIZES.vocab];
            assert!(found == expected, "{name}: {index}");
        }
        assert!(sampler.fork(&[Prefix { row: 5, tokens: 0 }]).is_err());
        assert!(sampler.fork(&[Prefix { row: 0, tokens: 9 }]).is_err());
    }
}

#[test]
fn a_step_that_does_not_fit_is_refused() {
    let (z, _) = draw_noise(2);
    for (_, generator) in all_generators() {
        let mut sampler = generator.sampler().unwrap();
        let mut logits = vec![0.0; 2 * SIZES.vocab];
        assert!(sampler.step(&[BOS, BOS], &mut logits).is_err(), "nothing was begun");
        let begin = |sampler: &mut dyn textgan_models::Sampler, noise: &[f32], labels| {
            sampler.begin(&Conditions { rows: 2, noise, labels })
        };
        assert!(begin(sampler.as_mut(), &z[1..], None).is_err());
        assert!(begin(sampler.as_mut(), &z, Some(&[1][..])).is_err());
        assert!(begin(sampler.as_mut(), &z, Some(&[1, 3][..])).is_err());
        begin(sampler.as_mut(), &z, Some(&[1, 2][..])).unwrap();
        assert!(sampler.step(&[BOS], &mut logits).is_err());
        assert!(sampler.step(&[BOS, 23], &mut logits).is_err());
        assert!(sampler.step(&[BOS, BOS], &mut logits[1..]).is_err());
        for _ in 0..=SIZES.max_length {
            sampler.step(&[BOS, 5], &mut logits).unwrap();
        }
        assert!(sampler.step(&[BOS, 5], &mut logits).is_err(), "the rows are full");
    }
}

#[test]
fn options_outside_their_range_are_refused() {
    let generator = generator(&transformer(true), Placement::Begin);
    let default = SamplingOptions::default;
    for options in [
        SamplingOptions { temperature: 0.0, ..default() },
        SamplingOptions { temperature: f32::NAN, ..default() },
        SamplingOptions { top_k: Some(0), ..default() },
        SamplingOptions { top_p: Some(0.0), ..default() },
        SamplingOptions { top_p: Some(1.5), ..default() },
        SamplingOptions { min_p: Some(1.5), ..default() },
        SamplingOptions { max_length: Some(0), ..default() },
    ] {
        let (z, _) = draw_noise(1);
        let conditions = Conditions { rows: 1, noise: &z, labels: None };
        let mut sampler = generator.sampler().unwrap();
        let result = sample(sampler.as_mut(), &conditions, &[], &options, &Key::root(1), 0);
        assert!(result.is_err(), "{options:?}");
    }
}

/// Words that are not blank stay, their log-probabilities are those of the text as a whole; with everything blank and as
/// much room the text is the one that is sampled.
#[test]
fn blanks_are_filled_in() {
    for (name, generator) in all_generators() {
        let generator = generator.as_ref();
        let options = SamplingOptions::default();
        let (z, noise) = draw_noise(ROWS);
        let labels = labels();
        let conditions = Conditions { rows: ROWS, noise: &z, labels: Some(&labels) };
        let longest = vec![vec![5u32; SIZES.max_length]; ROWS];
        let longest = Sequences::from_samples(&longest, &[true; ROWS], Some(&labels)).unwrap();
        let mut sampler = generator.sampler().unwrap();
        let key = Key::root(77);
        let mut fill = |texts: &Sequences, blank: &[bool]| {
            infill(sampler.as_mut(), &conditions, texts, blank, &options, &key, 0)
        };
        let all = vec![true; longest.targets().len()];
        let written = fill(&longest, &all).unwrap();
        assert!(written == sample_rows(generator, &options, 0..ROWS), "{name}");

        // Every third place of texts of other lengths, some of them cut.
        let rows: Vec<Vec<u32>> =
            (0..ROWS).map(|row| (0..1 + row % 5).map(|place| 4 + place as u32).collect()).collect();
        let ended: Vec<bool> = (0..ROWS).map(|row| row % 4 != 0).collect();
        let texts = Sequences::from_samples(&rows, &ended, Some(&labels)).unwrap();
        let time = texts.time();
        let blank: Vec<bool> = (0..ROWS * time).map(|place| place % 3 == 1).collect();
        let filled = fill(&texts, &blank).unwrap();
        let mut exchanged = 0;
        for (row, tokens) in filled.tokens.iter().enumerate() {
            assert!(tokens.len() <= rows[row].len());
            for (place, token) in tokens.iter().enumerate() {
                match blank[row * time + place] {
                    true => exchanged += usize::from(*token != rows[row][place]),
                    false => assert_eq!(*token, rows[row][place], "{name}: row {row}"),
                }
            }
            let by_itself = tokens.len() < rows[row].len();
            let end = !blank.get(row * time + tokens.len()).copied().unwrap_or(true);
            let expected = by_itself || (ended[row] && end);
            assert!(!expected || filled.ended[row], "{name}: row {row} goes on");
            assert!(ended[row] || by_itself || !filled.ended[row], "{name}: row {row} was cut");
        }
        assert!(exchanged > 10, "{name}: {exchanged}");
        let whole = filled.sequences(Some(&labels)).unwrap();
        let context = Context { noise: &noise, labels: Some(&labels) };
        let expected = token_log_probs(generator, &context, &whole).unwrap();
        for (row, (found, expected)) in
            filled.log_probs.iter().zip(expected.chunks_exact(whole.time())).enumerate()
        {
            let expected = &expected[..whole.lengths()[row]];
            assert!(largest_difference(found, expected) < 1e-4, "{name}: row {row}");
        }

        for (texts, blank, expect) in [
            (&texts, &blank[1..], "places"),
            (&texts.select(&[0, 1]).unwrap(), &blank[..6], "rows"),
        ] {
            let message = fill(texts, blank).unwrap_err().to_string();
            assert!(message.contains(expect), "{message}");
        }
    }
}
