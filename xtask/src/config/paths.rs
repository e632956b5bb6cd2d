//! Paths in configs are relative to the file that they are written in.

use std::path::{Component, Path, PathBuf};

use super::layer::{Entry, Node};

/// The keys that hold a path, or a list of them. A `*` stands for each item of a list; a key that
/// holds one item without its list is meant too.
const PATHS: [&str; 12] = [
    "corpus.sources.*",
    "corpus.sources.*.path",
    "corpus.sources.*.grammar",
    "corpus.valid.sources.*",
    "corpus.valid.sources.*.path",
    "corpus.test.sources.*",
    "corpus.test.sources.*.path",
    "tokenizer.path",
    "discriminator.embedding.path",
    "evaluate.encoder",
    "train.init_from",
    "train.init_discriminator_from",
];

/// Source names that are no paths.
const BUILT_IN: &str = "textgan-synthetic";

/// Rewrites the paths in a config that was read from `folder`, so that they hold from the working
/// directory.
pub fn rebase(config: &mut Entry, folder: &Path) {
    for path in PATHS {
        let names: Vec<&str> = path.split('.').collect();
        visit(config, &names, &mut |text| rebased(text, folder));
    }
}

/// Rewrites the paths in a value that goes to `key` of a config, as [`rebase`] does in a whole one.
pub fn rebase_below(value: &mut Entry, key: &str, folder: &Path) {
    let key: Vec<&str> = key.split('.').collect();
    for path in PATHS {
        let names: Vec<&str> = path.split('.').collect();
        if let Some(rest) = below(&names, &key) {
            visit(value, rest, &mut |text| rebased(text, folder));
        }
    }
}

/// What is left of a path below a key, if it goes through it.
fn below<'a>(names: &'a [&'a str], key: &[&str]) -> Option<&'a [&'a str]> {
    match (names, key) {
        (rest, []) => Some(rest),
        // What goes to a place of a list may be several items that stand there in its stead.
        (["*", ..], [place]) if place.parse::<usize>().is_ok() => Some(names),
        (["*", rest @ ..], [place, key @ ..]) if place.parse::<usize>().is_ok() => below(rest, key),
        (["*", rest @ ..], key) => below(rest, key),
        ([name, rest @ ..], [first, key @ ..]) if name == first => below(rest, key),
        _ => None,
    }
}

fn visit(entry: &mut Entry, names: &[&str], change: &mut dyn FnMut(&str) -> Option<String>) {
    let Some((name, rest)) = names.split_first() else {
        if let Some(new) = entry.text().and_then(|text| change(&text)) {
            entry.node = Node::Scalar(toml::Value::from(new).to_string());
        }
        return;
    };
    match &mut entry.node {
        Node::Array(items) if *name == "*" => {
            items.iter_mut().for_each(|item| visit(item, rest, change));
        }
        _ if *name == "*" => visit(entry, rest, change),
        Node::Table(entries) => {
            if let Some(entry) = entries.get_mut(*name) {
                visit(entry, rest, change);
            }
        }
        _ => {}
    }
}

/// Whether this is the address of something elsewhere, and no path.
pub fn is_address(text: &str) -> bool {
    text.contains("://")
}

fn rebased(text: &str, folder: &Path) -> Option<String> {
    if text == BUILT_IN || is_address(text) {
        return None;
    }
    simplified(&folder.join(text)).to_str().map(str::to_string)
}

/// The path without `a/..` pairs, as long as it still leads to the same place (it may not where `a`
/// is a symbolic link), and relative if it lies under the working directory.
pub fn simplified(path: &Path) -> PathBuf {
    let mut short = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(short.components().next_back(), Some(Component::Normal(_))) =>
            {
                short.pop();
            }
            part => short.push(part),
        }
    }
    if let Ok(here) = std::env::current_dir()
        && let Ok(below) = short.strip_prefix(&here)
        && below != Path::new("")
    {
        short = below.to_path_buf();
    }
    if short == Path::new("") {
        short.push(".");
    }
    match (path.canonicalize(), short.canonicalize()) {
        (Ok(real), Ok(short_real)) if real != short_real => path.to_path_buf(),
        _ => short,
    }
}

