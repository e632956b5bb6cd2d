//! Runs learn, and write down what they did.

use textgan_artifact::Quiet;
use textgan_models::{load_discriminator, load_generator};
use textgan_nn::Parameters;
use textgan_train::End;

use crate::common::{Setting, events, lines, phases, rows};

#[test]
fn likelihood_falls_and_the_best_weights_are_kept() {
    let setting = Setting::new(phases(
        r#"
        [[phase]]
        kind = "maximum-likelihood"
        epochs = 12
        learning_rate = 1e-2
        evaluation = { every = 20 }
        schedule = { warmup_steps = 5, decay = "cosine" }
        "#,
    ));
    let out = tempfile::tempdir().expect("a folder");
    let summary = setting.run(out.path(), &Quiet).expect("training");
    let phase = &summary.phases[0];
    assert_eq!(
        (phase.steps, phase.updates["generator"], phase.ended),
        (12 * 7, 12 * 7, End::StepLimit)
    );
    let train: Vec<f64> = events(out.path(), "train").iter().map(|values| values["nll"]).collect();
    let (first, last) = (train[0], train[train.len() - 1]);
    assert!(last < 0.7 * first, "{train:?}");
    let validation: Vec<f64> =
        events(out.path(), "evaluation").iter().map(|v| v["validation_loss"]).collect();
    let best = validation.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(phase.best_score, Some(-best));
    let model =
        load_generator(&out.path().join("model"), &candle_core::Device::Cpu).expect("a model");
    assert_eq!(model.parameters().count() as u64, summary.generator_parameters);
}

/// Averaging changes which weights are looked at and handed on, and nothing of how they learn.
#[test]
fn the_average_of_the_weights_is_evaluated_and_handed_on() {
    let run = |optimizer: &str| {
        let setting = Setting::new(phases(&format!(
            "[[phase]]\nkind = \"maximum-likelihood\"\nsteps = 20\nlearning_rate = 1e-2\n\
             evaluation = {{ every = 5 }}\nkeep = \"last\"\n{optimizer}"
        )));
        let out = tempfile::tempdir().expect("a folder");
        setting.run(out.path(), &Quiet).expect("training");
        out
    };
    let (plain, averaged) = (run(""), run("optimizer = { average = 0.9 }"));
    assert_eq!(events(plain.path(), "train"), events(averaged.path(), "train"));
    assert_ne!(events(plain.path(), "evaluation"), events(averaged.path(), "evaluation"));

    let read = |out: &tempfile::TempDir, path: &str| {
        std::fs::read(out.path().join(path)).expect("weights")
    };
    let last = "checkpoints/step-000020/generator.safetensors";
    assert!(read(&plain, last) == read(&averaged, last), "other weights were learned");
    let end = |out| read(out, "checkpoints/step-000020-end/generator.safetensors");
    assert!(end(&plain) == read(&plain, last) && end(&averaged) != read(&averaged, last));

    let device = &candle_core::Device::Cpu;
    let mean = averaged.path().join("checkpoints/step-000020/generator-average.safetensors");
    let mean = Parameters::read(&mean, device).expect("an average");
    let model = load_generator(&averaged.path().join("model"), device).expect("a model");
    for (name, variable) in model.parameters().iter() {
        let mean = mean.get(&format!("generator.{name}")).expect("an average");
        let values = |tensor: &candle_core::Tensor| {
            tensor.flatten_all().and_then(|tensor| tensor.to_vec1::<f32>()).expect("numbers")
        };
        assert_eq!(values(mean.as_tensor()), values(variable.as_tensor()), "{name}");
    }
}

#[test]
fn patience_ends_a_phase() {
    let setting = Setting::new(phases(
        r#"
        [[phase]]
        kind = "maximum-likelihood"
        steps = 400
        learning_rate = 1e-2
        evaluation = { every = 5, patience = 2, min_improvement = 0.5 }
        "#,
    ));
    let out = tempfile::tempdir().expect("a folder");
    let summary = setting.run(out.path(), &Quiet).expect("training");
    assert_eq!(summary.phases[0].ended, End::Converged);
    assert!(summary.steps < 100);
}

