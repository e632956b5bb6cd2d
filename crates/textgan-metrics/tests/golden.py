"""Writes golden.json: BLEU and Self-BLEU of random sentences by NLTK, t-quantiles by SciPy.

    pip install nltk==3.10.4 scipy==1.17.1
    python crates/textgan-metrics/tests/golden.py
"""

import json
import pathlib
import random

import nltk
import scipy
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from scipy.stats import t

MAX_N = 5
method1 = SmoothingFunction().method1


def sentences(rng, count, words, longest):
    """Sentences of few words, so that n-grams repeat within and between them."""
    return [
        [min(int(rng.expovariate(6 / words)), words - 1) for _ in range(rng.randint(0, longest))]
        for _ in range(count)
    ]


def scores(sample, references):
    return [
        float(sentence_bleu(references, sample, [1 / n] * n, smoothing_function=method1))
        for n in range(1, MAX_N + 1)
    ]


def case(seed, samples, references, words, longest):
    rng = random.Random(seed)
    samples = sentences(rng, samples, words, longest)
    references = sentences(rng, references, words, longest)
    return {
        "samples": samples,
        "references": references,
        "bleu": [scores(sample, references) for sample in samples],
        "self_bleu": [
            scores(sample, samples[:i] + samples[i + 1 :]) for i, sample in enumerate(samples)
        ],
    }


golden = {
    "made_by": f"nltk {nltk.__version__}, scipy {scipy.__version__}",
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
