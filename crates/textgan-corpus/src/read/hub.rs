//! Datasets on the Hugging Face hub, through its own cache.

use super::locate::HubAddress;
use crate::Error;
use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Repo, RepoType};
use std::path::PathBuf;

/// Fetches the files of a dataset that match, in the order of their names: `hf://` name and local
/// path. `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and a stored token are respected.
pub(super) fn fetch(address: &str, hub: &HubAddress<'_>) -> Result<Vec<(String, PathBuf)>, Error> {
    let failed = |message: String| Error::Fetch { url: address.into(), message };
    let mut api = ApiBuilder::from_env().with_progress(false).with_retries(3);
    if let Ok(token) = std::env::var("HF_TOKEN")
        && !token.trim().is_empty()
    {
        api = api.with_token(Some(token.trim().to_owned()));
    }
    let api = api.build().map_err(|e| failed(e.to_string()))?;
    let repository = api.repo(Repo::with_revision(
        hub.repository.into(),
        RepoType::Dataset,
        hub.revision.into(),
    ));
    let info = repository.info().map_err(|e| {
        failed(format!(
            "{e}; check the name and the revision, and HF_TOKEN if the dataset is private"
        ))
    })?;
    let mut names: Vec<String> =
        info.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
    names.retain(|name| hub.pattern.matches(name));
    names.sort_unstable();
    if names.is_empty() {
        return Err(failed(format!("no file matches `{}`", hub.pattern)));
    }
    names
        .into_iter()
        .map(|name| {
            let path = repository.get(&name).map_err(|e| failed(format!("{name}: {e}")))?;
            let revision =
                if hub.revision == "main" { String::new() } else { format!("@{}", hub.revision) };
            Ok((format!("hf://datasets/{}{revision}/{name}", hub.repository), path))
        })
        .collect()
}
