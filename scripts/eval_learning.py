"""Measure what true labels that arrive add to a group's map, on real EEG of people reading words.

The data are those of `eval_words.py`. Each person is left out: the map is that of all other people,
with the penalty and the target power that the others choose. The second half of the person's trials is
tested, every trial of it, with labels of the first n good trials of the first half joined as
`rt-decoder run --learn` joins them; centre, scale and covariance are of the newest 400 of these trials,
of the first 100 where n is smaller. Nothing is chosen on the person. As a control the same labels join
in a random order.

    scripts/eval_learning.py --data DIR [--people N] [--seed 0] [--json]

Goals: with all labels of the first half at least .005 more rank accuracy than without, p < .01 over
people, and with shuffled labels no more than without. With fewer than 6 people no p is asked for.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import ttest_1samp
from threadpoolctl import threadpool_limits
from words_data import Person, Words, read_people, read_words

from calibration.group_map import Setting, choose_settings, fit_group, item_space, total
from calibration.left_out import Trials
from calibration.scores import cosine, rank_accuracy, unit_rows
from calibration.sums import sum_recording
from calibration.transfer import Shared, shared_sums
from rt_decoder.decoding.alignment import align, whitened_weights
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.decoding.learning import LabelSums
from rt_decoder.decoding.whitening import whitener
from rt_decoder.files.sums import PersonSums
from rt_decoder.model import Alignment, Model
from rt_decoder.recipe import Recipe
from rt_decoder.signal import SignalInfo

NUMBERS = (0, 100, 200, 400, 800)  # labels; the last row is all of the first half
UNLABELLED, CHOOSING = 100, 400  # trials that align without labels; of each person, to choose by
GAIN, P = 0.005, 0.01
LEAST_PEOPLE = 6  # for a p
ALIGNMENT, RECIPE = Alignment(), Recipe()


class Donor(NamedTuple):
    """A person's sums over all good trials, and some trials to choose settings by."""

    shared: Shared
    trials: Trials
    scale: np.ndarray  # (p,)


def donor(person: Person, words: Words) -> Donor:
    """Sum the good trials of a person, for the maps of others."""
    rows, shrink = person.good, ALIGNMENT.shrink
    center, scale = robust_scale(person.X[rows])
    X = scale_features(person.X[rows], center, scale, RECIPE.features.clamp).astype(float)
    truth = person.words[rows]
    recording = sum_recording(person.subject, X, truth, len(words.german))
    vectors = words.vectors.astype(np.float32)
    sums = PersonSums({}, words.german, vectors, center, scale, (recording,), {})
    shared = shared_sums(sums, words.german, shrink)
    white = (X - X.mean(axis=0)) @ shared.whitener
    return Donor(shared, Trials(white[:CHOOSING], truth[:CHOOSING]), scale)


def group_of(donors: Sequence[Donor], words: Words, setting: Setting) -> Model:
    """Make the group's model as `pool` does, without posterior and certificate."""
    summed = total([one.shared for one in donors])
    space = item_space(words.vectors, summed.counts)
    fitted, vectors = fit_group(summed, space, setting), space.vectors(setting.power)
    covariance = np.mean([one.shared.moments.covariance for one in donors], axis=0)
    p, n_items = len(covariance), len(vectors)
    return Model(
        SignalInfo(250.0, ("Cz",), ("eeg",), ("V",)), RECIPE, np.zeros((1, 6)), np.ones(1),
        center=np.zeros(p), scale=np.mean([one.scale for one in donors], axis=0),
        weights=whitener(covariance, ALIGNMENT.shrink) @ fitted.weights,
        offset=np.zeros(vectors.shape[1]), basis=np.eye(vectors.shape[1]),
        target_mean=space.mean, items=words.german, vectors=unit_rows(vectors),
        log_prior=np.full(n_items, -np.log(n_items)), covariance=covariance, alignment=ALIGNMENT,
        prior_gram=(summed.gram + fitted.alpha * np.eye(p)) / len(donors),
        target_lengths=np.linalg.norm(vectors, axis=1),
    )  # fmt: skip


