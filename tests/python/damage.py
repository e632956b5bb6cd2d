#!/usr/bin/env python3
"""Damages a finished run in many ways and asks every command what it makes of it.

    cargo build -p xtask
    python3 tests/python/damage.py target/debug/xtask [--every N] [--of finished|interrupted|model]

A mutant is a whole run with one file cut, flipped, emptied, replaced by a folder, by a link, by random bytes or by
another file. No command may panic, abort, wait, write outside of the run, or use the file as if it were whole: `pipeline`
must refuse it or make the stage again, `generate` and `compare` must refuse it where they read it, `show --verify` must
name its stage. Of a run that was stopped in training (`--of interrupted`), `pipeline` must refuse the mutant or end in the
bits of a run that nobody stopped. Of a model folder that stands alone (`--of model`), `generate` must refuse it or write
what the whole one writes. Prints a table, and exits with 1 if anything else happened.
"""

import argparse
import hashlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

CONFIG = pathlib.Path(__file__).parent.parent / "tiny.toml"
# Files that decide nothing: caches, clocks, and what was last asked for.
LOOSE = {"hashes.json", "log.jsonl", "lock", "config.toml"}


def is_loose(name):
    return name in LOOSE or name.startswith("tensorboard/")


# Places at which a file is cut, and others at which a bit of it is flipped.
POINTS = 12
# What a command must not take for whole.
READS = {
    "pipeline": lambda name: True,
    "generate": lambda name: name.startswith("train/"),
    "compare": lambda name: name.startswith("evaluate/"),
    "show": lambda name: True,
    "list": lambda name: False,
}


