//! The same run gives the same bytes, whatever happened to it.

use textgan_artifact::{Progress, Quiet, Team};
use textgan_models::{
    CnnDiscriminatorConfig, CodeConfig, DiscriminatorConfig, EmbeddingConfig, GeneratorConfig,
    LeakConfig, TransformerDiscriminatorConfig,
};
use textgan_nn::Parameters;
use textgan_train::candle_core::{Device, Tensor};
use textgan_train::{
    Algorithm, Control, Error, Keep, Learner, Loss, MaximumLikelihood, Networks, Objective, OneOf,
    Opponent, OptimizerConfig, Outputs, Pace, Phase, Plan, Role, Rows, Step, extend, trial,
};

use crate::common::{Setting, StopAfter, assert_same, files, phases};

/// All kinds of phases, both estimators, moving averages of returns and weights, evaluations, best weights and samples.
const PHASES: &str = r#"
    [[phase]]
    kind = "maximum-likelihood"
    steps = 12
    learning_rate = 1e-2
    evaluation = { every = 5 }
    optimizer = { average = 0.8 }
    latent = { rate = 0.5 }

    [[phase]]
    kind = "discriminator"
    steps = 3
    discriminator = { match_lengths = true, r1 = 0.5, spectral_norm = 2.0 }

    [[phase]]
    kind = "adversarial"
    steps = 7
    estimator = { kind = "reinforce", baseline = "moving-average", proximal = { epochs = 2 } }
    discriminator = { replay = 0.4, replay_size = 40, r2 = 0.5, weight_clip = 1.0 }
    reference = 0.2
    anchor = 0.1
    latent = { rate = 0.5 }
    evaluation = { every = 3, samples = 30 }

    [[phase]]
    kind = "adversarial"
    steps = 5
    learning_rate = 1e-2
    estimator = { kind = "reinforce", reward = { monte_carlo = { rollouts = 3, lag = 0.5 } } }
    keep = "last"
    evaluation = { every = 2, samples = 30 }

    [[phase]]
    kind = "adversarial"
    steps = 6
    divergence = "relativistic"
    keep = "last"
    optimizer = { average = 0.5 }
    discriminator_optimizer = { average = 0.9 }
    evaluation = { every = 3, samples = 30 }
    alarms.collapse = { distinct_bigrams_below = 2.0, action = "roll-back" }
"#;

#[test]
fn an_interrupted_run_ends_with_the_same_bytes() {
    let setting = Setting::new(phases(PHASES));
    let whole = tempfile::tempdir().expect("a folder");
    setting.run(whole.path(), &Quiet).expect("training");
    let expected = files(whole.path());
    assert!(expected.keys().any(|name| name.starts_with("baseline/")));

    // Stopped once, at any moment, inside evaluations too; then in every attempt, a little later.
    let once = (1..80).step_by(19).map(|question| (question, false));
    for (question, always) in once.chain([(9, true), (13, true)]) {
        let out = tempfile::tempdir().expect("a folder");
        let mut attempt = setting.run(out.path(), &StopAfter::new(question));
        let mut stops = 0;
        while let Err(error) = attempt {
            let Error::Interrupted { checkpoint, .. } = &error else { panic!("{error}") };
            assert!(checkpoint.join("state.json").exists());
            stops += 1;
            assert!(stops < 100, "no progress in strides of {question}");
            attempt =
                setting.run(out.path(), &StopAfter::new(if always { question } else { i64::MAX }));
        }
        assert!(stops > 0);
        assert_same(
            &expected,
            &files(out.path()),
            &format!("stopped {stops} times at question {question}"),
        );
    }
}

/// What a killed process leaves: the files of any moment before, and half-written ones.
#[test]
fn leftovers_of_a_killed_run_do_no_harm() {
    let setting = Setting::new(phases(PHASES));
    let whole = tempfile::tempdir().expect("a folder");
    setting.run(whole.path(), &Quiet).expect("training");
    let out = tempfile::tempdir().expect("a folder");
    setting.run(out.path(), &StopAfter::new(9)).expect_err("stopped");
    let write = |name: &str, bytes: &[u8]| {
        let path = out.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    };
    write("checkpoints/step-000099.partial/generator.safetensors", b"half");
    write("checkpoints/step-000098/state.json", b"not named by latest");
    for name in ["metrics.jsonl", "samples.jsonl"] {
        let mut bytes = std::fs::read(out.path().join(name)).expect("a file");
        bytes.extend(b"{\"event\": \"half a li");
        write(name, &bytes);
    }
    setting.run(out.path(), &Quiet).expect("training");
    assert_same(&files(whole.path()), &files(out.path()), "after leftovers");
}

