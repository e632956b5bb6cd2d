//! `sweep`: settings over seeds, made once each, killed and gone on with, in one table.

use serde_json::Value;
use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Instant;

use crate::program::{Program, Said, is_tidy};

/// Two settings of the evaluation, so that both need the same training of each seed.
const SWEEP: &str = r#"
config = "tiny.toml"
seeds = [1, 2]
set = { "evaluate.samples" = 32, "evaluate.batches" = 4 }
measures = ["test-nll", "distinct-2"]

[grid]
"evaluate.sweep" = [[0.05, 0.2, 0.6, 2.0], []]
"#;

const RUNS: [&str; 4] =
    ["sweep=#1/seed-1", "sweep=#1/seed-2", "sweep=#2/seed-1", "sweep=#2/seed-2"];

fn with(sweep: &str) -> Program {
    let program = Program::new();
    program.write("s.toml", sweep);
    program
}

fn table(program: &Program) -> String {
    fs::read_to_string(program.path("runs/s/sweep.json")).unwrap()
}

/// How often something happened to a stage, over the logs of these runs.
fn count(program: &Program, stage: &str, event: &str) -> usize {
    let logs = RUNS.iter().map(|run| program.path("runs/s").join(run).join("log.jsonl"));
    let lines: String = logs.map(|log| fs::read_to_string(log).unwrap()).collect();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["stage"] == stage && line["event"] == event).count()
}

#[test]
fn equal_stages_are_made_once_and_a_killed_sweep_ends_in_the_same_table() {
    let undisturbed = with(SWEEP);
    let begin = Instant::now();
    let said = undisturbed.succeeds(&["sweep", "s.toml", "--json"]);
    let whole = begin.elapsed();
    let expect = table(&undisturbed);
    assert_eq!(said.stdout, expect);

    for (stage, made) in [("ingest", 1), ("tokenize", 1), ("train", 2), ("evaluate", 4)] {
        assert_eq!(count(&undisturbed, stage, "end"), made, "{stage}");
        assert_eq!(count(&undisturbed, stage, "taken"), 4 - made, "{stage}");
    }
    // A run of a sweep is a run like any other.
    let settings = ["seed=2", "corpus.seed=3", "evaluate.samples=32", "evaluate.batches=4"];
    let mut pipeline = vec!["pipeline", "--config", "tiny.toml", "--run", "alone"];
    settings.iter().for_each(|setting| pipeline.extend(["--set", setting]));
    undisturbed.succeeds(&pipeline);
    let (ours, alone) =
        (undisturbed.manifests("runs/s/sweep=#2/seed-2"), undisturbed.manifests("alone"));
    // The report has the title of the sweep.
    for (ours, alone) in ours.iter().zip(&alone).filter(|(ours, _)| ours.0 != "report") {
        assert_eq!(ours, alone);
    }

    let program = with(SWEEP);
    // Moments spread over it, with other numbers of runs at once.
    for (part, jobs) in [(0.1, "1"), (0.3, "3"), (0.5, "2"), (0.5, "1"), (0.3, "4")] {
        let mut child = program
            .command(&["sweep", "s.toml", "--jobs", jobs])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        sleep(whole.mul_f64(part));
        let _ = child.kill();
        child.wait().unwrap();
    }
    program.succeeds(&["sweep", "s.toml", "--jobs", "2"]);
    assert_eq!(table(&program), expect);
    for run in RUNS {
        let run = format!("runs/s/{run}");
        assert_eq!(program.manifests(&run), undisturbed.manifests(&run), "{run}");
        assert!(is_tidy(&program.path(&run)), "{:?}", program.names(&run));
    }

    // Once more, and nothing happens.
    let begun = count(&program, "train", "begin");
    let again = program.succeeds(&["sweep", "s.toml"]);
    assert_eq!(again.stderr.matches("up to date").count(), 4, "{}", again.stderr);
    assert_eq!((count(&program, "train", "begin"), table(&program)), (begun, expect));
    let left = program.succeeds(&["sweep", "s.toml", "--dry-run"]).stdout;
    assert!(left.contains("4 runs, 4 of them up to date"), "{left}");
}

