//! A program that adds an objective of its own has the whole pipeline for it.

use crate::program::Program;

/// `noise-recovery` is an objective of an example, with a network of its own.
const PHASE: &str = "\n[[phase]]\nkind = \"noise-recovery\"\nsteps = 4\nlearning_rate = 5e-3\n";

fn with_phase() -> Program {
    let program = Program::new();
    program.write("mine.toml", format!("{}{PHASE}", crate::program::TINY));
    program
}

#[test]
fn an_outside_objective_runs_from_text_to_report() {
    let program = with_phase();
    let said = program.laboratory(&["pipeline", "--config", "mine.toml", "--run", "run"]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    let read = |name: &str| std::fs::read_to_string(program.path("run").join(name)).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&read("train/summary.json")).unwrap();
    let phases = summary["phases"].as_array().unwrap();
    let own = phases.iter().find(|phase| phase["kind"] == "noise-recovery").unwrap();
    assert_eq!(own["updates"]["guesser"], 4);
    assert!(read("report/report.html").contains("noise-recovery"));
    assert!(read("config.toml").contains("kind = \"noise-recovery\""));

    // Nothing is left to do; the key of its own is checked; readers of runs need not know the objective.
    let again = program.laboratory(&["pipeline", "--config", "mine.toml", "--run", "run"]);
    assert!(again.stderr.contains("nothing to do"), "{again:#?}");
    let typo = ["pipeline", "--config", "mine.toml", "--set", "phase.3.wieght=2"];
    assert!(program.laboratory(&typo).error().contains("wieght"));
    let written = program.succeeds(&["generate", "--run", "run", "--count", "3"]);
    assert_eq!(written.stdout.lines().count(), 3);
    let plain = program.run(&["pipeline", "--config", "mine.toml", "--run", "other"]);
    assert!(plain.error().contains("noise-recovery"), "{plain:#?}");
}
