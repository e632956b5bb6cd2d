//! Encoders of the Hugging Face hub, through its own cache.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};

use crate::{Error, Result};

/// Fetched last: a snapshot that has them has the rest too.
const WEIGHTS: &str = "model.safetensors";

/// The folder of `OWNER/NAME[@REVISION]` in the cache, which is filled if need be: without a network
/// what is there is used. `HF_HOME`, `HF_ENDPOINT` and a stored token are respected.
pub fn snapshot(id: &str) -> Result<PathBuf> {
    snapshot_in(Cache::from_env(), id)
}

fn snapshot_in(cache: Cache, id: &str) -> Result<PathBuf> {
    let failed = |problem: &dyn Display| Error::Config {
        key: "encoder",
        message: format!(
            "hf://{id}: {problem}; an encoder of the hub is `hf://OWNER/NAME[@REVISION]`, and a private \
             one needs HF_TOKEN"
        ),
    };
    let (name, revision) = id.split_once('@').unwrap_or((id, "main"));
    if name.split('/').filter(|part| !part.is_empty()).count() != 2 {
        return Err(failed(&"not the name of a model"));
    }
    let repository = || Repo::with_revision(name.into(), RepoType::Model, revision.into());
    let weights = match cache.repo(repository()).get(WEIGHTS) {
        Some(cached) => cached,
        None => {
            let api = ApiBuilder::from_env()
                .with_cache_dir(cache.path().clone())
                .with_progress(false)
                .with_retries(3)
                .build();
            let repository = api.map_err(|e| failed(&e))?.repo(repository());
            for file in repository.info().map_err(|e| failed(&e))?.siblings {
                if file.rfilename.ends_with(".json") {
                    repository.get(&file.rfilename).map_err(|e| failed(&e))?;
                }
            }
            repository.get(WEIGHTS).map_err(|e| failed(&e))?
        }
    };
    Ok(weights.parent().unwrap_or(Path::new("")).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout of the cache is Hugging Face's own, so what its tools fetched is found.
    #[test]
    fn a_snapshot_in_the_cache_needs_no_network() {
        let home = tempfile::tempdir().unwrap();
        let model = home.path().join("models--sentence-transformers--tiny");
        for (revision, commit) in [("main", "1234"), ("v2", "5678")] {
            let snapshot = model.join("snapshots").join(commit);
            std::fs::create_dir_all(&snapshot).unwrap();
            std::fs::write(snapshot.join(WEIGHTS), "").unwrap();
            std::fs::create_dir_all(model.join("refs")).unwrap();
            std::fs::write(model.join("refs").join(revision), commit).unwrap();
        }
        let find = |id: &str| snapshot_in(Cache::new(home.path().to_owned()), id).unwrap();
        assert_eq!(find("sentence-transformers/tiny"), model.join("snapshots/1234"));
        assert_eq!(find("sentence-transformers/tiny@v2"), model.join("snapshots/5678"));
    }

    #[test]
    fn what_is_no_name_of_a_model_is_refused() {
        for id in ["", "tiny", "a/b/c", "/tiny"] {
            let error = snapshot(id).unwrap_err().to_string();
            assert!(error.contains("hf://OWNER/NAME"), "{error}");
        }
    }
}
