"""Writes golden.json: scores of random sentences by NLTK, fast-bleu, sacrebleu and SciPy.

    pip install nltk==3.10.4 fast-bleu==0.0.90 sacrebleu==2.6.0 scipy==1.17.1
    python crates/textgan-metrics/tests/golden.py

MS-Jaccard and EmbSim have no package; they are computed here from their definitions.
"""

import json
import pathlib
import random
import warnings
from collections import Counter
from importlib.metadata import version

import fast_bleu
import numpy as np
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from sacrebleu.metrics import BLEU
from scipy.stats import linregress, t, wasserstein_distance

MAX_N = 5
methods = [getattr(SmoothingFunction(), f"method{number}") for number in range(8)]
warnings.filterwarnings("ignore", category=UserWarning)


def sentences(rng, count, words, longest):
    """Sentences of few words, so that n-grams repeat within and between them."""
    return [
        [min(int(rng.expovariate(6 / words)), words - 1) for _ in range(rng.randint(0, longest))]
        for _ in range(count)
    ]


def scores(sample, references, method=methods[1]):
    """None where NLTK refuses: method 6 without a matching 3-gram, or of fewer than 3 orders."""

    def score(n):
        try:
            return float(sentence_bleu(references, sample, [1 / n] * n, method))
        except (AssertionError, IndexError):
            return None

    return [score(n) for n in range(1, MAX_N + 1)]


def others(samples):
    return [samples[:i] + samples[i + 1 :] for i in range(len(samples))]


def by_fast_bleu(samples, references):
    """Orders 2 to 5; it computes in single precision."""
    weights = {n: (1 / n,) * n for n in range(2, MAX_N + 1)}
    words = [[[str(token) for token in s] for s in side] for side in (samples, references)]
    bleu = fast_bleu.BLEU(words[1], weights).get_score(words[0])
    self_bleu = fast_bleu.SelfBLEU(words[0], weights).get_score()
    return [[list(row) for row in zip(*(table[n] for n in weights))] for table in (bleu, self_bleu)]


def by_sacrebleu(samples, streams, n, method, value):
    text = lambda stream: [" ".join(map(str, sentence)) for sentence in stream]
    bleu = BLEU(tokenize="none", smooth_method=method, smooth_value=value, max_ngram_order=n)
    score = bleu.corpus_score(text(samples), [text(stream) for stream in streams])
    return {
        "n": n,
        "method": method,
        "value": value,
        "score": score.score / 100,
        "precisions": [p / 100 for p in score.precisions],
        "brevity": score.bp,
        "length": score.sys_len,
        "reference_length": score.ref_len,
    }


def corpus(rng, samples, references):
    """Two references for each sample, and all of them for every sample."""
    own = [[rng.choice(references) for _ in samples] for _ in range(2)]
    shared = [[reference] * len(samples) for reference in references]
    settings = [("exp", None), ("none", None), ("floor", None), ("floor", 0.5), ("add-k", None), ("add-k", 2)]
    return {
        "references": [list(pair) for pair in zip(*own)],
        "own": [by_sacrebleu(samples, own, n, *setting) for n in (4, 2) for setting in settings],
        "shared": [by_sacrebleu(samples, shared, 4, *setting) for setting in settings],
    }


def grams(sentence, n):
    return [tuple(sentence[i : i + n]) for i in range(len(sentence) - n + 1)]


def ms_jaccard(samples, references):
    result, product = [], 1.0
    for n in range(1, MAX_N + 1):
        a, b = (
            {g: c / len(side) for g, c in Counter(g for s in side for g in grams(s, n)).items()}
            for side in (samples, references)
        )
        both = a.keys() | b.keys()
        smaller = sum(min(a.get(g, 0), b.get(g, 0)) for g in both)
        larger = sum(max(a.get(g, 0), b.get(g, 0)) for g in both)
        product *= smaller / larger if larger else 0
        result.append(product ** (1 / n))
    return result


def similarities(side, words, window):
    """Cosines of positive pointwise mutual information, as one dense matrix."""
    index = {word: i for i, word in enumerate(words)}
    counts = np.zeros((len(words), len(words)))
    for sentence in side:
        for i, word in enumerate(sentence):
            for j, neighbour in enumerate(sentence):
                if i != j and abs(i - j) <= window:
                    counts[index[word], index[neighbour]] += 1
    with np.errstate(divide="ignore", invalid="ignore"):
        total = counts.sum(axis=1)
        ppmi = np.log(counts * counts.sum() / np.outer(total, total))
        ppmi = np.where(counts > 0, np.maximum(ppmi, 0), 0)
        norm = np.linalg.norm(ppmi, axis=1, keepdims=True)
        unit = np.where(norm > 0, ppmi / norm, 0)
    matrix = unit @ unit.T
    said = {word for sentence in side for word in sentence}
    np.fill_diagonal(matrix, [word in said for word in words])
    return matrix


def embsim(samples, references, window):
    words = sorted({word for side in (samples, references) for s in side for word in s})
    a, b = (similarities(side, words, window) for side in (samples, references))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean(np.where(norms > 0, (a * b).sum(axis=1) / np.where(norms > 0, norms, 1), 0)))


def zipf(samples, most):
    counts = sorted(Counter(word for s in samples for word in s).values(), reverse=True)[:most]
    return float(-linregress(np.log(np.arange(1, len(counts) + 1)), np.log(counts)).slope)


def case(seed, samples, references, words, longest):
    rng = random.Random(seed)
    samples = sentences(rng, samples, words, longest)
    references = sentences(rng, references, words, longest)
    fast, fast_self = by_fast_bleu(samples, references)
    return {
        "samples": samples,
        "references": references,
        "bleu": [scores(sample, references) for sample in samples],
        "self_bleu": [scores(s, o) for s, o in zip(samples, others(samples))],
        "methods": [[scores(s, references, method) for s in samples] for method in methods],
        "self_method_5": [scores(s, o, methods[5]) for s, o in zip(samples, others(samples))],
        "fast_bleu": fast,
        "fast_self_bleu": fast_self,
        "corpus": corpus(rng, samples, references),
        "ms_jaccard": ms_jaccard(samples, references),
        "embsim": [embsim(samples, references, window) for window in (1, 3)],
        "zipf": [zipf(samples, most) for most in (3, 5000)],
        "length_distance": wasserstein_distance(
            [len(s) for s in samples], [len(r) for r in references]
        ),
    }


packages = ("nltk", "fast-bleu", "sacrebleu", "scipy", "numpy")
golden = {
    "made_by": ", ".join(f"{package} {version(package)}" for package in packages),
    "cases": [
        case(1, samples=12, references=8, words=6, longest=9),
        case(2, samples=20, references=15, words=40, longest=18),
        case(3, samples=8, references=1, words=3, longest=6),
        case(4, samples=6, references=10, words=12, longest=3),
        case(5, samples=2, references=3, words=4, longest=12),
    ],
    "t_quantile_975": {str(df): t.ppf(0.975, df) for df in (1, 2, 3.5, 9, 19, 30.25, 199, 1000)},
}
path = pathlib.Path(__file__).with_name("golden.json")
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
