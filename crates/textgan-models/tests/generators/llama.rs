//! An independent Llama reads the saved folder and agrees.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Llama, LlamaConfig};
use textgan_models::{Context, ModelCard, Placement, save_generator};
use textgan_nn::Mode;

use crate::{NOISE, generator, largest_difference, sequences, transformer};

#[test]
fn zero_noise_gives_the_logits_of_candle_transformers_llama() {
    let sequences = sequences();
    let (batch, time) = (sequences.batch(), sequences.time());
    let device = Device::Cpu;
    for tied in [true, false] {
        let generator = generator(&transformer(tied), Placement::Begin);
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("model");
        save_generator(&folder, generator.as_ref(), None, &ModelCard::default()).unwrap();

        let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
        let config = serde_json::from_str::<LlamaConfig>(&config).unwrap().into_config(false);
        let weights = candle_core::safetensors::load(folder.join("model.safetensors"), &device);
        let weights = VarBuilder::from_tensors(weights.unwrap(), DType::F32, &device);
        let llama = Llama::load(weights, &config).unwrap();

        let noise = Tensor::zeros((batch, NOISE), DType::F32, &device).unwrap();
        let context = Context { noise: &noise, labels: None };
        let ours = generator.logits(&context, &sequences, Mode::Evaluate).unwrap();
        let inputs = Tensor::from_vec(sequences.inputs(), (batch, time), &device).unwrap();
        for prefix in 1..=time {
            // It gives the logits of the last position only.
            let mut cache = Cache::new(false, DType::F32, &config, &device).unwrap();
            let theirs = llama.forward(&inputs.narrow(1, 0, prefix).unwrap(), 0, &mut cache);
            let theirs = theirs.unwrap().to_vec2::<f32>().unwrap();
            let ours = ours.narrow(1, prefix - 1, 1).unwrap().squeeze(1).unwrap();
            let ours = ours.to_vec2::<f32>().unwrap();
            for (row, &length) in sequences.lengths().iter().enumerate() {
                // What stands beyond the end of a text is nothing that it could score.
                if prefix <= length {
                    let difference = largest_difference(&ours[row], &theirs[row]);
                    assert!(
                        difference < 1e-4,
                        "tied {tied}, row {row}, prefix {prefix}: {difference}"
                    );
                }
            }
        }
    }
}
