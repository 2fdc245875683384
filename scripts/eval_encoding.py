"""Encode the real EEG of people reading words: what MiniLM predicts of it, and beyond nuisance.

The folder is that of eval_words.py (``subjectNN.npz``: `channel_uv` (n, 64), mean of 300-500 ms, and
`roi_uv` (n, 114), fronto-central mean of -94..789 ms, here in 19 bins). Trials that are not bad, eight
folds of contiguous trials, purged by the trials over which words and brain are alike, penalties chosen
in inner folds. Nuisance: length, log frequency, place in the session. p of each person by refitted
permutations in units of memory; over people by flipping signs of the mean over channels or times.

States no goal: no truth is known here.

    scripts/eval_encoding.py --data DIR [--json] [--permutations 199] [--people N]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from words_data import Words, read_words

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from calibration.bands import unique_share
from calibration.encoding import Rules, fit_encoding
from calibration.nested import Split
from calibration.splits import blocks
from calibration.units import joint_lags
from rt_decoder.decoding.features import robust_scale, scale_features

N_BINS, N_FLIPS = 19, 9999


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder as of eval_words.py")
    parser.add_argument("--permutations", type=int, default=199)
    parser.add_argument("--people", type=int, default=0, help="the first N; 0 for all")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    files = sorted(args.data.glob("subject*.npz"))[: args.people or None]
    if not files or args.permutations < 1:
        parser.error(f"need subjectNN.npz in {args.data.name} and at least one permutation")
    words = read_words(args.data)
    found = [
        person(path, words, args.permutations)
        for path in track(files, "people", console=Console(stderr=True))
    ]
    table = {part: over_people([one[part] for one in found]) for part in ("channels", "times")}
    report(table)
    if args.json:
        print(json.dumps({"people": found, "over_people": table}, allow_nan=False))


def person(path: Path, words: Words, n_permutations: int) -> dict[str, Any]:
    """Encode channels, and times, of one person."""
    with np.load(path) as held:
        good = np.flatnonzero(~held["bad"].astype(bool))
        order = good[np.argsort(held["trial"][good], kind="stable")]
        trial, word = held["trial"][order].astype(float), held["word_no"][order] - 1
        brain = {"channels": held["channel_uv"][order][:, :, None]}
        roi = held["roi_uv"][order]
    bins = [part.mean(axis=1) for part in np.array_split(roi, N_BINS, axis=1)]
    brain["times"] = np.stack(bins, axis=1)[:, None]
    X = words.vectors[word]
    nuisance = np.column_stack([words.covariates[word], trial])
    told: dict[str, Any] = {"person": path.stem, "n": len(word)}
    for part, raw in brain.items():
        flat = raw.reshape(len(raw), -1)
        Y = np.asarray(scale_features(flat, *robust_scale(flat), 6.0), float).reshape(raw.shape)
        purge = float(max(1, joint_lags(X, Y.reshape(len(Y), -1))))
        split = Split(blocks(len(Y), 8), trial, purge)
        rules = Rules(n_permutations)
        one, share = fit_encoding(X, Y, split, rules), unique_share(X, nuisance, Y, split, rules)
        told[part] = {
            "r": float(one.r.mean()), "largest_r": float(one.r.max()), "p": float(one.p.min()),
            "tested": float(one.tested.max()), "null_tested": float(one.null.mean()), "unit": one.unit, "r_all": one.r.ravel().tolist(),
            "share": share.total.mean, "share_p": share.total.p,
            "nuisance_r2": float(share.alone.mean()),
        }  # fmt: skip
    return told


def over_people(found: list[dict[str, Any]]) -> dict[str, float]:
    """Mean over people, and p by flipping the signs of people."""
    told: dict[str, float] = {}
    rng = np.random.default_rng(0)
    for name in ("r", "largest_r", "tested", "null_tested", "share", "nuisance_r2"):
        told[name] = float(np.mean([one[name] for one in found]))
    for name in ("r", "share"):
        values = np.array([one[name] for one in found])
        signs = rng.choice([-1.0, 1.0], size=(N_FLIPS, len(values)))
        above = np.sum((signs * values).mean(axis=1) >= values.mean() - 1e-15)
        told[f"{name}_p"] = max(float((above + 1) / (N_FLIPS + 1)), 2.0 ** -len(values))
        told[f"{name}_spread"] = (
            float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
        )
    told["people_above_chance"] = int(sum(one["p"] <= 0.05 for one in found))
    told["people_with_a_share"] = int(sum(one["share_p"] <= 0.05 for one in found))
    told["people"] = len(found)
    return told


def report(table: dict[str, dict[str, float]]) -> None:
    print(
        f"{'':10}{'mean r':>16} {'p':>7} {'largest':>10} {'its null':>9} {'share':>18} {'p':>7}  people"
    )
    for part, one in table.items():
        print(
            f"{part:10}{one['r']:>8.4f} +-{one['r_spread']:.4f} {one['r_p']:>7.4f} "
            f"{one['tested']:>10.3f} {one['null_tested']:>9.3f} "
            f"{one['share']:>9.5f} +-{one['share_spread']:.5f} {one['share_p']:>7.4f}  "
            f"{one['people_above_chance']} encoded, {one['people_with_a_share']} beyond nuisance, "
            f"of {one['people']}"
        )


if __name__ == "__main__":
    main()
