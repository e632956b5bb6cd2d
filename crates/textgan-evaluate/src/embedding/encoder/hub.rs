//! Encoders of the Hugging Face hub, through its own cache.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};

use super::folder;
use crate::{Error, Result};

/// The snapshot of an encoder in the cache, which is fetched if it is not there or not whole.
/// `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and a stored token are respected.
pub fn snapshot(name: &str, revision: &str) -> Result<PathBuf> {
    snapshot_in(&Cache::from_env(), name, revision)
}

fn snapshot_in(cache: &Cache, name: &str, revision: &str) -> Result<PathBuf> {
    let failed = |problem: &dyn Display| Error::Config {
        key: "encoder",
        message: format!(
            "cannot fetch {name} at {revision}: {problem}; check the name, the revision and the network, set \
             HF_TOKEN if it is private, or download the folder and name it"
        ),
    };
    let at = |revision: &str| Repo::with_revision(name.into(), RepoType::Model, revision.into());
    if let Some(snapshot) = cached(cache, &at(revision)) {
        return Ok(snapshot);
    }
    let mut api = ApiBuilder::from_env()
        .with_cache_dir(cache.path().clone())
        .with_progress(false)
        .with_retries(3);
    if let Ok(token) = std::env::var("HF_TOKEN")
        && !token.trim().is_empty()
    {
        api = api.with_token(Some(token.trim().to_owned()));
    }
    let api = api.build().map_err(|e| failed(&e))?;
    // All files of one commit, whatever the revision comes to mean meanwhile.
    let info = api.repo(at(revision)).info().map_err(|e| failed(&e))?;
    let repository = api.repo(at(&info.sha));
    let needed = |file: &str| file.ends_with(".json") || file.ends_with(folder::WEIGHTS);
    for file in info.siblings.iter().map(|sibling| &sibling.rfilename).filter(|file| needed(file)) {
        repository.get(file).map_err(|e| failed(&format!("{file}: {e}")))?;
    }
    // Not before everything is there: what is found under the revision is whole.
    cache.repo(at(revision)).create_ref(&info.sha).map_err(|e| failed(&e))?;
    Ok(snapshots(cache, &at(revision)).join(&info.sha))
}

fn snapshots(cache: &Cache, repository: &Repo) -> PathBuf {
    cache.path().join(repository.folder_name()).join("snapshots")
}

/// What the revision means in the cache, or the revision itself where it is a commit, if it is whole.
fn cached(cache: &Cache, repository: &Repo) -> Option<PathBuf> {
    let modules = cache.repo(repository.clone()).get(folder::MODULES);
    let named = modules.as_deref().and_then(Path::parent).map(Path::to_owned);
    let snapshot =
        named.unwrap_or_else(|| snapshots(cache, repository).join(repository.revision()));
    folder::is_whole(&snapshot).then_some(snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// The layout of the cache is Hugging Face's own, so what its tools fetched is found.
    #[test]
    fn a_whole_snapshot_in_the_cache_needs_no_network() {
        let home = tempfile::tempdir().unwrap();
        let model = home.path().join("models--sentence-transformers--tiny");
        let encoder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/encoder");
        for (revision, commit) in [("main", "1234"), ("v2", "5678")] {
            let snapshot = model.join("snapshots").join(commit);
            for folder in ["", "1_Pooling"] {
                fs::create_dir_all(snapshot.join(folder)).unwrap();
                for entry in fs::read_dir(encoder.join(folder)).unwrap() {
                    let entry = entry.unwrap();
                    if entry.path().is_file() {
                        let to = snapshot.join(folder).join(entry.file_name());
                        fs::copy(entry.path(), to).unwrap();
                    }
                }
            }
            fs::create_dir_all(model.join("refs")).unwrap();
            fs::write(model.join("refs").join(revision), commit).unwrap();
        }
        let cache = Cache::new(home.path().to_owned());
        let find = |revision: &str| {
            let name = "sentence-transformers/tiny".into();
            cached(&cache, &Repo::with_revision(name, RepoType::Model, revision.into()))
        };
        assert_eq!(find("main"), Some(model.join("snapshots/1234")));
        assert_eq!(find("v2"), Some(model.join("snapshots/5678")));
        assert_eq!(find("1234"), find("main"), "a commit is its own name");
        assert_eq!(find("v3"), None);
        super::super::SentenceEncoder::load(&find("v2").unwrap()).unwrap();

        // As a program leaves it that needs no pooling.
        fs::remove_file(model.join("snapshots/5678/1_Pooling/config.json")).unwrap();
        assert_eq!(find("v2"), None);
    }
}
