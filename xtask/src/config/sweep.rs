//! The file of a sweep: which config is varied, in what, and over which seeds.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::layer::{Entry, KIND, Node, Place};
use super::{complaint, paths, set};
use crate::exit::Refusal;

/// A sweep as its file says it.
#[derive(Clone, Debug)]
pub struct SweepFile {
    /// What it is called: the file's name without its ending.
    pub name: String,
    /// The config that is varied.
    pub config: PathBuf,
    /// The values of `seed`; `None` for that of the config.
    pub seeds: Option<Vec<u64>>,
    /// Whether the seeds share a corpus.
    pub corpora: Corpora,
    /// What every cell has.
    pub set: Vec<Assignment>,
    /// What is varied, each with each.
    pub grid: Vec<Axis>,
    /// Cells that are given one by one.
    pub cells: Vec<CellOfSweep>,
    /// The columns of the table; `None` for what the evaluations have.
    pub measures: Option<Vec<String>>,
    /// The cell that those are compared with which have no maximum-likelihood checkpoint of their own.
    pub baseline: Option<String>,
    /// How the published figures of the cells were measured.
    pub protocol: Option<String>,
}

/// Whether the runs of a cell learn from the same corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Corpora {
    /// The seeds share one: what they differ by is training. Only such runs can be pooled.
    #[default]
    Shared,
    /// Each seed has a corpus of its own, unless the config names `corpus.seed`.
    OfEachSeed,
}

/// A key of the config and the value that it gets.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Its path, such as `phase.0.steps`.
    pub key: String,
    value: Entry,
}

/// A key of the config and the values that it gets in turn: two or more, or one.
#[derive(Clone, Debug)]
pub struct Axis {
    /// Its path.
    pub key: String,
    /// One for each value.
    pub values: Vec<Assignment>,
}

/// A cell that is given by itself.
#[derive(Clone, Debug)]
pub struct CellOfSweep {
    /// Its name, and that of its folder.
    pub name: String,
    /// Where it was written, for complaints.
    pub place: String,
    /// Its config, where it is not that of the sweep.
    pub config: Option<PathBuf>,
    /// What it alone has.
    pub set: Vec<Assignment>,
    /// What its paper, or another, says that it measures.
    pub published: BTreeMap<String, f64>,
}

/// The file as it is written. The values of configs are checked where they are laid over one; here
/// they may be anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Letter {
    config: PathBuf,
    seeds: Option<Vec<u64>>,
    #[serde(default)]
    corpora: Corpora,
    #[serde(default, rename = "set")]
    _set: toml::Table,
    #[serde(default, rename = "grid")]
    _grid: toml::Table,
    #[serde(default)]
    cell: Vec<CellLetter>,
    measures: Option<Vec<String>>,
    baseline: Option<String>,
    protocol: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CellLetter {
    name: String,
    config: Option<PathBuf>,
    #[serde(default)]
    published: BTreeMap<String, f64>,
    #[serde(default, rename = "set")]
    _set: toml::Table,
}

/// The keys of the file that no config has. Below a `[grid]` they are in the wrong place.
const OWN: [&str; 7] = ["config", "seeds", "corpora", "cell", "measures", "baseline", "protocol"];

impl SweepFile {
    /// Reads the file of a sweep.
    ///
    /// # Errors
    /// A [`Refusal`] that names the file, the line and the key.
    pub fn read(file: &Path) -> Result<Self> {
        let text = super::read_text(file).map_err(|error| {
            Refusal::new(format!("cannot read the sweep {}: {error}", file.display()))
        })?;
        let stem = file.file_stem().and_then(|stem| stem.to_str());
        let name = stem.with_context(|| format!("{}: not the name of a file", file.display()))?;
        Self::parse(name, file, &text)
    }

