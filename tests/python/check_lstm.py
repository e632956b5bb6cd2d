#!/usr/bin/env python3
"""Holds a run's LSTM generator against PyTorch: `torch.nn.LSTM` must find our samples as likely as we say.

    pip install torch safetensors pyarrow
    python tests/python/check_lstm.py runs/NAME

The weights of `train/model` are loaded into `Embedding`, `LSTM` and `Linear`, strictly: no weight may be left over
or missing. For every text in `generate/samples-*.parquet` (or in `--samples`, which `cargo xtask generate --parquet`
writes) the log-probabilities of its tokens given its noise and label are computed again in float32. Exits with 1 when
one of them differs by more than the tolerance.
"""

import argparse
import json
import sys
from pathlib import Path

import pyarrow.parquet
import torch
from safetensors.torch import load_file
from torch import nn

BEGIN, END = 2, 3


class Lstm(nn.Module):
    def __init__(self, config):
        super().__init__()
        layout, noise, sizes = (config["textgan"][part] for part in ("generator", "noise", "sizes"))
        self.at_begin = noise["placement"] == "begin"
        self.layers, self.hidden = layout["layers"], layout["hidden"]
        self.embedding = nn.Embedding(sizes["vocab"], layout["embedding"])
        self.lstm = nn.LSTM(layout["embedding"], self.hidden, self.layers, batch_first=True)
        self.head = nn.Linear(self.hidden, sizes["vocab"], bias=False)
        if layout["tied"]:
            self.head.weight = self.embedding.weight
        width = self.layers * self.hidden if self.at_begin else layout["embedding"]
        entering, code = noise["dimension"], noise.get("code")
        if code:
            between = [code["hidden"]] * code["layers"]
            inputs, outputs = [entering, *between], [*between, code["width"]]
            self.noise_code = nn.ModuleList(map(nn.Linear, inputs, outputs))
            entering = code["width"]
        if entering:
            self.noise_projection = nn.Linear(entering, width, bias=False)
        if sizes["labels"]:
            self.label_embedding = nn.Embedding(sizes["labels"], width)

    def condition(self, noise, labels):
        """The vector of noise and label for each row: all that is not PyTorch's own."""
        if hasattr(self, "noise_code"):
            for index, layer in enumerate(self.noise_code):
                noise = layer(noise.relu() if index else noise)
            noise = noise / (noise.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        vector = torch.zeros(len(noise), 1)
        if hasattr(self, "noise_projection"):
            vector = vector + self.noise_projection(noise)
        if hasattr(self, "label_embedding"):
            vector = vector + self.label_embedding(labels)
        return vector

    def forward(self, inputs, noise, labels):
        x, state = self.embedding(inputs), None
        vector = self.condition(noise, labels)
        if self.at_begin:
            h = vector.expand(-1, self.layers * self.hidden).reshape(-1, self.layers, self.hidden).transpose(0, 1)
            state = h.contiguous(), torch.zeros(h.shape)
        else:
            x = x + vector[:, None]
        return self.head(self.lstm(x, state)[0]).log_softmax(-1)


def load(folder):
    config = json.loads((folder / "config.json").read_text())
    layout = config["textgan"]["generator"]
    if layout["kind"] != "lstm":
        sys.exit(f"{folder}: its generator is of the kind {layout['kind']!r}, not an LSTM")
    names = {
        "embedding_size": "embedding",
        "hidden_size": "hidden",
        "num_hidden_layers": "layers",
        "tie_word_embeddings": "tied",
    }
    for theirs, ours in names.items():
        assert config[theirs] == layout[ours], f"config.json says two things of {theirs}"
    model = Lstm(config).eval()
    weights = load_file(folder / "model.safetensors")
    assert all(weight.dtype == torch.float32 for weight in weights.values())
    if layout["tied"]:
        assert "head.weight" not in weights
        weights["head.weight"] = weights["embedding.weight"]
    model.load_state_dict(weights, strict=True)
    return model


def differences(model, rows):
    """The largest difference of a token's log-probability, and of a whole text's."""
    length = max(len(row["token_log_probs"]) for row in rows)
    inputs, targets = torch.zeros(2, len(rows), length, dtype=torch.long)
    ours, mask = torch.zeros(2, len(rows), length)
    for i, row in enumerate(rows):
        n = len(row["token_log_probs"])
        # A text that was cut at the greatest length has no end.
        assert n - len(row["tokens"]) in (0, 1), f"text {row['id']}: {len(row['tokens'])} tokens, {n} log-probabilities"
        inputs[i, :n] = torch.tensor([BEGIN, *row["tokens"]])[:n]
        targets[i, :n] = torch.tensor([*row["tokens"], END])[:n]
        ours[i, :n] = torch.tensor(row["token_log_probs"])
        mask[i, :n] = 1
    noise = torch.tensor([row["noise"] for row in rows])
    labels = torch.tensor([row["label"] or 0 for row in rows])
    theirs = model(inputs, noise, labels).gather(2, targets[..., None])[..., 0]
    token = ((theirs - ours).abs() * mask).max().item()
    whole = ((theirs * mask).sum(1) - torch.tensor([row["log_prob"] for row in rows])).abs().max().item()
    return token, whole


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--model", type=Path, help="the model that wrote the samples, if it is not RUN/train/model")
    parser.add_argument("--samples", type=Path, nargs="+", help="Parquet files of samples, if not RUN/generate's")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()

    folder = arguments.model or arguments.run / "train" / "model"
    model = load(folder)
    count = sum(weight.numel() for weight in model.parameters())
    placement = "begin" if model.at_begin else "every"
    print(f"{folder}: {count} weights, {model.layers} layers, noise and label enter at {placement!r}")

    paths = arguments.samples or sorted((arguments.run / "generate").glob("samples-*.parquet"))
    rows = [row for path in paths for row in pyarrow.parquet.read_table(path).to_pylist()]
    if not rows:
        print("no samples found")
        return 1
    found = [differences(model, rows[at : at + 256]) for at in range(0, len(rows), 256)]
    token, whole = (max(part) for part in zip(*found))
    tokens = sum(len(row["token_log_probs"]) for row in rows)
    print(f"{len(rows)} texts, {tokens} tokens: largest difference {token:.2e} nats a token, {whole:.2e} a text")
    good = token < arguments.tolerance
    print("equal" if good else "DIFFERENT", f"(tolerance {arguments.tolerance:g} a token)")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
