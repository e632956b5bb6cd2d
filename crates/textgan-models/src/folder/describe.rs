//! The parts of a generator's folder that others read: `config.json`, `generation_config.json`
//! and the README.

use serde_json::{Map, Value, json};

use super::ModelCard;
use crate::generator::TransformerConfig;
use crate::{
    BOS, EOS, Generator, GeneratorConfig, LeakConfig, LstmConfig, NoiseConfig, PAD, Placement,
    RelationalConfig, Sizes,
};

const LLAMA_TYPE: &str = "llama";

/// The `model_type` of an architecture: one that other libraries know for a transformer alone.
pub(super) fn model_type(architecture: &Value, noise: &NoiseConfig) -> String {
    match architecture.get("kind").and_then(Value::as_str) {
        // One with codes is none at any noise.
        Some("transformer") if noise.code.is_none() => LLAMA_TYPE.to_owned(),
        Some(kind) => format!("textgan-{kind}"),
        None => "textgan".to_owned(),
    }
}

/// What others know of the architecture: all of it for a transformer, which is a Llama.
pub(super) fn config_json(generator: &dyn Generator) -> Map<String, Value> {
    let (architecture, sizes) = (generator.architecture(), generator.sizes());
    let mut json = match serde_json::from_value(architecture.clone()) {
        Ok(GeneratorConfig::Transformer(config)) => llama(&config, sizes),
        Ok(GeneratorConfig::Lstm(config)) => lstm(&config),
        Ok(GeneratorConfig::RelationalMemory(config)) => relational(&config),
        Ok(GeneratorConfig::Leak(config)) => leak(&config),
        Err(_) => json!({}),
    };
    json["model_type"] = model_type(&architecture, generator.noise()).into();
    if generator.noise().code.is_some() {
        json["architectures"] = json!(["TextganGenerator"]);
    }
    json["vocab_size"] = sizes.vocab.into();
    json["pad_token_id"] = PAD.into();
    json["bos_token_id"] = BOS.into();
    json["eos_token_id"] = EOS.into();
    json["torch_dtype"] = "float32".into();
    match json {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn llama(config: &TransformerConfig, sizes: &Sizes) -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": config.width,
        "intermediate_size": config.feed_forward_width(),
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.heads,
        "head_dim": config.width / config.heads,
        "hidden_act": "silu",
        "max_position_embeddings": sizes.max_length + 1,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rope_theta,
        "attention_bias": false,
        "attention_dropout": 0.0,
        "mlp_bias": false,
        "initializer_range": config.embedding_std,
        "tie_word_embeddings": config.tied,
        "use_cache": true,
    })
}

fn lstm(config: &LstmConfig) -> Value {
    json!({
        "architectures": ["TextganLstmGenerator"],
        "embedding_size": config.embedding,
        "hidden_size": config.hidden,
        "num_hidden_layers": config.layers,
        "tie_word_embeddings": config.tied,
    })
}

fn relational(config: &RelationalConfig) -> Value {
    json!({
        "architectures": ["TextganRelationalMemoryGenerator"],
        "embedding_size": config.embedding,
        "hidden_size": config.slots * config.heads * config.head_width,
        "num_attention_heads": config.heads,
        "tie_word_embeddings": false,
    })
}

fn leak(config: &LeakConfig) -> Value {
    json!({
        "architectures": ["TextganLeakGenerator"],
        "embedding_size": config.embedding,
        "hidden_size": config.hidden,
        "tie_word_embeddings": false,
    })
}

/// How `transformers` should sample: as we do, from the whole distribution but for two tokens.
pub(super) fn generation_json(sizes: &Sizes) -> Value {
    json!({
        "do_sample": true,
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
        // The begin and the end beside the content.
        "max_length": sizes.max_length + 2,
        "suppress_tokens": [PAD, BOS],
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
    })
}

/// The names of the special tokens for `AutoTokenizer`, which reads the rest in `tokenizer.json`.
pub(super) fn tokenizer_json(sizes: &Sizes) -> Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": sizes.max_length + 1,
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
    })
}

/// The model card.
pub(super) fn readme(generator: &dyn Generator, card: &ModelCard) -> String {
    let noise = generator.noise();
    let (dimension, labels) = (noise.dimension, generator.sizes().labels);
    let kind = generator.architecture();
    let (library, usage) = match kind.get("kind").and_then(Value::as_str) {
        Some("transformer") if noise.code.is_some() => ("textgan", CODED_USAGE.to_owned()),
        Some("transformer") => ("transformers", llama_usage(dimension, labels, noise.placement)),
        Some("lstm") if noise.code.is_none() => ("textgan", lstm_usage(&kind, generator)),
        Some("lstm" | "relational-memory" | "leak") => ("textgan", RECURRENT_USAGE.to_owned()),
        _ => ("textgan", OUTSIDE_USAGE.to_owned()),
    };
    let conditions = match (dimension, labels) {
        (0, 0) => "It takes neither noise nor labels: a plain language model.".to_owned(),
        (0, labels) => format!("It takes one of {labels} labels, and no noise."),
        (dimension, 0) => {
            format!("Its noise is a standard Gaussian vector of {dimension} numbers.")
        }
        (dimension, labels) => format!(
            "Its noise is a standard Gaussian vector of {dimension} numbers; beside it, it takes one of {labels} labels."
        ),
    };
    format!(
        "{}\n{}\n## What is in the folder\n\n{conditions} Texts have at most {} tokens. \
         `config.json` holds the architecture, the `textgan` object in it what is particular to \
         this project; `model.safetensors` the weights; `tokenizer.json`, where present, the \
         vocabulary, with `<pad>` {PAD}, `<unk>` 1, `<s>` {BOS} and `</s>` {EOS}.\n{usage}",
        card.front_matter(library),
        card.body(),
        generator.sizes().max_length,
    )
}

