use textgan_models::{BOS, Conditions, EOS};

use crate::{Error, Model, Options, Result};

/// What may follow the beginning of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Next {
    /// The chance of each token as options leave it, `[vocab]`; that of the end of the text is at [`EOS`].
    pub chosen: Vec<f32>,
    /// The same as the model gives it: at temperature 1, without truncation.
    pub given: Vec<f32>,
}

impl Next {
    /// The chance that the text ends here.
    pub fn end(&self) -> f32 {
        self.chosen[EOS as usize]
    }
}

impl Model {
    /// What may follow `text` (content tokens) given a noise vector.
    ///
    /// # Errors
    /// [`Error::Option`] for options, noise or a text that cannot work with this model.
    pub fn next(&self, noise: &[f32], text: &[u32], options: &Options) -> Result<Next> {
        options.validate()?;
        self.check_noise(noise, 1)?;
        let labels = self.label_of_row(options)?.map(|label| vec![label]);
        let limit = self.generator().sizes().max_length;
        if text.len() >= limit {
            let message = format!("{} tokens, and texts have at most {limit}", text.len());
            return Err(Error::Option { key: "text", message });
        }
        let mut sampler = self.generator().sampler()?;
        sampler.begin(&Conditions { rows: 1, noise, labels: labels.as_deref() })?;
        let mut logits = vec![0.0; sampler.vocab_size()];
        for &token in [BOS].iter().chain(text) {
            sampler.step(&[token], &mut logits)?;
        }
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let chosen = options.sampling().distribution(&logits)?;
        let sum: f32 = logits.iter().map(|logit| (logit - most).exp()).sum();
        let given = logits.iter().map(|logit| (logit - most).exp() / sum).collect();
        Ok(Next { chosen, given })
    }

    /// Whether the vocabulary has all of `text`.
    pub fn knows(&self, text: &str) -> bool {
        let unknown = textgan_tokenizer::special::UNKNOWN;
        self.tokenizer().encode(text).is_ok_and(|tokens| !tokens.contains(&unknown))
    }

    /// What each token adds to the text, white space included.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn pieces(&self, tokens: &[u32]) -> Result<Vec<String>> {
        let mut before = String::new();
        (1..=tokens.len())
            .map(|end| {
                let text = self.tokenizer().decode(&tokens[..end])?;
                // Of a character that is cut over several tokens the last one adds it.
                if text.ends_with('\u{FFFD}') && end < tokens.len() {
                    return Ok(String::new());
                }
                let piece = text.strip_prefix(before.as_str()).unwrap_or_default().to_owned();
                before = text;
                Ok(piece)
            })
            .collect()
    }
}
