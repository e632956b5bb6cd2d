//! The guides: whoever types what they say, in their order, gets somewhere.

// Their blocks are for `sh`.
#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::{Program, Said};

/// What a reader types `cargo xtask` for is the program under test; a guide may call cargo for nothing
/// else in a block that is run.
const CARGO: &str = r#"cargo() {
    [ "${1-}" = xtask ] || { echo "a guide calls cargo $*" >&2; exit 1; }
    shift
    "$XTASK" "$@"
}
"#;

const GUIDES: [&str; 5] =
    ["own-text", "read-the-curves", "reproduce-a-paper", "what-noise-does", "write-an-objective"];

/// A block that a reader would do something with. Others (`text`, `console`, `rust`) are to be read; those of
/// Rust are compiled with the documentation of `xtask`.
#[derive(Debug, PartialEq)]
enum Block {
    /// `<!-- file: NAME -->` stands above it.
    File { name: String, text: String },
    /// ```` ```sh ````.
    Commands(String),
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guides")
}

fn guide(name: &str) -> String {
    fs::read_to_string(folder().join(format!("{name}.md"))).unwrap()
}

fn blocks(guide: &str) -> Vec<Block> {
    let (mut blocks, mut file) = (Vec::new(), None);
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let text = text.join("\n") + "\n";
            match (file.take(), language) {
                (Some(name), _) => blocks.push(Block::File { name, text }),
                (None, "sh") => blocks.push(Block::Commands(text)),
                (None, _) => {}
            }
            continue;
        }
        assert!(file.is_none() || line.is_empty(), "no block after the name of a file: {line}");
        let named = line.strip_prefix("<!-- file: ").and_then(|rest| rest.strip_suffix(" -->"));
        file = file.or(named.map(str::to_owned));
    }
    assert_eq!(file, None, "a file without a block");
    blocks
}

/// Does what a guide says, in a folder that has of a clone the configs alone.
fn follow(name: &str) -> Program {
    let program = Program::new();
    fs::remove_file(program.path("tiny.toml")).unwrap();
    std::os::unix::fs::symlink(folder().join("../../configs"), program.path("configs")).unwrap();
    for block in blocks(&guide(name)) {
        match block {
            Block::File { name, text } => program.write(&name, text),
            Block::Commands(commands) => {
                // Also where the shell would go on after a failure: in a pipe, or before `||`.
                let calls = commands.split("cargo ").skip(1);
                calls.for_each(|call| assert!(call.starts_with("xtask "), "cargo {call}"));
                let said = run(&program, &commands);
                assert_eq!(said.code, Some(0), "{name}: {commands}\n{}", said.stderr);
            }
        }
    }
    program
}

fn run(program: &Program, commands: &str) -> Said {
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", &format!("{CARGO}{commands}")]).current_dir(program.path(""));
    shell.env("XTASK", env!("CARGO_BIN_EXE_xtask")).env("CANDLE_NUM_THREADS", "1");
    Said::from(shell.stdin(Stdio::null()).output().unwrap())
}

#[test]
fn ones_own_text_becomes_a_report_and_texts() {
    let program = follow("own-text");
    for run in ["runs/mine-quick", "runs/mine"] {
        assert!(program.path(run).join("report/report.html").exists(), "{run}");
        let texts = fs::read_to_string(program.path(run).join("generate/samples.txt")).unwrap();
        assert!(texts.split_whitespace().count() > 20, "{run}: {texts}");
    }
}

#[test]
fn curves_can_be_read() {
    let program = follow("read-the-curves");
    let page = fs::read_to_string(program.path("compare.html")).unwrap();
    assert!(page.contains("<code>phase.2.weight</code>"), "what the two differ in");
}

#[test]
fn a_paper_becomes_a_table() {
    let program = follow("reproduce-a-paper");
    let table = fs::read_to_string(program.path("runs/paper/table.md")).unwrap();
    assert!(table.contains("| likelihood | 2 |") && table.contains("| cot | 2 |"), "{table}");
}

/// What the guide says of noise: it is ignored, unless an encoder speaks through it.
#[test]
fn noise_does_what_the_guide_says() {
    let program = follow("what-noise-does");
    let table = fs::read_to_string(program.path("runs/noise-cells/sweep.json")).unwrap();
    let table: serde_json::Value = serde_json::from_str(&table).unwrap();
    let cells = table["cells"].as_array().unwrap().iter();
    let distinct =
        |cell: &serde_json::Value| cell["measures"][0]["model"]["mean"].as_f64().unwrap();
    let [plain, one, seven] = cells.map(distinct).collect::<Vec<_>>()[..] else {
        panic!("{table}")
    };
    assert!(plain < one && one < 0.3 && seven > 0.6, "{plain}, {one}, {seven}");
}

#[test]
fn an_objective_has_something_to_be_compared_with() {
    let program = follow("write-an-objective");
    assert!(program.path("runs/likelihood/report/report.html").exists());
    assert!(!program.path("runs/focal").exists());
}

#[test]
fn every_guide_is_followed_and_its_links_lead_somewhere() {
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> =
        names.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, GUIDES);
    for name in GUIDES {
        let guide = guide(name);
        for link in guide.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            let file = link.0.split('#').next().unwrap();
            assert!(folder().join(file).exists(), "{name}: {file}");
        }
    }
}

#[test]
fn blocks_are_told_apart() {
    let guide = "a\n<!-- file: a.toml -->\n```toml\nx = 1\n```\n```console\n$ cargo b\n```\n```sh\nc\nd\n```\n";
    let file = Block::File { name: "a.toml".to_owned(), text: "x = 1\n".to_owned() };
    assert_eq!(blocks(guide), [file, Block::Commands("c\nd\n".to_owned())]);
}
