"""A small participant with a fitted model, and the command lines run on them.

Twelve words whose vectors are random: no language model is needed, and all takes two seconds.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from calibration.design import build_design, draft_model
from calibration.events import label_recording
from calibration.fit import fit_model
from rt_decoder.commands.console import run_app
from rt_decoder.files.model_file import save_model
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model, PosteriorParameters
from rt_decoder.recipe import Recipe
from rt_decoder.signal import Readout, SignalInfo
from rt_decoder.simulation.participant import Participant
from rt_decoder.timing.markers import MarkerRules

REPO = Path(__file__).resolve().parents[1]
WORDS = tuple(f"word{i}" for i in range(12))
VECTORS = np.random.default_rng(0).standard_normal((len(WORDS), 16))
CODES = {str(i + 1): word for i, word in enumerate(WORDS)}  # of the trigger channel
# what depends on when and how fast a stream came, and on nothing else
OF_THE_CLOCK = {"onset", "time", "latency_ms", "late"}


def fake_embedder(texts: Sequence[str], **_: Any) -> np.ndarray:
    """Vectors of `WORDS`, in place of a language model's."""
    return VECTORS[[WORDS.index(text) for text in texts]]


def small_recording(
    *,
    session: int = 1,
    seconds: float = 60.0,
    sfreq: float = 250.0,
    vectors: np.ndarray = VECTORS,
) -> Recording:
    """The participant hears words; markers, and the same as codes in the channel TRIG."""
    participant = Participant(vectors, WORDS, n_channels=8, sfreq=sfreq, references=True)
    simulation = participant.simulate(duration=seconds, seed=session, components=False)
    trigger = np.zeros(len(simulation.data))
    for event in simulation.events:
        trigger[event.index : event.index + 10] = WORDS.index(event.label) + 1
    info = simulation.info
    info = SignalInfo(
        sfreq, (*info.ch_names, "TRIG"), (*info.ch_types, "stim"), (*info.units, "n/a")
    )
    return Recording(
        np.column_stack((simulation.data, trigger)),
        np.arange(len(trigger)) / sfreq,
        info,
        simulation.events,
        name=f"session-{session}",
    )


def small_recipe(**sections: dict[str, Any]) -> Recipe:
    """EEG only, no cleaning, few permutations, codes named, no abstention; `sections` come first."""
    base: dict[str, dict[str, Any]] = {
        "stream": {"picks": ["eeg"]},
        "clean": {"stages": []},
        "target": {"names": CODES},
        "fit": {"n_blocks": 4, "n_permutations": 19},
        "readout": {"precision": 0.0},
    }
    for name, values in sections.items():
        base[name] = base.get(name, {}) | values
    return Recipe.from_dict(base)


def fit_small(recording: Recording, recipe: Recipe) -> Model:
    """Model fitted on the recording's own markers."""
    draft = draft_model([recording], recipe)
    design = build_design(draft, [label_recording(recording, None, recipe, MarkerRules())])
    return fit_model(draft, design, embedder=fake_embedder)


def save_small(path: Path) -> None:
    """Write the model of the small participant's first session."""
    save_model(fit_small(small_recording(), small_recipe()), path)


def random_model(
    recording: Recording, recipe: Recipe, *, items: Sequence[str] = WORDS, seed: int = 0
) -> Model:
    """Model with a random map: what it says is nonsense, and every bit of it counts."""
    from rt_decoder.pipeline import Pipeline

    rng = np.random.default_rng(seed)
    draft = draft_model([recording], recipe)
    n_features, rank, dim = Pipeline(draft).window.n_features, 5, 16
    vectors = rng.standard_normal((len(items), dim))
    return replace(
        draft,
        center=rng.normal(0, 1e-6, n_features),
        scale=rng.uniform(1e-6, 1e-5, n_features),
        weights=rng.standard_normal((n_features, rank)).astype(np.float32),
        offset=rng.standard_normal(rank).astype(np.float32),
        basis=np.linalg.qr(rng.standard_normal((dim, rank)))[0].T.astype(np.float32),
        target_mean=np.zeros(dim, np.float32),
        items=tuple(items),
        vectors=(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32),
        log_prior=np.log(np.full(len(items), 1 / len(items))),
        posterior=PosteriorParameters(tau=3.0, threshold=0.0, min_quality=0.8),
    )


class Ran(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


def command_line(*arguments: str | Path, program: str = "rt_decoder") -> list[str]:
    """A command of `rt-decoder`, or of `rt-calibrate`, for `subprocess`."""
    return [sys.executable, "-m", program, *map(str, arguments)]


def start(
    *arguments: str | Path, program: str = "rt_decoder", **kwargs: Any
) -> subprocess.Popen[str]:
    """A command of a program in a process of its own."""
    return subprocess.Popen(
        command_line(*arguments, program=program),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPO,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        **kwargs,
    )


PROGRESS = re.compile(
    r"^(?:[^\n:]+: \d+ (?:%|s so far)|compiling, \d+ of \d+)\n", re.MULTILINE
)  # of long steps: a slow machine has more


def finish(process: subprocess.Popen[str], deadline: float = 90.0) -> Ran:
    """Wait for a process; one that hangs fails the test and is ended."""
    try:
        out, err = process.communicate(timeout=deadline)
    finally:
        process.kill()
    return Ran(process.returncode, out, PROGRESS.sub("", err))


def call(
    capsys: pytest.CaptureFixture[str], *arguments: str | Path, program: str = "rt_decoder"
) -> Ran:
    """Run a command in this process, as its program would."""
    from calibration.cli import app as calibrate
    from rt_decoder.commands.cli import app as decode

    app = calibrate if program == "calibration" else decode
    before, sys.argv = sys.argv, [program, *map(str, arguments)]
    capsys.readouterr()
    try:
        with pytest.raises(SystemExit) as ended:
            run_app(app)
    finally:
        sys.argv = before
    out, err = capsys.readouterr()
    return Ran(int(ended.value.code or 0), out, PROGRESS.sub("", err))


def lines(path: Path) -> list[dict[str, Any]]:
    """A log's lines; every one is whole."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def readouts(path: Path) -> list[dict[str, Any]]:
    """Readouts of a log, less what is of the clock."""
    return [
        {key: value for key, value in line.items() if key not in OF_THE_CLOCK}
        for line in lines(path)
        if line["type"] == "readout"
    ]


def timeless(answers: Sequence[Readout]) -> list[tuple[Any, ...]]:
    """Readouts less what is of the clock, comparable to the bit."""
    return [
        tuple(value for name, value in answer._asdict().items() if name not in OF_THE_CLOCK)
        for answer in answers
    ]
