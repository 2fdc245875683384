"""A language beside a running session: in time, late, broken, and recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special

from rt_decoder import open_live
from rt_decoder.decoder import Decoder
from rt_decoder.decoding.answering import make_answering
from rt_decoder.decoding.language.ngram import NGram
from rt_decoder.decoding.language.process import LanguageProcess
from rt_decoder.files.decisions import Prior
from rt_decoder.files.model_file import load_model, save_model
from rt_decoder.files.read import read_recording
from rt_decoder.live.next_words import NextWords
from rt_decoder.model import Language
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import Choice, Marker, Readout
from tests.lsl_loopback import wait_for
from tests.small import WORDS, random_model, small_recipe, small_recording, timeless
from tests.test_next_word import language_text, small_model
from tests.test_open_live import Amplifier

RECORDING = small_recording(seconds=12.0)


class Spoken:
    """Stands for the process: answers when the test lets it."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.closed = False

    def begin(self, take: Callable[..., None], ended: Callable[[str], None]) -> None:
        self.take, self.ended = take, ended

    def ask(self, n: int, marker: Marker, ratio: np.ndarray | None) -> None:
        self.asked.append(n)

    def answer(self, n: int, seed: int = 0) -> None:
        values = special.log_softmax(np.random.default_rng(seed).standard_normal(len(WORDS)))
        self.take(n, values.astype(np.float32).astype(np.float64))

    def close(self) -> None:
        self.closed = True


class Record:
    def __init__(self) -> None:
        self.decisions: list[Any] = []

    def decision(self, time: float, decision: Any) -> None:
        self.decisions.append(decision)


class Played:
    """A session's part that matters here: markers, pushes, and changes between them."""

    def __init__(self) -> None:
        self.language, self.record = Spoken(), Record()
        self.decoder = Decoder(small_model(), RECORDING.info)
        self.words = NextWords(self.decoder, self.language)  # type: ignore[arg-type]
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.n = 0
        self.waiting = list(RECORDING.markers)

    def until(self, n_readouts: int) -> list[Readout]:
        """Push until so many readouts have come."""
        found: list[Readout] = []
        while len(found) < n_readouts:
            assert self.n < len(RECORDING.data), found
            piece = slice(self.n, self.n + 25)
            while self.waiting and self.waiting[0].time <= RECORDING.times[self.n] + 0.2:
                self.decoder.mark(self.waiting.pop(0))
            self.events += self.words.apply(0.0, self.n, self.record)  # type: ignore[arg-type]
            found += self.decoder.push(RECORDING.data[piece], RECORDING.times[piece])
            self.n = piece.stop
        return found

    def wait(self, n: int) -> None:
        wait_for(lambda: len(self.language.asked) >= n)


@pytest.fixture
def played() -> Iterator[Played]:
    one = Played()
    yield one
    one.words.close()
    assert one.language.closed


def test_a_prior_that_is_in_time_is_used_and_a_late_one_is_told(played: Played) -> None:
    assert played.until(1)[0].prior == ""  # the first event of a session
    played.wait(1)
    played.language.answer(1)
    assert played.until(1)[0].prior == "language"
    assert played.until(1)[0].prior == ""  # nothing has answered the second event
    played.language.answer(2)  # it is too late, and not for the next one either
    assert played.until(1)[0].prior == ""
    played.wait(4)
    played.language.answer(4)
    assert played.until(1)[0].prior == "language"
    assert played.events == [("language_prior_late", {"n_late": n}) for n in (1, 2)]
    assert played.words.n_late == 2
    assert [type(one) for one in played.record.decisions] == [Prior, Prior]


def test_what_was_recorded_gives_the_same_bits(played: Played) -> None:
    found = []
    for n in range(4):
        found += played.until(1)
        played.wait(n + 1)
        if n != 1:
            played.language.answer(n + 1, seed=n)
    record = replace(RECORDING, decisions=tuple(played.record.decisions))
    again = list(decode_recording(small_model(), record, RECORDING.markers, chunk=11))
    assert [one.prior for one in found] == ["", "language", "", "language"]
    assert timeless(again[:4]) == timeless(found)


