"""Decode single words from real EEG of people reading, by several maps, and compare with chance.

For each ``subjectNN.npz`` of a folder (``channel_uv``, ``roi_uv``, ``word_no``, ``trial``, ``bad``)
the first half of the trials trains maps to MiniLM vectors of the English glosses; the second half
tests them on single trials. Every choice (alpha, whitening, target power, kappa) is made on first
halves, out of fold. Bad trials do not train; every trial counts in the test.

==========  ===========================================================================
today       the map of before: plain features and targets, one alpha for all people
own         all chosen for each person alone, as `rt-calibrate fit` does; own data only
own_common  the same, one setting for all people, with the most bits over all of them
prior       as own, with the trials of all other people as a prior
group       the others' map alone, as `rt-calibrate pool` makes it; the first 100 trials, unlabelled,
            scale and whiten
==========  ===========================================================================

Further: learning curves over trials and over other people, evidence summed over repeats of a word,
words that training never saw beside their own null, the category from runs of words of one category,
a ceiling, and controls with permuted labels.
Exits 1 if a goal is missed; the goals are for the 12 people of the project's data.

    scripts/eval_words.py --data DIR [--prior-from DIR2] [--group] [--json] [--seed 0]
                          [--shuffles 10] [--quick]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from threadpoolctl import threadpool_limits
from words_data import Person, Words, read_people, read_words
from words_group import Donor, donor, group_map, prior_from
from words_maps import Decoded, Fixed, best_for_all, ceiling, own_map, unseen
from words_report import goals, report
from words_summary import curve, gain, ideas_summary, summary, unseen_summary
from words_today import against_chance, decode_all, halves, score_subject, today
from words_today import bits as by_bits

from calibration.nulls import permute_labels

TRIALS, PEOPLE = (187, 375, 750, 1500), (3, 6, 11, 24, 48)


class Study(NamedTuple):
    """All that the workers need."""

    words: Words
    people: list[Person]
    others: list[Donor]  # those of `people` in their order, then those of --prior-from
    seed: int
    n_shuffles: int
    quick: bool


STUDY: Study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of subjectNN.npz")
    parser.add_argument("--prior-from", type=Path, help="folder of more people, as donors only")
    parser.add_argument("--group", action="store_true", help="maps of other people alone, only")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--seed", type=int, default=0, help="seed of the permutations")
    parser.add_argument("--shuffles", type=int, default=10, help="permutations, at least 1")
    parser.add_argument("--quick", action="store_true", help="short curves, few unseen words")
    args = parser.parse_args()
    if not any(args.data.glob("subject*.npz")):
        parser.error(f"need subjectNN.npz files in {args.data}, got none")
    if args.shuffles < 1:
        parser.error(f"need at least 1 shuffle, got {args.shuffles}")
    with threadpool_limits(1):  # matrices this small lose time to a second thread
        global STUDY
        STUDY = read_study(args)
        result = evaluate(args.group)
    report(result)
    if args.json:
        print(json.dumps(result, allow_nan=False))
    sys.exit(not all(result["goals"].values()))


def read_study(args: argparse.Namespace) -> Study:
    folder = args.data
    try:
        words = read_words(folder)
        people = read_people(folder, words)
        folder = args.prior_from or folder
        more = read_people(folder, words) if args.prior_from else []
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"eval_words: cannot read {folder}: {error}")
    others = [donor(person, words) for person in people + more]
    return Study(words, people, others, args.seed, args.shuffles, args.quick)


def evaluate(group_only: bool) -> dict[str, Any]:
    """Compute every figure of the report."""
    people, n_others = STUDY.people, len(STUDY.others) - 1
    result: dict[str, Any] = {"n_people": len(people), "n_others": n_others, "chance": 0.5}
    if not group_only:
        result |= without_others()
    if n_others:
        result |= with_others(result, group_only)
    result["goals"] = goals(result)
    return result


def without_others() -> dict[str, Any]:
    """Today's map and that of own data."""
    people, words = STUDY.people, STUDY.words
    split = [halves(person) for person in people]
    before, variants = today(split, words)
    rng = np.random.default_rng(STUDY.seed)
    shuffled = []
    for _ in shown(range(STUDY.n_shuffles), "today's map, permuted labels"):
        permuted = [one._replace(train=permute_labels(one.train, rng)) for one in split]
        vectors = [words.vectors] * len(people)
        shuffled.append([o.rank_accuracy for o in decode_all(permuted, vectors, by_bits)])
    subjects = [
        score_subject(found, float(chance))
        for found, chance in zip(before, np.mean(shuffled, axis=0), strict=True)
    ]
    alone = list(spread(own_of, "own map"))
    settings = [best_for_all([one[k] for one in alone]) for k in range(len(alone[0]))]
    common = list(spread(partial(fixed_of, settings), "own map, one setting for all"))
    null = np.array(list(spread(shuffled_of, "own map, permuted labels")))
    novel = list(spread(unseen_of, "unseen words"))
    return {
        "subjects": subjects,
        **against_chance(before),
        "shuffled": float(np.mean(shuffled)),
        "macro_top10": float(np.mean([subject["macro_top10"] for subject in subjects])),
        "chance_top10": min(10 / len(words.vectors), 1.0),
        "bits_per_word": float(np.mean([subject["bits_per_word"] for subject in subjects])),
        **variants,
        "own": summary([found[-1] for found in alone], before),
        "own_common": summary([found[-1] for found in common], before),
        "ideas": ideas_summary([found[-1] for found in alone], words.categories),
        "own_setting": settings[-1]._asdict(),
        "own_shuffled": float(null.mean()),
        "own_trials": curve([n for n, _ in trial_counts()], alone),
        "unseen": unseen_summary(novel),
        "ceiling": [ceiling(person) for person in people],
    }