#[test]
fn threads_do_not_matter() {
    let setting = Setting::new(phases(PHASES));
    let run = |threads: usize| {
        let out = tempfile::tempdir().expect("a folder");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| setting.run(out.path(), &Quiet)).expect("training");
        files(out.path())
    };
    assert_same(&run(1), &run(2), "one and two threads");
}

/// Replicas with memory of their own, gates, controls, lagged policies, an alarm that looks at all replicas' accuracy.
#[test]
fn teams_do_not_matter() {
    let noiseless = |text: &str| {
        let mut setting = Setting::new(phases(text));
        setting.noise.dimension = 0;
        setting
    };
    let mut ratio = Setting::new(phases(RATIO));
    ratio.train.controls = vec![Control::Likelihood, Control::Distillation];
    let mut alarmed = Setting::new(phases(ALARMED));
    alarmed.train.log_every = 5;
    let settings = [
        Setting::new(phases(PHASES)),
        alarmed,
        others(),
        Setting::new(phases(PAPERS)),
        noiseless(SELF_PLAY),
        leakgan(),
        ratio,
        more_papers(),
        coded(PLAIN),
        coded(TILGAN),
    ];
    for mut setting in settings {
        setting.train.replicas = 3;
        let training =
            |outputs: Outputs<'_>, progress: &dyn Progress| setting.run(outputs, progress);
        trial::same_bytes_in_any_team(training, 3).expect("training");
    }
}

/// With replicas the gradient of a loss that is a mean over texts of one length is the mean of theirs, so that the weights
/// come to almost the same.
#[test]
fn replicas_come_to_almost_the_same_weights() {
    let weights = |replicas: usize| {
        let mut setting = Setting::new(phases(
            "[[phase]]\nkind = \"maximum-likelihood\"\nsteps = 3\nlearning_rate = 1e-3\nkeep = \"last\"\n",
        ));
        setting.noise.dimension = 0;
        let GeneratorConfig::Transformer(body) = &mut setting.generator else {
            panic!("a transformer")
        };
        body.dropout = 0.0;
        setting.train.replicas = replicas;
        // Parts of one size.
        setting.train.batch_size = 12;
        setting.rows.0.truncate(96);
        for rows in [&mut setting.rows.0, &mut setting.rows.1] {
            rows.iter_mut().for_each(|row| row.tokens.truncate(2));
        }
        let out = tempfile::tempdir().expect("a folder");
        setting.run(out.path(), &Quiet).expect("training");
        let model = textgan_models::load_generator(&out.path().join("model"), &Device::Cpu)
            .expect("a model");
        let weights = model.parameters().iter().flat_map(|(_, weights)| {
            weights.flatten_all().and_then(|weights| weights.to_vec1::<f32>()).expect("weights")
        });
        weights.collect::<Vec<f32>>()
    };
    let whole = weights(1);
    for replicas in [2, 4] {
        let parts = weights(replicas);
        let furthest = whole.iter().zip(&parts).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(furthest > 0.0 && furthest < 1e-4, "{replicas}: {furthest}");
    }
}

/// Whether a step is made may not depend on what a replica drew; and a team that is too large for the replicas is told.
#[test]
fn what_cannot_be_shared_out_is_refused() {
    let mut setting = Setting::new(phases(PHASES));
    let out = tempfile::tempdir().expect("a folder");
    let error = |setting: &Setting, size: usize| {
        let one = |team: Team| {
            let outputs = Outputs::from(out.path()).with_team(&team);
            setting.run(outputs, &Quiet).expect_err("a refusal").to_string()
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                Team::of_threads(size).into_iter().map(|team| scope.spawn(|| one(team))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
        })
    };
    for said in error(&setting, 2) {
        assert!(said.contains("2 processes") && said.contains("train.replicas"), "{said}");
    }
    setting.train.replicas = 17;
    assert!(error(&setting, 1)[0].contains("more than the 16 texts of a batch"));
    setting.train.replicas = 16;
    assert!(error(&setting, 1)[0].contains("leaves one"));
    setting.phases.truncate(1);
    assert!(error(&setting, 1)[0].contains("set train.replicas lower"));
}

