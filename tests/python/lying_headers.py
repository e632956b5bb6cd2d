#!/usr/bin/env python3
"""Files whose headers say what is not so: lengths, shapes, types and offsets of safetensors, Parquet, NumPy, gzip and tar.

    cargo build -p xtask
    python3 tests/python/lying_headers.py target/debug/xtask

A command that reads one must refuse it, or make of it what it makes of an honest file (a lie that nobody asks about); it must not
panic, abort, wait over ten seconds or take over a gigabyte. Prints a table, and exits with 1 if anything else happened.
"""

import gzip
import io
import json
import os
import pathlib
import random
import re
import resource
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile

CONFIG = pathlib.Path(__file__).parent.parent / "tiny.toml"
HUGE = [2**31 - 1, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**64 - 1]


def safetensors(data):
    """Lies of a model's weights."""
    length = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]

    def packed(told):
        text = json.dumps(told).encode()
        return struct.pack("<Q", len(text)) + text + body

    for told in [0, 1, length - 1, length + 1, len(data), len(data) - 8, *HUGE]:
        yield f"header of {told}", struct.pack("<Q", told) + data[8:]
    names = [name for name in header if name != "__metadata__"]
    for name in names[:3] + names[-2:]:
        begin, end = header[name]["data_offsets"]
        shape = header[name]["shape"]
        lies = [("dtype", kind) for kind in ("F64", "F16", "I32", "I64", "U8", "BOOL", "Q7")]
        lies += [("shape", other) for other in (shape[::-1] + [1], [0], [2**62, 4], [2**32, 2**32], [-1], shape + [2], [], "x")]
        lies += [
            ("data_offsets", other)
            for other in ([end, begin], [begin, end + 4], [begin, 2**63], [2**64 - 8, 2**64 - 4], [begin + 1, end + 1], [0, 0], [-4, 0])
        ]
        for key, value in lies:
            told = {**header, name: {**header[name], key: value}}
            yield f"{name}: {key} {value}", packed(told)
        yield f"{name} left out", packed({other: header[other] for other in header if other != name})
    yield "twice the same bytes", packed({**header, names[0]: {**header[names[0]], "data_offsets": header[names[1]]["data_offsets"]}})


def numpy_array(data):
    """Lies of an array."""
    length = struct.unpack("<H", data[8:10])[0]
    header, body = data[10 : 10 + length].decode(), data[10 + length :]
    shape = re.search(r"'shape': \(([^)]*)\)", header).group(0)

    def packed(told):
        told = told.rstrip("\n ")
        told += " " * (-(len(told) + 11) % 64) + "\n"
        return data[:8] + struct.pack("<H", len(told)) + told.encode() + body

    for other in ("(99999999999, 32)", "(18446744073709551615, 2)", "(4294967296, 4294967296)", "(-1, 32)", "()", "(5000,)", "(0, 0)", "(2.5, 3)", "x"):
        yield f"shape {other}", packed(header.replace(shape, f"'shape': {other}"))
    for kind in ("'<f8'", "'>f4'", "'<f2'", "'|O'", "'<i4'", "'<U9'", "'f'", "[('a', '<f4')]"):
        yield f"type {kind}", packed(re.sub(r"'descr': '[^']*'", f"'descr': {kind}", header))
    yield "Fortran's order", packed(header.replace("'fortran_order': False", "'fortran_order': True"))
    for told in (0, 1, length - 1, length + 1, 65535):
        yield f"header of {told}", data[:8] + struct.pack("<H", told) + data[10:]
    yield "version 9", data[:6] + b"\x09\x00" + data[8:]


def parquet(data):
    """Lies of a table: the footer's length, and its bytes."""
    length = struct.unpack("<I", data[-8:-4])[0]
    for told in [0, 1, length - 1, length + 1, len(data), 2**31 - 1, 2**32 - 1]:
        yield f"footer of {told}", data[:-8] + struct.pack("<I", told) + data[-4:]
    stream = random.Random(3)
    for number in range(30):
        at = len(data) - 8 - 1 - stream.randrange(length)
        yield f"footer, byte {len(data) - at} from the end", data[:at] + stream.randbytes(1) + data[at + 1 :]


def gzipped(data):
    packed = gzip.compress(data, mtime=0)
    for told in (0, 1, 2**31, 2**32 - 1):
        yield f"length {told}", packed[:-4] + struct.pack("<I", told)
    yield "another checksum", packed[:-8] + b"\0\0\0\0" + packed[-4:]
    yield "an extra field of 65535", packed[:3] + b"\x04" + packed[4:10] + b"\xff\xff" + packed[10:]
    yield "method 7", packed[:2] + b"\x07" + packed[3:]


def archived(data):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("a.txt")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    packed = buffer.getvalue()

    def sized(field):
        told = bytearray(packed)
        told[124:136] = field
        told[148:156] = b" " * 8
        told[148:156] = b"%06o\0 " % sum(told[:512])
        return bytes(told)

    for field in (b"77777777777\0", b"\x80" + b"\xff" * 11, b"\xff" * 12, b"-0000000001\0", b"           \0", b"99999999999\0", b"00000000000\0"):
        yield f"a size of {field!r}", sized(field)


