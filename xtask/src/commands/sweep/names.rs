//! The cells of a sweep, and what they are called.

use anyhow::Result;
use std::collections::BTreeMap;

use super::{FILE, PAGE};
use crate::config::{Assignment, Axis, CellOfSweep, SweepFile};
use crate::exit::Refusal;

/// The longest name of a cell: it is a folder's.
const LONGEST: usize = 120;

/// The longest value that a name spells out.
const LONGEST_WORD: usize = 40;

/// What a name may have besides letters and digits.
const MARKS: &str = "._=,+#-";

/// The cells of the grid, the last of its keys varying fastest, and those that are listed; without
/// either, one that is called after the config.
///
/// # Errors
/// A [`Refusal`] of a name that is no name, or not of one cell alone.
pub fn settings(sweep: &SweepFile) -> Result<Vec<CellOfSweep>> {
    let place = sweep.config.display().to_string();
    let unlisted = |(name, set)| CellOfSweep {
        name,
        place: place.clone(),
        config: None,
        set,
        published: BTreeMap::new(),
    };
    let mut cells: Vec<CellOfSweep> = grid(&sweep.grid).into_iter().map(unlisted).collect();
    if let Some(CellOfSweep { name, .. }) = cells.iter().find(|cell| cell.name.len() > LONGEST) {
        let message = format!(
            "the cell {name} of the grid has a name longer than {LONGEST} bytes; list the cells as \
             [[cell]], with names of their own"
        );
        return Err(Refusal::new(message).into());
    }
    for cell in &sweep.cells {
        if let Some(why) = refused(&cell.name) {
            let message = format!("{}: `name`: `{}` {why}", cell.place, cell.name);
            return Err(Refusal::new(message).into());
        }
        let unknown =
            |name: &&String| sweep.measures.as_ref().is_some_and(|all| !all.contains(name));
        if let Some(name) = cell.published.keys().find(unknown) {
            let message = format!("{}: `published`: `{name}` is not among `measures`", cell.place);
            return Err(Refusal::new(message).into());
        }
        // Some file systems do not tell the case of letters.
        if let Some(twin) = cells.iter().find(|other| other.name.eq_ignore_ascii_case(&cell.name)) {
            let message =
                format!("{}: `name`: there is a cell `{}` already", cell.place, twin.name);
            return Err(Refusal::new(message).into());
        }
        cells.push(cell.clone());
    }
    if cells.is_empty() {
        let stem = sweep.config.file_stem().unwrap_or_default().to_string_lossy();
        let name = written(&stem);
        let usable = refused(&name).is_none();
        cells.push(unlisted((if usable { name } else { "base".to_string() }, Vec::new())));
    }
    if let Some(name) = &sweep.baseline
        && !cells.iter().any(|cell| cell.name == *name)
    {
        let message = format!("`baseline`: there is no cell `{name}`");
        return Err(Refusal::new(message).into());
    }
    Ok(cells)
}

/// Each value with each: `hidden=12,steps=100` for one of them.
fn grid(axes: &[Axis]) -> Vec<(String, Vec<Assignment>)> {
    if axes.is_empty() {
        return Vec::new();
    }
    let keys: Vec<&str> = axes.iter().map(|axis| axis.key.as_str()).collect();
    let mut cells = vec![(String::new(), Vec::new())];
    for axis in axes {
        let label = label(&axis.key, &keys);
        let words = words(axis);
        let mut finer = Vec::new();
        for (name, set) in &cells {
            for (word, value) in words.iter().zip(&axis.values) {
                let comma = if name.is_empty() { "" } else { "," };
                let set: Vec<Assignment> = set.iter().chain([value]).cloned().collect();
                finer.push((format!("{name}{comma}{label}={word}"), set));
            }
        }
        cells = finer;
    }
    cells
}

/// The last parts of a key, as many as tell it from the others.
fn label(key: &str, keys: &[&str]) -> String {
    let parts: Vec<&str> = key.split('.').collect();
    let last = |count: usize| parts[parts.len() - count..].join(".");
    let ends_so = |end: &str| {
        let end = format!(".{end}");
        keys.iter().filter(|key| format!(".{key}").ends_with(&end)).count()
    };
    let enough = (1..parts.len()).find(|&count| ends_so(&last(count)) == 1);
    written(&last(enough.unwrap_or(parts.len())))
}

