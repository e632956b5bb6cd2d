#!/usr/bin/env python3
"""Holds the Python module against the program: the same texts, log-probabilities and scores.

    pip install ./crates/textgan-python
    python tests/python/check_wheel.py runs/NAME --xtask target/debug/xtask
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import textgan


def program(xtask, *arguments):
    return subprocess.run([xtask, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def same(what, ours, theirs, tolerance=0.0):
    equal = ours == theirs if not tolerance else abs(ours - theirs) <= tolerance
    if not equal:
        sys.exit(f"{what}: the module has {ours!r}, the program {theirs!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--xtask", default="target/debug/xtask", help="the program")
    arguments = parser.parse_args()
    train = arguments.run / "train"
    model = textgan.Model(train / "model")

    lines = program(arguments.xtask, "generate", "--model", train / "model", "--seed", 7, "-n", 20, "--json").splitlines()
    theirs = [json.loads(line) for line in lines]
    ours = model.generate(count=20, seed=7)
    for mine, other in zip(ours, theirs, strict=True):
        same("text", mine["text"], other["text"])
        same("log_prob", mine["log_prob"], other["log_prob"], 1e-5)
        same("label", mine["label"], other["label"])
    again = model.generate(noise=[sample["noise"] for sample in ours], greedy=True)
    print(f"{len(ours)} texts as the program writes them; greedy: {again[0]['text']!r}")

    for kind, name in [("discriminator", "discriminator"), ("language_model", "language-model")]:
        if (train / name).is_dir():
            judging = textgan.Model(train / "model", **{kind: train / name})
            judged = judging.judge(ours[0]["text"], label=ours[0]["label"])
            same("tokens", judged["tokens"], ours[0]["tokens"])
            sampled = judging.generate(count=1, seed=7)[0]
            print(f"{name}: {sampled['realness']:+.3f} given its noise, {judged['realness']:+.3f} as a text alone")

    tokenizer = textgan.Tokenizer(train / "model" / "tokenizer.json")
    for sample in ours:
        same("encoding", tokenizer.encode(sample["text"]), sample["tokens"])
        same("decoding", tokenizer.decode(sample["tokens"]), sample["text"])

    texts = (arguments.run / "generate" / "samples.txt").read_text().splitlines()
    samples, references = texts[: len(texts) // 2], texts[len(texts) // 2 :][: len(texts) // 2]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("samples.txt", "references.txt")]
        for file, lines in zip(files, (samples, references)):
            file.write_text("\n".join(lines) + "\n")
        said = program(arguments.xtask, "score", "--samples", files[0], "--references", files[1], "--json")
    theirs = json.loads(said[said.index("{") :])
    ours = textgan.score(samples, [line.split() for line in references])
    for name, orders in [("bleu", "2345"), ("self_bleu", "2345"), ("distinct", "1234")]:
        for order, value in zip(orders, theirs[name], strict=True):
            same(f"{name}-{order}", ours[name][order], value, 1e-12)
    print(f"scores of {len(samples)} texts: BLEU-4 {ours['bleu']['4']:.4f}, Self-BLEU-4 {ours['self_bleu']['4']:.4f}")
    try:
        model.generate(temperature=-1)
    except ValueError as error:
        print(f"refused: {error}")
    else:
        sys.exit("a temperature of -1 was taken")


if __name__ == "__main__":
    main()
