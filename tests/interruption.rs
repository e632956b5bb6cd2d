//! Stopped or killed, and gone on with: the same bits as an undisturbed run.
#![cfg(unix)]

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::program::{Program, is_tidy};

const PIPELINE: [&str; 7] =
    ["pipeline", "--config", "tiny.toml", "--run", "run", "--until", "train"];

fn signal(child: &Child, name: &str) {
    let kill = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
}

#[test]
fn killed_anywhere_it_ends_in_the_same_bits() {
    let undisturbed = Program::new();
    let begin = Instant::now();
    undisturbed.succeeds(&PIPELINE);
    let whole = begin.elapsed();

    let program = Program::new();
    // Moments spread over the run; the script `tests/kill.sh` does thirty at random.
    for part in [0.1, 0.3, 0.5, 0.7, 0.9] {
        let mut child =
            program.command(&PIPELINE).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        sleep(whole.mul_f64(part));
        let _ = child.kill();
        child.wait().unwrap();
    }
    program.succeeds(&PIPELINE);
    assert_eq!(program.manifests("run"), undisturbed.manifests("run"));
    assert!(is_tidy(&program.path("run")), "{:?}", program.names("run"));
}

#[test]
fn a_signal_is_obeyed_within_five_seconds() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let program = Program::new();
        let long = [&PIPELINE[..], &["--set", "phase.0.steps=100000"]].concat();
        let mut child =
            program.command(&long).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let checkpoint = program.path("run/train.partial/checkpoints/latest");
        let begin = Instant::now();
        while !checkpoint.exists() && begin.elapsed() < Duration::from_secs(120) {
            sleep(Duration::from_millis(20));
        }
        assert!(checkpoint.exists(), "training never began");
        let begin = Instant::now();
        signal(&child, name);
        let status = child.wait().unwrap();
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert_eq!(status.code(), Some(code));
        // It can be gone on with.
        assert!(checkpoint.exists());
    }
}

#[test]
fn a_sweep_stops_as_a_run_does() {
    let program = Program::new();
    program.write(
        "s.toml",
        "config = 'tiny.toml'\nseeds = [1, 2, 3]\nset = { 'phase.0.steps' = 100000 }\n",
    );
    let mut child = program
        .command(&["sweep", "s.toml", "--jobs", "2"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let checkpoint = |seed: u32| {
        program.path(&format!("runs/s/tiny/seed-{seed}/train.partial/checkpoints/latest"))
    };
    let begin = Instant::now();
    while !(checkpoint(1).exists() && checkpoint(2).exists()) {
        assert!(begin.elapsed() < Duration::from_secs(120), "training never began");
        sleep(Duration::from_millis(20));
    }
    let begin = Instant::now();
    signal(&child, "-INT");
    let status = child.wait().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(status.code(), Some(130));
    // Both can be gone on with, the third was not begun, and no table speaks of either.
    assert!(checkpoint(1).exists() && checkpoint(2).exists());
    assert_eq!(program.names("runs/s"), ["tiny"]);
    assert_eq!(program.names("runs/s/tiny"), ["seed-1", "seed-2"]);
    let left = program.succeeds(&["sweep", "s.toml", "--dry-run"]).stdout;
    assert!(left.contains("seed-2  left: train (half done), evaluate"), "{left}");
}
