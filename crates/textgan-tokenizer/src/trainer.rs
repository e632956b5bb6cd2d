use std::collections::HashSet;

use serde_json::{Map, Value, json};
use tokenizers::AddedToken;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::counts::Counts;
use crate::layout;
use crate::pieces;
use crate::{Error, Kind, Result, Tokenizer, TokenizerConfig, Vocabulary, special};

/// Learns a vocabulary from texts given in any portions; memory does not grow with the corpus.
///
/// The result depends on the texts and their order, on nothing else.
pub struct Trainer {
    config: TokenizerConfig,
    counts: Counts,
}

impl Trainer {
    /// A trainer that has seen nothing.
    ///
    /// # Errors
    /// [`Error::Config`] when the configuration cannot work.
    pub fn new(config: &TokenizerConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config: config.clone(), counts: Counts::new(config)? })
    }

    /// Counts the words or characters of `texts`, in parallel.
    ///
    /// # Errors
    /// [`Error::Tokenizers`] when a text cannot be cut into words.
    pub fn feed<T: AsRef<str> + Sync>(&mut self, texts: &[T]) -> Result<()> {
        match self.config.kind {
            Kind::File => Ok(()),
            _ => self.counts.add(texts),
        }
    }

    /// The vocabulary of everything that was fed, and what there is to say about it.
    ///
    /// # Errors
    /// [`Error::NothingToLearn`], [`Error::VocabularyTooLarge`] and [`Error::VocabularyTooSmall`]
    /// when the text and the configured size do not fit; [`Error::Format`] for a bad file to adopt.
    pub fn finish(self) -> Result<(Tokenizer, Vocabulary)> {
        if let (Kind::File, Some(path)) = (self.config.kind, &self.config.path) {
            let tokenizer = Tokenizer::adopt(path)?;
            let vocabulary = Vocabulary::adopted(tokenizer.vocab_size());
            return Ok((tokenizer, vocabulary));
        }
        let names: HashSet<&str> = special::NAMES.into_iter().collect();
        let mut units = self.counts.sorted(self.config.min_frequency.max(1));
        units.retain(|(unit, _)| !names.contains(unit));
        if units.is_empty() {
            return Err(Error::NothingToLearn {
                counted: self.counts.distinct(),
                min_frequency: self.config.min_frequency,
            });
        }
        let json = match self.config.kind {
            Kind::Word | Kind::File => {
                units.truncate(self.most_units());
                whole_units(&units, json!({"type": "WhitespaceSplit"}), Value::Null)
            }
            Kind::Character => {
                units.truncate(self.most_units());
                let pattern =
                    TokenizerConfig::pattern_of_characters(self.config.together.as_deref());
                let each = json!({
                    "type": "Split", "pattern": {"Regex": pattern},
                    "behavior": "Isolated", "invert": false
                });
                whole_units(&units, each, json!({"type": "Fuse"}))
            }
            Kind::ByteBpe => self.byte_bpe(&units)?,
            Kind::Unigram => self.unigram(&units)?,
        };
        let tokenizer = Tokenizer::from_json(json.to_string().as_bytes())?;
        let size = tokenizer.vocab_size();
        match (self.config.kind, self.config.vocabulary_size) {
            (Kind::ByteBpe | Kind::Unigram, Some(requested)) if size < requested => {
                Err(Error::VocabularyTooLarge { requested, reached: size })
            }
            _ => Ok((tokenizer, Vocabulary::learned(&self.config, &self.counts, &units, size))),
        }
    }

    /// How many words or characters fit beside the special tokens.
    fn most_units(&self) -> usize {
        self.config.vocabulary_size.map_or(usize::MAX, |size| size - special::NAMES.len())
    }

    fn size(&self) -> usize {
        self.config.vocabulary_size.unwrap_or(TokenizerConfig::UNASKED_SIZE)
    }

    fn byte_bpe(&self, words: &[(&str, u64)]) -> Result<Value> {
        // The trainer adds the counts of pairs up as `i32`.
        let pairs: u64 = words.iter().map(|(word, count)| word.len() as u64 * count).sum();
        let scale = pairs / (i32::MAX as u64 / 2) + 1;
        let trainer = BpeTrainer::builder()
            .show_progress(false)
            .vocab_size(self.size())
            .min_frequency(self.config.min_frequency.div_ceil(scale))
            .special_tokens(added_tokens())
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let words =
            words.iter().map(|&(word, count)| (word.into(), (count / scale).max(1))).collect();
        let mut model = BPE::default();
        trainer.do_train(&words, &mut model).map_err(Error::tokenizers("training byte-bpe"))?;
        let cut = json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true
        });
        Ok(layout::file(cut.clone(), cut, serialized(&model)?))
    }

    fn unigram(&self, words: &[(&str, u64)]) -> Result<Value> {
        let characters: HashSet<char> = words.iter().flat_map(|(word, _)| word.chars()).collect();
        // The trainer keeps every character, and overshoots unless a piece fits beside them.
        let needed = special::NAMES.len() + characters.len() + 1;
        if self.size() < needed {
            return Err(Error::VocabularyTooSmall {
                requested: self.size(),
                characters: characters.len(),
                needed,
            });
        }
        let trainer = UnigramTrainer::builder()
            .show_progress(false)
            .vocab_size(self.size() as u32)
            .special_tokens(added_tokens())
            .unk_token(Some(special::NAMES[special::UNKNOWN as usize].to_owned()))
            .build()
            .map_err(|error| Error::Tokenizers {
                action: "training unigram",
                message: error.to_string(),
            })?;
        let words = words
            .iter()
            .map(|&(word, count)| (word.to_owned(), u32::try_from(count).unwrap_or(u32::MAX)))
            .collect();
        let mut model = Unigram::default();
        // Expectations are summed a chunk per thread: one thread, one order, the same bits.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|error| {
            Error::Tokenizers { action: "starting a thread", message: error.to_string() }
        })?;
        pool.install(|| trainer.do_train(words, &mut model))
            .map_err(Error::tokenizers("training unigram"))?;
        let mut model = serialized(&model)?;
        let mut pieces: Vec<(String, f64)> =
            serde_json::from_value(model["vocab"].take()).map_err(unreadable)?;
        pieces::order(&mut pieces[special::NAMES.len()..]);
        model["vocab"] = json!(pieces);
        let cut = json!({
            "type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true
        });
        Ok(layout::file(cut.clone(), cut, model))
    }
}

/// A tokenizer whose tokens are whole units; unknown ones become `<unk>`.
fn whole_units(units: &[(&str, u64)], cut: Value, decoder: Value) -> Value {
    let names = special::NAMES.into_iter().chain(units.iter().map(|&(unit, _)| unit));
    let vocabulary: Map<String, Value> =
        names.zip(0u32..).map(|(name, id)| (name.to_owned(), id.into())).collect();
    let model = json!({"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"});
    layout::file(cut, decoder, model)
}

fn serialized(model: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(model).map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::Tokenizers { action: "reading the learned model", message: error.to_string() }
}

fn added_tokens() -> Vec<AddedToken> {
    special::NAMES.into_iter().map(|name| AddedToken::from(name, true)).collect()
}
