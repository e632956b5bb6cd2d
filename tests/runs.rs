//! Runs: the same bits, and only what changed.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::program::Program;

const PIPELINE: [&str; 5] = ["pipeline", "--config", "tiny.toml", "--run", "run"];

fn ran(stderr: &str) -> Vec<&str> {
    let stages = ["ingest", "tokenize", "train", "evaluate", "generate", "report"];
    stages
        .into_iter()
        .filter(|stage| stderr.lines().any(|line| line.starts_with(&format!("{stage}: done"))))
        .collect()
}

#[test]
fn a_run_is_made_once_and_then_only_what_changed() {
    let program = Program::new();
    let first = program.succeeds(&PIPELINE);
    let all = ["ingest", "tokenize", "train", "evaluate", "generate", "report"];
    assert_eq!(ran(&first.stderr), all, "{}", first.stderr);
    for file in [
        "config.toml",
        "ingest/stats.json",
        "tokenize/tokenizer.json",
        "train/model/model.safetensors",
        "train/baseline/config.json",
        "train/metrics.jsonl",
        "generate/samples.txt",
        "evaluate/evaluation.json",
        "report/report.html",
    ] {
        assert!(program.path("run").join(file).is_file(), "{file}");
    }
    let made = program.manifests("run");

    let begin = Instant::now();
    let second = program.succeeds(&PIPELINE);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert!(second.stderr.contains("nothing to do"), "{}", second.stderr);
    assert_eq!(ran(&second.stderr), [""; 0]);
    assert_eq!(program.manifests("run"), made);

    let faster = [&PIPELINE[..], &["--set", "phase.0.learning_rate=2e-3"]].concat();
    let third = program.succeeds(&faster);
    assert_eq!(ran(&third.stderr), &all[2..], "{}", third.stderr);

    // Back again: the same bits as at first, whatever happened between.
    program.succeeds(&PIPELINE);
    assert_eq!(program.manifests("run"), made);

    // One thread, another folder: the same bits.
    program.succeeds(&["pipeline", "--config", "tiny.toml", "--run", "other", "--threads", "1"]);
    for (ours, theirs) in made.iter().zip(program.manifests("other")) {
        assert_eq!(ours.1, theirs.1, "{}", ours.0);
    }

    // The run's own config makes the same run.
    let own = program.succeeds(&["pipeline", "--config", "run/config.toml"]);
    assert!(program.path("runs/run").exists(), "{}", own.stderr);

    let shown = program.succeeds(&["show", "run"]).stdout;
    assert!(shown.contains("train") && shown.contains("bleu-4"), "{shown}");
    let listed = program.succeeds(&["list", "."]).stdout;
    assert!(listed.contains("run") && listed.contains("other"), "{listed}");

    let texts = program.succeeds(&["generate", "--run", "run", "-n", "3"]).stdout;
    let stage = fs::read_to_string(program.path("run/generate/samples.txt")).unwrap();
    assert_eq!(texts.lines().collect::<Vec<_>>(), stage.lines().take(3).collect::<Vec<_>>());
    // They are the texts that were scored, and that the report shows.
    let evaluation = fs::read(program.path("run/evaluate/evaluation.json")).unwrap();
    let evaluation: serde_json::Value = serde_json::from_slice(&evaluation).unwrap();
    let shown: Vec<&str> = evaluation["texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text["model"].as_str().unwrap())
        .collect();
    let published: Vec<&str> = stage.lines().collect();
    let both = shown.len().min(published.len());
    assert!(both >= 3 && shown[..both] == published[..both], "{shown:?} {published:?}");
    // An earlier state of the generator writes too.
    let wrong = program.run(&["generate", "--run", "run", "--step", "77777"]);
    assert_eq!(wrong.code, Some(2));
    let steps = wrong
        .error()
        .split("there are ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .trim_end_matches(',')
        .to_owned();
    program.succeeds(&["generate", "--run", "run", "--step", &steps, "-n", "2"]);
    let walk = ["generate", "--model", "run/train/model", "--interpolate", "0", "1", "--json"];
    assert_eq!(program.succeeds(&walk).stdout.lines().count(), 9);

    // For other tools: every number of the metrics in a row, and the published texts.
    program.succeeds(&["export", "--run", "run", "--to", "shared/out"]);
    let csv = fs::read_to_string(program.path("shared/out/metrics.csv")).unwrap();
    let metrics = fs::read_to_string(program.path("run/train/metrics.jsonl")).unwrap();
    let numbers = |line: &str| -> usize {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["values"].as_object().unwrap().len()
    };
    assert_eq!(csv.lines().count(), 1 + metrics.lines().map(numbers).sum::<usize>());
    assert!(csv.lines().skip(1).all(|line| line.split(',').count() == 7), "{csv}");
    let card = fs::read_to_string(program.path("shared/out/dataset/README.md")).unwrap();
    assert!(card.contains(&format!("{} texts that a generator wrote", stage.lines().count())));
    assert!(program.path("shared/out/dataset/train.parquet").is_file());
    assert_eq!(program.names("shared"), ["out"], "no draft is left");
    assert_eq!(program.run(&["export", "--run", "run", "--to", "shared/out"]).code, Some(2));
    assert!(program.succeeds(&["completions", "bash"]).stdout.contains("--interpolate"));

    for (page, address, holds) in
        [("play", "api/model", "\"step-2\""), ("watch", "", "What was trained on what?")]
    {
        let answer = served(&program, page, address);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(holds), "{page}: {answer}");
    }

    // A manifest whose file was changed.
    fs::write(program.path("run/ingest/stats.json"), "{}").unwrap();
    let changed = program.run(&PIPELINE);
    assert_eq!(changed.code, Some(1));
    let error = changed.error();
    assert!(error.contains("run/ingest/stats.json was changed"), "{error}");
    assert!(error.contains("--from ingest"), "{error}");
    program.succeeds(&[&PIPELINE[..], &["--from", "ingest"]].concat());
    assert_eq!(program.manifests("run"), made);
}

#[test]
fn a_stage_alone_says_what_it_needs() {
    let program = Program::new();
    let tokenize = ["tokenize", "--config", "tiny.toml", "--run", "run"];
    let said = program.run(&tokenize);
    assert_eq!(said.code, Some(2));
    assert!(!program.path("run").exists(), "it came to nothing");
    // Nor is a config left in a folder that was there.
    fs::create_dir(program.path("run")).unwrap();
    assert_eq!(program.run(&tokenize).code, Some(2));
    assert!(!program.path("run/config.toml").exists());
    assert!(said.error().contains("pipeline --until ingest"), "{said:?}");
    program.succeeds(&["ingest", "--config", "tiny.toml", "--run", "run"]);
    let done = program.succeeds(&tokenize);
    assert_eq!(ran(&done.stderr), ["tokenize"]);
}

#[test]
fn a_finished_training_can_be_extended() {
    let program = Program::new();
    program.succeeds(&[&PIPELINE[..], &["--until", "train"]].concat());
    let longer = [&PIPELINE[..], &["--until", "train", "--set", "phase.2.steps=4"]].concat();
    let said = program.succeeds(&[&longer[..], &["--extend"]].concat());
    assert!(said.stderr.contains("going on from what is finished"), "{}", said.stderr);
    let summary = fs::read_to_string(program.path("run/train/summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["steps"], 12, "{summary}");
}

/// The built-in experiment's first phase, shortened, in both precisions of products.
#[test]
fn bf16_trains_the_quickstart_as_well_as_f32() {
    let program = Program::new();
    let loss = |precision: &str| {
        let run = format!("run-{precision}");
        let precision = format!("train.precision={precision}");
        let phases = "phase=[{ kind = 'maximum-likelihood', steps = 500, learning_rate = 3e-3, \
                      schedule = { warmup_steps = 50, decay = 'cosine', final_fraction = 0.02 } }]";
        let sets = ["--set", precision.as_str(), "--set", phases];
        program.succeeds(
            &[&["pipeline", "--until", "train", "--run", run.as_str()], &sets[..]].concat(),
        );
        let summary = fs::read_to_string(program.path(&run).join("train/summary.json")).unwrap();
        let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
        summary["phases"][0]["evaluation"]["validation_loss"].as_f64().unwrap()
    };
    let (exact, rounded) = (loss("f32"), loss("bf16"));
    assert_ne!(exact, rounded, "bf16 changed nothing");
    assert!((rounded / exact - 1.0).abs() < 0.01, "{rounded} nats a token, {exact} in f32");
}

/// What a claim must beat is trained, decoded, and stands in the verdict beside the baseline.
#[test]
fn controls_are_rivals_in_the_verdict() {
    let program = Program::new();
    let sets = [
        "train.controls=['likelihood', 'long-likelihood']",
        "evaluate.controls=['rejection', 'truncation']",
        "evaluate.sweep=[0.7, 1.0, 1.3]",
        "evaluate.verdict=[{ quality = 'bleu-4', diversity = 'distinct-2' }]",
    ];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", *set]).collect();
    program.succeeds(&[&PIPELINE[..], &sets].concat());
    let evaluation = fs::read_to_string(program.path("run/evaluate/evaluation.json")).unwrap();
    let evaluation: serde_json::Value = serde_json::from_str(&evaluation).unwrap();
    let names = |list: &serde_json::Value| -> Vec<String> {
        let all = list.as_array().unwrap().iter();
        all.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    let controls = ["likelihood", "likelihood-4x", "rejection", "truncation"];
    assert_eq!(names(&evaluation["controls"]), controls);
    let rivals = names(&evaluation["judgement"]["findings"][0]["rivals"]);
    assert!(
        rivals[0] == "temperature" && rivals[1..].iter().all(|name| controls.contains(&&**name))
    );
    // What is decoded otherwise is other text, of the model too.
    for control in &evaluation["controls"].as_array().unwrap()[2..] {
        assert_ne!(control["sweep"]["measures"], control["model"]["measures"]);
        assert_ne!(control["sweep"]["parameter"], "temperature");
    }
}

/// With the feature `encoder`, which `cargo xtask test` has.
#[cfg(feature = "encoder")]
#[test]
fn an_encoder_measures_a_run() {
    let program = Program::new();
    let folder =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/textgan-evaluate/tests/encoder").to_owned();
    let encoder = format!("evaluate.encoder={folder}");
    program.succeeds(&[&PIPELINE[..], &["--set", encoder.as_str()]].concat());
    let evaluation = fs::read_to_string(program.path("run/evaluate/evaluation.json")).unwrap();
    assert!(evaluation.contains("bert-16-"), "{evaluation}");
    assert!(!evaluation.contains("hashed-ngram"), "{evaluation}");
}

/// What a page of the run answers at an address, over the network; the server is ended with it.
fn served(program: &Program, page: &str, address: &str) -> String {
    let mut child = program
        .command(&[page, "--run", "run", "--port", "0"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let place = said.split("http://").nth(1).and_then(|rest| rest.split('/').next());
    let place = place.unwrap_or_else(|| panic!("{page} names no address: {said}"));
    let mut stream = TcpStream::connect(place).unwrap();
    let request = format!("GET /{address} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    answer
}

/// What TensorBoard shows lies beside the stages, since the clock is in it; of a training that another config begins anew
/// it shows no more, and loses nothing.
#[test]
fn tensorboard_is_beside_the_stages() {
    let program = Program::new();
    let train = ["pipeline", "--config", "tiny.toml", "--run", "run", "--until", "train"];
    program.succeeds(&train);
    let begins = |names: &[String]| -> Vec<String> {
        names.iter().filter_map(|name| Some(name.split('.').next()?.to_owned())).collect()
    };
    assert_eq!(begins(&program.names("run/tensorboard")), ["events"]);
    let manifest = fs::read_to_string(program.path("run/train/manifest.json")).unwrap();
    assert!(!manifest.contains("tfevents"));
    program.succeeds(&train);
    assert_eq!(begins(&program.names("run/tensorboard")), ["events"], "nothing was trained");
    program.succeeds(&[&train[..], &["--set", "train.batch_size=8"]].concat());
    assert_eq!(begins(&program.names("run/tensorboard")), ["earlier", "events"]);
}

/// Several processes that cannot reach each other would fight for the folder.
#[test]
#[cfg(not(feature = "mpi"))]
fn processes_without_mpi_are_refused() {
    let program = Program::new();
    let refused = program
        .command(&PIPELINE)
        .env("OMPI_COMM_WORLD_SIZE", "2")
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("2 processes") && said.contains("--features mpi"), "{said}");
    assert!(!program.path("run").exists());
}

/// Nor do they each do all of what is not shared out; the first alone says so.
#[test]
fn processes_that_would_repeat_each_other_are_refused() {
    let program = Program::new();
    let as_rank = |rank: &str| {
        let mut command = program.command(&["list"]);
        command.env("OMPI_COMM_WORLD_SIZE", "2").env("OMPI_COMM_WORLD_RANK", rank);
        let refused = command.output().expect("the program runs");
        (refused.status.code(), String::from_utf8_lossy(&refused.stderr).into_owned())
    };
    let (code, said) = as_rank("0");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("2 processes") && said.contains("start one"), "{said}");
    let (code, said) = as_rank("1");
    assert_eq!((code, said.as_str()), (Some(1), ""));
}