/// The values of an axis in words, or by their place in the list, `#1` being the first, where words
/// are too long or would not tell them apart.
fn words(axis: &Axis) -> Vec<String> {
    let spelled = axis.values.iter().map(|value| value.word().map(|word| written(&word)));
    let words: Option<Vec<String>> = spelled.collect();
    let tells = |words: &Vec<String>| {
        words.iter().enumerate().all(|(index, word)| {
            let twin = words[..index].iter().any(|other| other.eq_ignore_ascii_case(word));
            !twin && !word.is_empty() && word.len() <= LONGEST_WORD
        })
    };
    let places = || (1..=axis.values.len()).map(|place| format!("#{place}")).collect();
    words.filter(tells).unwrap_or_else(places)
}

/// As it can be written in the name of a folder.
fn written(text: &str) -> String {
    let plain = |letter: char| if is_plain(letter) { letter } else { '-' };
    text.chars().map(plain).collect()
}

fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || MARKS.contains(letter)
}

/// Why this is no name for a cell.
fn refused(name: &str) -> Option<String> {
    let first = name.chars().next();
    if !first.is_some_and(|letter| letter.is_ascii_alphanumeric()) {
        return Some("does not begin with a letter or a digit".to_string());
    }
    if !name.chars().all(is_plain) {
        return Some(format!("has more than letters, digits and {MARKS}"));
    }
    if name.len() > LONGEST {
        return Some(format!("is longer than {LONGEST} bytes"));
    }
    let is_file = [FILE, PAGE].iter().any(|file| name.eq_ignore_ascii_case(file));
    is_file.then(|| "is a file of the table".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn names(text: &str) -> Result<Vec<String>> {
        let text = format!("config = 'configs/a b.toml'\n{text}");
        let sweep = SweepFile::parse("s", Path::new("s.toml"), &text)?;
        Ok(settings(&sweep)?.into_iter().map(|cell| cell.name).collect())
    }

    #[test]
    fn cells_have_names_that_tell_them_apart() {
        for (text, expect) in [
            ("", &["a-b"][..]),
            ("[grid]\n'generator.hidden' = [12, 32]", &["hidden=12", "hidden=32"]),
            // The last key varies fastest, and as much of it is written as tells it from the others.
            (
                "[grid]\nphase.1.steps = [1, 2]\nphase.0.steps = [3]\nnoise.dimension = [4, 5]",
                &[
                    "dimension=4,0.steps=3,1.steps=1",
                    "dimension=4,0.steps=3,1.steps=2",
                    "dimension=5,0.steps=3,1.steps=1",
                    "dimension=5,0.steps=3,1.steps=2",
                ],
            ),
            ("[grid]\na.rate = [1e-3, -1.0]", &["rate=1e-3", "rate=-1.0"]),
            ("[grid]\na.path = ['x/y.txt', 'z']", &["path=x-y.txt", "path=z"]),
            // What cannot be told apart in words, or has none, goes by its place.
            ("[grid]\na.path = ['x/y', 'x-y']", &["path=#1", "path=#2"]),
            ("[grid]\na.list = [[], [1]]", &["list=#1", "list=#2"]),
            (
                "[[cell]]\nname = 'own'\n[grid]\na.b = [true]\n[[cell]]\nname = 'other'",
                &["b=true", "own", "other"],
            ),
        ] {
            assert_eq!(names(text).unwrap(), expect, "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "x".repeat(LONGEST + 1);
        for (name, expect) in [
            ("", "does not begin with a letter"),
            (".hidden", "does not begin with a letter"),
            ("a/b", "has more than letters, digits"),
            ("sweep.json", "is a file of the table"),
            ("table.md", "is a file of the table"),
            (long.as_str(), "is longer than"),
            ("b=1", "there is a cell `b=1` already"),
            ("B=1", "there is a cell `b=1` already"),
        ] {
            let text = format!("[grid]\na.b = [1]\n[[cell]]\nname = '{name}'");
            let error = names(&text).unwrap_err();
            assert!(error.downcast_ref::<Refusal>().is_some());
            let error = error.to_string();
            assert!(error.contains(expect) && error.contains("s.toml:5"), "{name}: {error}");
        }
        let keys = (0..30).map(|key| format!("'a.{key}.key' = ['{key}']\n")).collect::<String>();
        let error = names(&format!("[grid]\n{keys}")).unwrap_err().to_string();
        assert!(error.contains("list the cells"), "{error}");
    }
}
