"""Writes golden_embedding.json: distances between sets of embeddings by SciPy, prdc and mauve-text.

    pip install scipy==1.17.1 prdc==0.2 mauve-text==0.4.0 faiss-cpu==1.15.1 scikit-learn==1.9.1
    python crates/textgan-evaluate/tests/golden_embedding.py

mauve-text asks for PyTorch only to compute embeddings; `pip install --no-deps` leaves it out. The
embeddings are not stored: `embeddings` here and in `embedding.rs` make the same numbers.
"""

import contextlib
import importlib
import io
import json
import pathlib
from importlib.metadata import version
from unittest import mock

import numpy as np
from prdc import compute_prdc
from scipy.linalg import sqrtm

# The package gives its function the name of the module.
package = importlib.import_module("mauve.compute_mauve")

MASK = (1 << 64) - 1
CENTRES = 5


def mix(state):
    z = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


def uniform(seed, index):
    return (mix(mix(seed) ^ index) >> 40) / (1 << 24)


def embeddings(seed, rows, dimensions, scale, shift):
    """Rows around five centres, the same for every seed; three uniforms are nearly normal."""
    result = np.empty((rows, dimensions), dtype=np.float32)
    for row in range(rows):
        for j in range(dimensions):
            centre = 4 * uniform(0, row % CENTRES * dimensions + j)
            index = 3 * (row * dimensions + j)
            noise = sum(uniform(seed, index + k) for k in range(3)) - 1.5
            result[row, j] = centre + shift + scale * noise
    return result


def frechet(a, b):
    means = a.mean(axis=0, dtype=np.float64) - b.mean(axis=0, dtype=np.float64)
    covariances = [np.cov(side.astype(np.float64), rowvar=False) for side in (a, b)]
    root = sqrtm(covariances[0] @ covariances[1])
    return float(means @ means + np.trace(covariances[0] + covariances[1] - 2 * np.real(root)))


def prdc(a, b, k):
    with contextlib.redirect_stdout(io.StringIO()):
        return {name: float(value) for name, value in compute_prdc(a, b, k).items()}


def mauve_of_clusters(p, q, clusters):
    """The package's own curve and areas, of the histograms of given clusters."""
    counts = [np.bincount(labels, minlength=clusters).astype(float) for labels in (p, q)]
    plain = [count / count.sum() for count in counts]
    smooth = [(count + 0.5) / (count + 0.5).sum() for count in counts]
    with mock.patch.object(package, "cluster_feats", return_value=(*plain, *smooth)):
        found = package.compute_mauve(np.ones((2, 2)), np.ones((2, 2)), num_buckets=clusters)
    return {
        "real": [int(label) for label in p],
        "generated": [int(label) for label in q],
        "clusters": clusters,
        "score": float(found.mauve),
        "smoothed": float(found.mauve_star),
    }


def whole_mauve(a, b, clusters):
    runs = [package.compute_mauve(a, b, num_buckets=clusters, seed=seed) for seed in range(5)]
    return {"clusters": clusters, "scores": [float(run.mauve) for run in runs]}


def case(rows_a, rows_b, dimensions, scale, shift, k, clusters):
    a = embeddings(1, rows_a, dimensions, 1.0, 0.0)
    b = embeddings(2, rows_b, dimensions, scale, shift)
    return {
        "rows": [rows_a, rows_b],
        "dimensions": dimensions,
        "scale": scale,
        "shift": shift,
        "k": k,
        "frechet": frechet(a, b),
        "prdc": prdc(a, b, k),
        "mauve": whole_mauve(a, b, clusters),
    }


def labels(seed, count, clusters):
    """Not all alike: low numbers are more frequent, the more so for a high seed."""
    return [int(clusters * uniform(seed, i) ** seed) for i in range(count)]


packages = ("scipy", "numpy", "prdc", "mauve-text", "faiss-cpu", "scikit-learn")
golden = {
    "made_by": ", ".join(f"{name} {version(name)}" for name in packages),
    "cases": [
        case(200, 200, 12, 1.0, 0.0, k=5, clusters=10),
        case(200, 200, 12, 1.5, 0.25, k=5, clusters=20),
        case(120, 300, 40, 0.5, 0.0, k=3, clusters=8),
        case(20, 30, 33, 1.0, 0.5, k=1, clusters=5),
        case(600, 600, 16, 1.2, 0.1, k=5, clusters=60),
    ],
    "mauve_of_clusters": [
        mauve_of_clusters(labels(1, 300, 20), labels(2, 300, 20), 20),
        mauve_of_clusters(labels(1, 100, 30), labels(4, 200, 30), 30),
        mauve_of_clusters([0, 0, 1], [2, 3, 3], 4),
        mauve_of_clusters(labels(1, 300, 50), labels(1, 310, 50), 50),
    ],
}
path = pathlib.Path(__file__).with_name("golden_embedding.json")
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
