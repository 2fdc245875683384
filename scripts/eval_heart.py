"""Measure what follows the heartbeats of real people, before and after the online cleaning chain.

`--data` is any folder with two recordings a person, named alike up to the last `_`, with EEG or MEG
and an ECG. Two splits: the first recording fits and the second is judged; the first half of the
first recording fits and its second half is judged. `cleaning.heart` defines the figures. R peaks
for judging come from the ECG of what is judged, by a detector that the chain does not use; where
these are no regular beats, nobody is judged.

All methods get the same input through the same causal filters (0.5 to 40 Hz, notch at 50 Hz). The
rivals of `cleaning.heart_rivals` are fitted on the R peaks of the recording that fits. "this chain"
has every stage; "without ECG" neither sees the ECG in its fit nor live.

dB: RMS of the mean beat, after over before. "excess" is the same with the power of means around
random moments taken off both, as no method can clean that without taking brain. Distortion: RMS of
what a method takes that is not locked to beats, over RMS of the input; of the chain, of its stages
against the heart. "distortion_30" lets what is locked change every 30 beats, as a template that moves
to the session's own does. "injected" is what a method does to the same person's EEG at other times, which
is added: RMS of its change over its RMS.

`--trade` adds the chain with other settings of its heartbeat template: what learning from the session
and watching cost in distortion, and what they gain in dB. A template that neither learns nor is
watched takes nearly the same after each beat; one that moves to another response takes something
else at first than later, and that is counted as not locked.

`--bound` adds the best that a template could do which learns from the session: `cleaning.heart_bound`
tells it R peaks, sizes of changes and noise beforehand; "price" is what it pays in distortion for dB.

    python scripts/eval_heart.py [--data DIR] [--people N] [--trade] [--bound] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from cleaning.chain import Chain, our_chain
from cleaning.heart import WINDOWS, Split, judge, judged_beats, people, splits, unlocked
from cleaning.heart_bound import bounded
from cleaning.heart_rivals import HEART_RIVALS
from cleaning.scene import filtered, n_data
from rich.console import Console
from rich.progress import track

from rt_decoder.cleaning.stages import CLEANING
from rt_decoder.files.recording import Recording

REPO = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("RT_DECODER_DATA", REPO.parent / "shared" / "data")) / "eegmat"
OURS, NO_ECG = "this chain", "without ECG"
HEART = tuple(n for n in ("regressors", "heart", "heartbeat") if n in CLEANING)
WORSE = 1.02  # times the RMS before
LEAST_BEATS = 10  # beats, to fit a rival or to judge
TRADE: dict[str, dict[str, Any]] = {
    "calibrated": {"n_beats": 0.0, "watched": None},
    "watched": {"n_beats": 0.0},
    "last 20 beats": {"n_beats": 20.0, "watched": None},
    "last 100": {"n_beats": 100.0, "watched": None},
    "all, unwatched": {"watched": None},
}  # settings of the template, by what is printed
ALIKE = 30  # beats: a response may change from one such part to the next, which is no distortion


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of recordings")
    parser.add_argument("--people", type=int, help="only the first so many")
    parser.add_argument("--trade", action="store_true", help="add other settings of the template")
    parser.add_argument("--bound", action="store_true", help="add the best that learning could do")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    found = people(args.data) if args.data.is_dir() else {}
    if not found:
        parser.error(f"need a folder with two recordings a person, got {args.data}")
    rows = []
    console = Console(stderr=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # types of channels go by their names
        for name in track([*found][: args.people], "people", console=console):
            for split in splits(found[name]):
                rows.append(
                    {"person": name, "split": split.name}
                    | measure(split, TRADE if args.trade else {}, bound=args.bound)
                )
                print_row(rows[-1])
    result: dict[str, Any] = {"people": rows, "summary": summary(rows)}
    print_summary(result["summary"])
    result["goals"] = goals(result["summary"])
    for name, goal in result["goals"].items():
        print(f"{'pass' if goal['pass'] else 'MISS'}  {name}: {goal['reached']:.3f}")
    if args.json:
        print(json.dumps(result, allow_nan=False))
    sys.exit(0 if all(goal["pass"] for goal in result["goals"].values()) else 1)


def measure(
    split: Split, trade: dict[str, dict[str, Any]], *, bound: bool = False
) -> dict[str, Any]:
    """Run every method on one split; figures by method, or why there are none."""
    info = split.judged.info
    seen, test = (filtered(r.data, info.sfreq) for r in (split.fit, split.judged))
    beats, known = judged_beats(test, split.judged), judged_beats(seen, split.fit)
    if len(beats) < LEAST_BEATS:
        return {"left_out": "no regular beats in the ECG that judges"}
    c = n_data(info)
    other = np.roll(split.judged.data[:, :c], len(test) // 3, axis=0)
    injected = split.judged.data.copy()
    injected[:, :c] += other
    passed = filtered(injected, info.sfreq)[:, :c] - test[:, :c]
    methods: dict[str, Any] = {}
    for name, fit in HEART_RIVALS.items():
        if len(known) < LEAST_BEATS and name != "none":
            continue
        clean = fit(seen, known, info)
        out, both = clean(test, beats), clean(filtered(injected, info.sfreq), beats)
        methods[name] = figures(out, test, split.judged, beats, test[:, :c])
        methods[name]["injected"] = _ratio(both - out - passed, passed)
    for name, kinds in ((OURS, ()), (NO_ECG, ("ecg",))):
        fitted, judged = (_without(r, kinds) for r in (split.fit, split.judged))
        chain = our_chain(fitted.data, fitted.info)
        rest = Chain(chain.model, chain.reports, HEART)
        out, kept = chain.clean(judged.data).data[:, :c], rest.clean(judged.data).data[:, :c]
        methods[name] = figures(out, test, split.judged, beats, kept)
        more = np.hstack([injected[:, :c], judged.data[:, c:]])
        change = chain.clean(more).data[:, :c] - rest.clean(more).data[:, :c] - (out - kept)
        methods[name]["injected"] = _ratio(change, passed)
        if name == OURS:
            methods |= traded(chain, trade, split.judged, test, beats, kept)
            stage = chain.model.cleaning.get("heartbeat")
            best = bounded(kept, test, split.judged, beats, stage) if bound else {}
            for which, clean in best.items():
                methods[which] = figures(clean, test, split.judged, beats, kept)
                methods[which]["injected"] = None
        methods[name]["stages"] = {
            stage: chain.reports[stage].get("left_out", "fitted")
            for stage in HEART
            if stage in chain.reports
        }
    return {"n_beats": len(beats), "methods": methods}


def traded(
    chain: Chain,
    trade: dict[str, dict[str, Any]],
    judged: Recording,
    test: np.ndarray,
    beats: np.ndarray,
    kept: np.ndarray,
) -> dict[str, Any]:
    """Measure the chain with other settings of its heartbeat template, by name."""
    found = {}
    for name, settings in trade.items():
        stages = dict(chain.model.cleaning)
        if "heartbeat" in stages:
            stages["heartbeat"] = {**stages["heartbeat"], **settings}
        other = Chain(replace(chain.model, cleaning=stages), chain.reports)
        out = other.clean(judged.data).data[:, : kept.shape[1]]
        found[name] = figures(out, test, judged, beats, kept) | {"injected": None}
    return found


def figures(
    out: np.ndarray, before: np.ndarray, judged: Recording, beats: np.ndarray, kept: np.ndarray
) -> dict[str, Any]:
    """Measure one method's output (n, c); `kept` is its input without the stages in question."""
    was, now = judge(before, judged, beats), judge(out, judged, beats)
    found: dict[str, Any] = {
        "max": now["whole_max"],
        "max_random": now["whole_max_random"],
        "max_before": was["whole_max"],
        "max_before_random": was["whole_max_random"],
        "at_chance": now["whole_max"] <= now["whole_max_random"],
    }
    for name in WINDOWS:
        found[f"{name}_db"] = 20 * float(np.log10(now[f"{name}_rms"] / was[f"{name}_rms"]))
        left = [x[f"{name}_rms"] ** 2 - x[f"{name}_rms_random"] ** 2 for x in (was, now)]
        enough = left[0] > 0.25 * was[f"{name}_rms_random"] ** 2
        share = max(left[1], 1e-2 * left[0]) / left[0] if enough else 1.0
        found[f"{name}_excess_db"] = 10 * float(np.log10(share)) if enough else None
    for key, n_alike in (("distortion", None), ("distortion_30", ALIKE)):
        taken = unlocked(out - kept, beats, judged.info.sfreq, n_alike)
        found[key] = _ratio(taken, kept)
    return found


