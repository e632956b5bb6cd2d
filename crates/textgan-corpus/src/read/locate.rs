//! From what a source names to files, in an order that only the names decide.

use super::guard::ending;
use crate::{Error, Files, Format};
use std::path::{Path, PathBuf};

/// The files behind a source.
pub(crate) struct Located {
    pub(crate) paths: Vec<PathBuf>,
    /// Files that were passed over, having no known format.
    pub(crate) skipped: u64,
}

/// Where a source's bytes are.
pub(crate) enum Address<'a> {
    Local(&'a Path),
    Url(&'a str),
    Hub(HubAddress<'a>),
    /// A key, folder or pattern in a bucket.
    Objects(&'a str),
}

/// An `http(s)://` address without user and password, query and fragment, which may be secret; any other
/// path as it is.
///
/// ```
/// let address = "https://me:word@example.org/a.txt.gz?token=5#top";
/// assert_eq!(textgan_corpus::public_address(address), "https://example.org/a.txt.gz");
/// assert_eq!(textgan_corpus::public_address("data/a?.txt"), "data/a?.txt");
/// ```
pub fn public_address(path: &str) -> String {
    let Some((scheme @ ("http" | "https"), rest)) = path.split_once("://") else {
        return path.to_owned();
    };
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (host, file) = rest.split_once('/').map_or((rest, None), |(host, file)| (host, Some(file)));
    let host = host.rsplit('@').next().unwrap_or(host);
    match file {
        Some(file) => format!("{scheme}://{host}/{file}"),
        None => format!("{scheme}://{host}"),
    }
}

/// The parts of `hf://datasets/OWNER/NAME[@REVISION]/GLOB`.
#[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "only the hub reader looks inside"))]
pub(crate) struct HubAddress<'a> {
    pub(crate) repository: &'a str,
    pub(crate) revision: &'a str,
    pub(crate) pattern: glob::Pattern,
}

/// The branch where the hub keeps a Parquet copy of a dataset, and its short name.
const PARQUET_BRANCH: (&str, &str) = ("~parquet", "refs/convert/parquet");

pub(crate) fn parse_address(path: &str) -> Result<Address<'_>, Error> {
    let Some((scheme, rest)) = path.split_once("://") else {
        return Ok(Address::Local(Path::new(path)));
    };
    match scheme {
        "http" | "https" => Ok(Address::Url(path)),
        "s3" | "gs" | "az" if has_secret(rest) => Err(Error::config(
            "corpus.sources.path",
            "has a password or a signature in it, which runs would store; give them in the variables of the \
             store's own tools, such as AWS_SECRET_ACCESS_KEY and AZURE_STORAGE_SAS_KEY",
        )),
        "s3" | "gs" | "az" => Ok(Address::Objects(path)),
        "file" if rest.starts_with('/') => Ok(Address::Local(Path::new(rest))),
        "file" => Err(Error::config(
            "corpus.sources.path",
            format!("is `{path}`; a file of this machine is `file:///` and its path from the root, or the path alone"),
        )),
        "hf" => parse_hub(rest).map(Address::Hub).ok_or_else(|| {
            Error::config(
                "corpus.sources.path",
                format!("is `{path}`; a dataset on the hub is `hf://datasets/OWNER/NAME[@REVISION]/GLOB`"),
            )
        }),
        _ => Err(Error::config(
            "corpus.sources.path",
            format!("is `{path}`; only http://, https://, hf://, s3://, gs://, az:// and file:// addresses can be read"),
        )),
    }
}

/// Whether an address of a bucket has more in it than bucket and key.
fn has_secret(rest: &str) -> bool {
    let bucket = rest.split('/').next().unwrap_or(rest);
    let user = bucket.split_once('@').map(|(user, _)| user);
    user.is_some_and(|user| user.contains(':')) || rest.contains("?sig=") || rest.contains("&sig=")
}

fn parse_hub(rest: &str) -> Option<HubAddress<'_>> {
    let rest = rest.strip_prefix("datasets/")?;
    let owner_end = rest.find('/')?;
    let name_end = owner_end + 1 + rest[owner_end + 1..].find('/')?;
    let (repository, revision) = match rest[..name_end].split_once('@') {
        Some((repository, revision)) if revision == PARQUET_BRANCH.0 => {
            (repository, PARQUET_BRANCH.1)
        }
        Some((repository, revision)) => (repository, revision),
        None => (&rest[..name_end], "main"),
    };
    let pattern = &rest[name_end + 1..];
    if owner_end == 0 || repository.ends_with('/') || revision.is_empty() || pattern.is_empty() {
        return None;
    }
    Some(HubAddress { repository, revision, pattern: glob::Pattern::new(pattern).ok()? })
}

/// The format that a name tells, compression endings aside.
pub(crate) fn format_of(name: &str) -> Option<Format> {
    let name = name.to_ascii_lowercase();
    let inner = match ending(&name) {
        "gz" | "zst" | "zstd" => &name[..name.len() - ending(&name).len() - 1],
        _ => &name,
    };
    Some(match ending(inner) {
        "txt" | "text" | "md" | "markdown" => Format::Text,
        "json" => Format::Json,
        "jsonl" | "ndjson" => Format::Jsonl,
        "csv" => Format::Csv,
        "tsv" => Format::Tsv,
        "parquet" => Format::Parquet,
        "html" | "htm" => Format::Html,
        "tar" | "tgz" | "tzst" => Format::Tar,
        _ => return None,
    })
}

