"""Time the leave-one-group-out ridge against scikit-learn's RidgeCV, on one machine in one run.

RidgeCV is the fastest exact peer. It leaves single items out, which is cheaper, but wrong for words
that overlap. Both choose among the same alphas by squared error and fit all targets. The last line
is one JSON object; ``ratio`` is sklearn's time over ours.

    scripts/bench_ridge.py [--backend auto] [--quick]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
from sklearn.linear_model import RidgeCV

from calibration.gram import RidgeGram
from calibration.ridge import alphas_default, select_alpha
from calibration.splits import blocks, leave_group_out

CASES = [(4000, 1600), (2000, 3840), (2000, 12240)]  # items, features
QUICK = [(400, 100), (200, 400)]
N_TARGETS, N_ALPHAS, GROUP = 384, 20, 20  # a sentence of about 20 words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="auto", choices=["auto", "numpy", "torch"])
    parser.add_argument("--quick", action="store_true", help="small problems only")
    args = parser.parse_args()
    RidgeGram(np.eye(3), args.backend)  # imports and GPU start are not timed
    cases = []
    for n, p in QUICK if args.quick else CASES:
        case = bench(n, p, args.backend)
        print(
            f"n {n:>5}  p {p:>6}  sklearn {case['sklearn_s']:6.2f} s  "
            f"grouped {case['grouped_s']:6.2f} s ({case['ratio']:.1f}x)  "
            f"purged {case['purged_s']:6.2f} s ({case['ratio_purged']:.1f}x)"
        )
        cases.append(case)
    print(json.dumps({"targets": N_TARGETS, "alphas": N_ALPHAS, "group": GROUP, "cases": cases}))


def bench(n: int, p: int, backend: str) -> dict[str, float]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p))
    Y = X[:, :20] @ rng.normal(size=(20, N_TARGETS)) + 5 * rng.normal(size=(n, N_TARGETS))
    alphas = alphas_default(X, N_ALPHAS)
    onsets = 0.3 * np.arange(n)

    def ours(purge: float) -> None:
        gram = RidgeGram(X, backend)
        folds = leave_group_out(blocks(n, n // GROUP), onsets, purge)
        centred = Y - Y.mean(axis=0)
        choice = select_alpha(gram, Y, folds, alphas, lambda y: -float(np.mean((centred - y) ** 2)))
        gram.coef(Y, choice.alpha)

    seconds = {
        "sklearn_s": timed(lambda: RidgeCV(alphas).fit(X, Y)),
        "grouped_s": timed(lambda: ours(0.0)),
        "purged_s": timed(lambda: ours(3.0)),
    }
    return {
        "n": n,
        "p": p,
        **seconds,
        "ratio": seconds["sklearn_s"] / seconds["grouped_s"],
        "ratio_purged": seconds["sklearn_s"] / seconds["purged_s"],
    }


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
