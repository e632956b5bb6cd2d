//! The runner with toy stages: a file is counted, then reported.

use super::*;
use anyhow::bail;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use textgan_artifact::{Fingerprint, Quiet};

use crate::stage::Input;

/// What the toy world does and has seen.
#[derive(Default)]
struct World {
    /// Names of the stages that ran, in order.
    ran: RefCell<Vec<&'static str>>,
    /// The setting of the second stage.
    setting: Cell<u32>,
    /// The stage that fails.
    failing: Cell<Option<&'static str>>,
    /// The second stage fails after its first step, and can go on from there.
    interrupted: Cell<bool>,
}

struct Toy {
    name: &'static str,
    inputs: Vec<Input>,
    world: Rc<World>,
}

impl Toy {
    fn setting(&self) -> u32 {
        if self.name == "two" { self.world.setting.get() } else { 0 }
    }
}

impl Stage for Toy {
    fn name(&self) -> &'static str {
        self.name
    }

    fn inputs(&self, _run: &RunDir) -> Result<Vec<Input>> {
        Ok(self.inputs.clone())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(self.name, 1).field("setting", &self.setting())
    }

    fn run(&self, _run: &RunDir, out: &Path, _progress: &dyn Progress) -> Result<()> {
        self.world.ran.borrow_mut().push(self.name);
        fs::write(out.join("half"), "half")?;
        if self.world.failing.get() == Some(self.name) {
            bail!("it broke");
        }
        let steps = fs::read_to_string(out.join("step")).unwrap_or_default() + "step ";
        fs::write(out.join("step"), &steps)?;
        if self.name == "two" && self.world.interrupted.get() {
            bail!("interrupted");
        }
        let text = format!("{} {} {steps}", self.name, self.setting());
        Ok(fs::write(out.join("result.txt"), text)?)
    }

    fn can_resume(&self, partial: &Path) -> bool {
        self.name == "two" && partial.join("step").exists()
    }
}

struct Fixture {
    folder: tempfile::TempDir,
    world: Rc<World>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("corpus.txt"), "text").unwrap();
        Self { folder, world: Rc::default() }
    }

    fn stages(&self) -> Vec<Box<dyn Stage + 'static>> {
        let toy = |name, inputs| -> Box<dyn Stage> {
            Box::new(Toy { name, inputs, world: self.world.clone() })
        };
        vec![
            toy("one", vec![Input::File(self.folder.path().join("corpus.txt"))]),
            toy("two", vec![Input::Stage("one")]),
            toy("three", vec![Input::Stage("two")]),
        ]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("run").join(name)
    }

    fn pipeline(&self, selection: Selection<'_>) -> Result<Vec<&'static str>> {
        let run = self.folder.path().join("run");
        let mut runner = Runner::open(&run, self.stages(), &Quiet)?;
        Ok(runner.bring_up_to_date(&selection)?.ran)
    }

    fn up_to_date(&self) -> Vec<&'static str> {
        self.pipeline(Selection::default()).unwrap()
    }

    /// The names in the run's folder that are not expected to be there.
    fn leftovers(&self) -> Vec<String> {
        let known = ["one", "two", "three", "lock", "log.jsonl", "hashes.json"];
        let names = fs::read_dir(self.path("")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !known.contains(&name.as_str())).collect()
    }
}

const ALL: [&str; 3] = ["one", "two", "three"];

#[test]
fn a_second_run_does_nothing() {
    let fixture = Fixture::new();
    assert_eq!(fixture.up_to_date(), ALL);
    assert_eq!(fixture.up_to_date(), [""; 0]);
    assert!(fixture.leftovers().is_empty(), "{:?}", fixture.leftovers());
}

#[test]
fn only_what_changed_is_made_again() {
    let fixture = Fixture::new();
    fixture.up_to_date();
    fixture.world.setting.set(1);
    assert_eq!(fixture.up_to_date(), ["two", "three"]);
    // Stage one gives the same bytes from another file, so nothing after it is made again.
    fs::write(fixture.folder.path().join("corpus.txt"), "other").unwrap();
    assert_eq!(fixture.up_to_date(), ["one"]);
    assert_eq!(fixture.up_to_date(), [""; 0]);
}

