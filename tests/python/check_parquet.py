#!/usr/bin/env python3
"""Opens the Parquet files of a run with polars and with pyarrow, and compares what they read.

    pip install polars pyarrow
    python tests/python/check_parquet.py runs/NAME

Takes files or folders (searched for `*.parquet`). Every file must open in both, with the same
columns, the same number of rows and the same values. Exits with 1 when something differs, or when
there was nothing to open.
"""

import argparse
import sys
from pathlib import Path

import polars
import pyarrow.parquet


def files(paths):
    for path in paths:
        if path.is_dir():
            yield from sorted(path.rglob("*.parquet"))
        else:
            yield path


def check(path):
    """The problem with a file, or None."""
    arrow = pyarrow.parquet.read_table(path)
    arrow.validate(full=True)
    frame = polars.read_parquet(path)
    if frame.columns != arrow.column_names:
        return f"columns {frame.columns} in polars, {arrow.column_names} in pyarrow"
    if len(frame) != arrow.num_rows:
        return f"{len(frame)} rows in polars, {arrow.num_rows} in pyarrow"
    for name in arrow.column_names:
        if frame[name].to_list() != arrow[name].to_pylist():
            return f"column {name!r} differs"
    columns = ", ".join(f"{field.name}: {field.type}" for field in arrow.schema)
    print(f"{path}: {arrow.num_rows} rows ({columns})")
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", type=Path, nargs="+", help="Parquet files, or folders of them")
    paths = list(files(parser.parse_args().paths))
    if not paths:
        print("no Parquet files found")
        return 1
    problems = [(path, problem) for path in paths if (problem := check(path))]
    for path, problem in problems:
        print(f"{path}: DIFFERENT: {problem}")
    print(f"{len(paths)} files, {len(problems)} with differences")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
