#!/usr/bin/env python3
"""Ingests a made corpus of so many gigabytes by one process and by shards: seconds, memory, and equal manifests.

    python tests/python/ingest_gigabytes.py target/debug/xtask --gigabytes 20 --folder /tmp/corpus

Shards run two at a time with a thread each, then their merge with all. The corpus is JSON lines in 40 files, 4 to 23 sentences a
document, every twentieth document a repeat of an earlier one; it needs only Python, and about twice its size on the disk. Exits with 1
if anything differs.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FILES = 40
STEPS = '["nfc", "control", "whitespace", "exact-duplicates", { step = "cross-split", action = "remove" }]'


def make(folder, total):
    """The corpus; what is there already is used again."""
    words = random.Random(1)
    vocabulary = ["".join(words.choices("etaoinshrdlu", k=words.randrange(2, 10))) for _ in range(20000)]
    sentences = [" ".join(words.choices(vocabulary, k=words.randrange(8, 45))) + " ." for _ in range(10000)]
    folder.mkdir(parents=True, exist_ok=True)
    draw, number = random.Random(5), 0
    for file in range(FILES):
        with open(folder / f"{file:02}.jsonl", "w", encoding="utf-8") as out:
            while out.tell() < total // FILES:
                lines = []
                for _ in range(2000):
                    repeat = number > 1000 and draw.random() < 0.05
                    which = draw.randrange(number) if repeat else number
                    number += not repeat
                    parts = random.Random(which)
                    text = " ".join(parts.choices(sentences, k=parts.randrange(4, 24)))
                    lines.append(json.dumps({"text": f"{which} {text}"}) + "\n")
                out.write("".join(lines))


def run(name, command):
    """Runs to the end; the most memory that it had, in MiB."""
    begin = time.time()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{name}: {said.decode()[-2000:]}")
    return time.time() - begin, usage.ru_maxrss / 1024, said.decode()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--folder", type=Path, default=Path("ingest-gigabytes"))
    parser.add_argument("--shards", type=int, nargs="+", default=[4, 16])
    options = parser.parse_args()
    folder, program = options.folder.resolve(), Path(options.program).resolve()
    make(folder / "texts", int(options.gigabytes * 1e9))
    config = folder / "c.toml"
    config.write_text(
        f'seed = 1\n[corpus]\nsources = "{folder / "texts"}"\nsteps = {STEPS}\n'
        '[[phase]]\nkind = "maximum-likelihood"\nsteps = 1\n'
    )

    def ingest(name, *more):
        command = [program, "ingest", "--quiet", "--config", config, "--run", folder / name, *more]
        return run(name, command)

    def manifest(name):
        return (folder / name / "ingest/manifest.json").read_bytes()

    for name in ["one", *map(str, options.shards)]:
        shutil.rmtree(folder / name, ignore_errors=True)
    seconds, memory, said = ingest("one")
    printed = [line for line in said.splitlines() if "distinct rows in" in line]
    print(f"one process: {seconds:.0f} s, {memory:.0f} MiB; {'; '.join(printed)}")
    for count in options.shards:
        begin = time.time()
        with ThreadPoolExecutor(2) as two:
            shards = [f"{number}/{count}" for number in range(1, count + 1)]
            of = two.map(lambda shard: ingest(str(count), "--threads", "1", "--shard", shard), shards)
            most = max(memory for _, memory, _ in of)
        took = time.time() - begin
        seconds, memory, _ = ingest(str(count), "--merge", str(count))
        same = manifest(str(count)) == manifest("one")
        print(f"{count} shards: {took:.0f} s, {most:.0f} MiB; merge {seconds:.0f} s, {memory:.0f} MiB; equal: {same}", flush=True)
        shutil.rmtree(folder / str(count))
        if not same:
            sys.exit(1)


main()
