#!/usr/bin/env python3
"""Unpacks the molecules of MOSES as SMILES, one a line.

    pip download --no-deps molsets==0.3.1 --dest /tmp/molsets
    python3 tests/python/unpack_molecules.py /tmp/molsets/molsets-0.3.1-py3-none-any.whl datasets/molecules

Writes train.smi (1,584,663 molecules) and test.smi (176,074), in the order of MOSES, and stops if what it read is
not what datasets/molecules.toml describes.
"""

import csv
import gzip
import hashlib
import io
import pathlib
import sys
import zipfile

FILES = {
    "train": (1_584_663, "4301e7f6118839465012eb93510328681ef4b7b24642e8748c4ad40971f4a304"),
    "test": (176_074, "d6290e7bc2f0881a8f50ffd53937d2207657de32fcc43786125eb6f73997c1e2"),
}


def main(wheel, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for split, (count, expected) in FILES.items():
            packed = archive.read(f"moses/dataset/data/{split}.csv.gz")
            rows = csv.DictReader(io.StringIO(gzip.decompress(packed).decode("utf-8")))
            lines = [row["SMILES"] for row in rows]
            text = "".join(line + "\n" for line in lines).encode("utf-8")
            found = hashlib.sha256(text).hexdigest()
            if (len(lines), found) != (count, expected):
                sys.exit(f"{wheel}: {split} has {len(lines)} molecules and sha256 {found}, not {count} and {expected}")
            path = folder / f"{split}.smi"
            partial = path.with_suffix(".partial")
            partial.write_bytes(text)
            partial.replace(path)
            print(f"{path}: {count} molecules, {len(text)} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
