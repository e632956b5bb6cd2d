//! A discriminator that begins with what a generator knows.

use candle_core::Var;

use super::{Discriminator, embedding};
use crate::{Error, Generator, Result};

/// The variables of `discriminator` that are layers of `generator`, each with the generator's: all but
/// those of the logit. To set each to its partner's value is to begin as the generator.
///
/// # Errors
/// When the discriminator is not made of the generator's layers; the message names what differs.
pub fn generator_layers<'a>(
    discriminator: &'a dyn Discriminator,
    generator: &'a dyn Generator,
) -> Result<Vec<(&'a Var, &'a Var)>> {
    let own_part = |name: &str| name.starts_with("score.") || name.starts_with("label_embedding.");
    let layers = discriminator.parameters().iter().filter(|(name, _)| !own_part(name));
    let partner = |(name, variable): (&str, &'a Var)| {
        let names = [
            name.to_owned(),
            name.replacen("rnn.", "lstm.", 1),
            name.replacen(embedding::PARAMETER, "model.embed_tokens.weight", 1),
        ];
        let found = names.iter().find_map(|name| generator.parameters().get(name));
        match found {
            Some(other) if other.dims() == variable.dims() => Ok((variable, other)),
            Some(other) => Err(unlike(format!(
                "its {name} has shape {:?}, the generator's {:?}",
                variable.dims(),
                other.dims()
            ))),
            None => Err(unlike(format!("the generator has no {name}"))),
        }
    };
    layers.map(partner).collect()
}

fn unlike(what: String) -> Error {
    let message = format!(
        "{what}: to begin as the generator it needs the generator's layers, kind = \"transformer\" for a \
         transformer or kind = \"rnn\", cell = \"lstm\", bidirectional = false for an LSTM, with as many of \
         the same widths"
    );
    Error::config("discriminator", message)
}
