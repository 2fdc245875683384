"""Time the exact top 10 of a vocabulary against numpy, scikit-learn, torch and faiss.

One prediction of rank r is scored against V unit vectors of D dimensions. All results are compared
with a float64 brute force. All methods use one thread. The last line is one JSON object: median ms
by method, and how many times slower than ours each peer is.

    python scripts/bench_vocabulary.py [--quick]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from rt_decoder.decoding.readout import Posterior
from rt_decoder.decoding.vocabulary import Vocabulary

K = 10
CASES = ((1_000, 384, 64), (5_000, 384, 64), (50_000, 384, 64), (250_000, 384, 64))


def median_ms(function: Callable[[], object], seconds: float = 1.0) -> float:
    """Median over at least 5 calls and about `seconds`."""
    function()
    took: list[float] = []
    stop = time.perf_counter() + seconds
    while len(took) < 5 or (time.perf_counter() < stop and len(took) < 2000):
        start = time.perf_counter()
        function()
        took.append(time.perf_counter() - start)
    return 1e3 * float(np.median(took))


def peers(vectors: np.ndarray, query: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """Return functions that find the indices of the best `K`, best first."""

    def with_numpy() -> np.ndarray:
        scores = vectors @ query
        best = np.argpartition(scores, -K)[-K:]
        return best[np.argsort(-scores[best])]

    def with_sklearn() -> np.ndarray:
        return np.argsort(-cosine_similarity(query[None], vectors)[0])[:K]

    def with_torch() -> np.ndarray:
        return torch.topk(tensor @ torch_query, K).indices.numpy()

    import torch
    from sklearn.metrics.pairwise import cosine_similarity

    torch.set_num_threads(1)
    tensor, torch_query = torch.from_numpy(vectors), torch.from_numpy(query)
    methods = {"numpy": with_numpy, "sklearn": with_sklearn, "torch": with_torch}
    if importlib.util.find_spec("faiss"):
        import faiss

        faiss.omp_set_num_threads(1)
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        methods["faiss"] = lambda: index.search(query[None], K)[1][0]
    return methods


def bench(n_items: int, n_dims: int, rank: int) -> dict[str, object]:
    """Time one size; AssertionError if a result differs from the brute force."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n_items, n_dims), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    basis = np.linalg.qr(rng.standard_normal((n_dims, rank)))[0].T
    z = rng.standard_normal(rank, np.float32)
    query = (z @ basis / np.linalg.norm(z)).astype(np.float32)
    exact = vectors.astype(np.float64) @ (z.astype(np.float64) @ basis)
    truth = np.argsort(-exact, kind="stable")[:K]

    words = Vocabulary(tuple(map(str, range(n_items))), vectors, basis)
    posterior = Posterior(np.zeros(n_items), 20.0)
    methods = {"ours": lambda: words.top(words.scores(z), K), **peers(vectors, query)}
    ms = {}
    for name, method in methods.items():
        if not np.array_equal(method(), truth):
            raise AssertionError(f"{name}: the top {K} of {n_items} items are not the exact ones")
        ms[name] = median_ms(method)
    scores = words.scores(z)
    return {
        "n_items": n_items,
        "n_dims": n_dims,
        "rank": rank,
        "ms": {name: round(value, 4) for name, value in ms.items()},
        "posterior_ms": round(median_ms(lambda: posterior.decide(scores, K)), 4),
        "ratio": {name: round(ms[name] / ms["ours"], 1) for name in ms if name != "ours"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only the two small sizes")
    args = parser.parse_args()
    rows = []
    with threadpool_limits(1):
        for case in CASES[:2] if args.quick else CASES:
            rows.append(bench(*case))
            row = rows[-1]
            times = "  ".join(f"{name} {value:.3f}" for name, value in row["ms"].items())
            print(f"{row['n_items']:>7} x {row['n_dims']}, rank {row['rank']}: {times} ms", end="")
            print(f"  (posterior {row['posterior_ms']:.3f} ms)")
    print(json.dumps({"bench": "vocabulary", "k": K, "rows": rows}))


if __name__ == "__main__":
    main()
