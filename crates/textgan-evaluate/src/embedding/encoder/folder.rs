//! What the files of an encoder's folder say.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use candle_transformers::models::bert::{Config, HiddenAct};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use textgan_artifact::{Fingerprint, hash_bytes};
use tokenizers::{Tokenizer, TruncationParams};

use super::tensors::Tensors;
use crate::{Error, Result};

/// Rises when the same files give other embeddings than before, beyond rounding.
const VERSION: u32 = 1;

/// What an encoder of sentence-transformers is made of.
pub const MODULES: &str = "modules.json";
/// Of the transformer, and of its pooling.
const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const PROMPTS: &str = "config_sentence_transformers.json";
const LENGTHS: &str = "sentence_bert_config.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// Of the transformer.
pub const WEIGHTS: &str = "model.safetensors";

/// How a sentence becomes one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub enum Pooling {
    /// The mean of its tokens.
    Mean,
    /// Its first token, which BERT's tokenizers put before it (`[CLS]`).
    First,
}

/// An encoder's folder, read and checked.
pub struct Folder {
    /// See [`super::SentenceEncoder::name`].
    pub name: String,
    pub config: Config,
    pub tensors: Tensors,
    /// Cuts after `max_tokens`, and does not pad.
    pub tokenizer: Tokenizer,
    /// Whether texts are written in small letters before they are tokenized.
    pub lower_case: bool,
    pub max_tokens: usize,
    pub pooling: Pooling,
    pub normalize: bool,
}

#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
    do_lower_case: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenizerConfig {
    /// A float where there is no limit: some write `1e30`.
    model_max_length: Option<f64>,
}

impl Folder {
    /// See [`super::SentenceEncoder::load`].
    pub fn read(folder: &Path) -> Result<Self> {
        no_prompt(&folder.join(PROMPTS))?;
        let Modules { transformer, pooling, normalize } = modules(folder)?;
        let (config, config_hash) = config(&transformer.join(CONFIG))?;
        let pooling = match pooling {
            Some(path) => self::pooling(&path.join(CONFIG), config.hidden_size)?,
            None => Pooling::Mean,
        };
        let sentence: SentenceConfig = optional(&transformer.join(LENGTHS))?.unwrap_or_default();
        let lengths: TokenizerConfig =
            optional(&transformer.join(TOKENIZER_CONFIG))?.unwrap_or_default();
        let max_tokens = sentence
            .max_seq_length
            .or(lengths.model_max_length.map(|length| length as usize))
            .unwrap_or(usize::MAX)
            .min(config.max_position_embeddings);
        let (tokenizer, tokenizer_hash) = tokenizer(&transformer, max_tokens, config.vocab_size)?;
        let (tensors, weights_hash) = weights(&transformer)?;
        let hash = Fingerprint::new("sentence-encoder", VERSION)
            .field("weights", &weights_hash)
            .field("config", &config_hash)
            .field("tokenizer", &tokenizer_hash)
            .field("lower_case", &sentence.do_lower_case)
            .field("max_tokens", &max_tokens)
            .field("pooling", &pooling)
            .field("normalize", &normalize)
            .finish()?;
        let name = format!("bert-{}-{}", config.hidden_size, &hash[..12]);
        let lower_case = sentence.do_lower_case;
        Ok(Self { name, config, tensors, tokenizer, lower_case, max_tokens, pooling, normalize })
    }
}

/// Whether every file is there that [`Folder::read`] looks for. Other programs fetch some of them only,
/// and an encoder without its modules or its lengths would be read as a different one.
#[cfg(feature = "hub")]
pub fn is_whole(folder: &Path) -> bool {
    let Ok(Modules { transformer, pooling: Some(pooling), .. }) = modules(folder) else {
        return false;
    };
    let parts = [CONFIG, TOKENIZER, WEIGHTS, LENGTHS, TOKENIZER_CONFIG];
    let parts = parts.map(|file| transformer.join(file));
    let others = [pooling.join(CONFIG), folder.join(PROMPTS)];
    parts.into_iter().chain(others).all(|file| file.is_file())
}

/// Refuses an encoder that puts words of its own before every text.
fn no_prompt(path: &Path) -> Result<()> {
    let config: Option<Value> = optional(path)?;
    match config.as_ref().and_then(|config| config.get("default_prompt_name")) {
        None | Some(Value::Null) => Ok(()),
        Some(name) => Err(Error::EncoderKey {
            path: path.to_owned(),
            key: "default_prompt_name".into(),
            problem: format!("is {name}; set it to null and put the prompt before your texts"),
        }),
    }
}

/// The folders of the parts, of which pooling may be left to the default.
struct Modules {
    transformer: PathBuf,
    pooling: Option<PathBuf>,
    normalize: bool,
}

fn modules(folder: &Path) -> Result<Modules> {
    let path = folder.join(MODULES);
    let Some(modules) = optional::<Vec<Module>>(&path)? else {
        return Ok(Modules { transformer: folder.to_owned(), pooling: None, normalize: false });
    };
    // The modules of the types have moved between releases; the types kept their names.
    let kinds: Vec<&str> =
        modules.iter().filter_map(|module| module.kind.rsplit('.').next()).collect();
    let (transformer, pooling) = match kinds[..] {
        ["Transformer", "Pooling"] | ["Transformer", "Pooling", "Normalize"] => {
            (&modules[0], &modules[1])
        }
        _ => {
            return Err(Error::EncoderKey {
                path,
                key: "type".into(),
                problem: format!(
                    "the modules {} are not supported; take an encoder of Transformer, Pooling and, \
                     if need be, Normalize",
                    kinds.join(", ")
                ),
            });
        }
    };
    Ok(Modules {
        transformer: folder.join(&transformer.path),
        pooling: Some(folder.join(&pooling.path)),
        normalize: modules.len() == 3,
    })
}

