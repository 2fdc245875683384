"""Time the exact top 10 of a vocabulary, posterior included, against numpy, scikit-learn, torch, faiss.

One prediction of rank r is scored against V unit vectors of D dimensions. Ours names the best 10 with
their probabilities and the bits of the whole posterior; peers name the best 10. All are compared with a
float64 brute force, and our probabilities with its softmax. All methods use one thread and take turns,
so that none finds its table in a cache that the others do not. "read" is a loop that only reads as many
bytes as our table has, in the same turns: its time over ours is the share of the bandwidth that we use.
The last line is one JSON object: median ms by method, and how many times slower than ours each peer is.

    python scripts/bench_vocabulary.py [--quick] [--million]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from threadpoolctl import threadpool_limits

from rt_decoder.decoding.readout import Posterior
from rt_decoder.decoding.vocabulary import Vocabulary

K = 10
TAU = 30.0
CASES = (
    (1_000, 384, 64),
    (5_000, 384, 64),
    (24_000, 384, 64),
    (50_000, 384, 64),
    (250_000, 768, 64),
)
MILLION = (1_000_000, 384, 64)


@njit(nogil=True)
def read(words: np.ndarray) -> int:
    """Read an array of 64-bit words, and do next to nothing else."""
    total = 0
    for i in range(len(words)):
        total ^= words[i]
    return total


def medians_ms(methods: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Median of each method over at least 5 rounds, in which they take turns, and about `seconds`."""
    took: dict[str, list[float]] = {name: [] for name in methods}
    stop, n = time.perf_counter() + seconds, 0
    while n < 5 or (time.perf_counter() < stop and n < 2000):
        for name, method in methods.items():
            start = time.perf_counter()
            method()
            took[name].append(time.perf_counter() - start)
        n += 1
    return {name: 1e3 * float(np.median(times)) for name, times in took.items()}


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


def bench(n_items: int, n_dims: int, rank: int, seconds: float = 4.0) -> dict[str, Any]:
    """Time one size; AssertionError if a result differs from the brute force."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n_items, n_dims), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    basis = np.linalg.qr(rng.standard_normal((n_dims, rank)))[0].T
    z = rng.standard_normal(rank, np.float32)
    query = (z @ basis / np.linalg.norm(z)).astype(np.float32)
    target = z.astype(np.float64) @ basis
    exact = np.concatenate(
        [part.astype(np.float64) @ target for part in np.array_split(vectors, 64)]
    )
    truth = np.argsort(-exact, kind="stable")[:K]

    words = Vocabulary(tuple(map(str, range(n_items))), vectors, basis)
    posterior = Posterior(np.zeros(n_items), TAU)

    def ours() -> np.ndarray:
        scores = words.scores(z)
        return posterior.decide(scores, K, exact=words.exact).idx

    n_bytes = words.table_bytes
    table = np.arange(-(-n_bytes // 8))  # zeros that nobody wrote would all be one page
    methods = {"ours": ours, **peers(vectors, query)}
    for name, method in methods.items():
        if not np.array_equal(method(), truth):
            raise AssertionError(f"{name}: the top {K} of {n_items} items are not the exact ones")
    answer = posterior.decide(words.scores(z), K, exact=words.exact)
    logits = TAU * exact / np.linalg.norm(z.astype(np.float64))
    weights = np.exp(logits - logits.max())
    off = float(np.abs(answer.prob - weights[truth] / weights.sum()).max())
    if not off < 1e-6:
        raise AssertionError(f"need probabilities that are exact to 1e-6, got {off:.1e} off")
    read(table)
    ms = medians_ms({**methods, "read": lambda: read(table)}, seconds)
    return {
        "n_items": n_items,
        "n_dims": n_dims,
        "rank": rank,
        "ms": {name: round(value, 4) for name, value in ms.items()},
        "table_mb": round(n_bytes / 1e6, 2),
        "read_gb_s": round(n_bytes / ms["read"] / 1e6, 1),
        "of_bandwidth": round(ms["read"] / ms["ours"], 3),
        "probability_off": off,
        "ratio": {name: round(ms[name] / ms["ours"], 1) for name in methods if name != "ours"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only the two small sizes")
    parser.add_argument("--million", action="store_true", help="a million items as well (6 GB)")
    parser.add_argument("--only", type=int, default=0, metavar="V", help="only the size of V items")
    parser.add_argument("--json", action="store_true", help="as ever: the last line is JSON")
    args = parser.parse_args()
    cases = CASES[:2] if args.quick else (*CASES, MILLION) if args.million else CASES
    rows = []
    with threadpool_limits(1):
        for case in cases:
            if args.only and case[0] != args.only:
                continue
            rows.append(bench(*case))
            row = rows[-1]
            times = "  ".join(f"{name} {value:.3f}" for name, value in row["ms"].items())
            print(f"{row['n_items']:>7} x {row['n_dims']}, rank {row['rank']}: {times} ms", end="")
            print(f"  ({row['of_bandwidth']:.0%} of {row['read_gb_s']} GB/s)", flush=True)
    print(json.dumps({"bench": "vocabulary", "k": K, "rows": rows}))


if __name__ == "__main__":
    main()