#[test]
fn the_table_has_means_over_seeds_and_the_verdict() {
    let program = with(SWEEP);
    let left = program.succeeds(&["sweep", "s.toml", "--dry-run"]).stdout;
    assert!(left.contains("sweep=#1/seed-2  left: ingest, tokenize, train"), "{left}");
    assert!(!program.path("runs").exists());

    let said = program.succeeds(&["sweep", "s.toml", "--json", "--jobs", "2"]);
    let table: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(table["sweep"]["seeds"], serde_json::json!([1, 2]));
    let [curves, plain] = [&table["cells"][0], &table["cells"][1]];
    assert_eq!((&curves["name"], &plain["name"]), (&"sweep=#1".into(), &"sweep=#2".into()));
    assert_eq!(curves["runs"][1]["folder"], RUNS[1]);
    let measure = &curves["measures"][0];
    assert_eq!((&measure["name"], &measure["better"]), (&"test-nll".into(), &"lower".into()));
    for side in ["model", "baseline", "difference"] {
        let values: Vec<f64> = serde_json::from_value(measure[side]["values"].clone()).unwrap();
        let [low, high]: [f64; 2] =
            serde_json::from_value(measure[side]["interval"].clone()).unwrap();
        let mean = measure[side]["mean"].as_f64().unwrap();
        assert!((mean - (values[0] + values[1]) / 2.0).abs() < 1e-12, "{measure}");
        assert!(low < mean && mean < high, "{measure}");
    }
    // The verdict is that of `compare`.
    let runs = ["compare", "runs/s/sweep=#1/seed-1", "runs/s/sweep=#1/seed-2", "--json"];
    let compared: Value = serde_json::from_str(&program.succeeds(&runs).stdout).unwrap();
    assert_eq!(curves["verdict"]["places"], compared["places"]);
    assert_eq!(curves["verdict"]["repeated"][0], "2 training seeds, at 8 samples a batch");
    assert!(plain["no_verdict"].as_str().unwrap().contains("set `evaluate.sweep`"), "{plain}");
    // For people: a line for each side, and the sentence.
    let difference =
        said.stderr.lines().find(|line| line.trim_start().starts_with("difference")).unwrap();
    assert_eq!(difference.matches('[').count(), 2, "{}", said.stderr);
    assert!(said.stderr.contains("sweep=#1 and their own maximum-likelihood"), "{}", said.stderr);
}

/// A benchmark: algorithms with configs of their own, beside a baseline and published figures.
#[test]
fn cells_may_have_configs_of_their_own() {
    let program = with(
        r#"
config = "alone.toml"
measures = ["test-nll", "distinct-2"]
baseline = "likelihood"
protocol = "Published: a paper."

[[cell]]
name = "likelihood"
published = { "test-nll" = 3.25 }

[[cell]]
name = "longer"
set = { "phase.0.steps" = 8 }

[[cell]]
name = "game"
config = "curves.toml"
published = { "test-nll" = 2.5 }
"#,
    );
    let curves = "[evaluate]\nsweep = [0.2, 0.6, 1.0]\nsamples = 32\nbatches = 4\n";
    let alone = "phase = [{ kind = 'maximum-likelihood', steps = 6 }]\n";
    program.write("alone.toml", format!("extends = 'tiny.toml'\n{alone}{curves}"));
    program.write("curves.toml", format!("extends = 'tiny.toml'\n{curves}"));
    let said = program.succeeds(&["sweep", "s.toml", "--json"]);
    let table: Value = serde_json::from_str(&said.stdout).unwrap();
    let [likelihood, longer, game] = [&table["cells"][0], &table["cells"][1], &table["cells"][2]];
    assert_eq!(likelihood["no_verdict"], "it is the baseline");
    assert_eq!(likelihood["published"]["test-nll"], 3.25);
    // One that has no checkpoint of its own is compared with the baseline, a game with its own.
    assert_eq!(longer["verdict"]["baseline"], "runs/s/likelihood/seed-3");
    assert!(longer["verdict"]["judgement"]["findings"].is_array(), "{longer}");
    assert_eq!(game["verdict"]["baseline"], "its own maximum-likelihood checkpoint");
    assert_eq!(table["sweep"]["cells"][2]["config"], "curves.toml");
    let page = fs::read_to_string(program.path("runs/s/table.md")).unwrap();
    let lines: Vec<&str> = page.lines().collect();
    assert!(
        lines[0].starts_with("|  | seeds | test-nll | published | distinct-2 | verdict"),
        "{page}"
    );
    assert!(lines[2].starts_with("| likelihood | 1 |") && lines[2].contains("| 3.25 |"), "{page}");
    assert!(lines[4].starts_with("| game | 1 |") && lines[4].contains("; "), "{page}");
    assert!(page.contains("Published: a paper."), "{page}");
    let refused = program.run(&["reproduce", "nothing"]);
    assert_eq!(refused.code, Some(2));
    let known = "no benchmark nothing; there are captions, captions-noise, image-coco";
    assert!(refused.stderr.contains(known), "{}", refused.stderr);
}

