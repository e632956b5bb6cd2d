#!/usr/bin/env python3
"""Holds a saved transformer generator against Hugging Face `transformers`.

    cargo run -p textgan-models --example dump_logits -- runs/NAME/train/model logits.safetensors
    pip install torch transformers safetensors
    python tests/python/check_hf.py runs/NAME/train/model logits.safetensors

The folder must load as a `LlamaForCausalLM`; its logits must equal ours at every prefix of every row
within the tolerance, at zero noise, and with noise and labels given as the model card says
(`inputs_embeds`). Then `generate` must continue from noise. Exits with 1 when something differs.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM


def condition(folder, dumped):
    """The vector of noise and label for each row, `[batch, width]`."""
    weights = load_file(folder / "model.safetensors")
    vector = torch.zeros(dumped["inputs"].shape[0], 1)
    if "noise_projection.weight" in weights:
        vector = vector + dumped["noise"] @ weights["noise_projection.weight"].T
    if "labels" in dumped:
        vector = vector + weights["label_embedding.weight"][dumped["labels"]]
    return vector


def largest_difference(name, ours, theirs_of, inputs, tolerance):
    """Compares every prefix on its own: the model sees nothing of what comes after."""
    worst = 0.0
    for length in range(1, inputs.shape[1] + 1):
        theirs = theirs_of(inputs[:, :length])
        worst = max(worst, (theirs - ours[:, :length]).abs().max().item())
    print(f"{name}: largest difference {worst:.2e} over {inputs.shape[1]} prefixes")
    return worst <= tolerance


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the model folder")
    parser.add_argument("logits", type=Path, help="what the example dump_logits wrote for it")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()

    model = AutoModelForCausalLM.from_pretrained(arguments.folder, dtype=torch.float32).eval()
    assert isinstance(model, LlamaForCausalLM), type(model)
    dumped = load_file(arguments.logits)
    inputs = dumped["inputs"]
    placement = json.loads((arguments.folder / "config.json").read_text())["textgan"]["noise"]["placement"]

    good = largest_difference(
        "zero noise",
        dumped["logits_without_noise"],
        lambda tokens: model(tokens).logits,
        inputs,
        arguments.tolerance,
    )

    vector = condition(arguments.folder, dumped)

    def embed(tokens):
        embeds = model.get_input_embeddings()(tokens).clone()
        if placement == "begin":
            embeds[:, 0] += vector
        else:
            embeds += vector[:, None]
        return embeds

    good &= largest_difference(
        "noise and labels by inputs_embeds",
        dumped["logits_with_noise"],
        lambda tokens: model(inputs_embeds=embed(tokens)).logits,
        inputs,
        arguments.tolerance,
    )

    begin = inputs[:, :1]
    if placement == "begin":
        generated = model.generate(inputs_embeds=embed(begin))
    else:
        hook = model.get_input_embeddings().register_forward_hook(
            lambda module, arguments, output: output + vector[:, None]
        )
        generated = model.generate(begin)[:, 1:]
        hook.remove()
    print(f"generate: {tuple(generated.shape)} tokens, first row {generated[0].tolist()}")
    suppressed = model.generation_config.suppress_tokens
    ended = (generated == model.config.eos_token_id).int().cumsum(-1) > 0
    good &= not torch.isin(generated[~ended], torch.tensor(suppressed)).any().item()

    print("equal" if good else "DIFFERENT", f"(tolerance {arguments.tolerance:g})")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