const RECURRENT_USAGE: &str = "
## Loading it

A recurrent generator is particular to textgan: `textgan_models::load_generator(folder)` in Rust.
";

const CODED_USAGE: &str = "
## Loading it

A generator that makes a code of its noise is particular to textgan: `textgan_models::load_generator(folder)` in
Rust.
";

const OUTSIDE_USAGE: &str = "
## Loading it

This generator's network is of another crate: `textgan_models::load_generator_with(folder, build)` in
Rust, where `build` makes the network.
";

/// How PyTorch's own LSTM reads the weights.
fn lstm_usage(architecture: &Value, generator: &dyn Generator) -> String {
    let number = |key: &str| architecture.get(key).and_then(Value::as_u64).unwrap_or(0);
    let (embedding, hidden, layers) = (number("embedding"), number("hidden"), number("layers"));
    let noise = generator.noise();
    let mut usage = format!(
        "
## Loading it

In Rust `textgan_models::load_generator(folder)`. In PyTorch the weights have the names and the order of gates of `torch.nn.LSTM`:

```python
import torch
from safetensors.torch import load_file

w = load_file(f\"{{folder}}/model.safetensors\")
lstm = torch.nn.LSTM({embedding}, {hidden}, {layers}, batch_first=True)
lstm.load_state_dict({{name[5:]: weight for name, weight in w.items() if name.startswith(\"lstm.\")}})
tokens = torch.tensor([[2]])  # <s>, and what was written so far
x = w[\"embedding.weight\"][tokens]
vector = torch.zeros(1, 1)
"
    );
    if noise.dimension > 0 {
        usage += &format!(
            "vector = vector + torch.randn(1, {}) @ w[\"noise_projection.weight\"].T\n",
            noise.dimension
        );
    }
    if generator.sizes().labels > 0 {
        usage += "vector = vector + w[\"label_embedding.weight\"][torch.tensor([0])]\n";
    }
    usage += &match noise.placement {
        Placement::Every => "states, _ = lstm(x + vector[:, None])\n".to_owned(),
        Placement::Begin => format!(
            "h = vector.expand(1, {0}).reshape(1, {layers}, {hidden}).transpose(0, 1).contiguous()\n\
             states, _ = lstm(x, (h, torch.zeros_like(h)))\n",
            layers * hidden
        ),
    };
    usage
        + "head = w.get(\"head.weight\", w[\"embedding.weight\"])  # shared where it is absent\n\
             logits = states @ head.T  # of the next token\n```\n"
}

/// How the noise of a trained Llama is given to `transformers`.
fn llama_usage(noise: usize, labels: usize, placement: Placement) -> String {
    let mut usage = "
## Loading it in transformers

The weights are those of a plain Llama, which is this generator at zero noise and without a label:

```python
import torch
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(folder).eval()
logits = model(torch.tensor([[2]])).logits  # <s> begins every text
```
"
    .to_owned();
    if noise == 0 && labels == 0 {
        return usage;
    }
    usage += "
`transformers` does not read the weights that bring in ";
    usage += match (noise, labels) {
        (0, _) => "the label, `label_embedding.weight`",
        (_, 0) => "the noise, `noise_projection.weight`",
        _ => "noise and label, `noise_projection.weight` and `label_embedding.weight`",
    };
    usage += " (it may warn of them). Their vector is added to the input ";
    usage += match placement {
        Placement::Begin => "embedding of the first token, `<s>`, and to no other",
        Placement::Every => "embedding of every token",
    };
    usage += ":

```python
from safetensors.torch import load_file

weights = load_file(f\"{folder}/model.safetensors\")
vector = 0
";
    if noise > 0 {
        usage += &format!("z = torch.randn(1, {noise})\n");
        usage += "vector = vector + z @ weights[\"noise_projection.weight\"].T\n";
    }
    if labels > 0 {
        usage += "label = torch.tensor([0])\n";
        usage += "vector = vector + weights[\"label_embedding.weight\"][label]\n";
    }
    usage += "
tokens = torch.tensor([[2]])  # <s>, and a prompt if there is one
inputs_embeds = model.get_input_embeddings()(tokens)
";
    usage += match placement {
        Placement::Begin => {
            "inputs_embeds[:, 0] += vector
logits = model(inputs_embeds=inputs_embeds).logits
generated = model.generate(inputs_embeds=inputs_embeds)  # what follows `tokens`
```
"
        }
        Placement::Every => {
            "logits = model(inputs_embeds=inputs_embeds + vector[:, None]).logits

# `generate` embeds the tokens it draws itself, so they get the vector by a hook.
hook = model.get_input_embeddings().register_forward_hook(lambda m, i, out: out + vector[:, None])
generated = model.generate(tokens)
hook.remove()
```
"
        }
    };
    usage
}