#[test]
fn stages_are_selected_by_name() {
    let fixture = Fixture::new();
    let select = |from, until, only, force| Selection { from, until, only, force, extend: false };
    assert_eq!(fixture.pipeline(select(None, Some("two"), None, false)).unwrap(), ["one", "two"]);
    assert_eq!(fixture.pipeline(select(Some("two"), None, None, false)).unwrap(), ["two", "three"]);
    assert_eq!(fixture.pipeline(select(None, None, None, true)).unwrap(), ALL);
    assert_eq!(fixture.pipeline(select(None, None, Some("two"), true)).unwrap(), ["two"]);
    assert_eq!(fixture.pipeline(select(None, None, Some("two"), false)).unwrap(), [""; 0]);
    for (selection, expect) in [
        (select(Some("four"), None, None, false), "no stage `four`; they are one, two, three"),
        (select(Some("three"), Some("one"), None, false), "--from three comes after --until one"),
    ] {
        let error = fixture.pipeline(selection).unwrap_err();
        assert!(error.downcast_ref::<Refusal>().is_some());
        assert!(error.to_string().contains(expect), "{error}");
    }
}

#[test]
fn a_stage_alone_needs_what_comes_before_it() {
    let fixture = Fixture::new();
    let run = fixture.folder.path().join("run");
    let check = || Runner::open(&run, fixture.stages(), &Quiet).unwrap().check_earlier("three");
    let error = check().unwrap_err().to_string();
    assert!(error.contains("--until one"), "{error}");
    fixture.up_to_date();
    check().unwrap();
    fixture.world.setting.set(5);
    let error = check().unwrap_err().to_string();
    assert!(error.contains("two") && error.contains("its config changed"), "{error}");
}

#[test]
fn a_failed_stage_leaves_nothing() {
    let fixture = Fixture::new();
    fixture.world.failing.set(Some("two"));
    let error = fixture.pipeline(Selection::default()).unwrap_err();
    assert_eq!(format!("{error:#}"), "two: it broke");
    assert!(fixture.leftovers().is_empty(), "{:?}", fixture.leftovers());
    assert!(!fixture.path("two").exists());
    fixture.world.failing.set(None);
    assert_eq!(fixture.up_to_date(), ["two", "three"]);
}

#[test]
fn a_failed_remake_keeps_the_old_output() {
    let fixture = Fixture::new();
    fixture.up_to_date();
    let old = fs::read(fixture.path("two/result.txt")).unwrap();
    fixture.world.setting.set(1);
    fixture.world.failing.set(Some("two"));
    fixture.pipeline(Selection::default()).unwrap_err();
    assert_eq!(fs::read(fixture.path("two/result.txt")).unwrap(), old);
}

#[test]
fn an_interrupted_stage_goes_on_where_it_was() {
    let fixture = Fixture::new();
    fixture.world.interrupted.set(true);
    fixture.pipeline(Selection::default()).unwrap_err();
    assert!(fixture.path("two.partial/step").exists());
    fixture.world.interrupted.set(false);
    assert_eq!(fixture.up_to_date(), ["two", "three"]);
    let result = fs::read_to_string(fixture.path("two/result.txt")).unwrap();
    assert_eq!(result, "two 0 step step ");
    assert!(fixture.leftovers().is_empty(), "{:?}", fixture.leftovers());
}

#[test]
fn what_was_begun_under_another_config_is_thrown_away() {
    let fixture = Fixture::new();
    fixture.world.interrupted.set(true);
    fixture.pipeline(Selection::default()).unwrap_err();
    fixture.world.interrupted.set(false);
    fixture.world.setting.set(1);
    fixture.up_to_date();
    let result = fs::read_to_string(fixture.path("two/result.txt")).unwrap();
    assert_eq!(result, "two 1 step ");
}

#[test]
fn force_begins_from_nothing() {
    let fixture = Fixture::new();
    fixture.world.interrupted.set(true);
    fixture.pipeline(Selection::default()).unwrap_err();
    fixture.world.interrupted.set(false);
    fixture.pipeline(Selection { force: true, ..Selection::default() }).unwrap();
    let result = fs::read_to_string(fixture.path("two/result.txt")).unwrap();
    assert_eq!(result, "two 0 step ");
}

#[test]
fn a_kill_while_publishing_is_repaired_without_work() {
    let fixture = Fixture::new();
    fixture.up_to_date();
    let expect = fs::read(fixture.path("two/manifest.json")).unwrap();
    let recipe = Recipe::of(&Manifest::read(&fixture.path("two")).unwrap());
    // Killed between the manifest and the renames.
    fs::rename(fixture.path("two"), fixture.path("two.partial")).unwrap();
    fs::write(fixture.path("two.partial.json"), serde_json::to_vec(&recipe).unwrap()).unwrap();
    fixture.world.ran.borrow_mut().clear();
    fixture.up_to_date();
    assert!(fixture.world.ran.borrow().is_empty(), "{:?}", fixture.world.ran.borrow());
    assert_eq!(fs::read(fixture.path("two/manifest.json")).unwrap(), expect);
    // Killed between the renames.
    fs::rename(fixture.path("two"), fixture.path("two.old")).unwrap();
    fixture.up_to_date();
    assert!(fixture.world.ran.borrow().is_empty());
    assert!(fixture.leftovers().is_empty(), "{:?}", fixture.leftovers());
}