/// The configuration, and the hash of its file.
fn config(path: &Path) -> Result<(Config, String)> {
    let bytes = required(path)?;
    let value: Value = parse(path, &bytes)?;
    let wrong = |key: &str, problem: String| Error::EncoderKey {
        path: path.to_owned(),
        key: key.into(),
        problem,
    };
    let kind = &value["model_type"];
    if kind != "bert" {
        let problem = format!("is {kind}; only \"bert\" is supported, such as all-MiniLM-L6-v2");
        return Err(wrong("model_type", problem));
    }
    let activation = &value["hidden_act"];
    if activation != "gelu" {
        return Err(wrong("hidden_act", format!("is {activation}; only \"gelu\" is supported")));
    }
    let config: Config = parse(path, &bytes)?;
    debug_assert_eq!(config.hidden_act, HiddenAct::Gelu);
    let (width, heads) = (config.hidden_size, config.num_attention_heads);
    if width == 0 || heads == 0 || !width.is_multiple_of(heads) {
        let problem = format!("is {heads}, which does not divide hidden_size, {width}");
        return Err(wrong("num_attention_heads", problem));
    }
    Ok((config, hash_bytes(&bytes)))
}

fn pooling(path: &Path, width: usize) -> Result<Pooling> {
    let map: Map<String, Value> = parse(path, &required(path)?)?;
    let wrong = |key: &str, problem: String| Error::EncoderKey {
        path: path.to_owned(),
        key: key.into(),
        problem,
    };
    for key in ["word_embedding_dimension", "embedding_dimension"] {
        if let Some(found) = map.get(key).filter(|&found| found != width) {
            return Err(wrong(key, format!("is {found}, but hidden_size is {width}")));
        }
    }
    // One switch a mode, or in newer releases one key that names it.
    let switched = map.iter().filter(|(_, value)| **value == Value::Bool(true));
    let mut modes: Vec<&str> =
        switched.filter_map(|(key, _)| key.strip_prefix("pooling_mode_")).collect();
    modes.extend(map.get("pooling_mode").and_then(Value::as_str));
    match modes[..] {
        ["mean_tokens" | "mean"] => Ok(Pooling::Mean),
        ["cls_token" | "cls"] => Ok(Pooling::First),
        _ => Err(wrong(
            "pooling_mode",
            format!(
                "asks for {:?}; only the mean of the tokens or the CLS token alone are supported",
                modes.join(", ")
            ),
        )),
    }
}

/// The tokenizer, and the hash of its file.
fn tokenizer(folder: &Path, max_tokens: usize, vocabulary: usize) -> Result<(Tokenizer, String)> {
    let path = folder.join(TOKENIZER);
    let bytes = required(&path)?;
    let wrong = |problem: String| Error::EncoderFile { path: path.clone(), problem };
    let refused = |source: tokenizers::Error| wrong(format!("is no tokenizer: {source}"));
    let mut tokenizer = Tokenizer::from_bytes(&bytes).map_err(refused)?;
    let last = tokenizer.get_vocab(true).into_values().max().unwrap_or(0) as usize;
    if last >= vocabulary {
        return Err(wrong(format!(
            "has a token {last}, but vocab_size in config.json is {vocabulary}; the two files \
             belong to different encoders"
        )));
    }
    let own = tokenizer.get_post_processor().map_or(0, |processor| {
        use tokenizers::PostProcessor;
        processor.added_tokens(false)
    });
    if max_tokens <= own {
        return Err(Error::EncoderKey {
            path: folder.join(LENGTHS),
            key: "max_seq_length".into(),
            problem: format!(
                "leaves {max_tokens} tokens to a sentence, {own} of them the encoder's"
            ),
        });
    }
    let truncation = TruncationParams { max_length: max_tokens, ..Default::default() };
    tokenizer.with_padding(None).with_truncation(Some(truncation)).map_err(refused)?;
    Ok((tokenizer, hash_bytes(&bytes)))
}

/// The weights, and the hash of their file.
fn weights(folder: &Path) -> Result<(Tensors, String)> {
    let path = folder.join(WEIGHTS);
    let pickle = folder.join("pytorch_model.bin");
    if !path.exists() && pickle.exists() {
        return Err(Error::EncoderFile {
            path: pickle,
            problem: "is a pickle, which can run any code when it is read; save the encoder with \
                      safe_serialization=True, which writes model.safetensors"
                .into(),
        });
    }
    let bytes = required(&path)?;
    let hash = hash_bytes(&bytes);
    Ok((Tensors::new(path, &bytes)?, hash))
}

fn required(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::EncoderFile {
        path: path.to_owned(),
        problem: match source.kind() {
            ErrorKind::NotFound => "is missing; give the folder of an encoder in the layout of \
                                    sentence-transformers, with config.json, model.safetensors and \
                                    tokenizer.json"
                .into(),
            _ => format!("cannot be read: {source}"),
        },
    })
}

fn optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if path.exists() { parse(path, &required(path)?).map(Some) } else { Ok(None) }
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|source| Error::EncoderFile {
        path: path.to_owned(),
        problem: format!("is not what an encoder's should be: {source}"),
    })
}