def _ratio(change: np.ndarray, of: np.ndarray) -> float:
    return float(np.sqrt(np.mean(change**2) / np.mean(of**2)))


def _without(recording: Recording, kinds: tuple[str, ...]) -> Recording:
    picks = [k for k, kind in enumerate(recording.info.ch_types) if kind not in kinds]
    return replace(recording, data=recording.data[:, picks], info=recording.info.pick(picks))


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Average over people, by split and method; dB also over those whom every method was fitted."""
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        for name, one in row.get("methods", {}).items():
            result.setdefault(row["split"], {}).setdefault(name, {"rows": []})["rows"].append(
                (row["person"], one)
            )
    for methods in result.values():
        shared = set.intersection(*({who for who, _ in m["rows"]} for m in methods.values()))
        for one in methods.values():
            found = one.pop("rows")
            mean = {
                key: _mean([own[key] for _, own in found])
                for key, value in found[0][1].items()
                if isinstance(value, float) or value is None
            }
            one |= mean | {
                "n": len(found),
                "shared_db": _mean([own["whole_db"] for who, own in found if who in shared]),
                "worst": max(10 ** (own["whole_db"] / 20) for _, own in found),
                "n_worse": sum(10 ** (own["whole_db"] / 20) > WORSE for _, own in found),
                "at_chance": float(np.mean([own["at_chance"] for _, own in found])),
            }
    return result


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def goals(result: dict[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Compare the chain with its goals."""
    table: dict[str, dict[str, Any]] = {}

    def ask(name: str, reached: float, passes: bool) -> None:
        table[name] = {"reached": reached, "pass": passes}

    for split, most in (("other recording", -4.0), ("halves", -6.0)):
        if split not in result:
            continue
        ours, ssp = result[split][OURS], result[split].get("SSP")
        ask(f"{split}, dB <= {most:g}", ours["whole_db"], ours["whole_db"] <= most)
        if split == "other recording" and ssp is not None:
            gain = ours["shared_db"] - ssp["shared_db"]
            ask(f"{split}, dB better than SSP", gain, gain < 0)
        ask(f"{split}, worst person <= {WORSE:g}", ours["worst"], ours["worst"] <= WORSE)
        ask(f"{split}, at chance >= half", ours["at_chance"], ours["at_chance"] >= 0.5)
        ask(f"{split}, distortion <= .02", ours["distortion"], ours["distortion"] <= 0.02)
    return table