def test_candidates_that_are_chosen_meanwhile_hold_for_the_prior(played: Played) -> None:
    played.until(1)
    played.wait(1)
    played.language.answer(1)
    played.decoder.pipeline.answerer.answer_by(
        make_answering(played.decoder.pipeline.model, Choice(tuple(WORDS[:3])))
    )
    (readout,) = played.until(1)
    assert readout.prior == "language"
    assert set(readout.words) == set(WORDS[:3])


def test_a_language_that_ends_is_told_once_and_decoding_goes_on(played: Played) -> None:
    played.until(1)
    played.language.ended("it broke")
    assert [one.prior for one in played.until(3)] == ["", "", ""]
    assert played.events == [("language_ended", {"reason": "it broke"})]


@pytest.mark.slow
def test_the_process_says_what_the_model_says(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(language_text())
    model, answers = small_model(), []
    process = LanguageProcess(model, tmp_path / "text.txt", "")
    assert process.rules == model.language
    process.begin(lambda n, values: answers.append((n, values)), lambda _: None)
    ratio = np.random.default_rng(0).uniform(0, 2, 12)
    for n, given in enumerate((ratio, None, ratio)):
        process.ask(n, Marker("word1", 0.0), given)
    wait_for(lambda: len(answers) == 3)
    process.close()
    from rt_decoder.decoding.language.next_word import NextWord

    assert model.language is not None
    here = NextWord(WORDS, model.log_prior, NGram(language_text(), WORDS), model.language)
    for n, given in enumerate((ratio, None, ratio)):
        assert answers[n][0] == n
        np.testing.assert_array_equal(answers[n][1], here.foretell(Marker("word1", 0.0), given))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "error", "said"),
    [("a dog", ValueError, "words of the model"), (None, OSError, "x.txt"),
     ("word1 word2", ValueError, "fit again")],
)  # fmt: skip
def test_a_language_that_does_not_fit_is_refused_before_the_session(
    tmp_path: Path, text: str | None, error: type[Exception], said: str
) -> None:
    if text is not None:
        (tmp_path / "x.txt").write_text(text)
    with pytest.raises(error, match=said):
        LanguageProcess(small_model(), tmp_path / "x.txt", "")


@pytest.mark.lsl
@pytest.mark.slow
def test_a_live_session_with_a_language_is_its_record(source_id: str, tmp_path: Path) -> None:
    text, record = tmp_path / "text.txt", tmp_path / "session.xdf"
    text.write_text(language_text())
    model = replace(
        random_model(RECORDING, small_recipe()),
        language=Language(0.7, 0.1, True, NGram.read(text, WORDS).identity),
    )
    save_model(model, tmp_path / "me.rtd.safetensors")
    amplifier, readouts = Amplifier(source_id), []
    amplifier.start()
    with open_live(
        tmp_path / "me.rtd.safetensors", source_id, force=True, outlet="", timeout=60.0,
        record=record, continuous=False, language_text=text,
    ) as live:  # fmt: skip
        wait_for(lambda: any(line["event"] == "live" for line in list(live.events)))
        for label in ("word3", "word4", "word6", "word7"):
            live.mark(label)
            readout = live.next(timeout=120.0)
            assert readout is not None
            readouts.append(readout)
        live.stop()
    amplifier.stop()
    assert readouts[0].prior == ""
    late = [line for line in live.events if line["event"] == "language_prior_late"]
    assert sum(one.prior == "language" for one in readouts[1:]) == 3 - len(late)
    recording = read_recording(record)
    again = list(decode_recording(load_model(tmp_path / "me.rtd.safetensors"), recording,
                                  recording.markers, PipelineOptions()))  # fmt: skip
    assert timeless(again) == timeless(readouts)
