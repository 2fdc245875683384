"""Compare the online cleaning chain and its rivals with known truth.

Each seed is a simulated person with a head of another shape, who is recorded twice. The first
recording calibrates every method; all figures come from the second. `cleaning.metrics` defines the
figures, `cleaning.rivals` the rivals. All methods get the same input through the same causal
filters (0.5 to 40 Hz, notch at 50 Hz); ASR is slow and gets only the first minute of each test. The
first 10 s of every test do not count, as the filters settle.

`--data` adds real recordings. `--kind meg` uses a helmet of 306 channels. `--oracle` measures no method
but how far blinks could be taken out by somebody who knows the truth (`cleaning.oracle`).

    python scripts/eval_cleaning.py [--seeds 5] [--kind eeg|meg] [--data DIR] [--oracle] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from cleaning.goals import GOALS, goals_table
from cleaning.oracle import oracle
from cleaning.run import evaluate
from cleaning.scene import cleaning_scene

REPO = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("RT_DECODER_DATA", REPO.parent / "shared" / "data"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seeds", type=int, default=5, help="number of people, each with another head"
    )
    parser.add_argument("--kind", choices=("eeg", "meg"), default="eeg")
    parser.add_argument("--data", type=Path, nargs="?", const=DATA, help="add real recordings")
    parser.add_argument("--oracle", action="store_true", help="bound what is possible for blinks")
    parser.add_argument("--no-slow", action="store_true", help="leave ASR out")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error(f"need at least one seed, got {args.seeds}")
    if args.data is not None and not args.data.is_dir():
        parser.error(f"need a folder of recordings, got {args.data}")
    if args.oracle:
        bounds = {f"seed {seed}": bound(seed, args.kind) for seed in range(args.seeds)}
        print_methods("oracle", bounds)
        if args.json:
            print(json.dumps({"kind": args.kind, "n_seeds": args.seeds, "oracle": bounds}))
        return
    per_seed = []
    for seed in range(args.seeds):
        per_seed.append(evaluate(seed, args.kind, slow=not args.no_slow))
        print_methods(f"seed {seed}", per_seed[-1]["methods"])
    result = mean_over(per_seed)
    print_methods(f"mean of {args.seeds}", result["methods"])
    print_severity(result["severity"])
    result["goals"] = goals_table(result)
    print_goals(result["goals"])
    result |= {"kind": args.kind, "n_seeds": args.seeds, "seeds": per_seed}
    if args.data is not None:
        from cleaning.real import evaluate_real

        result["real"] = evaluate_real(args.data)
    if args.json:
        print(json.dumps(result, allow_nan=False))


def bound(seed: int, kind: str) -> dict[str, Any]:
    """Bound the attenuation of blinks of one person, who is recorded as in `cleaning.run`."""
    calibration = cleaning_scene(seed, kind, session=1, seconds=300.0)
    return oracle(calibration, cleaning_scene(seed, kind, session=2, seconds=240.0))


def mean_over(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Average every figure over seeds; figures that a method lacks stay None."""
    first = results[0]
    if isinstance(first, dict):
        return {key: mean_over([result[key] for result in results]) for key in first}
    if any(value is None for value in results):
        return None
    return float(np.mean(results))


def print_methods(title: str, methods: dict[str, dict[str, Any]]) -> None:
    columns = next(iter(methods.values()))
    print(f"\n{title:<20}" + "".join(f"{name:>16}" for name in columns))
    for method, figures in methods.items():
        cells = ["-" if value is None else f"{value:.3f}" for value in figures.values()]
        print(f"{method:<20}" + "".join(f"{cell:>16}" for cell in cells), flush=True)


def print_severity(severity: dict[str, float]) -> None:
    print("\nbefore cleaning: " + ", ".join(f"{k} {v:.3f}" for k, v in severity.items()))


def print_goals(goals: dict[str, dict[str, Any]]) -> None:
    print(f"\n{'goal':<22}{'reached':>10}  {'goal':<12}{'passes':<12}{'rival':>10}  best rival")
    for name, row in goals.items():
        reached, rival = (
            "-" if value is None else f"{value:.4g}" for value in (row["reached"], row["rival"])
        )
        verdict = "pass" if row["pass"] else "MISS"
        print(
            f"{name:<22}{reached:>10}  {GOALS[name].text:<12}{verdict:<12}{rival:>10}  {row['rival_name']}"
        )


if __name__ == "__main__":
    main()