    pub(crate) fn parse(name: &str, file: &Path, text: &str) -> Result<Self> {
        let tree = Entry::parse(&file.display().to_string(), text)?;
        let letter: Letter = complaint::read(&tree)?;
        let folder = file.parent().unwrap_or(Path::new(""));

        let set = get(&tree, "set").map_or(Ok(Vec::new()), |set| assignments(set, folder))?;
        let mut grid = Vec::new();
        if let Some(table) = get(&tree, "grid") {
            axes(table, "", folder, &mut grid)?;
            grid.sort_by(|a, b| order(&a.key, &b.key));
        }
        let items = match get(&tree, "cell").map(|cells| &cells.node) {
            Some(Node::Array(items)) => &items[..],
            _ => &[],
        };
        let cell = |(letter, entry): (CellLetter, &Entry)| -> Result<CellOfSweep> {
            let set = get(entry, "set").map_or(Ok(Vec::new()), |set| assignments(set, folder))?;
            let place = get(entry, "name").unwrap_or(entry).place.to_string();
            let config = letter.config.map(|path| paths::simplified(&folder.join(path)));
            let CellLetter { name, published, .. } = letter;
            Ok(CellOfSweep { name, place, config, set, published })
        };
        let cells = letter.cell.into_iter().zip(items).map(cell).collect::<Result<_>>()?;
        if let Some(seeds) = &letter.seeds {
            once(seeds, get(&tree, "seeds"), "seeds")?;
        }
        if let Some(measures) = &letter.measures {
            once(measures, get(&tree, "measures"), "measures")?;
            measures.iter().try_for_each(|name| super::known_measure("measures", name))?;
        }
        Ok(Self {
            name: name.to_string(),
            config: paths::simplified(&folder.join(&letter.config)),
            seeds: letter.seeds,
            corpora: letter.corpora,
            set,
            grid,
            cells,
            measures: letter.measures,
            baseline: letter.baseline,
            protocol: letter.protocol,
        })
    }
}

impl Assignment {
    fn new(key: &str, mut value: Entry, folder: &Path) -> Result<Self> {
        if key == "seed" {
            return Err(refusal(&value.place, key, "list its values as `seeds`"));
        }
        if key == "extends" {
            return Err(refusal(&value.place, key, "name the file as `config`"));
        }
        paths::rebase_below(&mut value, key, folder);
        Ok(Self { key: key.to_string(), value })
    }

    /// The place of a list at which this puts several items, or none.
    fn moves(&self) -> Option<usize> {
        let place = self.key.rsplit('.').next()?.parse().ok()?;
        matches!(self.value.node, Node::Array(_)).then_some(place)
    }

    pub(super) fn lay(&self, config: &mut Entry) -> Result<()> {
        let fail = |problem: String| refusal(&self.value.place, &self.key, &problem);
        set::lay(config, &self.key, self.value.clone()).map_err(fail)
    }

    /// The value in a word: a string without its quotes, a number or a truth as it was written;
    /// `None` for a list and a table.
    pub fn word(&self) -> Option<String> {
        match &self.value.node {
            Node::Scalar(source) => Some(self.value.text().unwrap_or_else(|| source.clone())),
            Node::Array(_) | Node::Table(_) => None,
        }
    }

    /// The value.
    ///
    /// # Errors
    /// A number that JSON does not have.
    pub fn json(&self) -> Result<serde_json::Value> {
        let table = Node::Table([("value".to_string(), self.value.clone())].into());
        let printed = Entry { place: self.value.place.clone(), node: table }.print();
        let mut table: toml::Table = toml::from_str(&printed.text)?;
        Ok(serde_json::to_value(table.remove("value"))?)
    }
}

/// What a table sets, in the order in which it is to be laid over a config.
fn assignments(table: &Entry, folder: &Path) -> Result<Vec<Assignment>> {
    let Node::Table(entries) = &table.node else { return Ok(Vec::new()) };
    let assignment = |(key, value): (&String, &Entry)| Assignment::new(key, value.clone(), folder);
    let mut list = entries.iter().map(assignment).collect::<Result<Vec<_>>>()?;
    // Places are those of the list as it was: what moves them comes last, and from the back.
    list.sort_by(|a, b| match (a.moves(), b.moves()) {
        (None, None) => order(&a.key, &b.key),
        (first, second) => (first.is_some().cmp(&second.is_some())).then(second.cmp(&first)),
    });
    Ok(list)
}

