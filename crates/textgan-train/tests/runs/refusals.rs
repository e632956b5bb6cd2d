//! What cannot work is refused, by name, and leaves what was there.

use textgan_artifact::Quiet;
use textgan_artifact::table::TokenRow;
use textgan_models::{GeneratorConfig, TransformerConfig};
use textgan_train::{Control, Error};

use crate::common::{Setting, StopAfter, files, phases};

const LIKELIHOOD: &str = "[[phase]]\nkind = \"maximum-likelihood\"\nsteps = 8\n";

#[test]
fn a_loss_that_is_no_number_stops_before_the_step() {
    let setting = Setting::new(phases(
        "[[phase]]\nkind = \"maximum-likelihood\"\nsteps = 30\nlearning_rate = 1e30\n",
    ));
    let out = tempfile::tempdir().expect("a folder");
    let error = setting.run(out.path(), &Quiet).expect_err("not finite");
    let Error::NonFinite { checkpoint, step, .. } = &error else { panic!("{error}") };
    assert!(checkpoint.join("generator.safetensors").exists());
    let message = error.to_string();
    assert!(
        message.contains("learning rate") && message.contains(&format!("step {step}")),
        "{message}"
    );
    // The checkpoint that is named holds finite weights.
    let weights = textgan_nn::Parameters::read(
        &checkpoint.join("generator.safetensors"),
        &candle_core::Device::Cpu,
    );
    for (name, variable) in weights.expect("weights").iter() {
        let values = variable.flatten_all().and_then(|v| v.to_vec1::<f32>()).expect("values");
        assert!(values.iter().all(|v| v.is_finite()), "{name}");
    }
}

#[test]
fn bad_settings_and_data_are_named() {
    let refused = |change: fn(&mut Setting), expected: &str| {
        let mut setting = Setting::new(phases(LIKELIHOOD));
        change(&mut setting);
        let out = tempfile::tempdir().expect("a folder");
        let message = setting.run(out.path(), &Quiet).expect_err(expected).to_string();
        assert!(message.contains(expected), "{message} lacks {expected}");
        assert!(files(out.path()).is_empty(), "something was written");
    };
    refused(|s| s.train.batch_size = 0, "batch_size");
    refused(|s| s.phases.clear(), "[[phase]]");
    refused(|s| s.rows.0.clear(), "train split");
    refused(|s| s.rows.1.clear(), "valid split");
    refused(|s| s.rows.0[3].tokens.push(99), "train split, row 3: token 99");
    refused(
        |s| s.rows.1[2] = TokenRow { id: 0, label: None, tokens: vec![4; 9], cut: false },
        "max_length 8",
    );
    refused(|s| s.rows.0[0].label = Some(1), "label");
    // A control that cannot be made is no control that was passed.
    refused(
        |s| {
            s.train.controls = vec![Control::Likelihood];
            s.phases = phases("[[phase]]\nkind = \"adversarial\"\nsteps = 1\n");
        },
        "no phase of likelihood before the game",
    );
    refused(
        |s| {
            s.train.controls = vec![Control::Distillation];
            s.phases.extend(phases("[[phase]]\nkind = \"adversarial\"\nsteps = 1\n"));
        },
        "no phase makes one",
    );
    refused(
        |s| {
            s.train.controls = vec![Control::Blind];
            s.phases.extend(phases("[[phase]]\nkind = \"pg-bleu\"\nsteps = 1\n"));
        },
        "pg-bleu is not played blind",
    );
    refused(
        |s| {
            s.discriminator = None;
            s.phases.extend(phases("[[phase]]\nkind = \"maligan\"\nsteps = 1\n"));
        },
        "it needs a [discriminator] table",
    );
    refused(
        |s| {
            s.noise.dimension = 0;
            s.phases = phases("[[phase]]\nkind = \"maximum-likelihood\"\nsteps = 1\nlatent = {}\n");
        },
        "noise.dimension",
    );
    refused(
        |s| {
            s.phases = phases(
                "[[phase]]\nkind = \"maximum-likelihood\"\nsteps = 1\noptimizer = { average = 1.0 }\n",
            );
        },
        "average = 1",
    );
    refused(
        |s| {
            let huge = TransformerConfig {
                width: 1 << 20,
                layers: 40,
                heads: 1,
                ..TransformerConfig::default()
            };
            s.generator = GeneratorConfig::Transformer(huge);
        },
        "MiB of memory",
    );
}

#[test]
fn unknown_keys_and_kinds_are_refused() {
    for (toml, expected) in [
        ("kind = \"adversarial\"\nsteps = 1\nlearning_rat = 1", "learning_rat"),
        ("kind = \"adversary\"", "adversary"),
        (
            "kind = \"adversarial\"\nestimator = { kind = \"gumbel\", taemperature = 1 }",
            "taemperature",
        ),
        ("kind = \"maximum-likelihood\"\nlatent = { rates = 1 }", "rates"),
    ] {
        let message = toml::from_str::<textgan_train::Phase>(toml).expect_err(expected).to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn another_configuration_is_not_continued() {
    let out = tempfile::tempdir().expect("a folder");
    Setting::new(phases(LIKELIHOOD)).run(out.path(), &StopAfter::new(4)).expect_err("stopped");
    let other =
        phases("[[phase]]\nkind = \"maximum-likelihood\"\nsteps = 8\nlearning_rate = 0.5\n");
    let message = Setting::new(other).run(out.path(), &Quiet).expect_err("another").to_string();
    assert!(message.contains("phase.0.learning_rate was 0.001 and is now 0.5"), "{message}");
}

#[test]
fn a_run_begins_with_the_weights_of_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let long =
        phases("[[phase]]\nkind = \"maximum-likelihood\"\nsteps = 60\nlearning_rate = 1e-2\n");
    let trained = Setting::new(long).run(&first, &Quiet).expect("training");
    let mut setting = Setting::new(phases(
        "[[phase]]\nkind = \"maximum-likelihood\"\nsteps = 1\nlearning_rate = 1e-9\n",
    ));
    setting.train.init_from = Some(first.join("model"));
    let summary = setting.run(&second, &Quiet).expect("training");
    let loss = |summary: &textgan_train::Summary| summary.phases[0].evaluation["validation_loss"];
    assert!((loss(&summary) - loss(&trained)).abs() < 1e-3);

    setting.noise.dimension = 5;
    let message =
        setting.run(&folder.path().join("third"), &Quiet).expect_err("no fit").to_string();
    assert!(
        message.contains("cannot begin from") && message.contains("noise.dimension is 4"),
        "{message}"
    );
}
