//! Model folders, as Hugging Face lays them out.

mod card;
mod describe;
mod generator;
mod publish;

pub use card::ModelCard;
pub use generator::{
    SavedGenerator, load_card, load_generator, load_generator_with, save_generator,
};
pub(crate) use publish::{Draft, check_size, check_sums, read_json};