#[test]
fn an_extended_run_is_the_longer_run() {
    let phase = |steps: u64| {
        phases(&format!(
            "[[phase]]\nkind = \"maximum-likelihood\"\nsteps = {steps}\nevaluation = {{ every = 5 }}\nkeep = \"last\"\noptimizer = {{ average = 0.9 }}\n"
        ))
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (short, long, straight) =
        (folder.path().join("short"), folder.path().join("long"), folder.path().join("straight"));
    Setting::new(phase(10)).run(&short, &Quiet).expect("training");
    extend(&short, &long).expect("a copy");
    let summary = Setting::new(phase(23)).run(&long, &Quiet).expect("more training");
    assert_eq!(summary.steps, 23);
    Setting::new(phase(23)).run(&straight, &Quiet).expect("training");
    assert_same(&files(&straight), &files(&long), "extended");

    // More phases can be added, too.
    let added = folder.path().join("added");
    extend(&short, &added).expect("a copy");
    let both = [phase(10), phases("[[phase]]\nkind = \"adversarial\"\nsteps = 2\n")].concat();
    let summary = Setting::new(both).run(&added, &Quiet).expect("more training");
    assert_eq!(summary.phases.iter().map(|phase| phase.steps).collect::<Vec<_>>(), [10, 2]);
    assert!(added.join("baseline/model.safetensors").exists());
}

/// Rounds until convergence, a language model that learns in its own phase and in the game, a gate,
/// lambda-returns, and all controls.
const RATIO: &str = r#"
    [[phase]]
    kind = "maximum-likelihood"
    steps = 5
    converge = { rounds = 1 }
    learning_rate = 1e-2
    latent = { rate = 0.5, prior_share = 0.25 }
    keep = "last"

    [[phase]]
    kind = "language-model"
    steps = 6
    prior_share = 0.25
    network = { kind = "lstm", embedding = 8, hidden = 16 }

    [[phase]]
    kind = "likelihood-ratio"
    steps = 6
    discriminator_learning_rate = 1e-3
    lambda = 0.5
    later = "expected"
    reference = 0.1
    replay = 0.3
    replay_size = 40
    gate = { auc = 0.3 }
    evaluation = { every = 2, samples = 20 }
    keep = "last"
"#;

/// A discriminator that begins as the generator and whose moments go on into the game; one of every word.
const OTHERS: &str = r#"
    [[phase]]
    kind = "discriminator"
    steps = 4
    begin_as_generator = true
    discriminator = { replay = 0.5 }

    [[phase]]
    kind = "adversarial"
    steps = 4
    evaluation = { samples = 20 }
    keep = "last"

    [[phase]]
    kind = "dense"
    steps = 4
    network = { kind = "lstm", embedding = 8, hidden = 16 }
    evaluation = { every = 2, samples = 20 }
    keep = "last"
"#;

fn others() -> Setting {
    let mut setting = Setting::new(phases(OTHERS));
    let GeneratorConfig::Transformer(body) = &setting.generator else { panic!("a transformer") };
    let causal = TransformerDiscriminatorConfig {
        embedding: EmbeddingConfig::Learned { width: body.width, std: 0.5 },
        layers: body.layers,
        heads: body.heads,
        feed_forward: body.feed_forward,
        ..Default::default()
    };
    setting.discriminator = Some(DiscriminatorConfig::Transformer(causal));
    setting
}

/// The alarm of a discriminator that has won rings between two lines of the log, and goes back.
const ALARMED: &str = r#"
    [[phase]]
    kind = "adversarial"
    steps = 9
    evaluation = { every = 2, samples = 20 }
    discriminator = { replay = 0.5 }
    alarms.discriminator_won = { accuracy_above = 0.01, for_evaluations = 2, action = "roll-back" }
    keep = "last"
"#;

#[test]
fn other_games_give_the_same_bytes_whatever_happens() {
    let setting = others();
    let training = |out: &std::path::Path, progress: &dyn textgan_artifact::Progress| {
        setting.run(out, progress)
    };
    trial::same_bytes_whatever_happens(training, 5).expect("training");
}

/// The algorithms of the papers that play with noise.
const PAPERS: &str = r#"
    [[phase]]
    kind = "tailr"
    steps = 4
    gamma = 0.1
    keep = "last"

    [[phase]]
    kind = "unlikelihood"
    steps = 3
    keep = "last"

    [[phase]]
    kind = "maligan"
    steps = 4
    discriminator = { replay = 0.3 }
    evaluation = { every = 2, samples = 20 }
    keep = "last"

    [[phase]]
    kind = "rankgan"
    steps = 4
    whiten = true
    gate = { auc = 0.1 }
    evaluation = { every = 2, samples = 20 }
    keep = "last"

    [[phase]]
    kind = "cot"
    steps = 4
    ahead = 1
    network = { kind = "lstm", embedding = 8, hidden = 16 }
    evaluation = { every = 2, samples = 20 }
    keep = "last"

    [[phase]]
    kind = "selfgan"
    steps = 3
    candidates = 2
    evaluation = { every = 2, samples = 20 }
    keep = "last"

    [[phase]]
    kind = "adversarial"
    steps = 3
    estimator = { kind = "taylor", baseline = "moving-average" }
    evaluation = { every = 2, samples = 20 }
    keep = "last"

    [[phase]]
    kind = "textgan"
    steps = 3
    temperature = { start = 1.0, end = 0.5 }
    evaluation = { every = 2, samples = 20 }
    keep = "last"

    [[phase]]
    kind = "textgail"
    steps = 3
    proximal = { epochs = 2, clip = 0.1 }
    evaluation = { every = 2, samples = 20 }
    keep = "last"

    [[phase]]
    kind = "pg-bleu"
    steps = 3
    references = 30
    keep = "last"
"#;

/// Those that compare likelihoods of real text, which a generator with noise does not know.
const SELF_PLAY: &str = r#"
    [[phase]]
    kind = "maximum-likelihood"
    steps = 3
    keep = "last"

    [[phase]]
    kind = "ddo"
    steps = 5
    round = 2
    keep = "last"

    [[phase]]
    kind = "spin"
    steps = 5
    round = 3
    keep = "last"
"#;

/// Those that weigh, choose or mix what they read, and a population.
const MORE_PAPERS: &str = r#"
    [[phase]]
    kind = "maximum-likelihood"
    steps = 3
    keep = "last"

    [[phase]]
    kind = "scheduled-sampling"
    steps = 3
    keep = "last"

    [[phase]]
    kind = "professor-forcing"
    steps = 4
    hidden = 8
    evaluation = { every = 2, samples = 20 }
    keep = "last"

    [[phase]]
    kind = "jsdgan"
    steps = 3
    keep = "last"

    [[phase]]
    kind = "coldgan"
    steps = 4
    evaluation = { every = 2, samples = 20 }
    keep = "last"

    [[phase]]
    kind = "araml"
    steps = 4
    evaluation = { every = 2, samples = 20 }
    keep = "last"

    [[phase]]
    kind = "catgan"
    mutations = ["hinge"]
    steps = 3
    evaluation = { every = 2, samples = 20 }
    keep = "last"

    [[phase]]
    kind = "maskgan"
    embedding = 6
    hidden = 8
    steps = 4
    evaluation = { every = 2, samples = 20 }
    keep = "last"

    [[phase]]
    kind = "sentigan"
    steps = 4
    evaluation = { every = 2, samples = 20 }
    keep = "last"
"#;

/// [`MORE_PAPERS`] on texts of three labels.
fn more_papers() -> Setting {
    let mut setting = Setting::new(phases(MORE_PAPERS));
    setting.noise.dimension = 0;
    setting.labels = ["one", "two", "three"].map(str::to_owned).to_vec();
    for rows in [&mut setting.rows.0, &mut setting.rows.1] {
        rows.iter_mut().for_each(|row| row.label = Some(row.tokens[0] - 4));
    }
    setting
}

/// A code of texts, and of noise; the second as TILGAN has it.
fn coded(keys: &str) -> Setting {
    let mut setting = Setting::new(phases(&format!(
        "[[phase]]\nkind = \"arae\"\nsteps = 6\ncritic_hidden = 8\ncritic_steps = 2\n{keys}\n\
         evaluation = {{ every = 3, samples = 20 }}\nkeep = \"last\"\n"
    )));
    setting.noise.code = Some(CodeConfig { width: 6, hidden: 8, layers: 1 });
    setting.discriminator = None;
    setting
}

const PLAIN: &str = "encoder = { kind = \"rnn\", hidden = 8 }";
const TILGAN: &str = "encoder = { kind = \"transformer\", layers = 1, heads = 2 }\nparts = 3\nwindow = 2\n\
                      enhancement = 0.1\ndivergence = \"forward-kullback-leibler\"";

/// Two generators, whose children take each other's places, and the same blind.
fn population() -> Setting {
    let game = "kind = \"catgan\"\nparents = 2\nsteps = 5\nlearning_rate = 1e-2\nevaluation = { every = 2, samples = 20 }\nkeep = \"last\"\n";
    let first = "[[phase]]\nkind = \"maximum-likelihood\"\nsteps = 3\nkeep = \"last\"\n";
    let mut setting =
        Setting::new(phases(&format!("{first}\n[[phase]]\n{game}\n[[phase]]\n{game}")));
    setting.train.controls = vec![Control::Blind];
    setting
}

/// A game against a network of its own, and the same blind.
fn masked() -> Setting {
    let text = "[[phase]]\nkind = \"maximum-likelihood\"\nsteps = 3\nkeep = \"last\"\n\n\
                [[phase]]\nkind = \"maskgan\"\nembedding = 6\nhidden = 8\nsteps = 5\nlearning_rate = 1e-2\nkeep = \"last\"\n";
    let mut setting = Setting::new(phases(text));
    setting.discriminator = None;
    setting.train.controls = vec![Control::Blind];
    setting
}

/// Controls that are asked for later are those that were asked for at once, and the model stays what the game made; so it
/// does when phases with networks of their own come before them.
#[test]
fn a_run_that_is_extended_by_controls_keeps_its_model() {
    const GAME: &str = r#"
        [[phase]]
        kind = "maximum-likelihood"
        steps = 6
        keep = "last"

        [[phase]]
        kind = "adversarial"
        steps = 4
        learning_rate = 1e-2
        evaluation = { every = 0 }
        keep = "last"
    "#;
    const DENSE: &str = r#"
        [[phase]]
        kind = "dense"
        steps = 3
        network = { kind = "lstm", embedding = 8, hidden = 16 }
        evaluation = { every = 0 }
        keep = "last"
    "#;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let controlled = |text: &str| {
        let mut setting = Setting::new(phases(text));
        setting.train.controls = vec![Control::Likelihood, Control::Blind];
        setting
    };
    let game = Setting::new(phases(GAME));
    game.run(&path("short"), &Quiet).expect("training");
    extend(&path("short"), &path("long")).expect("a copy");
    controlled(GAME).run(&path("long"), &Quiet).expect("controls");
    controlled(GAME).run(&path("straight"), &Quiet).expect("training");
    // A checkpoint of the way knows of the phases that there were.
    let published = |name: &str| {
        let mut files = files(&path(name));
        files.retain(|file, _| !file.starts_with("checkpoints/"));
        files
    };
    assert_same(&published("straight"), &published("long"), "extended by controls");
    let model =
        |name: &str| std::fs::read(path(name).join("model/model.safetensors")).expect("weights");
    assert_eq!(model("short"), model("long"));

    // Without its controls it is what it was, and nothing is trained for that.
    extend(&path("long"), &path("without")).expect("a copy");
    game.run(&path("without"), &Quiet).expect("nothing to train");
    assert_same(&published("short"), &published("without"), "without controls");
    // What is trained is not trained again, nor made shorter or otherwise.
    for (place, (from, to, name)) in [
        ("steps = 4", "steps = 3", "phase.1.steps was 4 and is now 3"),
        ("steps = 6", "steps = 7", "phase.0.steps was 6 and is now 7"),
        ("learning_rate = 1e-2", "learning_rate = 1e-3", "phase.1.learning_rate"),
    ]
    .into_iter()
    .enumerate()
    {
        let out = path(&format!("refused-{place}"));
        extend(&path("long"), &out).expect("a copy");
        let other = Setting::new(phases(&GAME.replace(from, to)));
        let error = other.run(&out, &Quiet).expect_err("a refusal").to_string();
        assert!(error.contains(name), "{error}");
    }
    let error = {
        let out = path("fewer");
        extend(&path("long"), &out).expect("a copy");
        let fewer = Setting::new(phases(GAME.split("\n\n").next().expect("a phase")));
        fewer.run(&out, &Quiet).expect_err("a refusal").to_string()
    };
    assert!(error.contains("and now there are 1"), "{error}");

    let more = [GAME, DENSE].concat();
    extend(&path("short"), &path("more")).expect("a copy");
    controlled(&more).run(&path("more"), &Quiet).expect("a phase more, and controls");
    assert!(model("more") != model("short"));
    assert!(path("more/controls/blind").is_dir());
}