def with_others(result: dict[str, Any], group_only: bool) -> dict[str, Any]:
    """Maps with other people's sums."""
    found: dict[str, Any] = {}
    for name, job in (("prior", prior_of), ("group", group_of)):
        if name == "prior" and group_only:
            continue
        counts = people_counts(2 if name == "group" else 1)
        if not counts:
            continue
        curves = list(spread(job, f"{name}: maps with other people's sums"))
        found[name] = summary([one[-1] for one in curves])
        found[f"{name}_people"] = curve(counts, curves)
        if "subjects" in result:
            found[name] |= gain(found[name], [one["rank_accuracy"] for one in result["subjects"]])
    return found


def own_of(i: int) -> list[Decoded]:
    person = STUDY.people[i]
    return [own_map(person, STUDY.words, person.train[:n]) for _, n in trial_counts()]


def fixed_of(settings: list[Fixed], i: int) -> list[Decoded]:
    person = STUDY.people[i]
    return [
        own_map(person, STUDY.words, person.train[:n], fixed=one)
        for one, (_, n) in zip(settings, trial_counts(), strict=True)
    ]


def trial_counts() -> list[tuple[int, int | None]]:
    """How many first trials train, as told and as a slice; the last takes all."""
    most = max(len(person.train) for person in STUDY.people)
    fewer = [n for n in TRIALS if n < 0.9 * most and not STUDY.quick]
    return [(n, n) for n in fewer] + [(most, None)]


def people_counts(least: int = 1) -> list[int]:
    n_others = len(STUDY.others) - 1
    counts = [n for n in PEOPLE if n < n_others and not STUDY.quick] + [n_others]
    return [n for n in counts if n >= least]


def nearest(i: int, n: int) -> list[Donor]:
    """Choose the n other people that follow person i in the list, round about."""
    others = STUDY.others
    return [others[(i + 1 + k) % len(others)] for k in range(n)]


def prior_of(i: int) -> list[Decoded]:
    return [
        own_map(STUDY.people[i], STUDY.words, prior=prior_from(nearest(i, n)))
        for n in people_counts()
    ]


def group_of(i: int) -> list[Decoded]:
    return [group_map(STUDY.people[i], STUDY.words, nearest(i, n)) for n in people_counts(2)]


def shuffled_of(i: int) -> list[float]:
    """Rank accuracies of the own map, all choices made anew with permuted training labels."""
    person, rng = STUDY.people[i], np.random.default_rng([STUDY.seed, i])
    labels = person.words[person.train]
    return [
        own_map(person, STUDY.words, labels=permute_labels(labels, rng)).rank_accuracy
        for _ in range(STUDY.n_shuffles)
    ]


def unseen_of(i: int) -> tuple[float, np.ndarray]:
    """Hold out sets of words, one of each category."""
    categories, n = STUDY.words.categories, len(STUDY.words.vectors)
    within = np.array([np.sum(categories[:k] == categories[k]) for k in range(n)])
    sets = [np.flatnonzero(within == k) for k in np.unique(within)]
    sets = [members for members in sets if len(members) > 1][: 2 if STUDY.quick else None]
    rng = np.random.default_rng([STUDY.seed, i])
    return unseen(STUDY.people[i], STUDY.words, sets, rng)


def spread(job: Callable[[int], Any], what: str) -> Iterator[Any]:
    """Do a job for every person, on all cores."""
    n = len(STUDY.people)
    if multiprocessing.get_start_method() != "fork" or n == 1:
        yield from (job(i) for i in shown(range(n), what))
        return
    with ProcessPoolExecutor(min(n, os.cpu_count() or 1)) as pool:
        yield from shown(pool.map(job, range(n)), what, n)


def shown(steps: Iterable[Any], what: str, total: int | None = None) -> Iterable[Any]:
    console = Console(stderr=True)
    return track(steps, what, total, console=console, disable=not console.is_terminal)


if __name__ == "__main__":
    main()
