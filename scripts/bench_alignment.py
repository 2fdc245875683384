"""Time one alignment of a group's map with a person, and how long it holds the decoding thread up.

For p features a model of random numbers is aligned by 400 events, with one BLAS thread, as a session
does it in a thread of its own. Meanwhile this thread maps one window a millisecond, as the decoding
loop would: `held_ms` is the longest that this took, and `held_idle_ms` the longest without an
alignment beside it. `first_s` is what the first update needs besides, and `learn_s` how long an
update takes that 400 labels join, too. The last line is one JSON object.

    scripts/bench_alignment.py [--features 178 1024 1600] [--json]
"""

from __future__ import annotations

import argparse
import json
import threading
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from rt_decoder.decoding.alignment import align, whitened_weights
from rt_decoder.decoding.learning import LabelSums
from rt_decoder.decoding.mapping import LinearMap
from rt_decoder.live.undisturbed import undisturbed
from rt_decoder.model import Alignment, Model
from rt_decoder.recipe import Recipe
from rt_decoder.signal import SignalInfo

N_EVENTS, RANK = 400, 64


def random_group(p: int, rng: np.random.Generator) -> Model:
    """Return a model with a random map of p features and the covariance of as many."""
    mixing = rng.standard_normal((p, p)) / np.sqrt(p)
    return Model(
        SignalInfo(250.0, ("Cz",), ("eeg",), ("V",)), Recipe(), np.zeros((1, 6)), np.ones(1),
        center=np.zeros(p), scale=np.ones(p), covariance=mixing @ mixing.T, alignment=Alignment(),
        weights=rng.standard_normal((p, RANK)).astype(np.float32),
        offset=np.zeros(RANK, np.float32), basis=np.eye(RANK), items=("one", "other"),
        vectors=rng.standard_normal((2, RANK)), target_lengths=np.ones(2),
        prior_gram=100 * (mixing @ mixing.T + np.eye(p)),
    )  # fmt: skip


def longest(work: Callable[[], object], going_on: Callable[[], bool]) -> float:
    """Do `work` every millisecond; return the longest that it took, in ms."""
    took = 0.0
    while True:
        start = time.perf_counter()
        work()
        took = max(took, time.perf_counter() - start)
        if not going_on():
            return 1e3 * took
        time.sleep(1e-3)


def measure(p: int) -> dict[str, float]:
    """Return the figures of `p` features."""
    rng = np.random.default_rng(p)
    model, features = random_group(p, rng), rng.standard_normal((N_EVENTS, p))
    start = time.perf_counter()
    whitened = whitened_weights(model)
    first = time.perf_counter() - start
    align(model, features, whitened)
    tracemalloc.start()
    align(model, features, whitened)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    labels, known = LabelSums(model), rng.integers(0, 2, N_EVENTS)
    start = time.perf_counter()
    labels.add(features, known, model.center, model.scale)
    align(model, features, whitened, labels)
    learn = time.perf_counter() - start
    linear_map, window = LinearMap(model.weights), features[0].astype(np.float32)
    took: list[float] = []

    def update() -> None:
        start = time.perf_counter()
        align(model, features, whitened)
        took.append(time.perf_counter() - start)

    with undisturbed():
        until = time.perf_counter() + 1.0
        idle = longest(lambda: linear_map.process(window), lambda: time.perf_counter() < until)
        worker = threading.Thread(target=update)
        worker.start()
        held = longest(lambda: linear_map.process(window), worker.is_alive)
        worker.join()
    return {
        "p": p, "update_s": took[0], "learn_s": learn, "first_s": first, "peak_mb": peak / 1e6,
        "held_ms": held, "held_idle_ms": idle,
    }  # fmt: skip


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--features", type=int, nargs="+", default=[178, 1024, 1600], metavar="P")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    screen = Console(stderr=True)
    rows = [measure(p) for p in track(args.features, "aligning", console=screen, transient=True)]
    table = Table(
        "features", "update s", "learn s", "first s", "peak MB", "held ms", "held, idle ms"
    )
    for row in rows:
        table.add_row(f"{row['p']}", *(f"{value:.3g}" for value in [*row.values()][1:]))
    Console().print(table)
    if args.json:
        print(json.dumps({"n_events": N_EVENTS, "rank": RANK, "rows": rows}))


if __name__ == "__main__":
    main()
