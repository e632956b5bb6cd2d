#!/usr/bin/env python3
"""Holds `rules = "smiles"` to RDKit: both judge every line of some files.

    pip install rdkit==2026.9.1
    cargo xtask generate --run runs/molecules --count 10000 > samples.txt
    python3 tests/python/check_molecules.py samples.txt

Prints how often they agree, shows what they do not agree on, and fails below 99 %.
"""

import subprocess
import sys

from rdkit import Chem, RDLogger

RDLogger.DisableLog("rdApp.*")
OURS = ["cargo", "run", "-q", "-p", "textgan-synthetic", "--example", "molecules"]


def rdkit(text):
    molecule = Chem.MolFromSmiles(text)
    return molecule is not None and molecule.GetNumAtoms() > 0


def main(files):
    lines = [line.rstrip("\n") for file in files for line in open(file, encoding="utf-8")]
    judged = subprocess.run(OURS, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    ours = judged.stdout.splitlines()
    theirs = [rdkit(line) for line in lines]
    differ = [i for i, (a, b) in enumerate(zip(ours, theirs)) if a.startswith("1") != b]
    for i in differ[:20]:
        print(f"{lines[i]}: RDKit says {int(theirs[i])}, ours {ours[i]}")
    agreement = 1 - len(differ) / len(lines)
    print(f"{len(lines)} texts, {sum(theirs)} molecules to RDKit: agreement {agreement:.4%}")
    if agreement < 0.99 or len(ours) != len(lines):
        sys.exit(1)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
