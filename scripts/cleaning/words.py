"""Decode words from simulated people, with and without cleaning.

One recording of a person trains (its last fifth is locked, as always), another tests. All settings
are the recipe's defaults, except which channels are decoded and how they are cleaned. This module
does not do statistics over people.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from calibration.cleaning.chain import fit_cleaning
from calibration.cleaning.seen import unlocked_share
from calibration.confidence import log_posterior
from calibration.design import Design, build_design, draft_model
from calibration.evaluate import evidence
from calibration.events import LabelledRecording, label_recording
from calibration.fit import fit_model
from calibration.scores import bits_beyond_prior
from rt_decoder.decoding.features import scale_features
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model
from rt_decoder.recipe import Recipe
from rt_decoder.simulation.disturbance import CLEANING, Scene
from rt_decoder.simulation.participant import Participant, Simulation
from rt_decoder.timing.markers import MarkerRules

__all__ = ["CHAINS", "SCENES", "Decoded", "Setup", "blink_words", "decode_person", "lock_blinks"]

N_DIMENSIONS = 12
_HOP_MS = 80.0  # in which features are computed; cleaning is fitted in the recipe's hops
BLINK_OFTEN, BLINK_SELDOM = 0.6, 0.05  # probabilities of a blink after words of the two groups
BLINK_DELAY = 0.15, 0.25  # s after the onset


class Setup(NamedTuple):
    """Size of the recordings of each person."""

    n_train: int = 500
    n_test: int = 300
    n_items: int = 60
    n_channels: int = 32
    sfreq: float = 250.0
    snr: float = 0.12


@dataclass(frozen=True)
class Condition:
    """The recordings of a scene, and the decoders to run on them."""

    chains: tuple[str, ...]
    artifacts: float = 1.0
    scene: Scene = CLEANING
    answers: bool = True  # whether the brain's response depends on the word
    locked: bool = False  # whether blinks depend on the word


@dataclass(frozen=True)
class Chain:
    """A decoder: its changes to the default recipe."""

    recipe: dict[str, dict[str, Any]] = field(default_factory=dict)
    stages_of: str = ""  # scene whose cleaning stages it borrows; "" to fit them


def _only(kind: str) -> Chain:
    return Chain({"stream": {"picks": [kind], "reference": "none"}, "clean": {"stages": []}})


CHAINS = {
    "raw": Chain({"clean": {"stages": []}}),
    "cleaned": Chain(),
    # the gate drops events, the others correct: apart, each can be compared on the same events
    "gate only": Chain({"clean": {"stages": ["muscle"]}}),
    "corrected": Chain({"clean": {"stages": ["repair", "eye", "regressors", "heartbeat"]}}),
    "cleaned as usual": Chain(stages_of="usual"),
    "EOG only": _only("eog"),
    "ECG only": _only("ecg"),
}
_NO_LEAK = replace(CLEANING, leak=0.0)
_EEG = ("raw", "corrected", "gate only", "cleaned")
_EYES = ("raw", "corrected", "EOG only")
SCENES = {  # "usual" comes before those that borrow its stages
    "usual": Condition((*_EEG, "EOG only", "ECG only")),
    "twice": Condition(_EEG, artifacts=2.0),
    "clean": Condition(("raw", "cleaned", "cleaned as usual"), artifacts=0.0),
    "no leak": Condition(("EOG only",), scene=_NO_LEAK),
    "locked": Condition(_EYES, locked=True),
    "silent": Condition(_EYES, answers=False),
    "silent, locked": Condition(_EYES, answers=False, locked=True),
}


class Decoded(NamedTuple):
    """The n words of a test recording, out of `n_shown`, that a decoder answered."""

    cosines: np.ndarray  # (n, n_items)
    truth: np.ndarray  # (n,) item numbers
    bits: np.ndarray  # (n,) beyond the prior
    onsets: np.ndarray  # (n,) s, the same for every decoder of a scene
    n_shown: int
    stages: tuple[str, ...]  # active cleaning stages


def decode_person(
    seed: int, setup: Setup, scenes: Sequence[str] = tuple(SCENES)
) -> dict[str, dict[str, Decoded]]:
    """Run every decoder of every scene of one person, who has head `seed`."""
    found: dict[str, dict[str, Decoded]] = {}
    fitted: dict[str, dict[str, Any]] = {}  # cleaning stages of each scene
    for name in scenes:
        train, test = (_recording(seed, setup, SCENES[name], session) for session in (1, 2))
        found[name] = {}
        for chain in SCENES[name].chains:
            borrowed = fitted.get(CHAINS[chain].stages_of)
            if CHAINS[chain].stages_of and borrowed is None:
                continue
            found[name][chain], stages = _decode(train, test, CHAINS[chain], borrowed, seed, setup)
            if chain == "cleaned":
                fitted[name] = stages
    return found


def _vectors(seed: int, setup: Setup) -> np.ndarray:
    return np.random.default_rng([seed, 5]).standard_normal((setup.n_items, N_DIMENSIONS))


def _items(setup: Setup) -> tuple[str, ...]:
    return tuple(f"word{i:03d}" for i in range(setup.n_items))


def _recording(seed: int, setup: Setup, scene: Condition, session: int) -> Recording:
    person = Participant(
        _vectors(seed, setup),
        _items(setup),
        n_channels=setup.n_channels,
        sfreq=setup.sfreq,
        snr=setup.snr if scene.answers else 0.0,
        artifacts=scene.artifacts,
        references=True,
        seed=seed,
        head=seed,
        scene=scene.scene,
    )
    n_words = setup.n_train if session == 1 else setup.n_test
    simulation = person.simulate(n_words, seed=session, components=scene.locked)
    data = simulation.data
    if scene.locked:
        data = data + lock_blinks(simulation, blink_words(seed, setup), seed, session)
    stamps = np.arange(len(data)) / setup.sfreq
    return Recording(data, stamps, simulation.info, simulation.events, name=f"{seed}-{session}")


def blink_words(seed: int, setup: Setup) -> frozenset[str]:
    """Return the half of the words after which this person blinks often: one side of a plane.

    A map to vectors can learn such a habit, as it depends on meaning.
    """
    direction = np.random.default_rng([seed, 6]).standard_normal(N_DIMENSIONS)
    along = _vectors(seed, setup) @ direction
    far = np.flatnonzero(along > np.median(along))
    return frozenset(_items(setup)[i] for i in far)


def lock_blinks(
    simulation: Simulation, often: Collection[str], seed: int, session: int
) -> np.ndarray:
    """Draw blinks after words, (n, c) V: many after those in `often`, few after the others.

    Topography and size are those of the recording's other blinks.
    """
    rng = np.random.default_rng([seed, 7, session])
    sfreq, blinks = simulation.info.sfreq, simulation.components["blink"]
    size = np.abs(blinks).max(axis=1)
    usual = blinks[size > 0.5 * size.max()]
    peak = usual.mean(axis=0)
    peak *= 0.8 * size.max() / np.abs(peak).max()
    t = np.arange(round(0.8 * sfreq)) / sfreq / 0.1  # up within 0.1 s, down within 0.5 s
    wave = t**2 * np.exp(2.0 - 2.0 * t)
    course = np.zeros(len(blinks))
    for event in simulation.events:
        chance = BLINK_OFTEN if event.label in often else BLINK_SELDOM
        blinked, delay, height = rng.random(), rng.uniform(*BLINK_DELAY), rng.normal(1.0, 0.15)
        if blinked < chance:
            first = event.index + round(delay * sfreq)
            part = course[first : first + len(wave)]
            part += height * wave[: len(part)]
    return np.outer(course, peak)


def _decode(
    train: Recording,
    test: Recording,
    chain: Chain,
    borrowed: dict[str, Any] | None,
    seed: int,
    setup: Setup,
) -> tuple[Decoded, dict[str, Any]]:
    """Calibrate on one recording, decode another; returns the active cleaning stages, too."""
    with tempfile.TemporaryDirectory() as folder:
        # every decoder chooses among all words, even those without a training event
        vocabulary = Path(folder, "words.txt")
        vocabulary.write_text("\n".join(_items(setup)) + "\n", encoding="utf-8")
        recipe = Recipe.from_dict({"target": {"vocabulary": str(vocabulary)}, **chain.recipe})
        labelled, unseen = (_labelled(recording, recipe) for recording in (train, test))
        draft = draft_model([train], recipe)
        if borrowed is not None:
            draft = replace(draft, cleaning=borrowed)
        elif recipe.clean.stages:
            share = unlocked_share([labelled], recipe.fit)
            draft, _ = fit_cleaning(draft, [labelled], share=share)
        model = _fitted(draft, build_design(_in_long_hops(draft), [labelled]), seed, setup)
    design = build_design(_in_long_hops(draft), [unseen]).answered_only()
    return _answers(model, design, len(test.markers)), draft.cleaning


def _in_long_hops(draft: Model) -> Model:
    """Return a model with the same features: cuts change no bit, and long hops are faster."""
    stream = replace(draft.recipe.stream, hop_ms=_HOP_MS)
    return replace(draft, recipe=replace(draft.recipe, stream=stream))


def _labelled(recording: Recording, recipe: Recipe) -> LabelledRecording:
    return label_recording(recording, None, recipe, MarkerRules())


def _fitted(draft: Model, design: Design, seed: int, setup: Setup) -> Model:
    place = {item: i for i, item in enumerate(_items(setup))}
    vectors = _vectors(seed, setup)

    def embedder(items: Sequence[str], **_: Any) -> np.ndarray:
        return vectors[[place[item] for item in items]]

    return fit_model(draft, design, embedder=embedder)


def _answers(model: Model, design: Design, n_shown: int) -> Decoded:
    clamp = model.recipe.features.clamp
    found = evidence(model, scale_features(design.X, model.center, model.scale, clamp))
    place = {item: i for i, item in enumerate(model.items)}
    truth = np.array([place[label] for label in design.labels])
    posterior = log_posterior(found, model.posterior, model.log_prior, model.item_bias)
    bits = bits_beyond_prior(posterior, model.log_prior, truth)
    return Decoded(found.cosines, truth, bits, design.onsets, n_shown, tuple(model.cleaning))
