//! The two faces of a generator are one model.

use candle_core::Device;
use textgan_models::{
    Conditions, Context, DiscriminatorConfig, Generator, GeneratorConfig, LEAK_PARAMETERS,
    Placement, Sequences, Tokens, build_discriminator,
};
use textgan_nn::Mode;
use textgan_random::Key;

use crate::{SIZES, all_generators, draw_noise, generator, largest_difference, leak, sequences};

/// The logits of the sampler, fed with the inputs of `sequences`: `[batch, time, vocab]`.
fn stepped(
    generator: &dyn Generator,
    noise: &[f32],
    labels: Option<&[u32]>,
    sequences: &Sequences,
) -> Vec<f32> {
    let (batch, time, vocab) = (sequences.batch(), sequences.time(), SIZES.vocab);
    let mut sampler = generator.sampler().unwrap();
    sampler.begin(&Conditions { rows: batch, noise, labels }).unwrap();
    let inputs = sequences.inputs();
    let mut all = vec![0.0; batch * time * vocab];
    let mut logits = vec![0.0; batch * vocab];
    for t in 0..time {
        let tokens: Vec<u32> = (0..batch).map(|row| inputs[row * time + t]).collect();
        sampler.step(&tokens, &mut logits).unwrap();
        for row in 0..batch {
            let at = (row * time + t) * vocab;
            all[at..at + vocab].copy_from_slice(&logits[row * vocab..][..vocab]);
        }
    }
    all
}

#[test]
fn logits_are_equal_at_every_prefix() {
    let sequences = sequences();
    let (z, noise) = draw_noise(sequences.batch());
    for (name, generator) in all_generators() {
        for labels in [None, sequences.labels()] {
            let context = Context { noise: &noise, labels };
            let logits = generator.logits(&context, &sequences, Mode::Evaluate).unwrap();
            assert_eq!(logits.dims(), [sequences.batch(), sequences.time(), SIZES.vocab]);
            let logits = logits.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let stepped = stepped(generator.as_ref(), &z, labels, &sequences);
            let spread = logits.iter().fold(0f32, |most, logit| most.max(logit.abs()));
            assert!(spread > 0.1, "{name}: the logits are all near zero, which proves nothing");
            let rows = logits.chunks(sequences.time() * SIZES.vocab);
            let stepped = stepped.chunks(sequences.time() * SIZES.vocab);
            for ((logits, stepped), length) in rows.zip(stepped).zip(sequences.lengths()) {
                let tokens = length * SIZES.vocab;
                let difference = largest_difference(&logits[..tokens], &stepped[..tokens]);
                assert!(difference < 1e-4, "{name}, labels {labels:?}: {difference}");
            }
        }
    }
}

/// What a generator is told of a text so far is what the discriminator makes of those tokens alone.
#[test]
fn leaked_features_are_those_of_every_prefix() {
    for horizon in [1, 3] {
        let GeneratorConfig::Leak(config) = leak(horizon) else { unreachable!() };
        let leaking = generator(&leak(horizon), Placement::Begin);
        let device = Device::Cpu;
        let discriminator = DiscriminatorConfig::Cnn(config.leak);
        let discriminator =
            build_discriminator(&discriminator, &SIZES, None, &Key::root(9), &device).unwrap();
        for (name, variable) in discriminator.parameters().iter() {
            let told = leaking.parameters().get(&format!("{LEAK_PARAMETERS}.{name}")).unwrap();
            told.set(&variable.as_detached_tensor()).unwrap();
        }
        let texts = sequences();
        let guidance = leaking.guidance(&texts, Mode::Evaluate).unwrap().unwrap();
        let found = guidance.features.to_vec3::<f32>().unwrap();
        for row in 0..texts.batch() {
            let tokens = &texts.targets()[row * texts.time()..];
            // Nothing read: the highway layer, or nothing, over what filters make of zeros.
            if horizon == 1 {
                let biases = discriminator.parameters().iter();
                let biases =
                    biases.filter(|(name, _)| name.starts_with("convs.") && name.ends_with("bias"));
                let biases = biases.flat_map(|(_, bias)| bias.to_vec1::<f32>().unwrap());
                let empty: Vec<f32> = biases.map(|bias| bias.max(0.0)).collect();
                assert_eq!(found[row][0], empty);
            }
            for count in 1..=texts.lengths()[row] {
                let prefix = Tokens::Hard(&tokens[..count]);
                let features = discriminator.features(&prefix, &[count], Mode::Evaluate).unwrap();
                let features = features.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let difference = largest_difference(&found[row][count], &features);
                assert!(difference < 1e-5, "row {row}, {count} tokens: {difference}");
            }
            let length = |goal: &Vec<f32>| goal.iter().map(|x| x * x).sum::<f32>();
            let goals = guidance.goals.to_vec3::<f32>().unwrap();
            assert!(goals[row].iter().all(|goal| (length(goal) - 1.0).abs() < 1e-3));
        }
    }
}

#[test]
fn noise_and_label_reach_every_position() {
    let sequences = sequences();
    let (_, noise) = draw_noise(sequences.batch());
    let other = (&noise * -1.0).unwrap();
    for (name, generator) in all_generators() {
        let logits = |noise, labels| {
            let context = Context { noise, labels };
            let logits = generator.logits(&context, &sequences, Mode::Evaluate).unwrap();
            logits.to_vec3::<f32>().unwrap()
        };
        let plain = logits(&noise, None);
        for changed in [logits(&other, None), logits(&noise, sequences.labels())] {
            for (row, (plain, changed)) in plain.iter().zip(&changed).enumerate() {
                let length = sequences.lengths()[row];
                for (t, (plain, changed)) in plain.iter().zip(changed).take(length).enumerate() {
                    let difference = largest_difference(plain, changed);
                    assert!(difference > 1e-6, "{name}, row {row}, position {t}: {difference}");
                }
            }
        }
    }
}

#[test]
fn a_batch_that_does_not_fit_is_refused() {
    let sequences = sequences();
    let (_, noise) = draw_noise(sequences.batch());
    let (_, short) = draw_noise(2);
    let rows = [5; SIZES.max_length + 3];
    let long = Sequences::from_rows(&[&rows], None, rows.len()).unwrap();
    let outside = Sequences::from_rows(&[&[23]], None, 12).unwrap();
    for (_, generator) in all_generators() {
        let refused = |noise, labels: Option<&[u32]>, sequences: &Sequences| {
            generator.hidden(&Context { noise, labels }, sequences, Mode::Evaluate).is_err()
        };
        assert!(!refused(&noise, None, &sequences));
        assert!(refused(&short, None, &sequences));
        assert!(refused(&noise, Some(&[0]), &sequences));
        assert!(refused(&noise, Some(&[3; 6]), &sequences));
        let (_, one) = draw_noise(1);
        assert!(refused(&one, None, &long));
        assert!(refused(&one, None, &outside));
    }
}