/// A game that pulls its generator to a copy of what it began with where it is blind, and elsewhere where it is not.
#[derive(serde::Serialize)]
struct Copied;

impl Objective for Copied {
    fn kind(&self) -> &'static str {
        "copied"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn opponent(&self) -> Opponent {
        Opponent::Own
    }

    fn check(&self, _: &Plan<'_>) -> Result<(), String> {
        Ok(())
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: 1e-2, updates: 1 })
    }

    fn begin(&self, networks: &mut Networks<'_>) -> textgan_train::Result<Box<dyn Algorithm>> {
        let copy = networks.lagged("copy")?.parameters().clone();
        let blind = networks.is_blind();
        Ok(Box::new(Copying { weights: networks.generator().parameters().clone(), copy, blind }))
    }
}

struct Copying {
    weights: Parameters,
    copy: Parameters,
    blind: bool,
}

impl Algorithm for Copying {
    fn learners(&self) -> Vec<Learner> {
        let optimizer = OptimizerConfig::default();
        vec![Learner::new("generator", self.weights.clone(), &optimizer, 1e-2, Rows::Generator)]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> textgan_train::Result<()> {
        let update = step.update("generator")?;
        let mut value = Tensor::new(0f32, &Device::Cpu)?;
        for ((_, variable), (_, copy)) in self.weights.iter().zip(self.copy.iter()) {
            let apart = match self.blind {
                true => (variable.as_tensor() - copy.as_detached_tensor())?,
                false => variable.as_tensor().affine(1.0, -1.0)?,
            };
            value = (value + apart.sqr()?.sum_all()?)?;
        }
        step.descend(update, Loss::new(value, Vec::new()))
    }
}

/// What a control copies is the baseline, not what the game has made of the generator.
#[test]
fn a_control_copies_the_baseline() {
    #[derive(serde::Serialize)]
    enum Own {
        First(MaximumLikelihood),
        Game(Copied),
    }
    impl OneOf for Own {
        fn chosen(&self) -> &dyn Objective {
            match self {
                Self::First(objective) => objective,
                Self::Game(objective) => objective,
            }
        }
    }
    let mut setting = Setting::new(phases(PAPERS));
    setting.train.controls = vec![Control::Blind];
    let mut own = [
        Phase::<Own>::of_steps(3, Own::First(MaximumLikelihood::default())),
        Phase::<Own>::of_steps(3, Own::Game(Copied)),
    ];
    own.iter_mut().for_each(|phase| phase.settings.keep = Keep::Last);
    let out = tempfile::tempdir().expect("a folder");
    setting.run_phases(&own, out.path(), &Quiet).expect("training");
    let weights = |folder: &str| {
        std::fs::read(out.path().join(folder).join("model.safetensors")).expect("weights")
    };
    assert!(weights("model") != weights("baseline"));
    assert_eq!(weights("controls/blind"), weights("baseline"));
}

/// The generator of a game with a discriminator or a population of its own moves where it is blind, and comes
/// elsewhere.
#[test]
fn games_with_networks_of_their_own_are_played_blind() {
    for setting in [population(), masked()] {
        let out = tempfile::tempdir().expect("a folder");
        let summary = setting.run(out.path(), &Quiet).expect("training");
        assert_eq!(summary.phases.last().expect("a phase").control.as_deref(), Some("blind"));
        let weights = ["baseline", "model", "controls/blind"].map(|folder| {
            std::fs::read(out.path().join(folder).join("model.safetensors")).expect("weights")
        });
        assert!(weights[2] != weights[0] && weights[2] != weights[1]);
    }
}

#[test]
fn the_papers_algorithms_give_the_same_bytes_whatever_happens() {
    let mut settings = vec![more_papers(), coded(PLAIN), coded(TILGAN), population(), masked()];
    for (text, dimension) in [(PAPERS, 4), (SELF_PLAY, 0)] {
        let mut setting = Setting::new(phases(text));
        setting.noise.dimension = dimension;
        settings.push(setting);
    }
    for setting in settings {
        let training = |out: &std::path::Path, progress: &dyn textgan_artifact::Progress| {
            setting.run(out, progress)
        };
        trial::same_bytes_whatever_happens(training, 5).expect("training");
    }
    let with_noise = Setting::new(phases(SELF_PLAY));
    let out = tempfile::tempdir().expect("a folder");
    let error = with_noise.run(out.path(), &Quiet).expect_err("a refusal");
    assert!(error.to_string().contains("noise.dimension = 0"), "{error}");
}

/// A population's places are the model and others that differ from it, each a child of what stood somewhere before; one
/// whose loss is multiplied by nothing stays what it was.
#[test]
fn a_population_is_of_its_own_children() {
    let weights = |weight: f32, parents: usize| {
        let setting = Setting::new(phases(&format!(
            "[[phase]]\nkind = \"catgan\"\nparents = {parents}\nweight = {weight}\nsteps = 3\nlearning_rate = 1e-2\n\
             evaluation = {{ every = 0 }}\nkeep = \"last\"\n"
        )));
        // A checkpoint after two of the three steps has all of the population.
        let stopped = (1..40).find_map(|question| {
            let out = tempfile::tempdir().expect("a folder");
            let stopped = setting.run(out.path(), &StopAfter::new(question)).is_err();
            let files = files(out.path());
            let there = files.keys().any(|path| path.contains("step-000002"));
            (stopped && there).then_some(files)
        });
        let stopped = stopped.expect("a checkpoint of the second step");
        let of = |network: &str| {
            let name = format!("{network}.safetensors");
            let mut found = stopped.iter().filter(|(path, _)| path.contains("step-000002"));
            found.find(|(path, _)| path.ends_with(&name)).map(|(_, bytes)| bytes.clone())
        };
        (of("/generator"), of("/parent-2"), of("/parent-3"))
    };
    let (model, second, third) = weights(1.0, 3);
    assert!(model.is_some() && second.is_some() && third.is_some());
    assert!(model != second && model != third && second != third);
    let (model, second, _) = weights(0.0, 2);
    assert!(model.is_some() && model == second);
    assert_eq!(weights(1.0, 1).1, None);
    assert_ne!(weights(1.0, 1).0, model);
}

/// LeakGAN's turns, before and after the gate that it passes, and a game that is blind.
const LEAKGAN: &str = r#"
    [[phase]]
    kind = "leakgan"
    likelihood_share = 1.0
    steps = 3
    keep = "last"

