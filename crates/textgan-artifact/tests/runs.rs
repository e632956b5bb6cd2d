//! Folders of runs: locked, published whole, verified.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use textgan_artifact::{
    Error, HashCache, Header, MANIFEST, Manifest, RunDir, hash_bytes, hash_file, publish, recover,
    write_atomic,
};

fn stage(folder: &Path, content: &str) -> Manifest {
    fs::create_dir_all(folder.join("deep/er")).unwrap();
    fs::write(folder.join("a.txt"), content).unwrap();
    fs::write(folder.join("deep/er/b.bin"), [0, 159, 146, 150]).unwrap();
    let inputs = BTreeMap::from([("corpus.txt".to_string(), hash_bytes(b"corpus"))]);
    Manifest::write(folder, Header::new("toy", 3, "f00d".into()).with_inputs(inputs)).unwrap()
}

#[test]
fn a_run_is_made_opened_and_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/run");
    assert!(RunDir::open(&path).is_err(), "not there yet");
    RunDir::create(&path).unwrap();
    RunDir::create(&path).unwrap();
    let run = RunDir::open(&path).unwrap();
    assert_eq!(run.partial_dir("train").unwrap(), path.join("train.partial"));
    for name in ["../x", "/x", ".."] {
        assert!(matches!(run.stage_dir(name), Err(Error::Escapes { .. })), "{name}");
    }

    fs::write(folder.path().join("holiday.jpg"), "").unwrap();
    for refused in [RunDir::create(folder.path()), RunDir::open(folder.path())] {
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("is not a textgan run"), "{message}");
    }
    assert!(!folder.path().join("lock").exists());
}

#[test]
fn a_second_lock_is_refused_and_names_the_holder() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::create(folder.path().join("run")).unwrap();
    let lock = run.lock().unwrap();
    let message = run.lock().unwrap_err().to_string();
    assert!(message.contains(&format!("by process {}", std::process::id())), "{message}");
    drop(lock);
    run.lock().unwrap();
}

#[test]
fn log_lines_are_appended() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::create(folder.path().join("run")).unwrap();
    run.log(&serde_json::json!({"event": "start"})).unwrap();
    run.log(&serde_json::json!({"event": "end"})).unwrap();
    let log = fs::read_to_string(run.path().join("log.jsonl")).unwrap();
    assert_eq!(log, "{\"event\":\"start\"}\n{\"event\":\"end\"}\n");
}

#[test]
fn a_manifest_lists_every_file_and_returns() {
    let folder = tempfile::tempdir().unwrap();
    let written = stage(folder.path(), "text");
    assert_eq!(written.files.keys().collect::<Vec<_>>(), ["a.txt", "deep/er/b.bin"]);
    assert_eq!(written.files["a.txt"].hash, hash_bytes(b"text"));
    assert_eq!(written.bytes(), 8);
    let read = Manifest::read(folder.path()).unwrap();
    assert_eq!(read, written);
    read.verify(folder.path()).unwrap();
    // Writing again gives the same bytes: no clock, no order of the file system.
    let bytes = fs::read(folder.path().join(MANIFEST)).unwrap();
    stage(folder.path(), "text");
    assert_eq!(fs::read(folder.path().join(MANIFEST)).unwrap(), bytes);
}

#[test]
fn changed_and_missing_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let cache_folder = tempfile::tempdir().unwrap();
    let mut cache = HashCache::load(cache_folder.path().join("hashes.json"));
    let manifest = stage(folder.path(), "text");
    manifest.verify_cached(folder.path(), &mut cache).unwrap();
    let file = folder.path().join("a.txt");
    for (content, problem) in
        [(Some("another"), "was changed"), (Some("tex!"), "was changed"), (None, "is missing")]
    {
        match content {
            Some(content) => fs::write(&file, content).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let errors = [
            manifest.verify(folder.path()).unwrap_err(),
            manifest.verify_cached(folder.path(), &mut cache).unwrap_err(),
        ];
        for error in errors {
            let error = error.to_string();
            assert!(error.contains("a.txt") && error.contains(problem), "{error}");
            assert!(error.contains("--from toy"), "{error}");
        }
    }
}

#[test]
fn a_copy_is_checked_and_shares_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (original, copy) = (folder.path().join("one"), folder.path().join("two"));
    let manifest = stage(&original, "text");
    fs::create_dir(&copy).unwrap();
    manifest.copy(&original, &copy).unwrap();
    for file in [MANIFEST, "a.txt", "deep/er/b.bin"] {
        assert_eq!(fs::read(copy.join(file)).unwrap(), fs::read(original.join(file)).unwrap());
    }
    fs::write(copy.join("a.txt"), "TEXT").unwrap();
    manifest.verify(&original).unwrap();

    // What is not as it was written is not passed on, nor called finished.
    let third = folder.path().join("three");
    fs::create_dir(&third).unwrap();
    let refused = manifest.copy(&copy, &third).unwrap_err();
    assert!(matches!(refused, Error::Changed { .. }), "{refused:?}");
    fs::remove_file(original.join("a.txt")).unwrap();
    let refused = manifest.copy(&original, &third).unwrap_err();
    assert!(refused.to_string().contains("a.txt is missing"), "{refused}");
    assert!(!third.join(MANIFEST).exists());
}

