#!/usr/bin/env python3
"""Reads what a run has written with the tools that others would read it with, and compares what they read.

    pip install pandas polars pyarrow datasets tensorboard transformers
    python tests/python/check_readers.py runs/NAME

Parquet with pyarrow, pandas, polars and `datasets`; TensorBoard's files with its event accumulators, against
`metrics.jsonl` and `samples.jsonl`; `metrics.jsonl` with pandas and polars; the tokenizer of `train/model` with
`transformers`, against the tokens of the test split and the texts of the samples. Nothing is asked of the network. A
reader whose package is missing is skipped, by name, and fails with `--all`. Exits with 1 at the first difference.
"""

import argparse
import json
import math
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
os.environ |= {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false"}
# Texts of the test split that are encoded.
TEXTS = 100
BEGIN = 2


class Different(Exception):
    pass


def require(holds, message):
    if not holds:
        raise Different(message)


def require_equal(what, found, expected):
    """Of two lists: says where they part."""
    require(len(found) == len(expected), f"{what}: {len(found)} instead of {len(expected)}")
    for i, (a, b) in enumerate(zip(found, expected)):
        require(a == b, f"{what}, number {i}: {a!r} instead of {b!r}")


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# ---- Parquet: each gives the number of rows and a column as a list ---------------------------------------------------
def read_pyarrow(path, column, _):
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    table.validate(full=True)
    return table.num_rows, table[column].to_pylist()


def read_pandas(path, column, _):
    import pandas

    frame = pandas.read_parquet(path)
    values = frame[column].tolist()
    return len(frame), [value if isinstance(value, str) else value.tolist() for value in values]


def read_polars(path, column, _):
    import polars

    frame = polars.read_parquet(path)
    lazy = polars.scan_parquet(path).select(polars.len()).collect().item()
    require(lazy == len(frame), f"{path}: scan_parquet finds {lazy} rows, read_parquet {len(frame)}")
    return len(frame), frame[column].to_list()


def read_datasets(path, column, cache):
    import datasets

    # It refuses every table without rows, its own as well, so that it reads only what pyarrow says is there.
    if read_pyarrow(path, column, cache)[0] == 0:
        return 0, []
    found = datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(cache))
    return len(found), list(found[column])


def tables(run, read, known, cache):
    """Reads every Parquet file of a run; `known` is what the readers before found."""
    paths = sorted(run.rglob("*.parquet"))
    require(paths, "no Parquet files found")
    total = texts = 0
    for path in paths:
        column = "tokens" if path.is_relative_to(run / "tokenize") else "text"
        rows, values = read(path, column, cache)
        require(len(values) == rows, f"{path}: {rows} rows, {len(values)} values of {column!r}")
        expected = known.setdefault(path, values)
        require_equal(f"{path}, column {column!r}", values, expected)
        total += rows
        texts += rows if column == "text" else 0
    return f"{len(paths)} Parquet files, {total} rows, {texts} texts"


# ---- TensorBoard -----------------------------------------------------------------------------------------------------
def same_number(found, value):
    """A number of `metrics.jsonl`, where what is not finite is null, and the float32 of it."""
    import numpy

    with numpy.errstate(over="ignore"):
        return not math.isfinite(found) if value is None else found == float(numpy.float32(value))


def check_tensorboard(run):
    from tensorboard.backend.event_processing import event_accumulator, plugin_event_accumulator
    from tensorboard.util import tensor_util

    expected = defaultdict(list)
    for line in lines(run / "train" / "metrics.jsonl"):
        for name, value in line["values"].items():
            expected[f"{line['event']}/{name}"].append((line["step"], value))
    texts = defaultdict(list)
    for line in lines(run / "train" / "samples.jsonl"):
        texts[f"samples/{line['index']}"].append((line["step"], f"{line['greedy']}\n\n{line['sampled']}"))

    # The one that scripts use, and the one that the page is made of.
    folder = run / "tensorboard"
    require(folder.is_dir(), f"{folder} is not there: this run was not trained here")
    plain = event_accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0}).Reload()
    unbounded = {"scalars": 0, "text": 0, "histograms": 0}
    page = plugin_event_accumulator.EventAccumulator(str(folder), tensor_size_guidance=unbounded).Reload()

    require_equal("tags of scalars", sorted(plain.Tags()["scalars"]), sorted(expected))
    histograms = sorted(plain.Tags()["histograms"])
    require(any(tag.startswith("generator/") for tag in histograms), "no histogram of the generator's weights")
    require_equal("tags of tensors", sorted(page.Tags()["tensors"]), sorted([*expected, *texts, *histograms]))
    evaluations = sorted({step for step, _ in expected["evaluation/validation_loss"]})
    for tag in histograms:
        found = plain.Histograms(tag)
        require(set(evaluations) & {event.step for event in found}, f"{tag} is at no step of an evaluation")
        for event in found:
            value = event.histogram_value
            require(value.num == sum(value.bucket) > 0, f"{tag} at step {event.step} counts {value.num}")
            require(value.min <= value.max <= value.bucket_limit[-1], f"{tag} at step {event.step}: its extent")
        require(page.SummaryMetadata(tag).plugin_data.plugin_name == "histograms", f"{tag} is for another plugin")
    # The clock, as it was.
    log = [line["time"] for line in lines(run / "log.jsonl") if line["stage"] == "train"]
    times = [event.wall_time for tag in expected for event in plain.Scalars(tag)]
    require(min(log) <= min(times) + 1 and max(times) <= max(log) + 1, "times are not those of the log")
    for tag, values in expected.items():
        readings = {
            "EventAccumulator": [(event.step, event.value) for event in plain.Scalars(tag)],
            "plugin EventAccumulator": [
                (event.step, tensor_util.make_ndarray(event.tensor_proto).item()) for event in page.Tensors(tag)
            ],
        }
        for reader, found in readings.items():
            steps = [step for step, _ in values]
            require_equal(f"{reader}, steps of {tag}", [step for step, _ in found], steps)
            for (step, value), (_, known) in zip(found, values):
                here = f"{reader}, {tag} at step {step}"
                require(same_number(value, known), f"{here}: {value!r} instead of {known!r}")
    for tag, values in texts.items():
        found = [(event.step, event.tensor_proto.string_val[0].decode()) for event in page.Tensors(tag)]
        require_equal(f"texts of {tag}", found, values)
        plugin = page.SummaryMetadata(tag).plugin_data.plugin_name
        require(plugin == "text", f"{tag} is for the plugin {plugin!r}")
    count = sum(map(len, expected.values()))
    return f"{count} scalars of {len(expected)}, {sum(map(len, texts.values()))} texts, {len(histograms)} histograms"