/// The lists of a grid; `generator.hidden = [..]` means the same with its key in quotes and without.
fn axes(entry: &Entry, above: &str, folder: &Path, found: &mut Vec<Axis>) -> Result<()> {
    match &entry.node {
        Node::Table(entries) => entries.iter().try_for_each(|(key, entry)| {
            if above.is_empty() && OWN.contains(&key.as_str()) {
                let why = "it stands below `[grid]` and so belongs to it; move it above";
                return Err(refusal(&entry.place, key, why));
            }
            let key = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
            axes(entry, &key, folder, found)
        }),
        Node::Array(items) if !items.is_empty() => {
            let value = |item: &Entry| Assignment::new(above, item.clone(), folder);
            let values = items.iter().map(value).collect::<Result<Vec<_>>>()?;
            let given = values.iter().map(Assignment::json).collect::<Result<Vec<_>>>()?;
            once(&given, Some(entry), above)?;
            found.push(Axis { key: above.to_string(), values });
            Ok(())
        }
        _ => Err(refusal(&entry.place, above, "give a list of values, such as [12, 32]")),
    }
}

/// Refuses a list that is empty or has something twice.
fn once<T: PartialEq + Serialize>(list: &[T], entry: Option<&Entry>, key: &str) -> Result<()> {
    let why = match list.iter().enumerate().find(|(index, item)| list[..*index].contains(item)) {
        Some((_, twice)) => format!("{} is given twice", serde_json::to_string(twice)?),
        None if list.is_empty() => "give one or more, or leave it out".to_string(),
        None => return Ok(()),
    };
    let place = entry.map(|entry| entry.place.clone());
    Err(place.map_or_else(|| Refusal::new(&why).into(), |place| refusal(&place, key, &why)))
}

/// Above before below, and a `kind` before what stands beside it, because another kind drops it.
fn order(a: &str, b: &str) -> Ordering {
    let rank = |key: &str| -> Vec<(bool, String)> {
        key.split('.').map(|name| (name != KIND, name.to_string())).collect()
    };
    rank(a).cmp(&rank(b))
}

fn get<'a>(entry: &'a Entry, key: &str) -> Option<&'a Entry> {
    match &entry.node {
        Node::Table(entries) => entries.get(key),
        _ => None,
    }
}