#[test]
fn a_changed_file_is_an_error_with_a_way_out() {
    let fixture = Fixture::new();
    fixture.up_to_date();
    fs::write(fixture.path("one/result.txt"), "tampered").unwrap();
    let error = format!("{:#}", fixture.pipeline(Selection::default()).unwrap_err());
    assert!(error.contains("result.txt was changed") && error.contains("--from one"), "{error}");
    let from = Selection { from: Some("one"), ..Selection::default() };
    assert_eq!(fixture.pipeline(from).unwrap(), ALL);
}

#[test]
fn a_run_in_use_is_refused() {
    let fixture = Fixture::new();
    let run = fixture.folder.path().join("run");
    let _runner = Runner::open(&run, fixture.stages(), &Quiet).unwrap();
    let error = Runner::open(&run, fixture.stages(), &Quiet).err().unwrap().to_string();
    assert!(error.contains("in use by process"), "{error}");
}

#[test]
fn a_missing_input_is_named() {
    let fixture = Fixture::new();
    fs::remove_file(fixture.folder.path().join("corpus.txt")).unwrap();
    let error = format!("{:#}", fixture.pipeline(Selection::default()).unwrap_err());
    assert!(error.contains("one: ") && error.contains("corpus.txt"), "{error}");
}

#[test]
fn a_stage_that_a_sibling_holds_is_taken_over() {
    let fixture = Fixture::new();
    fixture.up_to_date();
    fixture.world.ran.borrow_mut().clear();
    let own = fixture.folder.path().join("sibling");
    let folders = || vec![own.clone(), fixture.path("").components().collect()];
    let outcome = |selection: Selection<'_>| {
        let siblings = Siblings::new(folders());
        let runner = Runner::open(&own, fixture.stages(), &Quiet).unwrap();
        runner.beside(&siblings).bring_up_to_date(&selection).unwrap()
    };
    let first = outcome(Selection::default());
    assert_eq!((first.taken, first.ran), (ALL.to_vec(), vec![]));
    assert!(fixture.world.ran.borrow().is_empty());
    for file in ["one/manifest.json", "two/result.txt", "two/manifest.json"] {
        assert_eq!(fs::read(own.join(file)).unwrap(), fs::read(fixture.path(file)).unwrap());
    }
    assert_eq!(outcome(Selection::default()).fresh, ALL);
    let log = fs::read_to_string(own.join("log.jsonl")).unwrap();
    assert_eq!(log.matches(r#""event":"taken","from":"#).count(), 3, "{log}");

    // Nobody has it: it is made here. Asked for from nothing: it is made too.
    fixture.world.setting.set(1);
    let changed = outcome(Selection::default());
    assert_eq!((changed.fresh, changed.ran), (vec!["one"], vec!["two", "three"]));
    let forced = outcome(Selection { force: true, ..Selection::default() });
    assert_eq!(forced.ran, ALL);

    // What was changed in the sibling since is not taken.
    fs::remove_dir_all(&own).unwrap();
    fs::write(fixture.path("one/result.txt"), "tampered").unwrap();
    let made = outcome(Selection::default());
    assert_eq!((made.taken, made.ran), (vec![], ALL.to_vec()));
    assert!(fs::read_to_string(own.join("one/result.txt")).unwrap().starts_with("one 0"));
}

#[test]
fn an_inspection_says_what_is_left_and_changes_nothing() {
    let fixture = Fixture::new();
    let run = fixture.folder.path().join("run");
    assert!(Inspection::open(&run, fixture.stages()).is_err());
    assert!(!run.exists());
    fixture.up_to_date();
    let left = || Inspection::open(&run, fixture.stages()).unwrap().left_to_do().unwrap();
    assert_eq!(left(), [""; 0]);
    fixture.world.setting.set(1);
    // One who makes it does not mind.
    let _runner = Runner::open(&run, fixture.stages(), &Quiet).unwrap();
    assert_eq!(left(), ["two", "three"]);
}
