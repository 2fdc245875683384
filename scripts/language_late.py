"""A live decoder whose language is late at every second event; `eval_language.py` counts what is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any

import numpy as np

from calibration.design import draft_model
from rt_decoder.decoder import Decoder
from rt_decoder.decoding.language.process import LanguageProcess
from rt_decoder.files.recording import Recording
from rt_decoder.live.next_words import NextWords
from rt_decoder.model import PosteriorParameters
from rt_decoder.pipeline import Pipeline
from rt_decoder.recipe import Recipe
from rt_decoder.simulation.participant import Participant

__all__ = ["late"]


class Held:
    """Passes events on to a language; every second one only when its answer is too late."""

    def __init__(self, language: LanguageProcess) -> None:
        self._language = language
        self.late: tuple[Any, ...] | None = None
        self.done: set[int] = set()  # events that are answered, or kept

    def begin(self, take: Callable[..., None], ended: Callable[[str], None]) -> None:
        def taken(n: int, log_prior: np.ndarray) -> None:
            take(n, log_prior)
            self.done.add(n)

        self._language.begin(taken, ended)

    def ask(self, *event: Any) -> None:
        if event[0] % 2:
            self._language.ask(*event)
        else:
            self.late = event
            self.done.add(event[0])

    def release(self, n: int) -> None:
        """Pass an event on that was kept, once event n has come."""
        if self.late is not None and self.late[0] < n:
            self._language.ask(*self.late)
            self.late = None

    def close(self) -> None:
        self._language.close()


def late(text: str, words: tuple[str, ...]) -> dict[str, int]:
    """Play a recording to a live decoder whose language is late at every second event."""
    n_dims, n_words = 40, len(words)
    vectors = np.random.default_rng(0).standard_normal((n_words, n_dims))
    simulation = Participant(vectors, words, n_channels=8, sfreq=250.0).simulate(
        duration=20.0, seed=1, components=False
    )
    recording = Recording(
        simulation.data, np.arange(len(simulation.data)) / 250.0, simulation.info, simulation.events
    )
    draft = draft_model([recording], Recipe.from_dict({"stream": {"picks": ["eeg"]},
                                                       "clean": {"stages": []}}))  # fmt: skip
    p = Pipeline(draft).window.n_features
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    model = replace(
        draft, center=np.zeros(p), scale=np.full(p, 1e-5), offset=np.zeros(5, np.float32),
        weights=np.random.default_rng(1).standard_normal((p, 5)).astype(np.float32),
        basis=np.eye(5, n_dims), target_mean=np.zeros(n_dims), items=words, vectors=unit,
        log_prior=np.full(n_words, -np.log(n_words)), posterior=PosteriorParameters(3.0),
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        path = Path(folder) / "text.txt"
        path.write_text(text)
        language = Held(LanguageProcess(model, path, "", 0.9))
        return played(Decoder(model, recording.info), recording, language)


def played(decoder: Decoder, recording: Recording, language: Held) -> dict[str, int]:
    """Count priors that came late, were told, and were not used as they came."""
    words, n, n_told, wrong = NextWords(decoder, language), 0, 0, 0  # type: ignore[arg-type]
    waiting = list(recording.markers)
    for start in range(0, len(recording.data), 25):
        piece = slice(start, start + 25)
        while waiting and waiting[0].time <= recording.times[start] + 0.2:
            decoder.mark(waiting.pop(0))
        n_told += len(words.apply(0.0, start, None))
        for readout in decoder.push(recording.data[piece], recording.times[piece]):
            wrong += (readout.prior == "language") != (n % 2 == 1)
            n += 1
            language.release(n)
            deadline = monotonic() + 30.0
            while n not in language.done and monotonic() < deadline:
                sleep(1e-3)
    n_told += len(words.apply(0.0, len(recording.data), None))
    words.close()
    n_late = (n - 1) // 2
    return {"n": n - 1, "n_late": n_late, "n_told": n_told, "wrong": wrong + abs(n_told - n_late)}
