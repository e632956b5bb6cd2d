"""Times Self-BLEU-2..5 of a file, one sentence a line, by fast-bleu and by NLTK.

    pip install fast-bleu==0.0.90 nltk==3.10.4
    python crates/textgan-metrics/benches/peer.py FILE

Prints a line of JSON for each: name and version, seconds, the mean scores, and how many of the
samples were timed. fast-bleu does all; NLTK does a few, and its time is scaled to all.
"""

import json
import sys
import time
from importlib.metadata import version

ORDERS = (2, 3, 4, 5)
SAMPLED = 4

with open(sys.argv[1], encoding="utf-8") as file:
    sentences = [line.split() for line in file]
weights = {n: (1 / n,) * n for n in ORDERS}


def say(package, seconds, timed, means):
    print(json.dumps({
        "name": f"{package} {version(package)}",
        "seconds": seconds * len(sentences) / timed,
        "timed": timed,
        "self_bleu": means,
    }), flush=True)


try:
    import fast_bleu

    begin = time.perf_counter()
    scores = fast_bleu.SelfBLEU(sentences, weights).get_score()
    seconds = time.perf_counter() - begin
    means = [sum(scores[n]) / len(sentences) for n in ORDERS]
    say("fast-bleu", seconds, len(sentences), means)
except ImportError as error:
    print(f"fast-bleu is left out: {error}", file=sys.stderr)

from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

smoothing = SmoothingFunction().method1
begin = time.perf_counter()
rows = []
for i in range(0, len(sentences), max(1, len(sentences) // SAMPLED)):
    others = sentences[:i] + sentences[i + 1 :]
    rows.append(sentence_bleu(others, sentences[i], list(weights.values()), smoothing))
seconds = time.perf_counter() - begin
say("nltk", seconds, len(rows), [sum(column) / len(rows) for column in zip(*rows)])