def mutations(data, other, stream):
    for i in range(POINTS):
        yield f"cut {i}", data[: len(data) * (i + 1) // (POINTS + 1)]
    for i in range(POINTS):
        if data:
            at = stream.randrange(len(data))
            yield f"flip {i}", data[:at] + bytes([data[at] ^ 1 << stream.randrange(8)]) + data[at + 1 :]
    yield "empty", b""
    yield "random", stream.randbytes(max(len(data), 1))
    yield "another's", other
    yield "folder", None
    yield "link", None


def tree(folder):
    return {p.relative_to(folder): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def damaged(path, kind, bytes_, data, outside):
    """Puts a mutant in the place of a file."""
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        victim = outside / "victim"
        victim.write_bytes(data)
        path.symlink_to(victim)
    else:
        path.write_bytes(bytes_)


def verdict(said, outside, before):
    """What no command may do, or None."""
    if said is None:
        return "waits"
    if said.returncode == 101 or said.returncode < 0 or "panicked" in said.stderr:
        return "panics"
    return "writes outside" if tree(outside) != before else None


def report(title, counts, findings):
    print(title)
    outcomes = sorted({outcome for _, outcome in counts})
    print(f"{'':10}" + "".join(f"{outcome:>16}" for outcome in outcomes))
    for command in sorted({command for command, _ in counts}):
        print(f"{command:10}" + "".join(f"{counts.get((command, outcome), 0):>16}" for outcome in outcomes))
    for finding in findings:
        print(finding)
    return 1 if findings else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("xtask", type=pathlib.Path)
    parser.add_argument("--every", type=int, default=1, help="only every Nth mutant")
    parser.add_argument("--of", choices=["finished", "interrupted", "model"], default="finished")
    options = parser.parse_args()
    xtask = options.xtask.resolve()
    environment = {**os.environ, "CANDLE_NUM_THREADS": "1"}

    def run(folder, *arguments):
        command = [xtask, *arguments]
        try:
            return subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=10, text=True)
        except subprocess.TimeoutExpired:
            return None

    if options.of != "finished":
        return others(options, xtask, environment, run)

    findings, counts, mutants = [], {}, 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        whole = scratch / "whole"
        whole.mkdir()
        shutil.copy(CONFIG, whole / "tiny.toml")
        pipeline = ["pipeline", "--config", "tiny.toml", "--run", "run", "--quiet", "--set", "evaluate.sweep=[0.7,1.0]"]
        made = run(whole, *pipeline)
        assert made and made.returncode == 0, made
        outside = scratch / "outside"
        outside.mkdir()
        files = sorted(str(p.relative_to(whole / "run")) for p in (whole / "run").rglob("*") if p.is_file())
        stream = random.Random(7)
        number = 0
        for name in files:
            data = (whole / "run" / name).read_bytes()
            other = (whole / "run" / stream.choice([f for f in files if f != name])).read_bytes()
            for kind, bytes_ in mutations(data, other, stream):
                number += 1
                if number % options.every or bytes_ == data:
                    continue
                mutants += 1
                for command, reads in READS.items():
                    mutant = scratch / "mutant"
                    shutil.copytree(whole, mutant)
                    path = mutant / "run" / name
                    damaged(path, kind, bytes_, data, outside)
                    before = tree(outside)
                    arguments = {
                        "pipeline": pipeline,
                        "generate": ["generate", "--run", "run", "-n", "2", "--quiet"],
                        "compare": ["compare", "run"],
                        "show": ["show", "run", "--verify"],
                        "list": ["list", "."],
                    }[command]
                    said = run(mutant, *arguments)
                    if bad := verdict(said, outside, before):
                        outcome = bad
                    elif said.returncode != 0:
                        outcome = "refused"
                    elif command == "pipeline" and not path.is_symlink() and path.is_file() and path.read_bytes() == data:
                        outcome = "made again"
                    elif is_loose(name) or not reads(name) or kind == "link":
                        # A link to the same bytes is whole.
                        outcome = "not read"
                    else:
                        outcome = "USED"
                    counts[command, outcome] = counts.get((command, outcome), 0) + 1
                    if outcome in ("waits", "panics", "writes outside", "USED"):
                        findings.append(f"{command}: {name}, {kind}: {outcome}")
                    shutil.rmtree(mutant)
    return report(f"{mutants} mutants of {len(files)} files", counts, findings)


def others(options, xtask, environment, run):
    """Mutants of an interrupted run through resume, or of a model folder through generate."""
    findings, counts, mutants = [], {}, 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        whole, outside = scratch / "whole", scratch / "outside"
        outside.mkdir()
        whole.mkdir()
        shutil.copy(CONFIG, whole / "tiny.toml")
        # Long enough to be stopped in the middle.
        longer = ["--set", "phase.0.steps=150", "--set", "train.checkpoint_every=10", "--set", "train.validation_sentences=8"]
        pipeline = ["pipeline", "--config", "tiny.toml", "--run", "run", "--quiet", "--until", "train", *longer]
        if options.of == "model":
            made = run(whole, *pipeline)
            assert made.returncode == 0, made
            folder = scratch / "model"
            shutil.copytree(whole / "run/train/model", folder)
            command = ["generate", "--model", "folder", "-n", "3", "--quiet"]
            base = scratch / "base"
            base.mkdir()
            shutil.move(folder, base / "folder")
            root = "folder"
            expected = run(base, *command).stdout
        else:
            base = whole
            command, root = pipeline, "run"
            undisturbed = scratch / "undisturbed"
            shutil.copytree(whole, undisturbed)
            made = run(undisturbed, *pipeline)
            assert made.returncode == 0, made
            expected = tree(undisturbed / "run/train/model")
            process = subprocess.Popen([xtask, *pipeline], cwd=whole, env=environment, stderr=subprocess.DEVNULL)
            checkpoints = whole / "run/train.partial/checkpoints"
            while process.poll() is None and len(list(checkpoints.glob("step-*"))) < 2:
                time.sleep(0.002)
            process.send_signal(signal.SIGINT)
            process.wait()
            assert checkpoints.is_dir(), "it was not stopped in training; make it longer"
        files = sorted(str(p.relative_to(base / root)) for p in (base / root).rglob("*") if p.is_file())
        if options.of == "interrupted":
            files = [name for name in files if name.startswith("train.partial")]
        stream = random.Random(7)
        number = 0
        for name in files:
            data = (base / root / name).read_bytes()
            other = (base / root / stream.choice([f for f in files if f != name])).read_bytes()
            for kind, bytes_ in mutations(data, other, stream):
                number += 1
                if number % options.every or bytes_ == data:
                    continue
                mutants += 1
                mutant = scratch / "mutant"
                shutil.copytree(base, mutant, symlinks=True)
                damaged(mutant / root / name, kind, bytes_, data, outside)
                before = tree(outside)
                said = run(mutant, *command)
                if bad := verdict(said, outside, before):
                    outcome = bad
                elif said.returncode != 0:
                    outcome = "refused"
                elif options.of == "model":
                    outcome = "the same" if said.stdout == expected else "USED"
                else:
                    outcome = "the same" if tree(mutant / "run/train/model") == expected else "USED"
                key = ("generate" if options.of == "model" else "pipeline", outcome)
                counts[key] = counts.get(key, 0) + 1
                if outcome in ("waits", "panics", "writes outside", "USED"):
                    findings.append(f"{name}, {kind}: {outcome}")
                shutil.rmtree(mutant)
    return report(f"{mutants} mutants of {len(files)} files, {options.of}", counts, findings)


if __name__ == "__main__":
    sys.exit(main())
