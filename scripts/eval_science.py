"""Judge the statistics of calibration on simulated people whose truth is known.

Each part is a file of `scripts/science/` with a function `judge(n_people, seed)` that returns
`figures` and `goals`; its docstring says what is simulated, how events are split, and what the goals
are. Nothing is chosen on what is reported. 200 people of each part take less than half an hour of one core;
`cpu_seconds` tells each part's. Exit code 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from threadpoolctl import threadpool_limits

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]


def main() -> None:
    parts = sorted(path.stem for path in (HERE / "science").glob("[!_]*.py"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=200, help="simulated people of each part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts, metavar="PART")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    if args.people < 1:
        parser.error("need at least one person")
    told: dict[str, Any] = {"people": args.people, "seed": args.seed}
    for part in track(args.parts, "parts", console=Console(stderr=True)):
        start, spent = time.perf_counter(), time.process_time()
        with threadpool_limits(1):  # matrices this small lose time to a second thread
            told[part] = importlib.import_module(f"science.{part}").judge(args.people, args.seed)
        told[part]["seconds"] = round(time.perf_counter() - start, 1)
        told[part]["cpu_seconds"] = round(time.process_time() - spent, 1)
        report(part, told[part])
    if args.json:
        print(json.dumps(told, allow_nan=False))
    missed = [
        f"{part}: {goal}"
        for part in args.parts
        for goal, met in told[part]["goals"].items()
        if not met
    ]
    if missed:
        sys.exit(f"eval_science: missed {'; '.join(missed)}")


def report(part: str, found: dict[str, Any]) -> None:
    print(
        f"{part} ({found['seconds']:.0f} s, {found['cpu_seconds']:.0f} s of one core)", flush=True
    )
    for name, value in flat(found["figures"]):
        shown = f"{value:.4g}" if isinstance(value, float) else value
        print(f"  {name:<58} {shown}")
    for goal, met in found["goals"].items():
        print(f"  {'kept' if met else 'MISSED':<7} {goal}")


def flat(figures: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """List figures, tables within tables by a joined name."""
    rows: list[tuple[str, Any]] = []
    for name, value in figures.items():
        rows += (
            flat(value, f"{before}{name}, ")
            if isinstance(value, dict)
            else [(before + name, value)]
        )
    return rows


if __name__ == "__main__":
    main()