#[test]
fn a_run_that_fails_does_not_lose_the_others() {
    // Sixteen are not shared by three heads.
    let program = with(
        "config = 'tiny.toml'\nseeds = [1]\nmeasures = ['test-nll', 'nll-oracle']\n\
         [grid]\n'generator.heads' = [3, 2]\n",
    );
    for jobs in ["1", "2"] {
        let said = program.run(&["sweep", "s.toml", "--jobs", jobs]);
        assert_eq!(said.code, Some(1), "{said:?}");
        let error = said.error();
        assert!(error.contains("1 of 2 runs failed: heads=3/seed-1: train: "), "{error}");
        let table: Value = serde_json::from_str(&table(&program)).unwrap();
        let [failed, made] = [&table["cells"][0], &table["cells"][1]];
        assert!(failed["failed"][0]["error"].as_str().unwrap().contains("generator.width"));
        assert_eq!(failed["runs"], serde_json::json!([]));
        // One seed: a value and no interval.
        assert_eq!(made["measures"][0]["model"]["interval"], Value::Null);
        assert!(made["measures"][0]["model"]["mean"].is_f64(), "{made}");
        assert!(program.path("runs/s/heads=2/seed-1/report/report.html").exists());
    }
    let listed = program.succeeds(&["list"]).stdout;
    assert!(listed.contains("s/heads=2/seed-1 "), "{listed}");
    // A measure that this corpus has not is no reason to lose the table either.
    program.write(
        "s.toml",
        "config = 'tiny.toml'\nseeds = [1]\nmeasures = ['nll-oracle']\n\
         [grid]\n'generator.heads' = [2]\n",
    );
    let said = program.run(&["sweep", "s.toml"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.error().contains("`nll-oracle` on this corpus; they have bleu-2"), "{said:?}");
}

#[test]
fn a_sweep_is_no_try() {
    let program = with("config = 'tiny.toml'\nseeds = [1]\nset = { quick = true }\n");
    let said = program.run(&["sweep", "s.toml"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.error().contains("`quick` is for one run"), "{said:?}");
}

#[test]
fn wrong_sweeps_are_refused_before_anything_is_made() {
    let program = Program::new();
    program.succeeds(&["ingest", "--config", "tiny.toml", "--run", "runs/taken"]);
    let refused = |name: &str, text: &str, arguments: &[&str]| -> Said {
        program.write(name, format!("config = 'tiny.toml'\n{text}"));
        let said = program.run(&[&["sweep", name], arguments].concat());
        assert_eq!(said.code, Some(2), "{text}: {said:?}");
        said
    };
    for (text, expect) in [
        ("sedes = [1]", "s.toml:2: unknown key `sedes`; did you mean `seeds`?"),
        (
            "[grid]\n'generator.width' = [16]\n'train.batch_sise' = [8]",
            "s.toml:4: unknown key `train.batch_sise`; did you mean `batch_size`?",
        ),
        // The last of the cells is as wrong as the first.
        ("[grid]\n'tokenizer.max_length' = [40, 0]", "cell max_length=0: "),
        ("[[cell]]\nname = '../x'", "s.toml:3: `name`: `../x` does not begin"),
        ("[[cell]]\nname = 'a'\n[[cell]]\nname = 'A'", "s.toml:5: `name`: there is a cell `a`"),
        ("[set]\nseed = 3", "s.toml:3: `seed`: list its values as `seeds`"),
    ] {
        let said = refused("s.toml", text, &[]);
        assert!(said.error().contains(expect), "{text}: {said:?}");
    }
    let said = refused("taken.toml", "", &[]);
    assert!(said.error().contains("runs/taken is a run") && said.error().contains("--folder"));
    let said = refused("s.toml", "", &["--jobs", "0"]);
    assert!(said.error().contains("--jobs 0"), "{said:?}");
    let absent = program.run(&["sweep", "absent.toml"]);
    assert_eq!(absent.code, Some(2));
    assert!(absent.error().contains("cannot read the sweep absent.toml"), "{absent:?}");
    assert_eq!(program.names("runs"), ["taken"]);
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_a_run_is_refused() {
    let program = with("config = 'tiny.toml'\n");
    fs::create_dir_all(program.path("runs/s/other")).unwrap();
    std::os::unix::fs::symlink("other", program.path("runs/s/tiny")).unwrap();
    let said = program.run(&["sweep", "s.toml"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.error().contains("runs/s/tiny is a symbolic link"), "{said:?}");
    assert_eq!(program.names("runs/s/other"), [""; 0]);
}

/// Slurm as far as a sweep asks it: `sbatch` makes the tasks of an array one after another in the background, and
/// kills the second of the first array soon after it began; `squeue` knows whether any is at work; `scancel` ends them.
const SLURM: [(&str, &str); 3] = [
    (
        "sbatch",
        r#"#!/bin/bash
here=$(dirname "$0")
array=$(($(cat "$here/last" 2>/dev/null || echo 100) + 1))
echo $array >"$here/last"
for option; do
  case $option in
    --array=*) tasks=${option#--array=} ;;
    --output=*) output=${option#--output=} ;;
    --job-name=*) name=${option#--job-name=} ;;
  esac
done
echo "$array $tasks $*" >>"$here/said"
cat >"$here/script"
touch "$here/$name"
last=${tasks%\%*}
(
  for ((task = 0; task <= ${last#0-}; task++)); do
    [ -e "$here/$name" ] || break
    patience=600
    [ "$array $task" = "101 1" ] && patience=0.1
    SLURM_ARRAY_TASK_ID=$task timeout -s KILL $patience sh "$here/script" >>"${output//%a/$task}" 2>&1 &
    echo $! >"$here/pid"
    wait $!
  done
  rm -f "$here/$name"
) </dev/null >/dev/null 2>&1 &
echo "$array;cluster"
"#,
    ),
    (
        "squeue",
        r#"#!/bin/bash
for name; do :; done
if [ -e "$(dirname "$0")/$name" ]; then echo RUNNING; fi
"#,
    ),
    (
        "scancel",
        r#"#!/bin/bash
here=$(dirname "$0")
echo "$*" >"$here/cancelled"
for name; do :; done
rm -f "$here/$name"
kill $(cat "$here/pid")
"#,
    ),
];

/// What tells of real Slurm is `tests/slurm_sweep.sh`.
#[test]
fn the_tasks_of_an_array_make_the_same_table() {
    use std::os::unix::fs::PermissionsExt;

    let here = with(SWEEP);
    here.succeeds(&["sweep", "s.toml", "--folder", "a b'c", "--jobs", "2"]);

    let program = with(SWEEP);
    fs::create_dir(program.path("bin")).unwrap();
    for (name, script) in SLURM {
        program.write(&format!("bin/{name}"), script);
        let path = program.path("bin").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", program.path("bin").display(), std::env::var("PATH").unwrap());
    let command = |more: &[&str]| {
        let fixed = ["sweep", "s.toml", "--folder", "a b'c", "--backend", "slurm"];
        let mut command = program.command(&[&fixed, more].concat());
        command.env("PATH", &path);
        command
    };
    let slurm = |more: &[&str]| {
        let output = command(more).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = slurm(&["--jobs", "2", "--threads", "3", "--sbatch=--partition=long"]);
    assert_eq!(code, Some(0), "{said}");
    let table = |of: &Program| fs::read_to_string(of.path("a b'c/sweep.json")).unwrap();
    assert_eq!(table(&program), table(&here));
    for run in RUNS {
        let run = format!("a b'c/{run}");
        assert_eq!(program.manifests(&run), here.manifests(&run), "{run}");
    }
    let submitted = fs::read_to_string(program.path("bin/said")).unwrap();
    let submitted: Vec<&str> = submitted.lines().collect();
    assert_eq!(submitted.len(), 2, "{submitted:?}");
    assert!(submitted[0].starts_with("101 0-3%2 --partition=long "), "{submitted:?}");
    assert!(submitted[0].contains(" --cpus-per-task=3 "), "{submitted:?}");
    // Only what was killed is submitted again.
    assert!(submitted[1].starts_with("102 0-0%2 "), "{submitted:?}");

    // A run that fails says why, and is not tried again by the same command, but by the next.
    let broken = program.path("a b'c").join(RUNS[2]);
    fs::remove_dir_all(&broken).unwrap();
    fs::write(&broken, "in the way").unwrap();
    let last = || fs::read_to_string(program.path("bin/last")).unwrap();
    for array in ["103\n", "104\n"] {
        let (code, said) = slurm(&[]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("1 of 4 runs failed: sweep=#2/seed-1: "), "{said}");
        assert_eq!(last(), array);
    }

    // Asked to stop, the command has the tasks stop too; the next goes on.
    fs::remove_file(&broken).unwrap();
    fs::remove_dir_all(program.path("a b'c").join(RUNS[0])).unwrap();
    let mut child = command(&[]).stderr(Stdio::null()).spawn().unwrap();
    let begun = program.path("a b'c").join(RUNS[0]).join("log.jsonl");
    while !begun.exists() {
        sleep(std::time::Duration::from_millis(10));
    }
    let term = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(term.success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    while !program.path("bin/cancelled").exists() {
        sleep(std::time::Duration::from_millis(10));
    }
    let (code, said) = slurm(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(table(&program), table(&here));

    for (arguments, expect) in [
        (&["--task", "4"][..], "names no run of this sweep there"),
        (&["--backend", "local", "--sbatch=-p"], "cannot be used multiple times"),
    ] {
        let (code, said) = slurm(arguments);
        assert!(code == Some(2) && said.contains(expect), "{said}");
    }
    let refused = program.command(&["sweep", "s.toml", "--sbatch=-p"]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("--sbatch is for --backend slurm"), "{said}");
}
