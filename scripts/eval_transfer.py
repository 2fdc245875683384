"""Measure on simulated people what others' data are worth, and on simulated heads what `realign` is.

**People** (`transfer_people`): 400 trials of one's own of 40 words, read by `fit_model` with and
without the sums of 2 or 8 donors (`--prior-from`), and a group model of the donors (`pool`) that is
aligned by 100 unlabelled trials. Donors share half of the signal's variance with the person, or
nothing. Four strengths of the signal; each person has donors of their own, five people share a group.
All is judged on 2,000 new trials of the person; what is told is paired with the person's own map.

**Heads** (`transfer_head`): a map of 1,200 trials, then a cap turned by 8 or 14 degrees about four
axes, `realign`ed by 240 windows of rest without labels, and judged on 960 new trials: the share of the
lost rank accuracy that is won back. The same for gains, and for another reference on the amplifier.

A goal is missed, and the exit code 1, if

- where half is shared, the prior gains no bits over people (sign flips, p >= .01), or a group of 8
  names no words (bits and rank accuracy of new people, p >= .01);
- where nothing is shared, the prior costs more than 1 % of the bits (mean over people), or a group
  model more than .01 bit a word against the person's prior;
- `realign` wins back less than 80 % of what turned caps of 64 channels lost, either as the mean of
  shares or as the share of all that was lost.

    scripts/eval_transfer.py [--people 10] [--heads 8] [--seed 0] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from calibration.confidence import expected_calibration_error, log_posterior
from calibration.evaluate import evidence
from calibration.left_out import sign_flip_p
from calibration.pool import pool_models
from calibration.scores import bits_beyond_prior, rank_accuracy
from rt_decoder.decoding.alignment import align
from rt_decoder.decoding.features import scale_features
from rt_decoder.files.sums import Companion
from rt_decoder.model import Model
from scripts.transfer_heads import CHANNELS, interval, judge_head, summarise_heads
from scripts.transfer_people import WORDS, Who, draft, fit_person, sums_of, trials

SIGNALS = (0.05, 0.1, 0.2, 0.4)  # beside noise of 1
DONORS = (2, 8)
SHARED = (0.5, 0.0)
N_TRIALS, N_NEW, N_UNLABELLED = 400, 2000, 100
OF_A_GROUP = 5  # new people that one group model is judged on
FIGURES = ("bits", "rank", "ece", "overconfidence")
LEAST_BITS = 0.02  # of own maps, on average, of which a cost is a share
GOALS = {"p": 0.01, "cost": 0.01, "group_cost_bits": 0.01, "won_back": 0.8}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=10, help="people of each signal strength")
    parser.add_argument("--heads", type=int, default=8, help="heads of each number of channels")
    parser.add_argument("--seed", type=int, default=0, help="first seed of people and heads")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    if min(args.people, args.heads) < 2:
        parser.error("need two people and two heads or more")
    console = Console(stderr=True)
    show = {"console": console, "disable": not console.is_terminal}
    plan = [(signal, number) for signal in SIGNALS for number in range(args.people)]
    groups: dict[tuple[float, float, int, int], Model] = {}
    with threadpool_limits(1), warnings.catch_warnings():  # small matrices: one thread is faster
        warnings.simplefilter("ignore", RuntimeWarning)
        rows = [
            row
            for signal, number in track(plan, "people", **show)
            for row in judge_person(signal, number, args.seed, groups)
        ]
        heads = [
            row
            for channels in CHANNELS
            for seed in track(range(args.heads), f"heads, {channels} channels", **show)
            for row in judge_head(args.seed + 100 + seed, channels)
        ]
    result = {"people": summarise(rows), "heads": summarise_heads(heads)}
    report(result)
    missed = missed_goals(result)
    for line in missed:
        print(f"missed: {line}")
    if args.json:
        result |= {"goals": GOALS, "missed": missed, "rows": rows, "head_rows": heads}
        print(json.dumps(result, allow_nan=False))
    sys.exit(bool(missed))


def judge_person(
    signal: float, number: int, seed: int, groups: dict[tuple[float, float, int, int], Model]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each number of donors and share; group models are made once and kept."""
    who = Who(1000 * seed + number, signal, SHARED[0])
    new, unlabelled = trials(who, N_NEW, 1), trials(who, N_UNLABELLED, 2)[0]
    own = scores(fit_person(who, N_TRIALS, []), *new)
    for shared in SHARED:
        for n_donors in DONORS:
            first = 10**6 * (1 + seed) + 10**4 * int(100 * signal) + 1000 * (shared > 0)
            donors = [sums_of(Who(first + 10 * number + i, signal, shared), N_TRIALS)
                      for i in range(n_donors)]  # fmt: skip
            fitted = fit_person(who, N_TRIALS, donors)
            place = (signal, shared, n_donors, number // OF_A_GROUP)
            if place not in groups:
                companions = [Companion((one,), "") for one in donors]
                groups[place] = pool_models([draft()] * n_donors, companions)[0]
            group = groups[place]
            aligned = replace(group, **align(group, unlabelled)._asdict())
            yield {
                "signal": signal, "number": number, "shared": shared, "donors": n_donors,
                "kappa": fitted.certificate["map"]["kappa"],
                "own": own, "prior": scores(fitted, *new), "group": scores(aligned, *new),
            }  # fmt: skip


def scores(model: Model, X: np.ndarray, words: np.ndarray) -> dict[str, float]:
    """Bits beyond the prior, rank accuracy and calibration error on unscaled features (n, p)."""
    place = {word: i for i, word in enumerate(model.items)}
    truth = np.array([place[WORDS[i]] for i in words])
    clamp = model.recipe.features.clamp
    found = evidence(model, scale_features(X, model.center, model.scale, clamp))
    posterior = log_posterior(found, model.posterior, model.log_prior, model.item_bias)
    confidence, right = np.exp(posterior.max(axis=1)), posterior.argmax(axis=1) == truth
    return {
        "bits": float(bits_beyond_prior(posterior, model.log_prior, truth).mean()),
        "rank": float(rank_accuracy(found.cosines, truth).mean()),
        "ece": expected_calibration_error(confidence, right),
        "overconfidence": float(confidence.mean() - right.mean()),
    }


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Compute gains and costs over people, of all strengths and of each."""
    cells, costs = [], {}
    for shared in SHARED:
        for n_donors in DONORS:
            relative = []
            for signal in SIGNALS:
                chosen = [
                    row for row in rows
                    if (row["signal"], row["shared"], row["donors"]) == (signal, shared, n_donors)
                ]  # fmt: skip
                of = {
                    name: {key: np.array([row[name][key] for row in chosen]) for key in FIGURES}
                    for name in ("own", "prior", "group")
                }
                gain = of["prior"]["bits"] - of["own"]["bits"]
                size = float(of["own"]["bits"].mean())
                if size >= LEAST_BITS:
                    relative.append(gain / size)
                cells.append({
                    "shared": shared, "donors": n_donors, "signal": signal,
                    **{f"{name}_{key}": float(values.mean())
                       for name, part in of.items() for key, values in part.items()},
                    "gain": interval(gain),
                    "better": int(np.sum(gain > 0)), "worse": int(np.sum(gain < 0)),
                    "kappa": float(np.mean([row["kappa"] for row in chosen])),
                })  # fmt: skip
            costs[f"{shared:g}, {n_donors}"] = {
                "gain": interval(np.concatenate(relative)) if relative else [0.0, 0.0, 0.0],
                **_p_values(rows, shared, n_donors),
            }
    return {"cells": cells, "all": costs}


def _p_values(rows: list[dict[str, Any]], shared: float, n_donors: int) -> dict[str, float]:
    """p over people of each gain, by flipping signs; worst of the group's mean bits by strength."""
    rng = np.random.default_rng(0)
    chosen = [row for row in rows if (row["shared"], row["donors"]) == (shared, n_donors)]

    def p(values: list[float]) -> float:
        return sign_flip_p(np.array(values), rng)

    group = {s: np.mean([r["group"]["bits"] for r in chosen if r["signal"] == s]) for s in SIGNALS}
    return {
        "p_bits": p([row["prior"]["bits"] - row["own"]["bits"] for row in chosen]),
        "p_rank": p([row["prior"]["rank"] - row["own"]["rank"] for row in chosen]),
        "p_group_bits": p([row["group"]["bits"] for row in chosen]),
        "p_group_rank": p([row["group"]["rank"] - 0.5 for row in chosen]),
        "group_least_bits": float(min(group.values())),
        "group_ece": float(np.mean([row["group"]["ece"] for row in chosen])),
    }


def missed_goals(result: dict[str, Any]) -> list[str]:
    """Say which goals are missed."""
    missed = []
    for name, one in result["people"]["all"].items():
        shared, n_donors = (float(part) for part in name.split(", "))
        if shared and not (one["p_bits"] < GOALS["p"] and one["gain"][0] > 0):
            missed.append(f"prior of {n_donors:g} who share: p {one['p_bits']:.3g}")
        if shared and n_donors == max(DONORS):
            for key in ("p_group_bits", "p_group_rank"):
                if not one[key] < GOALS["p"]:
                    missed.append(f"group of {n_donors:g} who share: {key} {one[key]:.3g}")
        if not shared and one["gain"][0] < -GOALS["cost"]:
            missed.append(f"prior of {n_donors:g} strangers costs {100 * (-one['gain'][0]):.2f} %")
        if not shared and one["group_least_bits"] < -GOALS["group_cost_bits"]:
            missed.append(f"group of {n_donors:g} strangers: {one['group_least_bits']:.4f} bit")
    for row in result["heads"]:
        turned = row["channels"] == max(CHANNELS) and row["kind"].startswith("turn")
        if turned and row["share"] is not None:
            back = min(row["share"][0], row["pooled"])
            if back < GOALS["won_back"]:
                missed.append(f"{row['channels']} channels, {row['kind']}: {100 * back:.0f} % back")
    return missed


def report(result: dict[str, Any]) -> None:
    people = result["people"]
    print("bits a word beyond the prior (rank accuracy) of new trials; ece of the group model")
    print(
        f"{'shared':>6} {'donors':>6} {'signal':>6} {'own':>14} {'with prior':>14} {'+':>3} {'-':>3} "
        f"{'kappa':>6} {'group':>15} {'ece':>6} {'conf.-right':>11}"
    )
    for row in people["cells"]:
        print(
            f"{row['shared']:>6g} {row['donors']:>6} {row['signal']:>6g} "
            f"{row['own_bits']:>7.4f} ({row['own_rank']:.3f}) "
            f"{row['prior_bits']:>6.4f} ({row['prior_rank']:.3f}) "
            f"{row['better']:>3} {row['worse']:>3} {row['kappa']:>6.2f} "
            f"{row['group_bits']:>7.4f} ({row['group_rank']:.3f}) "
            f"{row['group_ece']:>6.4f} {row['group_overconfidence']:>11.4f}"
        )
    for name, one in people["all"].items():
        mean, low, high = one["gain"]
        print(
            f"shared, donors {name}: prior {100 * mean:+.2f} % of own bits ({100 * low:+.2f} % to {100 * high:+.2f} %), "
            f"p {one['p_bits']:.2g}, rank p {one['p_rank']:.2g}; group: bits p "
            f"{one['p_group_bits']:.2g}, least {one['group_least_bits']:.4f}"
        )
    print("rank accuracy that another day lost, and that realign won back")
    for row in result["heads"]:
        share = row["share"]
        told = (
            ""
            if share is None
            else (
                f", {100 * row['pooled']:.0f} % of all, {100 * share[0]:.0f} % on average "
                f"({100 * share[1]:.0f} % to {100 * share[2]:.0f} %)"
            )
        )
        print(
            f"{row['channels']} channels, {row['kind']}, n {row['n']}: {row['lost']:.4f} lost, "
            f"{row['won']:.4f} won{told}; turned back {row['found_deg']:.1f} degrees"
        )


if __name__ == "__main__":
    main()