# ---- JSON lines ------------------------------------------------------------------------------------------------------
def compare_metrics(run, found):
    known = lines(run / "train" / "metrics.jsonl")
    for key in ("event", "phase", "kind", "step", "phase_step"):
        require_equal(f"metrics.jsonl, {key!r}", found(key), [line[key] for line in known])
    # A frame has the same names in every row: what a line does not have is null there.
    values = [{name: value for name, value in (row or {}).items() if value is not None} for row in found("values")]
    expected = [{name: value for name, value in line["values"].items() if value is not None} for line in known]
    require_equal("metrics.jsonl, 'values'", values, expected)
    return f"metrics.jsonl, {len(known)} lines, {sum(map(len, expected))} numbers"


def check_pandas_lines(run):
    import pandas

    frame = pandas.read_json(run / "train" / "metrics.jsonl", lines=True, precise_float=True)
    return compare_metrics(run, lambda key: frame[key].tolist())


def check_polars_lines(run):
    import polars

    # Names of values come and go with the phases, so every line is looked at for them.
    frame = polars.read_ndjson(run / "train" / "metrics.jsonl", infer_schema_length=None)
    return compare_metrics(run, lambda key: frame[key].to_list())


# ---- The tokenizer ---------------------------------------------------------------------------------------------------
def check_tokenizer(run):
    import pyarrow.parquet
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    def column(files, *names):
        for path in sorted(run.glob(files)):
            yield from zip(*(pyarrow.parquet.read_table(path)[name].to_pylist() for name in names))

    rows = list(column("tokenize/test-*.parquet", "id", "tokens"))
    require(rows, "the test split is empty")
    rows = rows[:: max(1, len(rows) // TEXTS)][:TEXTS]
    texts = dict(column("ingest/test-*.parquet", "id", "text"))
    samples = list(column("generate/samples-*.parquet", "tokens", "text"))[:TEXTS]
    for kind in (AutoTokenizer, PreTrainedTokenizerFast):
        name = kind.__name__
        tokenizer = kind.from_pretrained(run / "train" / "model")
        specials = [tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id]
        require_equal(f"{name}, ids of the special tokens", specials, [0, 1, 2, 3])
        for number, tokens in rows:
            # The beginning counts among the model's greatest length; longer texts were cut there by us as well.
            found = tokenizer(texts[number], truncation=True)["input_ids"]
            require_equal(f"{name}, tokens of text {number}, {texts[number]!r}", found, [BEGIN, *tokens])
        batch = tokenizer([texts[number] for number, _ in rows], truncation=True, padding=True)["input_ids"]
        kept = [[token for token in row if token != 0] for row in batch]
        require_equal(f"{name}, tokens of a batch", kept, [[BEGIN, *tokens] for _, tokens in rows])
        decoded = [tokenizer.decode(tokens) for tokens, _ in samples]
        require_equal(f"{name}, texts of samples", decoded, [text for _, text in samples])
    return f"{len(tokenizer)} tokens; {len(rows)} texts encoded as we do, {len(samples)} samples decoded"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--all", action="store_true", help="fail where a package is missing")
    arguments = parser.parse_args()
    run, known = arguments.run, {}

    with tempfile.TemporaryDirectory() as cache:

        def parquet(read):
            return lambda: tables(run, read, known, Path(cache))

        checks = {
            "pyarrow": parquet(read_pyarrow),
            "pandas": parquet(read_pandas),
            "polars": parquet(read_polars),
            "datasets": parquet(read_datasets),
            "tensorboard": lambda: check_tensorboard(run),
            "pandas, JSON lines": lambda: check_pandas_lines(run),
            "polars, JSON lines": lambda: check_polars_lines(run),
            "transformers": lambda: check_tokenizer(run),
        }
        missing = []
        for name, check in checks.items():
            try:
                print(f"{name}: {check()}", flush=True)
            except ModuleNotFoundError as error:
                missing.append(error.name)
                print(f"{name}: skipped, the package {error.name!r} is missing", flush=True)
            except Different as different:
                print(f"{name}: DIFFERENT: {different}")
                return 1
    return 1 if missing and arguments.all else 0


if __name__ == "__main__":
    sys.exit(main())
