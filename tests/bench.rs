//! `bench`: rows for people and for programs, and what its exit code says.

use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::program::Program;

/// A peer that takes `milliseconds` for everything, whatever it is asked.
fn peer(program: &Program, milliseconds: &str) -> String {
    let script = format!(
        "#!/bin/sh\necho '{{\"version\": \"Peer 1\"}}'\n\
         while read -r line; do echo '{{\"ms\": {milliseconds}, \"mb\": 7.0}}'; done\n"
    );
    program.write("peer", script);
    let path = program.path("peer");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn rows_are_lines_of_json_and_unknown_ones_are_refused() {
    let program = Program::new();
    let said = program.succeeds(&["bench", "--only", "synthetic/sample", "--json"]);
    let row: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(row["name"], "synthetic/sample");
    assert!(row["value"].as_f64().unwrap() > 0.0, "{row}");

    let said = program.run(&["bench", "--only", "nothing"]);
    assert_eq!(said.code, Some(2));
    assert!(said.error().contains("discriminator-gru"), "{}", said.error());
}

#[test]
fn the_exit_code_says_whether_a_ratio_is_over_its_bar() {
    let program = Program::new();
    for (milliseconds, code) in [("1e9", 0), ("1e-3", 1)] {
        let python = peer(&program, milliseconds);
        let only = ["bench", "--only", "discriminator-gru", "--json"];
        let said = program.run(&[&only[..], &["--peer", "--python", &python]].concat());
        assert_eq!(said.code, Some(code), "{said:?}");
        let row: Value = serde_json::from_str(&said.stdout).unwrap();
        let number = |key: &str| row[key].as_f64().unwrap();
        assert_eq!(number("ratio"), number("ours_ms") / number("peer_ms"));
        assert_eq!(number("peer_ms"), milliseconds.parse::<f64>().unwrap());
        assert_eq!(number("peer_mb"), 7.0);
        assert!(row["peer"].as_str().unwrap().starts_with("Peer 1"), "{row}");
    }
}

#[test]
fn one_thread_has_no_more_threads_to_compare_with() {
    let row = ["bench", "--threads", "1", "--only", "likelihood-big-threads", "--json"];
    let said = Program::new().succeeds(&row);
    assert_eq!(said.stdout, "");
    assert!(said.stderr.contains("left out; it needs two threads"), "{}", said.stderr);
}