/// With either estimator both networks move, as often as they were told to, and are saved. That the
/// gradients point the right way is tested beside the estimators.
#[test]
fn both_estimators_train_both_networks() {
    for (name, estimator) in [
        ("straight-through", r#"{ kind = "gumbel" }"#),
        (
            "soft",
            r#"{ kind = "gumbel", relaxation = "soft", temperature = { start = 1.0, end = 0.5 } }"#,
        ),
        ("reinforce", r#"{ kind = "reinforce" }"#),
        ("seqgan", r#"{ kind = "reinforce", reward = { monte_carlo = { rollouts = 4 } } }"#),
    ] {
        let setting = Setting::new(phases(&format!(
            r#"
            [[phase]]
            kind = "discriminator"
            steps = 10
            learning_rate = 5e-3

            [[phase]]
            kind = "adversarial"
            steps = 60
            learning_rate = 1e-2
            discriminator_learning_rate = 2e-3
            estimator = {estimator}
            keep = "last"
            evaluation = {{ every = 30, samples = 60 }}
            "#
        )));
        let out = tempfile::tempdir().expect("a folder");
        let summary = setting.run(out.path(), &Quiet).expect("training");
        let phase = &summary.phases[1];
        assert_eq!((phase.updates["generator"], phase.updates["discriminator"]), (60, 60));
        let evaluations = events(out.path(), "evaluation");
        let loss: Vec<f64> =
            evaluations[1..].iter().map(|values| values["validation_loss"]).collect();
        assert_eq!(loss.len(), 3, "{name}: at the beginning, in the middle, at the end");
        assert!(loss[0] != loss[1] && loss[1] != loss[2], "{name}: {loss:?}");
        let device = candle_core::Device::Cpu;
        let discriminator = load_discriminator(&out.path().join("discriminator"), &device);
        let count = discriminator.expect("a discriminator").parameters().count() as u64;
        assert_eq!(Some(count), summary.discriminator_parameters);
    }
}

#[test]
fn every_knob_of_adversarial_training_runs() {
    for divergence in [
        "non-saturating",
        "relativistic",
        "relativistic-average",
        "hinge",
        "least-squares",
        "wasserstein",
    ] {
        for (judged, estimator) in [
            ("whole", r#"{ kind = "gumbel" }"#),
            (
                "prefixes",
                r#"{ kind = "reinforce", reward = { score = "log-sigmoid", discount = 0.9 }, baseline = "moving-average", entropy = 0.01 }"#,
            ),
            ("whole", r#"{ kind = "reinforce", reward = { score = "logit" }, baseline = "none" }"#),
            (
                "whole",
                r#"{ kind = "reinforce", reward = { monte_carlo = { rollouts = 2, lag = 0.0 } }, entropy = 0.01 }"#,
            ),
            ("whole", r#"{ kind = "reinforce", proximal = { epochs = 1, clip = 0.1 } }"#),
        ] {
            if (divergence, judged) == ("relativistic", "prefixes") {
                continue;
            }
            let mut setting = Setting::new(phases(&format!(
                r#"
                [[phase]]
                kind = "adversarial"
                steps = 2
                discriminator_steps = 2
                generator_steps = 2
                divergence = "{divergence}"
                judged = "{judged}"
                estimator = {estimator}
                discriminator = {{ weight_clip = 0.1, match_lengths = true, replay = 0.3, r1 = 0.1, r2 = 0.1 }}
                reference = 0.1
                anchor = 0.5
                latent = {{ rate = 1.0 }}
                cross_fit = true
                evaluation = {{ samples = 20 }}
                "#
            )));
            setting.labels = vec!["odd".to_owned(), "even".to_owned()];
            for row in setting.rows.0.iter_mut().chain(&mut setting.rows.1) {
                row.label = Some((row.id % 2) as u32);
            }
            let out = tempfile::tempdir().expect("a folder");
            let summary = setting
                .run(out.path(), &Quiet)
                .unwrap_or_else(|error| panic!("{divergence} {estimator}: {error}"));
            assert_eq!(summary.phases[0].updates["generator"], 4);
            assert_eq!(summary.phases[0].updates["discriminator"], 4);
            let clipped =
                load_discriminator(&out.path().join("discriminator"), &candle_core::Device::Cpu)
                    .expect("weights");
            for (name, variable) in clipped.parameters().iter() {
                let weights =
                    variable.flatten_all().and_then(|w| w.to_vec1::<f32>()).expect("weights");
                // Embeddings and biases are spared, and some are larger.
                if variable.rank() >= 2 && !name.contains("embedding") {
                    assert!(weights.iter().all(|w| w.abs() <= 0.1), "{name} is not clipped");
                }
            }
        }
    }
}

#[test]
fn a_latent_objective_makes_noise_matter() {
    let spread = |latent: &str| {
        let mut setting = Setting::new(phases(&format!(
            r#"
            [[phase]]
            kind = "maximum-likelihood"
            steps = 200
            learning_rate = 1e-2
            {latent}
            "#
        )));
        setting.train.fixed_samples = 40;
        setting.train.sample_every = 200;
        setting.rows = (rows(1, 400), rows(2, 40));
        let out = tempfile::tempdir().expect("a folder");
        setting.run(out.path(), &Quiet).expect("training");
        let samples = std::fs::read_to_string(out.path().join("samples.jsonl")).expect("samples");
        let mut greedy: Vec<String> = samples
            .lines()
            .rev()
            .take(40)
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).expect("JSON")["greedy"].to_string()
            })
            .collect();
        greedy.sort();
        greedy.dedup();
        greedy.len()
    };
    let (without, with) = (spread(""), spread("latent = { rate = 1.5 }"));
    assert!(with >= 3 * without, "{without} greedy sentences without and {with} with");
}

#[test]
fn alarms_ring_and_act() {
    let run = |alarms: &str| {
        let quiet = match alarms.contains("blind") {
            true => "",
            false => "alarms.discriminator_blind = { auc_below = 0.0 }",
        };
        let setting = Setting::new(phases(&format!(
            r#"
            [[phase]]
            kind = "adversarial"
            steps = 40
            evaluation = {{ every = 5, samples = 20 }}
            {quiet}
            {alarms}
            "#
        )));
        let out = tempfile::tempdir().expect("a folder");
        let summary = setting.run(out.path(), &Quiet).expect("training");
        let rung: Vec<String> = lines(out.path())
            .iter()
            .filter(|line| line["event"] == "alarm")
            .map(|line| line["note"].to_string())
            .collect();
        (summary.phases[0].clone(), rung)
    };
    // No generator keeps three times the bigrams that it began with: always a collapse.
    let collapse = |action: &str| {
        run(&format!("alarms.collapse = {{ distinct_bigrams_below = 3.0, action = \"{action}\" }}"))
    };
    let (phase, rung) = collapse("report");
    assert_eq!((phase.steps, phase.ended), (40, End::StepLimit));
    assert_eq!(rung.len(), 9, "at the beginning and every five steps: {rung:?}");
    let (phase, rung) = collapse("stop");
    assert_eq!((phase.steps, phase.ended, rung.len()), (0, End::Alarm, 1));
    let (phase, rung) = collapse("roll-back");
    assert_eq!((phase.steps, phase.ended, rung.len()), (10, End::Alarm, 3));

    // No discriminator tells damage better than always.
    let (_, rung) = run("alarms.discriminator_blind.auc_below = 1.1");
    assert_eq!(rung.len(), 9, "{rung:?}");
    assert!(rung.iter().all(|note| note.contains("discriminator-blind")), "{rung:?}");

    // Any accuracy is too much; the beginning has none.
    let (phase, rung) = run(
        "alarms.discriminator_won = { accuracy_above = 0.0, for_evaluations = 3, action = \"stop\" }",
    );
    assert_eq!((phase.steps, phase.ended), (15, End::Alarm));
    assert_eq!(rung, ["\"discriminator-won: stop\""]);
}

/// A language model that was fitted, and a game against it.
fn ratio_game(game: &str) -> Setting {
    let mut setting = Setting::new(phases(&format!(
        r#"
        [[phase]]
        kind = "maximum-likelihood"
        steps = 40
        learning_rate = 1e-2

        [[phase]]
        kind = "language-model"
        steps = 200
        learning_rate = 1e-2
        network = {{ kind = "lstm", embedding = 16, hidden = 32 }}

        [[phase]]
        kind = "likelihood-ratio"
        steps = 60
        learning_rate = 1e-2
        keep = "last"
        {game}
        "#
    )));
    setting.rows = (rows(1, 400), rows(2, 40));
    setting
}

/// The generator comes nearer to the language model on prefixes of its own, and to held-out text; with
/// the loss multiplied by zero it stays what it was.
#[test]
fn the_ratio_game_teaches_the_generator() {
    let run = |game: &str| {
        let out = tempfile::tempdir().expect("a folder");
        let summary = ratio_game(game).run(out.path(), &Quiet).expect("training");
        (out, summary)
    };
    let (out, _) = run("");
    let divergence: Vec<f64> = events(out.path(), "train")
        .iter()
        .filter_map(|values| values.get("divergence").copied())
        .collect();
    let (first, last) = (divergence[0], divergence[divergence.len() - 1]);
    assert!(last < 0.5 * first && last > -0.05, "{divergence:?}");
    let losses: Vec<f64> = events(out.path(), "evaluation")
        .iter()
        .filter_map(|values| values.get("validation_loss").copied())
        .collect();
    assert!(losses[losses.len() - 1] < losses[0], "{losses:?}");

    let (out, _) = run("weight = 0.0");
    let weights = |folder: &str| std::fs::read(out.path().join(folder)).expect("weights");
    assert!(weights("model/model.safetensors") == weights("baseline/model.safetensors"));
}

/// A discriminator that is held and does not know enough ends the game before it begins; one that learns
/// lets the generator wait.
#[test]
fn the_gate_holds_the_generator() {
    let run = |game: &str| {
        let out = tempfile::tempdir().expect("a folder");
        ratio_game(game).run(out.path(), &Quiet).expect("training").phases[2].clone()
    };
    let phase = run("gate = { auc = 1.1 }");
    assert_eq!((phase.ended, phase.steps), (End::Gate, 0));
    let phase = run("gate = { auc = 1.1 }\ndiscriminator_learning_rate = 1e-3");
    assert_eq!((phase.ended, phase.updates.get("generator")), (End::StepLimit, None));
    assert_eq!(phase.updates["discriminator"], 60);
    let phase = run("gate = { auc = 0.6, on = [\"swapped\", \"replaced\", \"cut\"] }");
    assert_eq!((phase.ended, phase.updates["generator"]), (End::StepLimit, 60));
    assert!(phase.evaluation["auc_replaced"] > 0.6, "{:?}", phase.evaluation);
}
