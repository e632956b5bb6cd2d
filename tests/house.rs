//! The house: floors stand on lower floors only, and each crate can be taken away alone.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The floor of each library crate; it may stand on lower ones only.
const FLOORS: [(&str, u32); 13] = [
    ("textgan-artifact", 0),
    ("textgan-metrics", 0),
    ("textgan-random", 0),
    ("textgan-corpus", 1),
    ("textgan-nn", 1),
    ("textgan-synthetic", 1),
    ("textgan-tokenizer", 1),
    ("textgan-models", 2),
    ("textgan-generate", 3),
    ("textgan-train", 3),
    ("textgan-evaluate", 4),
    ("textgan-play", 4),
    ("textgan-report", 5),
];

/// Crates of the same floor that one of them may stand on: a corpus may be drawn from a grammar.
const NEIGHBOURS: [(&str, &str); 1] = [("textgan-corpus", "textgan-synthetic")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root());
    command
}

#[test]
fn arrows_point_down() {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let floors: BTreeMap<&str, u32> = FLOORS.into();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some(floor) = floors.get(name) else { continue };
        for dependency in package["dependencies"].as_array().unwrap() {
            // What only tests need may come from anywhere.
            let below = dependency["name"].as_str().unwrap();
            if dependency["kind"] == "dev" || NEIGHBOURS.contains(&(name, below)) {
                continue;
            }
            if let Some(other) = floors.get(below) {
                assert!(other < floor, "{name} (floor {floor}) stands on {below} (floor {other})");
            } else {
                assert!(!below.starts_with("textgan") && below != "xtask", "{name} needs {below}");
            }
        }
    }
}

#[test]
fn every_library_crate_has_a_floor_a_readme_and_an_example() {
    let names = std::fs::read_dir(root().join("crates")).unwrap();
    for entry in names.map(|entry| entry.unwrap()) {
        let (name, path) = (entry.file_name().into_string().unwrap(), entry.path());
        // That of Python is apart from the workspace: maturin builds it.
        let apart = name == "textgan-python";
        if !path.join("Cargo.toml").exists() || !name.starts_with("textgan-") || apart {
            continue;
        }
        assert!(FLOORS.iter().any(|(known, _)| *known == name), "{name} has no floor");
        assert!(path.join("README.md").exists(), "{name} has no README.md");
        let examples = std::fs::read_dir(path.join("examples"));
        assert!(examples.is_ok_and(|mut files| files.next().is_some()), "{name} has no example");
    }
}

/// A project that knows nothing of this workspace but one path. Its features are its own, so what it
/// stands on is checked once more; it borrows the locked versions and the target folder.
fn outsider(dependency: &str, main: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = root().join("crates").join(dependency);
    let manifest = format!(
        "[package]\nname = \"outside-{dependency}\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\n{dependency} = {{ path = {path:?} }}\n\n\
         [profile.dev]\ndebug = false\nincremental = false\n"
    );
    std::fs::create_dir(folder.path().join("src")).unwrap();
    std::fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.path().join("src/main.rs"), main).unwrap();
    std::fs::copy(root().join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = cargo()
        .current_dir(folder.path())
        .env("CARGO_TARGET_DIR", target)
        .args(["check", "--quiet", "--offline"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{dependency}: {stderr}");
}

/// The first program of each README compiles in a project that has that crate alone. (They run as tests of
/// the documentation.)
#[test]
fn crates_work_alone() {
    for (name, _) in FLOORS {
        let readme = root().join("crates").join(name).join("README.md");
        let text = std::fs::read_to_string(readme).unwrap();
        let block = text.split("```rust").nth(1).and_then(|rest| rest.split_once('\n'));
        let program = block.and_then(|(_, rest)| rest.split("```").next()).unwrap_or_default();
        assert!(program.contains("fn main()"), "{name}: its README begins without a program");
        outsider(name, program);
    }
}