def accuracy(
    model: Model, whitened: np.ndarray, person: Person, n: int, labels: np.ndarray
) -> float:
    """Rank accuracy in the second half, once the first n labels have joined."""
    first = np.sort(person.train)
    seen = person.X[first[: max(n, UNLABELLED)][-ALIGNMENT.most :]]
    sums = LabelSums(model)
    sums.add(person.X[first[:n]], labels[:n], *robust_scale(seen))
    parts = align(model, seen, whitened, sums)
    X = scale_features(person.X[person.test], parts.center, parts.scale, RECIPE.features.clamp)
    cosines = cosine(X @ parts.weights + parts.offset, model.vectors)
    return float(rank_accuracy(cosines, person.words[person.test]).mean())


def measure(people: Sequence[Person], words: Words, seed: int) -> dict[str, Any]:
    """Return rank accuracies of each person by number of labels, and the goals."""
    screen, rng = Console(stderr=True), np.random.default_rng(seed)
    donors = [donor(one, words) for one in people]
    shared = [one.shared for one in donors]
    space = item_space(words.vectors, total(shared).counts)
    _, of_others, _ = choose_settings(shared, [one.trials for one in donors], space)
    rows: dict[str, list[list[float]]] = {"labels": [], "shuffled": []}
    for number, person in enumerate(track(people, "people", console=screen, transient=True)):
        model = group_of([*donors[:number], *donors[number + 1 :]], words, of_others[number])
        whitened = whitened_weights(model)
        labels = person.words[np.sort(person.train)]
        numbers = [*(n for n in NUMBERS if n < len(labels)), len(labels)]
        for name, said in (("labels", labels), ("shuffled", rng.permutation(labels))):
            rows[name].append([accuracy(model, whitened, person, n, said) for n in numbers])
    found = {name: np.array(each)[:, [*range(len(numbers))]] for name, each in rows.items()}
    gain = found["labels"][:, -1] - found["labels"][:, 0]
    p = float(ttest_1samp(gain, 0.0, alternative="greater").pvalue)
    goals = {
        "all labels add .005": bool(gain.mean() >= GAIN),
        "p < .01 over people": bool(p < P or len(people) < LEAST_PEOPLE),
        "shuffled labels do not help": bool(
            found["shuffled"][:, -1].mean() <= found["shuffled"][:, 0].mean()
        ),
    }
    return {
        "n_people": len(people), "n_labels": [*map(str, numbers[:-1]), "all"],
        **{name: each.mean(axis=0).round(4).tolist() for name, each in found.items()},
        "gain": float(gain.mean()), "p": p, "above": int((gain > 0).sum()),
        "each": found["labels"].round(4).tolist(), "goals": goals,
    }  # fmt: skip


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder of subjectNN.npz")
    parser.add_argument(
        "--people", type=int, default=0, metavar="N", help="the first N; default all"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the permutations")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    try:
        words = read_words(args.data)
        people = read_people(args.data, words)[: args.people or None]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"eval_learning: cannot read {args.data}: {error}")
    if len(people) < 3:
        parser.error(f"need subjectNN.npz of 3 people or more in {args.data}, got {len(people)}")
    with threadpool_limits(1):  # matrices this small lose time to a second thread
        result = measure(people, words, args.seed)
    table = Table("labels", "rank accuracy", "shuffled labels")
    for row in zip(result["n_labels"], result["labels"], result["shuffled"], strict=True):
        table.add_row(row[0], *(f"{value:.4f}" for value in row[1:]))
    screen = Console()
    screen.print(table)
    screen.print(
        f"all labels add {result['gain']:.4f} (p = {result['p']:.2g}), "
        f"{result['above']} of {result['n_people']} people gain"
    )
    missed = [goal for goal, met in result["goals"].items() if not met]
    screen.print(f"missed: {', '.join(missed)}" if missed else "all goals met")
    if args.json:
        print(json.dumps(result, allow_nan=False))
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
