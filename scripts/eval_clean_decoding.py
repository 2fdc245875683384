"""Test whether cleaning improves the decoding of words, and whether artifacts are decoded.

Simulated people read words. One recording of each calibrates, with the recipe's defaults; another
one tests. `cleaning.words` defines the scenes and the decoders. Scenes: usual artifacts, twice as
strong ones, and none; EOG channels without brain; blinks locked to the words; a brain with the same
response to all words ("silent"), with and without such blinks.

"corrected" is the recipe's chain without the muscle gate, "gate only" is the gate alone, "cleaned"
is both. The gate removes events from the test, but not from calibration. "cleaned" minus "raw" is
the gain of turning everything on; the other pairs show the part of each. Pairs are always scored on
the events that both decoders answered.

Differences are tested over people, by sign flips (two-sided, all of them up to 12 people) and by a
95 % t interval. "Not worse" means that the whole interval lies above -0.05 bit; "better" means a
mean above 0 with p < .05, which 6 people reach only if all agree. A decoder is tested against
chance by 999 permutations of the words within each person's test (one-sided).

    python scripts/eval_clean_decoding.py [--persons 6] [--first 0] [--jobs 2] [--json]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
from cleaning.words import SCENES, Decoded, Setup, decode_person
from scipy.stats import t as student
from threadpoolctl import threadpool_limits

from calibration.nulls import matching_test
from calibration.scores import rank_accuracies, rank_accuracy

MARGIN = 0.05  # bits per word that cleaning may cost
N_PERMUTATIONS = 999
LEVEL = 0.05

People = list[dict[str, dict[str, Decoded]]]  # per person: by scene, by decoder


class Pair(NamedTuple):
    """Two decoders, (scene, chain) each, and the claim about the first."""

    one: tuple[str, str]
    other: tuple[str, str]
    claim: str = ""  # "not worse", "better" or none


PAIRS = (
    Pair(("clean", "cleaned"), ("clean", "raw"), "not worse"),
    Pair(("clean", "cleaned as usual"), ("clean", "raw"), "not worse"),
    *(
        Pair((scene, one), (scene, other), claim)
        for scene in ("usual", "twice")
        for one, other, claim in (
            ("corrected", "raw", "better"),
            ("cleaned", "gate only", "better"),
            ("cleaned", "raw", "better"),
            ("gate only", "raw", ""),
        )
    ),
    Pair(("locked", "EOG only"), ("usual", "EOG only")),
    Pair(("locked", "raw"), ("usual", "raw")),
    Pair(("locked", "corrected"), ("usual", "corrected")),
    Pair(("silent, locked", "EOG only"), ("silent", "EOG only")),
    Pair(("silent, locked", "raw"), ("silent", "raw")),
    Pair(("silent, locked", "corrected"), ("silent", "corrected")),
    Pair(("silent, locked", "corrected"), ("silent, locked", "raw")),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--persons", type=int, default=6, help="at least 2; 6 can reach p = .03")
    parser.add_argument("--first", type=int, default=0, help="seed of the first person")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="people in parallel")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    if args.persons < 2 or args.jobs < 1:
        parser.error(f"need 2 persons and 1 job or more, got {args.persons} and {args.jobs}")
    result = evaluate(
        run(range(args.first, args.first + args.persons), Setup(), tuple(SCENES), args.jobs),
        Setup(),
    )
    report(result)
    if args.json:
        print(json.dumps(result, allow_nan=False))


def run(persons: range, setup: Setup, scenes: Sequence[str], jobs: int) -> People:
    """Decode every person, several in parallel."""
    one = partial(_alone, setup=setup, scenes=tuple(scenes))
    if jobs == 1:
        return [one(seed) for seed in persons]
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        return list(pool.map(one, persons))


def _alone(seed: int, setup: Setup, scenes: Sequence[str]) -> dict[str, dict[str, Decoded]]:
    with threadpool_limits(1):  # matrices this small lose time to a second thread
        return decode_person(seed, setup, scenes)


def evaluate(people: People, setup: Setup) -> dict[str, Any]:
    """Compute all figures: of each decoder, and of each pair whose scenes were run."""
    scenes = {
        scene: {chain: score([person[scene][chain] for person in people]) for chain in chains}
        for scene, chains in people[0].items()
    }
    pairs = {}
    for pair in PAIRS:
        if all(chain in people[0].get(scene, {}) for scene, chain in (pair.one, pair.other)):
            pairs[_name(pair)] = judge(pair, differences(people, pair.one, pair.other))
    return {
        "n_persons": len(people),
        "setup": setup._asdict(),
        "split": "one recording calibrates (its last fifth locked), another one tests",
        "chance_rank_accuracy": 0.5,
        "prior_rank_accuracy": 0.5,  # the prior is uniform: all words tie
        "prior_bits": 0.0,
        "margin": MARGIN,
        "scenes": scenes,
        "pairs": pairs,
    }


def score(found: Sequence[Decoded]) -> dict[str, Any]:
    """Score one decoder over people: bits, rank accuracy with p, events answered, active stages."""
    bits = np.array([each.bits.mean() for each in found])
    # a word without an answer has 0 bits beyond the prior
    shown = np.array([each.bits.sum() / each.n_shown for each in found])
    stages = [stage for each in found for stage in each.stages]
    return {
        "bits": float(bits.mean()),
        "bits_ci": interval(bits),
        "bits_per_word_shown": float(shown.mean()),
        "rank_accuracy": float(np.mean([ranks(each, each.truth) for each in found])),
        "p": above_chance(found),
        "answered": float(np.mean([len(each.truth) / each.n_shown for each in found])),
        "stages": {stage: stages.count(stage) for stage in dict.fromkeys(stages)},
        "bits_of_each": bits.tolist(),
    }


def ranks(found: Decoded, truth: np.ndarray) -> float:
    return float(rank_accuracy(found.cosines, truth).mean())


def above_chance(found: Sequence[Decoded], n_permutations: int = N_PERMUTATIONS) -> float:
    """P value of the mean rank accuracy over people: words are permuted within each test."""
    tests = [
        matching_test(rank_accuracies(each.cosines), each.truth, n_permutations, seed)
        for seed, each in enumerate(found)
    ]
    observed = np.mean([test.observed for test in tests])
    null = np.mean([test.null for test in tests], axis=0)
    return float((np.sum(null >= observed) + 1) / (n_permutations + 1))


def differences(people: People, one: tuple[str, str], other: tuple[str, str]) -> np.ndarray:
    """Bits per word of `one` minus `other` for each person, on the events that both answered."""
    found = []
    for person in people:
        a, b = person[one[0]][one[1]], person[other[0]][other[1]]
        _, first, second = np.intersect1d(a.onsets, b.onsets, return_indices=True)
        found.append(float((a.bits[first] - b.bits[second]).mean()))
    return np.array(found)


def judge(pair: Pair, values: np.ndarray) -> dict[str, Any]:
    """Judge a pair: mean difference, interval, p, and whether its claim holds."""
    low, high = interval(values)
    p = sign_flip_p(values)
    verdicts: dict[str, Callable[[], bool | None]] = {
        "not worse": lambda: low > -MARGIN,
        "better": lambda: float(values.mean()) > 0 and p < LEVEL,
        "": lambda: None,
    }
    return {
        "bits": float(values.mean()),
        "ci": [low, high],
        "p": p,
        "n_better": int((values > 0).sum()),
        "claim": pair.claim,
        "holds": verdicts[pair.claim](),
        "of_each": values.tolist(),
    }


def interval(values: np.ndarray) -> list[float]:
    """95 % t interval of the mean."""
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return [float(values.mean() - half), float(values.mean() + half)]


def sign_flip_p(values: np.ndarray) -> float:
    """Two-sided p of the mean: how often random signs lead to a mean as far from 0."""
    n = len(values)
    if n <= 12:
        signs, extra = np.array(list(itertools.product((1.0, -1.0), repeat=n))), 0
    else:
        signs, extra = np.random.default_rng(0).choice([1.0, -1.0], (9999, n)), 1
    as_far = np.abs(signs @ values) >= np.abs(values.sum()) - 1e-12
    return float((as_far.sum() + extra) / (len(signs) + extra))


def _name(pair: Pair) -> str:
    (scene, chain), (scene_2, chain_2) = pair.one, pair.other
    if scene == scene_2:
        return f"{scene}: {chain} - {chain_2}"
    return f"{chain}: {scene} - {scene_2}"


def report(result: dict[str, Any]) -> None:
    setup = Setup(**result["setup"])
    print(
        f"{result['n_persons']} simulated people, {setup.n_items} words to choose from, "
        f"{setup.n_train} words read in calibration, {setup.n_test} in the test\n"
        f"{result['split']}; single trials\n"
        f"chance, and the prior alone: rank accuracy 0.500, 0 bits beyond the prior\n\n"
        f"{'scene':<16}{'decoder':<18}{'answered':>8} {'bits/word':>9} {'95 % of people':>16} "
        f"{'bits/shown':>10} {'rank':>6} {'p':>6}"
    )
    for scene, chains in result["scenes"].items():
        for chain, row in chains.items():
            low, high = row["bits_ci"]
            print(
                f"{scene:<16}{chain:<18}{row['answered']:>8.2f} {row['bits']:>9.3f} "
                f"{low:>7.3f} to {high:<6.3f}{row['bits_per_word_shown']:>9.3f} "
                f"{row['rank_accuracy']:>7.3f} {row['p']:>6.3f}"
            )
    n = result["n_persons"]
    print(f"\n{'bits a word, same events':<38}{'mean':>8} {'95 %':>16} {'p':>7} {'n > 0':>7}")
    for name, row in result["pairs"].items():
        low, high = row["ci"]
        verdict = "" if row["holds"] is None else "yes" if row["holds"] else "NO"
        claim = f"{row['claim']}? {verdict}" if row["claim"] else ""
        print(
            f"{name:<38}{row['bits']:>8.3f} {low:>7.3f} to {high:<6.3f}{row['p']:>7.4f} "
            f"{row['n_better']:>3} of {n}  {claim}"
        )


if __name__ == "__main__":
    main()
