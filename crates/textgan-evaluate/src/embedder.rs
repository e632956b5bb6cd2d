use std::path::Path;

use crate::Result;
use crate::embedding::{DIMENSIONS, HASHED_PROJECTION, hashed_projection};

/// What turns texts into embeddings: numbers of one never compare with those of another.
pub(crate) enum Embedder {
    /// A fixed projection of hashed n-grams, which needs no download.
    Hashed,
    /// A BERT encoder, and the tokenizer whose ids become text again.
    #[cfg(feature = "encoder")]
    Encoder(Box<crate::embedding::SentenceEncoder>, Box<textgan_tokenizer::Tokenizer>),
}

impl Embedder {
    /// That of an encoder's folder, or the one that needs none.
    pub fn new(encoder: Option<&Path>, tokenizer: &textgan_tokenizer::Tokenizer) -> Result<Self> {
        let Some(folder) = encoder else { return Ok(Self::Hashed) };
        Self::load(folder, tokenizer)
    }

    #[cfg(feature = "encoder")]
    fn load(folder: &Path, tokenizer: &textgan_tokenizer::Tokenizer) -> Result<Self> {
        let folder = crate::embedding::encoder_folder(folder)?;
        let encoder = crate::embedding::SentenceEncoder::load(&folder)?;
        Ok(Self::Encoder(Box::new(encoder), Box::new(tokenizer.clone())))
    }

    #[cfg(not(feature = "encoder"))]
    fn load(folder: &Path, _tokenizer: &textgan_tokenizer::Tokenizer) -> Result<Self> {
        let message = format!(
            "{}: this build has no encoder. Build with the feature `encoder` (`cargo run -p xtask \
             --features encoder -- ..` in place of `cargo xtask ..`), or leave the key out for the \
             embedding that needs none",
            folder.display()
        );
        Err(crate::Error::Config { key: "encoder", message })
    }

    /// A part of every protocol.
    pub fn name(&self) -> &str {
        match self {
            Self::Hashed => HASHED_PROJECTION,
            #[cfg(feature = "encoder")]
            Self::Encoder(encoder, _) => encoder.name(),
        }
    }

    /// Numbers of an embedding.
    pub fn dimensions(&self) -> usize {
        match self {
            Self::Hashed => DIMENSIONS,
            #[cfg(feature = "encoder")]
            Self::Encoder(encoder, _) => encoder.dimensions(),
        }
    }

    /// `[texts, dimensions]`.
    pub fn embed(&self, texts: &[Vec<u32>]) -> Result<Vec<f32>> {
        match self {
            Self::Hashed => Ok(hashed_projection(texts)),
            #[cfg(feature = "encoder")]
            Self::Encoder(encoder, tokenizer) => {
                let texts: Result<Vec<String>> =
                    texts.iter().map(|text| Ok(tokenizer.decode(text)?)).collect();
                encoder.encode(&texts?)
            }
        }
    }
}