    [[phase]]
    kind = "maximum-likelihood"
    steps = 3
    optimizer = { average = 0.5 }
    keep = "last"

    [[phase]]
    kind = "leakgan"
    steps = 5
    cycle = 2
    likelihood_share = 0.5
    rollouts = 2
    gate = { auc = 0.1 }
    evaluation = { every = 2, samples = 20 }
    keep = "last"
"#;

fn leak() -> CnnDiscriminatorConfig {
    CnnDiscriminatorConfig { filters: vec![(1, 4), (2, 4)], ..Default::default() }
}

fn leakgan() -> Setting {
    let mut setting = Setting::new(phases(LEAKGAN));
    setting.generator = GeneratorConfig::Leak(LeakConfig { leak: leak(), ..Default::default() });
    setting.discriminator = Some(DiscriminatorConfig::Cnn(leak()));
    setting.train.controls = vec![Control::Likelihood, Control::Blind];
    setting
}

#[test]
fn leakgan_gives_the_same_bytes_whatever_happens() {
    let leak = leak();
    let mut setting = leakgan();
    let training = |out: &std::path::Path, progress: &dyn textgan_artifact::Progress| {
        setting.run(out, progress)
    };
    trial::same_bytes_whatever_happens(training, 5).expect("training");
    setting.discriminator = Some(DiscriminatorConfig::default());
    let out = tempfile::tempdir().expect("a folder");
    let error = setting.run(out.path(), &Quiet).expect_err("a refusal");
    assert!(error.to_string().contains("kind = \"leak\""), "{error}");
    // Nor is a game taken whose discriminator the generator was never told.
    let mut setting = Setting::new(phases(LEAKGAN)[1..].to_vec());
    setting.generator =
        GeneratorConfig::Leak(LeakConfig { leak: leak.clone(), ..Default::default() });
    setting.discriminator = Some(DiscriminatorConfig::Cnn(leak));
    let error = setting.run(out.path(), &Quiet).expect_err("a refusal");
    assert!(error.to_string().contains("likelihood_share = 1.0 before"), "{error}");
}

#[test]
fn the_ratio_game_and_its_controls_give_the_same_bytes_whatever_happens() {
    let mut setting = Setting::new(phases(RATIO));
    setting.train.controls =
        vec![Control::Likelihood, Control::LongLikelihood, Control::Distillation];
    setting.train.long_likelihood = 2;
    let training = |out: &std::path::Path, progress: &dyn textgan_artifact::Progress| {
        setting.run(out, progress)
    };
    trial::same_bytes_whatever_happens(training, 5).expect("training");

    let out = tempfile::tempdir().expect("a folder");
    let summary = setting.run(out.path(), &Quiet).expect("training");
    let controls: Vec<Option<&str>> =
        summary.phases.iter().map(|phase| phase.control.as_deref()).collect();
    let expected =
        [None, None, None, Some("likelihood"), Some("likelihood-2x"), Some("distillation")];
    assert_eq!(controls, expected);
    let updates: Vec<u64> =
        summary.phases[2..].iter().map(|phase| phase.updates["generator"]).collect();
    assert_eq!(updates, [6, 6, 12, 6]);
    // Each begins where the game did, and ends elsewhere; the model is the game's.
    let weights = |folder: &str| {
        std::fs::read(out.path().join(folder).join("model.safetensors")).expect("weights")
    };
    let folders = [
        "baseline",
        "model",
        "controls/likelihood",
        "controls/likelihood-2x",
        "controls/distillation",
    ];
    for (place, folder) in folders.iter().enumerate() {
        for other in &folders[place + 1..] {
            assert!(weights(folder) != weights(other), "{folder} is {other}");
        }
    }
    assert!(out.path().join("language-model/model.safetensors").exists());
}

/// The same game without what its discriminator knows changes neither the model nor the discriminator of the run,
/// begins where the game did and ends elsewhere.
#[test]
fn a_game_against_a_discriminator_that_knows_nothing_is_a_control() {
    const GAME: &str = r#"
        [[phase]]
        kind = "maximum-likelihood"
        steps = 6
        learning_rate = 1e-2
        keep = "last"

        [[phase]]
        kind = "discriminator"
        steps = 6
        learning_rate = 1e-2

        [[phase]]
        kind = "adversarial"
        steps = 6
        learning_rate = 1e-2
        keep = "last"
    "#;
    let mut setting = Setting::new(phases(GAME));
    let plain = tempfile::tempdir().expect("a folder");
    setting.run(plain.path(), &Quiet).expect("training");
    setting.train.controls = vec![Control::Blind];
    let training = |out: &std::path::Path, progress: &dyn textgan_artifact::Progress| {
        setting.run(out, progress)
    };
    trial::same_bytes_whatever_happens(training, 5).expect("training");

    let out = tempfile::tempdir().expect("a folder");
    let summary = setting.run(out.path(), &Quiet).expect("training");
    let last = summary.phases.last().expect("a phase");
    assert_eq!((last.control.as_deref(), last.steps), (Some("blind"), 6));
    let weights = |root: &std::path::Path, folder: &str| {
        std::fs::read(root.join(folder).join("model.safetensors")).expect("weights")
    };
    for folder in ["model", "baseline", "discriminator"] {
        assert_eq!(weights(out.path(), folder), weights(plain.path(), folder), "{folder}");
    }
    let blind = weights(out.path(), "controls/blind");
    assert!(blind != weights(out.path(), "model") && blind != weights(out.path(), "baseline"));
}