fn refusal(place: &Place, key: &str, why: &str) -> anyhow::Error {
    Refusal::new(format!("{place}: `{key}`: {why}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Draft;

    fn parse(text: &str) -> Result<SweepFile> {
        SweepFile::parse("s", Path::new("nowhere/s.toml"), text)
    }

    fn keys_of(list: &[Assignment]) -> Vec<&str> {
        list.iter().map(|assignment| assignment.key.as_str()).collect()
    }

    #[test]
    fn a_file_says_what_is_varied() {
        let file = parse(
            r#"
            config = "../base.toml"
            seeds = [1, 2]
            set = { "generator.hidden" = 3, "generator.kind" = "lstm", corpus.sources = "a.txt" }
            measures = ["test-nll"]
            [grid]
            "phase.0.steps" = [1, 2]
            generator.embedding = [8, 16]
            [[cell]]
            name = "own"
            set = { "tokenizer.path" = "t.json" }
            "#,
        )
        .unwrap();
        let several = parse(
            "config = 'b.toml'\n[set]\n'phase.0' = []\n'phase.1' = [{}]\n'phase.0.steps' = 3\n\
             'corpus.sources.0' = ['a.txt', { kind = 'files', path = 'b.gz' }]",
        )
        .unwrap();
        // All places are meant as they are in the config.
        assert_eq!(
            keys_of(&several.set),
            ["phase.0.steps", "phase.1", "corpus.sources.0", "phase.0"]
        );
        let sources = several.set[2].json().unwrap();
        let expected =
            serde_json::json!(["nowhere/a.txt", { "kind": "files", "path": "nowhere/b.gz" }]);
        assert_eq!(sources, expected);
        assert_eq!(file.config, Path::new("base.toml"));
        assert_eq!((file.seeds.unwrap(), file.corpora), (vec![1, 2], Corpora::Shared));
        // A kind first: it drops what another kind had.
        assert_eq!(keys_of(&file.set), ["corpus", "generator.kind", "generator.hidden"]);
        let corpus = file.set[0].json().unwrap();
        assert_eq!(corpus, serde_json::json!({ "sources": "nowhere/a.txt" }));
        let axes: Vec<_> = file.grid.iter().map(|axis| axis.key.as_str()).collect();
        assert_eq!(axes, ["generator.embedding", "phase.0.steps"]);
        assert_eq!(file.grid[1].values[1].word().as_deref(), Some("2"));
        let own = &file.cells[0];
        assert_eq!((own.name.as_str(), own.place.as_str()), ("own", "nowhere/s.toml:10"));
        assert_eq!(own.set[0].word().as_deref(), Some("nowhere/t.json"));
    }

    #[test]
    fn wrong_files_are_refused_with_the_line() {
        for (text, expect) in [
            ("seeds = [1]", "missing field `config`"),
            ("config = 'b'\nseed = [1]", "s.toml:2: unknown key `seed`; did you mean `seeds`?"),
            ("config = 'b'\nseeds = [1, 1]", "s.toml:2: `seeds`: 1 is given twice"),
            ("config = 'b'\nseeds = []", "s.toml:2: `seeds`: give one or more"),
            ("config = 'b'\nseeds = [-1]", "s.toml:2: `seeds"),
            ("config = 'b'\ncorpora = 'own'", "s.toml:2: `corpora`: `own` is not known"),
            ("config = 'b'\n[set]\nseed = 3", "s.toml:3: `seed`: list its values as `seeds`"),
            ("config = 'b'\n[grid]\na.b = 3", "s.toml:3: `a.b`: give a list of values"),
            ("config = 'b'\n[grid]\nx = [1, 2, 1]", "s.toml:3: `x`: 1 is given twice"),
            ("config = 'b'\n[grid]\nseeds = [1]", "s.toml:3: `seeds`: it stands below `[grid]`"),
            ("config = 'b'\n[[cell]]\nset = {}", "missing field `name`"),
            (
                "config = 'b'\n[[cell]]\nname = 'a'\nsets = {}",
                "s.toml:4: unknown key `cell.0.sets`",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.downcast_ref::<Refusal>().is_some(), "{text:?}: {error:?}");
            assert!(error.to_string().contains(expect), "{text:?}: {error}");
        }
    }

    #[test]
    fn values_that_no_config_has_are_refused_with_their_own_line() {
        let laid = |text: &str| {
            let file = parse(&format!("config = 'b'\n[set]\n{text}")).unwrap();
            let mut draft = Draft::read(None).unwrap();
            draft.lay(&file.set).and_then(|()| draft.finish::<textgan_train::BuiltIn>())
        };
        for (text, expect) in [
            ("'train.batch_sise' = 3", "s.toml:3: unknown key `train.batch_sise`; did you mean"),
            ("train.batch_size = 'x'", "s.toml:3: `train.batch_size`: "),
            ("'phase.7.steps' = 1", "s.toml:3: `phase.7.steps`: there is no place `7` in `phase`"),
            ("'a..b' = 1", "s.toml:3: `a..b`: a name is missing"),
        ] {
            let error = laid(text).unwrap_err().to_string();
            assert!(error.contains(expect), "{text:?}: {error}");
        }
        let config = laid("'phase.1.steps' = 7\ngenerator = { kind = 'lstm' }").unwrap().config;
        let config = serde_json::to_value(&config).unwrap();
        assert_eq!(config.pointer("/phase/1/steps"), Some(&serde_json::json!(7)));
        assert_eq!(config.pointer("/generator/kind"), Some(&serde_json::json!("lstm")));
    }
}
