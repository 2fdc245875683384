"""Measure what another model or more items cost a session that goes on: is a readout late for it?

The sender and the reading experiment of `bench_loop`. In turns of `--turn` s the session is left alone,
or once in the turn it swaps to another model of `--items` words (read from its file, checked, and made
ready beside the loop), or gets 100 more words. Latency is from the stamp of the newest sample to the
readout, of all readouts of a turn; late ones took longer than the budget of the model.

Goals: no late readout that leaving the session alone does not have as well, every swap is made, and the
p99 of a turn with a swap is at most 1.1 times that without, in the same run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bench_loop import sender
from rich.console import Console
from rich.table import Table

from rt_decoder import open_live, save_model
from rt_decoder.model import Model
from rt_decoder.sinks.loopback import configure_loopback
from tests.small import random_model, small_recipe, small_recording

KINDS = ("alone", "swap", "add")
SLOWER = 1.1
DIM = 384  # numbers of a vector, as MiniLM's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=10, help="of each kind")
    parser.add_argument("--turn", type=float, default=6.0, help="s")
    parser.add_argument("--items", type=int, default=24_000)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    if args.turns < 1 or args.turn < 1 or args.items < 200:
        parser.error("need a turn or more of 1 s or more, and 200 items or more")
    configure_loopback()
    with tempfile.TemporaryDirectory() as folder, sender() as name:
        paths = [Path(folder) / f"{one}.rtd.safetensors" for one in (0, 1)]
        for seed, path in enumerate(paths):
            save_model(large_model(args.items, seed), path)
        rows = measure(paths, name, args)
    report(rows)
    missed = missed_goals(rows, args.turns)
    if args.json:
        print(json.dumps({"rows": rows, "missed": missed}))
    if missed:
        sys.exit(f"bench_swap: {'; '.join(missed)}")


def large_model(n_items: int, seed: int) -> Model:
    """Return a random model whose readouts cost what those of a large vocabulary cost."""
    rng = np.random.default_rng(seed)
    recipe = small_recipe(target={"power": 1.0})
    small = random_model(
        small_recording(seconds=12.0), recipe, items=[f"w{i}" for i in range(n_items)]
    )
    rank = small.weights.shape[1]
    unit = rng.standard_normal((n_items, DIM))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return replace(
        small,
        vectors=unit.astype(np.float32),
        basis=np.linalg.qr(rng.standard_normal((DIM, rank)))[0].T.astype(small.basis.dtype),
        target_mean=rng.normal(0, 0.1, DIM).astype(small.target_mean.dtype),
    )


def measure(paths: list[Path], name: str, args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Latencies of readouts by what is asked of the session in their turn."""
    found: dict[str, list[tuple[float, bool]]] = {kind: [] for kind in KINDS}
    made = dict.fromkeys(KINDS, 0)
    rng, now_on = np.random.default_rng(0), 0
    with open_live(paths[0], name=name, outlet="", force=True, timeout=120.0) as live:
        live.next()
        for turn in range(3 * args.turns):
            kind, seen = KINDS[turn % 3], len(live.events)
            print(f"turn {turn + 1} of {3 * args.turns}: {kind}", file=sys.stderr)
            if kind == "swap":
                now_on = 1 - now_on
                live.swap(paths[now_on])
            elif kind == "add":
                live.add([f"new {turn} {i}" for i in range(100)], rng.standard_normal((100, DIM)))
            end = time.perf_counter() + args.turn
            while time.perf_counter() < end:
                if (readout := live.next(timeout=1.0)) is not None:
                    found[kind].append((readout.latency_ms, readout.late))
            told = [line["event"] for line in list(live.events)[seen:]]
            made[kind] += ("swapped" in told) + ("added" in told)
    return {
        kind: {
            "n": len(values),
            "made": made[kind],
            "late": sum(late for _, late in values),
            **{f"p{q}": round(float(np.percentile([ms for ms, _ in values], q)), 3)
               for q in (50, 99, 100)},
        }
        for kind, values in found.items()
    }  # fmt: skip


def missed_goals(rows: dict[str, dict[str, Any]], turns: int) -> list[str]:
    alone, missed = rows["alone"], []
    for kind in KINDS[1:]:
        row = rows[kind]
        if row["made"] < turns:
            missed.append(f"{kind}: {row['made']} of {turns} were made within their turn")
        if row["late"] > alone["late"]:
            missed.append(f"{kind}: {row['late']} late readouts, {alone['late']} without")
        if (slower := row["p99"] / alone["p99"]) > SLOWER:
            missed.append(f"{kind}: p99 {slower:.2f} times that without")
    return missed


def report(rows: dict[str, dict[str, Any]]) -> None:
    table = Table(title="stamp to readout, ms")
    for head in ("in the turn", "made", "readouts", "late", "p50", "p99", "largest"):
        table.add_column(head, justify="right")
    for kind, row in rows.items():
        table.add_row(kind, *(str(row[key]) for key in ("made", "n", "late", "p50", "p99", "p100")))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