/// How to get from folder `from` to `to`, both as seen from the working directory.
pub fn relative(from: &Path, to: &Path) -> PathBuf {
    let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    let (Ok(from), Ok(to)) = (real(from), real(to)) else { return to.to_path_buf() };
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(to.components().skip(common)).collect();
    if path == Path::new("") { PathBuf::from(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_nothing_else_are_rebased() {
        let mut config = Entry::parse(
            "c.toml",
            r#"
            [corpus]
            sources = ["a.txt", "textgan-synthetic", "https://x.org/a.txt", { kind = "files", path = "../b/*.gz", text = "c" }]
            valid = { sources = "v.txt" }
            test = { sources = { kind = "files", path = "/abs/t.txt" } }
            [tokenizer]
            path = "t.json"
            [evaluate]
            encoder = "hf://a/b"
            "#,
        )
        .unwrap();
        rebase(&mut config, Path::new("nowhere/configs"));
        let config: toml::Table = toml::from_str(&config.print().text).unwrap();
        let expect = toml::toml! {
            [corpus]
            sources = ["nowhere/configs/a.txt", "textgan-synthetic", "https://x.org/a.txt", { kind = "files", path = "nowhere/b/*.gz", text = "c" }]
            valid = { sources = "nowhere/configs/v.txt" }
            test = { sources = { kind = "files", path = "/abs/t.txt" } }
            [tokenizer]
            path = "nowhere/configs/t.json"
            [evaluate]
            encoder = "hf://a/b"
        };
        assert_eq!(config, expect);
    }

    #[test]
    fn a_value_alone_is_rebased_by_where_it_goes() {
        for (key, value, expect) in [
            ("corpus.sources", "'a.txt'", "\"f/a.txt\""),
            ("corpus.sources.0", "'a.txt'", "\"f/a.txt\""),
            ("corpus.sources.1.path", "'a.txt'", "\"f/a.txt\""),
            ("corpus.sources.0.text", "'a.txt'", "\"a.txt\""),
            ("corpus", "{ sources = ['a.txt'] }", "{ sources = [\"f/a.txt\"] }"),
            ("tokenizer.path", "'../t.json'", "\"t.json\""),
            ("tokenizer.kind", "'word'", "\"word\""),
        ] {
            let mut tree = Entry::parse("c.toml", &format!("v = {value}")).unwrap();
            let Node::Table(entries) = &mut tree.node else { panic!("not a table") };
            rebase_below(entries.get_mut("v").unwrap(), key, Path::new("f"));
            let found: toml::Table = toml::from_str(&tree.print().text).unwrap();
            let expect: toml::Table = toml::from_str(&format!("v = {expect}")).unwrap();
            assert_eq!(found, expect, "{key}");
        }
    }

    #[test]
    fn paths_are_simplified_where_that_is_safe() {
        for (path, expect) in [
            ("a/../b", "b"),
            ("./a/./b", "a/b"),
            ("../a", "../a"),
            ("a/../../b", "../b"),
            ("a/..", "."),
            ("/x/../y", "/y"),
        ] {
            assert_eq!(simplified(Path::new(path)), Path::new(expect), "{path}");
        }
        let here = std::env::current_dir().unwrap();
        assert_eq!(simplified(&here.join("src/x")), Path::new("src/x"));
    }

    #[test]
    fn a_way_from_folder_to_folder() {
        for (from, to, expect) in
            [("/q/a/b", "/q/c", "../../c"), ("/q", "/q/c/d", "c/d"), ("/q/a", "/q/a", ".")]
        {
            assert_eq!(relative(Path::new(from), Path::new(to)), Path::new(expect));
        }
    }
}
