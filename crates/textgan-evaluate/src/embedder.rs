use std::path::Path;

use crate::Result;
use crate::embedding::{DIMENSIONS, HASHED_PROJECTION, encoder_folder, hashed_projection};

/// What turns texts into embeddings: numbers of one never compare with those of another.
pub(crate) enum Embedder {
    /// A fixed projection of hashed n-grams, which needs no download.
    Hashed,
    /// A BERT encoder, and the tokenizer whose ids become text again.
    #[cfg(feature = "encoder")]
    Encoder(Box<crate::embedding::SentenceEncoder>, Box<textgan_tokenizer::Tokenizer>),
}

impl Embedder {
    /// That of an encoder, or the one that needs none.
    pub fn new(encoder: Option<&Path>, tokenizer: &textgan_tokenizer::Tokenizer) -> Result<Self> {
        let Some(encoder) = encoder else { return Ok(Self::Hashed) };
        Self::load(&encoder_folder(encoder)?, tokenizer)
    }

    #[cfg(feature = "encoder")]
    fn load(folder: &Path, tokenizer: &textgan_tokenizer::Tokenizer) -> Result<Self> {
        let encoder = crate::embedding::SentenceEncoder::load(folder)?;
        Ok(Self::Encoder(Box::new(encoder), Box::new(tokenizer.clone())))
    }

    #[cfg(not(feature = "encoder"))]
    fn load(_: &Path, _: &textgan_tokenizer::Tokenizer) -> Result<Self> {
        unreachable!("without the feature no encoder has a folder")
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