COLUMNS = (
    "whole_db",
    "qrs_db",
    "later_db",
    "whole_excess_db",
    "qrs_excess_db",
    "max",
    "max_random",
    "distortion",
    "distortion_30",
    "injected",
)  # fmt: skip


def print_row(row: dict[str, Any]) -> None:
    """Print the figures of one person and split."""
    print(f"\n{row['person']}, {row['split']}: {row.get('left_out', row.get('n_beats'))}")
    _print_methods(row.get("methods", {}), COLUMNS)
    for name, one in row.get("methods", {}).items():
        if "stages" in one:
            print(f"    {name}: " + "; ".join(f"{k}: {v}" for k, v in one["stages"].items()))


def print_summary(result: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Print the means over people."""
    for split, methods in result.items():
        print(f"\nmean, {split}")
        _print_methods(methods, (*COLUMNS, "shared_db", "worst", "at_chance", "n"))


def _print_methods(methods: dict[str, dict[str, Any]], columns: tuple[str, ...]) -> None:
    if methods:
        print(" " * 16 + "".join(f"{column:>16}" for column in columns))
    for name, one in methods.items():
        cells = ["-" if one[column] is None else f"{one[column]:.3f}" for column in columns]
        print(f"{name:<16}" + "".join(f"{cell:>16}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
