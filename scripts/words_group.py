"""Maps of other people alone, for eval_words.py: what `rt-calibrate pool` and `decode` do.

Sums of each donor are those of a companion; the public functions of `calibration` choose penalty and
target power on trials drawn from the sums of people left out, and `alignment.align` whitens by the
first trials of the new person, beside the group's covariance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from words_data import Person, Words
from words_maps import CLAMP, Decoded, scaled

from calibration.confidence import fit_posterior
from calibration.group_map import choose_settings, fit_group, item_space, total
from calibration.left_out import Trials, draw_trials
from calibration.prior import Prior
from calibration.scores import cosine
from calibration.sums import sum_recording
from calibration.transfer import Shared, shared_sums
from rt_decoder.decoding.alignment import align
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.decoding.whitening import whitener
from rt_decoder.files.sums import PersonSums
from rt_decoder.model import Alignment, Model
from rt_decoder.recipe import Recipe
from rt_decoder.signal import SignalInfo

SHRINK = 1.0  # of the covariances that people share
UNLABELLED = 100  # first trials that whiten a new person
DRAWN = 2000  # trials of each donor, as `pool` draws


class Donor(NamedTuple):
    """Another person: their sums, whitened, and trials with the same moments."""

    shared: Shared
    trials: Trials
    center: np.ndarray  # (p,)
    scale: np.ndarray  # (p,)


def donor(person: Person, words: Words) -> Donor:
    """Sum all good trials of a person, for others' maps: none of these is tested on this person."""
    rows = person.good
    X = scaled(person, rows)[rows]
    center, scale = robust_scale(person.X[rows])
    sums = PersonSums(
        {}, words.german, words.vectors.astype(np.float32), center, scale,
        (sum_recording(person.subject, X, person.words[rows], len(words.german)),), {},
    )  # fmt: skip
    shared = shared_sums(sums, words.german, SHRINK)
    return Donor(shared, draw_trials(shared, DRAWN, np.random.default_rng(0)), center, scale)


def prior_from(donors: Sequence[Donor]) -> Prior:
    """Sums of other people, as `rt-calibrate fit --prior-from` adds them."""
    summed = total([one.shared for one in donors])
    return Prior(summed.gram, summed.sums, summed.counts, SHRINK)


def group_map(person: Person, words: Words, donors: Sequence[Donor]) -> Decoded:
    """Decode by the labels of two other people or more, alone."""
    people, trials = [one.shared for one in donors], [one.trials for one in donors]
    summed = total(people)
    space = item_space(words.vectors, summed.counts)
    setting, of_others, left_out = choose_settings(people, trials, space)
    cosines = [
        cosine(predicted, space.vectors(of.power))
        for predicted, of in zip(left_out, of_others, strict=True)
    ]
    truth = np.concatenate([one.truth for one in trials])
    fitted = fit_posterior(np.concatenate(cosines), truth)
    model = _model(donors, fit_group(summed, space, setting).weights)
    aligned = align(model, person.X[np.sort(person.train)[:UNLABELLED]])
    X = scale_features(person.X[person.test], aligned.center, aligned.scale, CLAMP)
    similarity = cosine(X @ aligned.weights + aligned.offset, space.vectors(setting.power))
    chosen = {"power": setting.power, "alpha": setting.alpha,
              "bits_of_people_left_out": fitted.bits_per_word}  # fmt: skip
    return Decoded(person.subject, similarity, person.words[person.test], fitted.tau, chosen)


def _model(donors: Sequence[Donor], weights: np.ndarray) -> Model:
    """Model of whitened weights (p, r), as far as an alignment needs it."""
    covariance = np.mean([one.shared.moments.covariance for one in donors], axis=0)
    p, r = weights.shape
    ones, names = np.ones(p), tuple(f"feature {i}" for i in range(p))
    return Model(
        SignalInfo(100.0, names, ("eeg",) * p, ("V",) * p),
        Recipe(),
        np.array([[1.0, 0, 0, 1, 0, 0]]),
        ones,
        center=np.mean([one.center for one in donors], axis=0),
        scale=np.exp(np.median([np.log(one.scale) for one in donors], axis=0)),
        weights=(whitener(covariance, SHRINK) @ weights).astype(np.float32),
        offset=np.zeros(r, np.float32),
        covariance=covariance.astype(np.float32),
        alignment=Alignment(shrink=SHRINK),
    )
