#!/usr/bin/env python3
"""Ingests a corpus from a bucket of a real S3 server on this machine, and the same from files: equal rows, and equal bytes from
shards.

    pip install 'moto[server]' boto3 pyarrow
    cargo build -p xtask --features cloud
    python tests/python/check_cloud.py target/debug/xtask

Nothing is asked of the network. Exits with 1 at the first difference.
"""

import gzip
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3
import pyarrow.parquet

OBJECTS = 25


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main():
    program = Path(sys.argv[1]).resolve()
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        "AWS_ENDPOINT": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        client = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id="key", aws_secret_access_key="secret", region_name="us-east-1"
        )
        for _ in range(100):
            try:
                client.create_bucket(Bucket="corpus")
                break
            except Exception:
                time.sleep(0.2)
        with tempfile.TemporaryDirectory() as folder:
            check(client, Path(folder), program, environment)
    finally:
        server.terminate()


def check(client, folder, program, environment):
    (folder / "texts").mkdir()
    for number in range(OBJECTS):
        lines = "".join(f"line {i} of {number % 20}, and {i * number % 97}\n" for i in range(3000))
        name = f"{number:02}.txt" + (".gz" if number % 3 == 0 else "")
        data = gzip.compress(lines.encode()) if number % 3 == 0 else lines.encode()
        (folder / "texts" / name).write_bytes(data)
        client.put_object(Bucket="corpus", Key=f"deep/texts/{name}", Body=data)
    client.put_object(Bucket="corpus", Key="deep/other/x.txt", Body=b"not asked for\n")

    def ingest(run, source, *more):
        config = folder / f"{run}.toml"
        config.write_text(
            f'seed = 1\n[corpus]\nsources = "{source}"\nsteps = ["whitespace", "exact-duplicates"]\n'
            '[[phase]]\nkind = "maximum-likelihood"\nsteps = 1\n'
        )
        command = [program, "ingest", "--quiet", "--config", config, "--run", folder / run, *more]
        subprocess.run(command, env=environment, check=True, stderr=subprocess.PIPE)
        return folder / run / "ingest"

    def rows(stage):
        return [pyarrow.parquet.read_table(path) for path in sorted(stage.glob("*.parquet"))]

    here = rows(ingest("files", folder / "texts"))
    stage = ingest("objects", "s3://corpus/deep/texts")
    there = rows(stage)
    for a, b in zip(here, there, strict=True):
        for column in ("id", "text"):
            assert a[column] == b[column], f"{column} differs"
    sources = {source for table in there for source in table["source"].to_pylist()}
    assert "s3://corpus/deep/texts/00.txt.gz" in sources and len(sources) == OBJECTS, sources
    for number in range(1, 4):
        ingest("shards", "s3://corpus/deep/texts", "--shard", f"{number}/3")
    merged = ingest("shards", "s3://corpus/deep/texts", "--merge", "3")
    for path in sorted(stage.glob("*.parquet")):
        assert path.read_bytes() == (merged / path.name).read_bytes(), path.name
    print(f"{OBJECTS} objects, {sum(map(len, there))} rows: as from files, and as from 3 shards")


main()