def main():
    xtask = pathlib.Path(sys.argv[1]).resolve()
    environment = {**os.environ, "CANDLE_NUM_THREADS": "1"}
    # Room for threads' stacks; what is taken is looked at below.
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))

    def run(folder, *arguments):
        try:
            return subprocess.run([xtask, *arguments], cwd=folder, env=environment, capture_output=True, timeout=10, preexec_fn=limit)
        except subprocess.TimeoutExpired:
            return None

    counts, findings, tried = {}, [], 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        shutil.copy(CONFIG, scratch / "tiny.toml")
        subprocess.run(
            [xtask, "pipeline", "--config", "tiny.toml", "--run", "run", "--quiet", "--until", "train"],
            cwd=scratch, env=environment, check=True, capture_output=True,
        )
        model = scratch / "run/train/model"
        # A folder that says its hashes would be refused for those alone.
        (model / "checksums.txt").unlink()
        words = ["red", "dogs", "play", "near", "green", "cats", "and", "old", "men", "sit"]
        stream = random.Random(5)
        lines = "".join(" ".join(stream.choices(words, k=6)) + "\n" for _ in range(60)).encode()
        (scratch / "plain.txt").write_bytes(lines)
        ingest = lambda source: ["ingest", "--config", "tiny.toml", "--run", "made", "--quiet", "--set", f"corpus.sources={source}"]
        files = lambda name: ingest(f'{{ kind = "files", path = "{name}" }}')

        def table(folder):
            made = folder / "made/ingest"
            return {str(p): p.read_bytes() for p in made.rglob("*.parquet")} if made.is_dir() else None

        oracle = scratch / "oracle"
        oracle.mkdir()
        shapes = {"embedding": (60, 4), "bog": (4,), "bc": (4,), "bf": (4,), "bi": (4,), "bo": (60,)}
        shapes |= {name: (4, 4) for name in ("uc", "uf", "ui", "uog", "wc", "wf", "wi", "wog")} | {"wo": (4, 60)}
        for name, shape in shapes.items():
            count = 1
            for size in shape:
                count *= size
            told = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {str(shape)}, }}"
            told += " " * (-(len(told) + 11) % 64) + "\n"
            numbers = struct.pack(f"<{count}f", *(stream.gauss(0, 1) for _ in range(count)))
            (oracle / f"{name}.npy").write_bytes(b"\x93NUMPY\x01\0" + struct.pack("<H", len(told)) + told.encode() + numbers)
        source = '{ kind = "oracle", documents = 40, length = 6, path = "oracle" }'
        rows = (scratch / "run/ingest/train-00000-of-00001.parquet").read_bytes()
        cases = [
            ("safetensors", "run/train/model/model.safetensors", safetensors, ["generate", "--model", "run/train/model", "-n", "3", "--quiet"]),
            ("NumPy", "oracle/embedding.npy", numpy_array, ingest(source)),
            ("NumPy", "oracle/wo.npy", numpy_array, ingest(source)),
            ("Parquet", "rows.parquet", parquet, files("rows.parquet")),
            ("gzip", "packed.txt.gz", gzipped, files("packed.txt.gz")),
            ("tar", "packed.tar", archived, files("packed.tar")),
        ]
        (scratch / "rows.parquet").write_bytes(rows)
        (scratch / "packed.txt.gz").write_bytes(gzip.compress(lines, mtime=0))
        (scratch / "packed.tar").write_bytes(b"")
        for kind, name, lies, command in cases:
            path = scratch / name
            honest = lines if kind in ("gzip", "tar") else path.read_bytes()
            if kind == "tar":
                with tarfile.open(path, "w") as archive:
                    member = tarfile.TarInfo("a.txt")
                    member.size = len(lines)
                    archive.addfile(member, io.BytesIO(lines))
            whole = path.read_bytes()
            shutil.rmtree(scratch / "made", ignore_errors=True)
            made = run(scratch, *command)
            assert made and made.returncode == 0, (kind, made)
            expected = made.stdout, table(scratch)
            for what, lie in lies(honest):
                tried += 1
                path.write_bytes(lie)
                shutil.rmtree(scratch / "made", ignore_errors=True)
                said = run(scratch, *command)
                if said is None:
                    outcome = "waits"
                elif said.returncode < 0 or said.returncode == 101 or b"panicked" in said.stderr:
                    outcome = "panics"
                elif said.returncode != 0:
                    outcome = "refused"
                else:
                    outcome = "the same" if (said.stdout, table(scratch)) == expected else "USED"
                counts[kind, outcome] = counts.get((kind, outcome), 0) + 1
                if outcome in ("waits", "panics", "USED"):
                    findings.append(f"{kind}: {name}: {what}: {outcome}")
            path.write_bytes(whole)
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{tried} lying headers; at most {most:.0f} MB")
    if most > 1024:
        findings.append(f"a command took {most:.0f} MB")
    outcomes = sorted({outcome for _, outcome in counts})
    print(f"{'':12}" + "".join(f"{outcome:>12}" for outcome in outcomes))
    for kind in sorted({kind for kind, _ in counts}):
        print(f"{kind:12}" + "".join(f"{counts.get((kind, outcome), 0):>12}" for outcome in outcomes))
    print("\n".join(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