#[cfg(unix)]
#[test]
fn a_copy_follows_no_link() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let (original, copy) = (folder.path().join("one"), folder.path().join("two"));
    let manifest = stage(&original, "text");
    fs::create_dir(&copy).unwrap();
    let refused = |from: &Path| {
        let error = manifest.copy(from, &copy).unwrap_err();
        assert!(matches!(error, Error::Escapes { .. }), "{error:?}");
    };
    let linked = folder.path().join("linked");
    symlink(&original, &linked).unwrap();
    refused(&linked);
    // One that stays inside, and has the right content.
    fs::rename(original.join("deep"), original.join("deeper")).unwrap();
    symlink("deeper", original.join("deep")).unwrap();
    refused(&original);
}

#[test]
fn bad_manifests_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let none = Manifest::read(folder.path()).unwrap_err();
    assert!(matches!(none, Error::NoManifest { .. }), "{none}");
    stage(folder.path(), "text");
    let path = folder.path().join(MANIFEST);
    let good = fs::read_to_string(&path).unwrap();
    for bad in ["", "{}", &good.replace("a.txt", "../../etc/passwd"), &good[..good.len() / 2]] {
        fs::write(&path, bad).unwrap();
        let error = Manifest::read(folder.path()).unwrap_err();
        assert!(matches!(error, Error::BadManifest { .. }), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn links_are_not_published() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
    let error = Manifest::write(folder.path(), Header::new("toy", 1, String::new())).unwrap_err();
    assert!(matches!(error, Error::Escapes { .. }), "{error}");
}

#[test]
fn publishing_replaces_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (partial, target) = (folder.path().join("toy.partial"), folder.path().join("toy"));
    for round in ["one", "two"] {
        stage(&partial, round);
        publish(&partial, &target).unwrap();
        assert_eq!(fs::read_to_string(target.join("a.txt")).unwrap(), round);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only the target is left");
    }
}

#[test]
fn a_publish_killed_at_any_point_is_recovered() {
    let folder = tempfile::tempdir().unwrap();
    let (old, target) = (folder.path().join("toy.old"), folder.path().join("toy"));
    recover(&target).unwrap();
    // Killed between the renames: the old folder comes back.
    stage(&old, "old");
    recover(&target).unwrap();
    assert_eq!(fs::read_to_string(target.join("a.txt")).unwrap(), "old");
    // Killed before the removal: the new folder stays.
    stage(&old, "older");
    recover(&target).unwrap();
    assert_eq!(fs::read_to_string(target.join("a.txt")).unwrap(), "old");
    assert!(!old.exists());
    // And a leftover is no obstacle.
    stage(&old, "older");
    let partial = folder.path().join("toy.partial");
    stage(&partial, "new");
    publish(&partial, &target).unwrap();
    assert_eq!(fs::read_to_string(target.join("a.txt")).unwrap(), "new");
    assert!(!old.exists());
}

#[test]
fn atomic_writes_replace_or_fail_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.json");
    write_atomic(&path, b"one").unwrap();
    write_atomic(&path, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = write_atomic(folder.path().join("absent/x"), b"").unwrap_err().to_string();
    assert!(error.contains("absent"), "{error}");
}

#[test]
fn a_full_disk_is_said_to_be_full() {
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let error = Error::io("write", "x.json", full);
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("the disk is full") && text.contains("x.json"), "{text}");
}

/// Whoever puts a link into a run folder has none of the files that it leads to written or emptied.
#[cfg(unix)]
#[test]
fn no_file_of_a_run_is_written_through_a_link() {
    use std::os::unix::fs::symlink;
    use textgan_artifact::table::{TableWriter, TokenRow};

    let folder = tempfile::tempdir().unwrap();
    let victim = folder.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let path = folder.path().join("run");
    for name in ["lock", "log.jsonl"] {
        let run = RunDir::create(&path).unwrap();
        fs::remove_file(path.join("lock")).unwrap();
        symlink(&victim, path.join(name)).unwrap();
        let error = match name {
            "lock" => run.lock().map(|_| ()).unwrap_err(),
            _ => run.log(&"begin").unwrap_err(),
        };
        assert!(error.to_string().contains("symbolic link"), "{error}");
        fs::remove_dir_all(&path).unwrap();
    }
    // What is written beside and renamed replaces a link that is in its way.
    for name in ["x.json.tmp", "t.parquet.part"] {
        symlink(&victim, folder.path().join(name)).unwrap();
    }
    write_atomic(folder.path().join("x.json"), b"{}").unwrap();
    let mut table = TableWriter::create(folder.path().join("t.parquet")).unwrap();
    table.write(&[TokenRow { id: 1, label: None, tokens: vec![4], cut: false }]).unwrap();
    table.finish().unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert!(!folder.path().join("x.json").is_symlink());
}

#[test]
fn the_cache_believes_only_untouched_files() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (folder.path().join("hashes.json"), folder.path().join("f"));
    fs::write(&file, "one").unwrap();
    let one = hash_file(&file).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    let mut cache = HashCache::load(&path);
    assert_eq!(cache.hash(&file).unwrap(), one);
    cache.save().unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("\"f\""), "relative names");

    // It is used: a planted wrong hash comes back for an untouched file ...
    let planted = fs::read_to_string(&path).unwrap().replace(&one, "planted");
    fs::write(&path, planted).unwrap();
    let mut cache = HashCache::load(&path);
    assert_eq!(cache.hash(&file).unwrap(), "planted");
    // ... and not for one of the same size that was written since.
    fs::write(&file, "two").unwrap();
    assert_eq!(cache.hash(&file).unwrap(), hash_bytes(b"two"));
    // A damaged cache is an empty one.
    fs::write(&path, "{").unwrap();
    assert_eq!(HashCache::load(&path).hash(&file).unwrap(), hash_bytes(b"two"));
}
