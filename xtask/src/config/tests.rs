//! Config files as a whole: layers, paths, complaints, and the way back to a file.

use super::*;

fn load(file: Option<&Path>, assignments: &[String]) -> Result<Loaded> {
    super::load(file, assignments)
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn refused(files: &[(&str, &str)], assignments: &[&str]) -> String {
    let folder = folder(files);
    let assignments: Vec<_> = assignments.iter().map(ToString::to_string).collect();
    let error = load(Some(&folder.path().join(files[0].0)), &assignments).unwrap_err();
    assert!(error.downcast_ref::<Refusal>().is_some(), "{error}");
    error.to_string().replace(&folder.path().display().to_string(), "DIR")
}

#[test]
fn the_built_in_config_is_valid() {
    let loaded = load(None, &[]).unwrap();
    assert_eq!(loaded.name, "quickstart");
    loaded.config.validate().unwrap();
}

/// What a run keeps is the whole experiment, of which it was a try.
#[test]
fn a_quick_experiment_can_be_made_whole() {
    let quick = load(None, &["quick=true".into()]).unwrap();
    quick.validate().unwrap();
    let whole = load(None, &[]).unwrap().config;
    assert_ne!(quick.config.phase, whole.phase);
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("config.toml");
    std::fs::write(&kept, crate::config::resolved(&quick.written, folder.path()).unwrap()).unwrap();
    assert_eq!(load(Some(&kept), &[]).unwrap().config, quick.config);
    assert_eq!(load(Some(&kept), &["quick=false".into()]).unwrap().config, whole);
    // Shortened or not, it must be an experiment.
    let wrong = load(None, &["quick=true".into(), "phase.0.epochs=3".into()]).unwrap();
    assert!(wrong.validate().unwrap_err().to_string().contains("epochs"));
}

#[test]
fn a_config_extends_others_from_their_own_folders() {
    let folder = folder(&[
        ("a/leaf.toml", "extends = '../b/middle.toml'\n[train]\nbatch_size = 5"),
        (
            "b/middle.toml",
            "extends = 'base.toml'\nseed = 3\n[train]\nbatch_size = 4\nlog_every = 7",
        ),
        ("b/base.toml", "seed = 2\n[corpus]\nsources = 'texts/x.txt'\n[noise]\ndimension = 3"),
    ]);
    let loaded =
        load(Some(&folder.path().join("a/leaf.toml")), &["noise.dimension=9".into()]).unwrap();
    let config = loaded.config;
    assert_eq!(loaded.name, "leaf");
    assert_eq!((config.seed, config.noise.dimension), (3, 9));
    assert_eq!((config.train.batch_size, config.train.log_every), (5, 7));
    let json = serde_json::to_value(&config.corpus).unwrap();
    let path = folder.path().join("b/texts/x.txt");
    assert_eq!(json["sources"][0]["path"], path.to_str().unwrap());
}

#[test]
fn complaints_name_the_file_that_is_wrong() {
    let base = ("base.toml", "[train]\nbatch_sise = 4\n");
    for (files, assignments, expect) in [
        (
            &[("leaf.toml", "extends = 'base.toml'"), base][..],
            &[][..],
            "DIR/base.toml:2: unknown key `train.batch_sise`; did you mean `batch_size`?",
        ),
        (&[("a.toml", "seed = -1")], &[], "DIR/a.toml:1: `seed`"),
        (
            &[("a.toml", "\nsede = 1")],
            &[],
            "DIR/a.toml:2: unknown key `sede`; did you mean `seed`?",
        ),
        (&[("a.toml", "seed = 1\nb")], &[], "DIR/a.toml:2: key with no value"),
        (&[("a.toml", "extends = 3")], &[], "`extends` takes the path"),
        (&[("a.toml", "extends = 'a.toml'")], &[], "goes round in a circle"),
        (&[("a.toml", "extends = 'no.toml'")], &[], "cannot read the config DIR/no.toml"),
        (&[("a.toml", "")], &["train.batch_sise=1"], "--set train.batch_sise: unknown key"),
        (&[("a.toml", "")], &["train.batch_size=x"], "--set train.batch_size: `train.batch_size`"),
        (&[("a.toml", "[generator]\nkind = 'transfomer'")], &[], "did you mean `transformer`?"),
        (
            &[("a.toml", "[[phase]]\nkind = 'adversarial'\nstep = 3")],
            &[],
            "DIR/a.toml:3: unknown key `phase.0.step`; did you mean `steps`?",
        ),
        (&[("a.toml", "[corpus]\nsteps = ['lowercase']")], &[], "DIR/a.toml:2: "),
    ] {
        let message = refused(files, assignments);
        assert!(message.contains(expect), "{files:?} {assignments:?}: {message}");
    }
}

#[test]
fn the_documented_form_reads_back_and_explains_every_key() {
    let loaded = load(None, &[]).unwrap();
    let text = documented(&loaded.config).unwrap();
    let again: RootConfig = toml::from_str(&text).unwrap();
    assert_eq!(again, loaded.config);
    let mut previous = "";
    for line in text.lines() {
        let is_key = line.contains(" = ") && !line.starts_with("# ");
        if is_key {
            assert!(previous.starts_with('#'), "no words about {line:?} in\n{text}");
        }
        previous = line;
    }
}

#[test]
fn the_config_in_a_run_folder_leads_to_the_same_experiment() {
    let folder = folder(&[
        ("configs/x.toml", "[corpus]\nsources = '../data/x.txt'\n[tokenizer]\nmax_length = 7"),
        ("data/x.txt", "text"),
    ]);
    let first = load(Some(&folder.path().join("configs/x.toml")), &[]).unwrap();
    let run = folder.path().join("runs/mine");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("lock"), "").unwrap();
    fs::write(run.join("config.toml"), resolved(&first.config, &run).unwrap()).unwrap();
    let again = load(Some(&run.join("config.toml")), &[]).unwrap();
    assert_eq!(again.name, "mine");
    assert_eq!(again.config, first.config);
}

#[test]
fn the_schema_describes_every_table() {
    let schema = schema::<BuiltIn>();
    let properties = schema["properties"].as_object().unwrap();
    for key in ["extends", "seed", "corpus", "train", "phase", "evaluate"] {
        assert!(properties[key]["description"].is_string(), "{key}");
    }
}

/// What would only be found after hours of training.
#[test]
fn a_measure_that_nobody_makes_is_refused_at_once() {
    let verdict = "evaluate.verdict=[{ quality = 'gramatical', diversity = 'distinct-3' }]";
    let loaded = load(None, &[verdict.to_owned()]).unwrap();
    let error = loaded.config.validate().unwrap_err().to_string();
    assert!(error.contains("did you mean `grammatical`"), "{error}");
    let sweep = "config = 'quickstart.toml'\nmeasures = ['blue-4']\nseeds = [1]\n";
    let error = sweep::SweepFile::parse("s", Path::new("s.toml"), sweep).unwrap_err().to_string();
    assert!(error.contains("did you mean `bleu-4`"), "{error}");
}