/// What may help with a name that tells no format.
pub(crate) fn hint_for(name: &str) -> &'static str {
    match ending(name) {
        "zip" | "7z" | "rar" | "bz2" | "xz" | "lz4" => {
            "; of packed files .gz, .zst and .tar can be read"
        }
        _ => "",
    }
}

/// The local files of a source; none for addresses.
pub(crate) fn local_files(files: &Files) -> Result<Vec<PathBuf>, Error> {
    Ok(match parse_address(&files.path)? {
        Address::Local(path) => locate(path, files)?.paths,
        Address::Url(_) | Address::Hub(_) | Address::Objects(_) => Vec::new(),
    })
}

/// The files at a path, folder or pattern.
pub(crate) fn locate(path: &Path, files: &Files) -> Result<Located, Error> {
    let known =
        |path: &Path| files.format.is_some() || format_of(&path.to_string_lossy()).is_some();
    let missing = || Error::Missing { path: path.to_path_buf() };
    let mut found = Vec::new();
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => walk(path, &mut found)?,
        Ok(metadata) if !metadata.is_file() => {
            return Err(Error::NoFile { path: path.to_path_buf() });
        }
        // A single file is meant: not knowing its format is an error of its own.
        Ok(_) => return Ok(Located { paths: vec![path.to_path_buf()], skipped: 0 }),
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::Read { file: path.display().to_string(), source });
        }
        Err(_) => {
            let pattern = path.to_string_lossy();
            if !pattern.contains(['*', '?', '[']) {
                return Err(missing());
            }
            let options = glob::MatchOptions {
                require_literal_leading_dot: true,
                ..glob::MatchOptions::new()
            };
            let matches = glob::glob_with(&pattern, options).map_err(|e| {
                Error::config("corpus.sources.path", format!("is `{pattern}`, not a pattern: {e}"))
            })?;
            for entry in matches {
                let entry = entry.map_err(|e| Error::Read {
                    file: e.path().display().to_string(),
                    source: e.into(),
                })?;
                if entry.is_file() {
                    found.push(entry);
                }
            }
        }
    }
    if found.is_empty() {
        return Err(missing());
    }
    // What this program made of other text is no text to learn from.
    let base = fixed_part(path);
    found.retain(|path| !path.ancestors().skip(1).take_while(|part| *part != base).any(is_run));
    if found.is_empty() {
        return Err(missing());
    }
    let all = found.len();
    found.retain(|path| known(path));
    let skipped = (all - found.len()) as u64;
    if found.is_empty() {
        return Err(Error::NoKnownFormat { path: path.to_path_buf(), skipped });
    }
    Ok(Located { paths: found, skipped })
}

/// The part of a path before its first pattern.
fn fixed_part(path: &Path) -> PathBuf {
    let has_pattern = |part: &std::path::Component<'_>| {
        part.as_os_str().to_string_lossy().contains(['*', '?', '['])
    };
    path.components().take_while(|part| !has_pattern(part)).collect()
}

fn is_run(folder: &Path) -> bool {
    textgan_artifact::RunDir::is_run(folder) && folder.join("log.jsonl").is_file()
}

/// All files below a folder in the order of their names, hidden ones left out. Links to folders
/// are not followed, so there are no cycles.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let fail = |source| Error::Read { file: folder.display().to_string(), source };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            entries.push((entry.file_name(), entry.file_type().map_err(fail)?, entry.path()));
        }
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    for (_, kind, path) in entries {
        if kind.is_dir() && is_run(&path) {
            continue;
        }
        if kind.is_dir() {
            walk(&path, found)?;
        } else if path.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_formats() {
        for (name, format) in [
            ("a.txt", Some(Format::Text)),
            ("dir.csv/a.TXT.GZ", Some(Format::Text)),
            ("a.jsonl.zst", Some(Format::Jsonl)),
            ("a.tsv", Some(Format::Tsv)),
            ("a.tar.gz", Some(Format::Tar)),
            ("a.tgz", Some(Format::Tar)),
            ("a.b.html", Some(Format::Html)),
            ("a.gz", None),
            (".txt", None),
            ("README", None),
            ("dir.txt/README", None),
        ] {
            assert_eq!(format_of(name), format, "{name}");
        }
    }

    #[test]
    fn hub_addresses_have_parts() {
        let parse = |path| match parse_address(path) {
            Ok(Address::Hub(hub)) => {
                Some((hub.repository, hub.revision, hub.pattern.as_str().to_string()))
            }
            _ => None,
        };
        assert_eq!(
            parse("hf://datasets/a/b/c/*.parquet"),
            Some(("a/b", "main", "c/*.parquet".into()))
        );
        assert_eq!(parse("hf://datasets/a/b@v1/c.txt"), Some(("a/b", "v1", "c.txt".into())));
        let converted = Some(("a/b", "refs/convert/parquet", "x/train/*".into()));
        assert_eq!(parse("hf://datasets/a/b@~parquet/x/train/*"), converted);
        for wrong in [
            "hf://a/b/c",
            "hf://datasets/a/b",
            "hf://datasets/a/b/",
            "hf://datasets//b/c",
            "ftp://x/y",
            "s3://key:word@bucket/x",
            "az://bucket/x.txt?sv=1&sig=abc",
            "file://x.txt",
        ] {
            assert!(parse_address(wrong).is_err(), "{wrong}");
        }
    }
}
