use textgan_models::{
    CODE_PARAMETERS, Context, Generator, GeneratorConfig, NoiseConfig, build_generator,
};
use textgan_nn::{Mode, ops};
use textgan_random::Key;

use crate::{SIZES, all_generators, draw_noise, sequences};

fn loss(generator: &dyn Generator, mode: Mode<'_>) -> candle_core::Tensor {
    let sequences = sequences();
    let (_, noise) = draw_noise(sequences.batch());
    let context = Context { noise: &noise, labels: sequences.labels() };
    let hidden = generator.hidden(&context, &sequences, mode).unwrap();
    let (batch, time, width) = hidden.dims3().unwrap();
    ops::head_cross_entropy(
        &hidden.reshape((batch * time, width)).unwrap(),
        generator.head(),
        sequences.targets(),
        &sequences.weights(),
        generator.precision(),
    )
    .unwrap()
    .loss
}

/// candle's backward skips a variable without a gradient and says nothing. What a generator is told has none.
#[test]
fn every_variable_receives_a_gradient() {
    for (name, generator) in all_generators() {
        let gradients = loss(generator.as_ref(), Mode::Evaluate).backward().unwrap();
        for (variable, value) in generator.parameters().iter() {
            let gradient = gradients.get(value.as_tensor());
            if generator.is_told(variable) {
                assert!(gradient.is_none(), "{name}: {variable}");
                continue;
            }
            let gradient = gradient.unwrap_or_else(|| panic!("{name}: none for {variable}"));
            let size = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(size.is_finite() && size > 1e-12, "{name}: {variable}: {size}");
        }
    }
}

/// A step along the gradient changes the loss as much as the gradient says.
#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    for (name, generator) in all_generators() {
        let value =
            || f64::from(loss(generator.as_ref(), Mode::Evaluate).to_scalar::<f32>().unwrap());
        let gradients = loss(generator.as_ref(), Mode::Evaluate).backward().unwrap();
        for (variable, var) in generator.parameters().iter() {
            if generator.is_told(variable) {
                continue;
            }
            let gradient = gradients.get(var.as_tensor()).unwrap();
            let size = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            // A step of this length along the unit gradient changes the loss by a few hundredths. Codes are made with
            // rectifiers: a long step would pass their kinks.
            let longest = if variable.starts_with(CODE_PARAMETERS) { 0.02 } else { f64::INFINITY };
            let step = (0.02 / f64::from(size.sqrt())).min(longest);
            let before = var.as_tensor().copy().unwrap();
            let direction = (gradient / f64::from(size.sqrt())).unwrap();
            let moved = |step: f64| {
                var.set(&(&before + (&direction * step).unwrap()).unwrap()).unwrap();
                let moved = value();
                var.set(&before).unwrap();
                moved
            };
            let slope = (moved(step) - moved(-step)) / (2.0 * step);
            let expected = f64::from(size.sqrt());
            assert!(
                (slope - expected).abs() < 0.03 * expected,
                "{name}: {variable}: slope {slope}, gradient {expected}"
            );
        }
    }
}

#[test]
fn dropout_belongs_to_its_key() {
    let mut configs = Vec::new();
    for config in crate::architectures() {
        configs.push(match config {
            GeneratorConfig::Transformer(mut config) => {
                (config.dropout, config.embedding_dropout, config.head_dropout) = (0.3, 0.1, 0.2);
                GeneratorConfig::Transformer(config)
            }
            GeneratorConfig::Lstm(mut config) => {
                (config.dropout, config.embedding_dropout, config.head_dropout) = (0.3, 0.1, 0.2);
                GeneratorConfig::Lstm(config)
            }
            GeneratorConfig::Leak(mut config) => {
                (config.embedding_dropout, config.head_dropout) = (0.1, 0.2);
                GeneratorConfig::Leak(config)
            }
            GeneratorConfig::RelationalMemory(mut config) => {
                (config.embedding_dropout, config.head_dropout) = (0.1, 0.2);
                GeneratorConfig::RelationalMemory(config)
            }
            other => panic!("its dropout is not known here: {other:?}"),
        });
    }
    for config in configs {
        let noise = NoiseConfig { dimension: crate::NOISE, ..NoiseConfig::default() };
        let device = candle_core::Device::Cpu;
        let generator = build_generator(&config, &noise, &SIZES, &Key::root(3), &device).unwrap();
        let value = |mode| loss(generator.as_ref(), mode).to_scalar::<f32>().unwrap();
        let (one, two) = (Key::root(1), Key::root(2));
        assert_eq!(value(Mode::Train(&one)), value(Mode::Train(&one)));
        assert_ne!(value(Mode::Train(&one)), value(Mode::Train(&two)));
        assert_ne!(value(Mode::Train(&one)), value(Mode::Evaluate));
    }
}
