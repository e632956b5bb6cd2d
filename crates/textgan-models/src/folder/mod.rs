//! Model folders, as Hugging Face lays them out.

mod card;
mod describe;
mod generator;
mod publish;

pub use card::ModelCard;
pub use generator::{load_card, load_generator, save_generator};
pub(crate) use publish::{Draft, read_json};
