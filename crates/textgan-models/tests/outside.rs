//! Networks of other crates: the example's, put to the library's own questions.

#[path = "../examples/outside_network.rs"]
mod outside_network;

use candle_core::Device;
use outside_network::{BagOfWords, Elman, ElmanGenerator};
use textgan_models::{
    Conditions, Context, Discriminator, Generator, NoiseConfig, Placement, Prefix, SamplingOptions,
    Sequences, Sizes, load_generator, rollouts,
};
use textgan_nn::Mode;
use textgan_random::Key;

#[test]
fn outside_networks_are_built_sampled_saved_and_loaded() {
    let folder = tempfile::tempdir().unwrap();
    outside_network::run(folder.path()).unwrap();
    // The library says what it does not know, by name.
    let error = load_generator(&folder.path().join("generator"), &Device::Cpu).err().unwrap();
    assert!(error.to_string().contains("elman"), "{error}");
    let card = std::fs::read_to_string(folder.path().join("generator/README.md")).unwrap();
    assert!(card.contains("load_generator_with"), "{card}");
}

/// The two faces of an outside generator agree, beginnings can be continued, and weights copied.
#[test]
fn an_outside_generator_has_two_faces() -> textgan_models::Result<()> {
    let sizes = Sizes { vocab: 9, labels: 0, max_length: 4 };
    let noise = NoiseConfig { dimension: 2, placement: Placement::Every, code: None };
    let generator = ElmanGenerator::new(Elman { width: 5 }, &noise, &sizes, &Key::root(2))?;
    let texts = Sequences::from_rows(&[&[4, 5, 6], &[7]], None, sizes.max_length)?;
    let vectors = noise.draw(&Key::root(3), 0, 2);
    let z = candle_core::Tensor::from_vec(vectors.clone(), (2, 2), &Device::Cpu)?;
    let context = Context { noise: &z, labels: None };
    let logits = generator.logits(&context, &texts, Mode::Evaluate)?.to_vec3::<f32>()?;
    let mut sampler = generator.sampler()?;
    sampler.begin(&Conditions { rows: 2, noise: &vectors, labels: None })?;
    for (place, logits) in
        (0..texts.time()).map(|place| (place, [&logits[0][place], &logits[1][place]]))
    {
        let inputs = texts.inputs();
        let tokens = [inputs[place], inputs[texts.time() + place]];
        let mut found = vec![0.0; 2 * sizes.vocab];
        sampler.step(&tokens, &mut found)?;
        for (row, expected) in logits.iter().enumerate() {
            if place < texts.lengths()[row] {
                for (a, b) in expected.iter().zip(&found[row * sizes.vocab..]) {
                    assert!((a - b).abs() < 1e-5, "row {row}, place {place}: {a} and {b}");
                }
            }
        }
    }
    sampler.fork(&[Prefix { row: 0, tokens: 2 }])?;
    assert_eq!(sampler.rows(), 1);
    let conditions = Conditions { rows: 2, noise: &vectors, labels: None };
    let (options, key) = (SamplingOptions::default(), Key::root(5));
    let ways = rollouts(sampler.as_mut(), &conditions, &texts, 3, &options, &key)?;
    assert_eq!(ways.count, 3);

    let copy = generator.copy()?;
    let same = copy.logits(&context, &texts, Mode::Evaluate)?.to_vec3::<f32>()?;
    assert_eq!(same, logits);
    let judge = BagOfWords::new(&sizes, 3, &Key::root(4))?;
    assert_eq!(judge.scores(&texts)?, judge.frozen()?.scores(&texts)?);
    Ok(())
}
