"""Words on a screen: their order, their times, what is marked and what is left behind."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import os
import pty
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pylsl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rt_decoder.present.page_clock import PageClock
from rt_decoder.present.schedule import CATCH, CUES, Plan, Step, make_schedule
from rt_decoder.present.show import PAUSED, RESUMED, Shown, show
from rt_decoder.present.table import COLUMNS, events_table, summary
from rt_decoder.present.words import read_words
from tests.lsl_loopback import wait_for
from tests.small import REPO, call

WORDS = ("axe", "bee", "cow", "dog", "elk")


class Screen:
    """A screen in made-up time: each frame takes 10 ms, and keys come at set times."""

    def __init__(self, keys: dict[float, str] | None = None, frame: float = 0.01) -> None:
        self.now, self.frame = 100.0, frame
        self.keys = sorted((keys or {}).items())
        self.seen: list[tuple[float, str]] = []

    def clock(self) -> float:
        return self.now

    def prepare(self, ahead: Sequence[tuple[Step, float]]) -> None:
        self.prepared = ahead

    def show(self, step: Step) -> float | None:
        self.now += self.frame
        self.seen.append((self.now, step.text))
        return self.now

    def key(self, wait: float) -> str:
        end = self.now + max(wait, 1e-4)
        if self.keys and self.keys[0][0] <= end:
            at, pressed = self.keys.pop(0)
            self.now = max(self.now, at)
            return pressed
        self.now = end
        return ""


def run(steps: tuple[Step, ...], screen: Screen) -> tuple[list[Shown], list[tuple[str, float]]]:
    sent: list[tuple[str, float]] = []
    shown = list(show(steps, screen, lambda label, at: sent.append((label, at)), screen.clock))
    return shown, sent


@given(
    n=st.integers(1, 30), repeats=st.integers(1, 5), block=st.integers(1, 20),
    catch=st.floats(0, 1), seed=st.integers(0, 1000),
)  # fmt: skip
def test_an_order_is_whole_even_and_its_own(
    n: int, repeats: int, block: int, catch: float, seed: int
) -> None:
    words = [f"w{i}" for i in range(n)]
    plan = Plan(repeats=repeats, block=block, catch=catch, seed=seed, gap=0.5, jitter=0.4)
    steps = make_schedule(words, plan)
    assert steps == make_schedule(words, plan)
    order = [step.label for step in steps if step.kind == "word"]
    assert Counter(order) == dict.fromkeys(words, repeats)
    for k in range(repeats):  # each is shown before any is shown again
        assert set(order[k * n : (k + 1) * n]) == set(words)
    if n > 1:
        assert all(a != b for a, b in itertools.pairwise(order))
    gaps = [step.seconds for step in steps if step.kind == "gap"]
    assert all(0.3 <= gap <= 0.7 for gap in gaps)
    blocks = Counter(step.block for step in steps if step.kind == "word")
    assert all(blocks[k] == block for k in range(1, max(blocks)))
    for word, asked in itertools.pairwise(steps):
        if asked.kind == "catch":
            assert word.kind == "word"
            assert (asked.answer == "y") == (asked.text == f"Was it {word.text}? (y/n)")
    labels = {step.label for step in steps if step.kind != "word"} - {"", CATCH}
    assert labels == set(CUES)
    assert all(label.startswith("cue/") for label in (*labels, CATCH, PAUSED, RESUMED))


def test_words_without_a_gap_follow_each_other() -> None:
    steps = make_schedule(WORDS, Plan(cues=False, catch=0.0, gap=0.0, jitter=0.0))
    assert [step.kind for step in steps] == ["rest", *["word"] * len(WORDS), "end"]
    shown, _ = run(steps, Screen({100.5: "x"}))  # one key, to begin
    assert len(shown) == len(steps)


def test_other_seeds_are_other_orders_and_wrong_plans_are_refused() -> None:
    orders = {tuple(s.label for s in make_schedule(WORDS, Plan(seed=seed))) for seed in range(20)}
    assert len(orders) > 15
    for wrong in ([], ["axe", "axe"]):
        with pytest.raises(ValueError, match="need"):
            make_schedule(wrong)
    for field in ({"shown": 0.0}, {"catch": 1.5}, {"jitter": 9.0}, {"block": 0}, {"gap": -1.0}):
        with pytest.raises(ValueError, match="need"):
            Plan(**field)


def test_words_keep_their_time_and_are_marked_when_they_are_seen() -> None:
    """A late frame delays its own step alone, and a marker is stamped with what was seen."""
    plan = Plan(cues=False, catch=0.0, repeats=40, block=1000, jitter=0.0)
    steps = make_schedule(WORDS, plan)
    screen = Screen({100.5: "x"})
    shown, sent = run(steps, screen)
    words = [one for one in shown if one.step.kind == "word"]
    assert sent == [(one.step.label, one.time) for one in words]
    assert [one.step.text for one in words] == [step.text for step in steps if step.kind == "word"]
    assert dict(screen.seen)[words[7].time] == words[7].step.text
    onsets = [one.time for one in words]
    period = plan.shown + plan.gap
    drift = [at - onsets[0] - k * period for k, at in enumerate(onsets)]
    assert max(map(abs, drift)) < 0.011  # a frame, after 200 words as after one
    assert summary(shown)["n_late"] == 0
    assert summary(shown)["late_ms"]["max"] <= 10.0 + 1e-6


def test_a_pause_a_question_and_an_end() -> None:
    steps = (
        Step("rest", "go", "", 0.0, 0),
        Step("word", "axe", "axe", 0.5, 1),
        Step("catch", "Was it bee? (y/n)", CATCH, 0.0, 1, "n"),
        Step("gap", "+", "", 1.0, 1),
        Step("word", "bee", "bee", 0.5, 1),
        Step("word", "cow", "cow", 0.5, 1),
    )
    keys = {100.1: "x", 101.0: "k", 101.5: "n", 102.0: " ", 110.0: "x", 110.3: "k", 110.7: "q"}
    shown, sent = run(steps, Screen(keys))
    assert [label for label, _ in sent] == ["axe", CATCH, PAUSED, RESUMED, "bee", "cow"]
    asked = shown[2]
    assert (asked.key, asked.step.answer) == ("n", "n")  # what is no answer is not taken for one
    times = dict(sent)
    assert times[PAUSED] == pytest.approx(102.0, abs=0.02)
    assert 110.0 <= times[RESUMED] <= times["bee"] <= 110.1  # no time is made up for
    assert shown[-1].step.label == "cow"  # ended early, and told all the same
    assert shown[-1].duration < 0.3
    assert summary(shown)["n_right"] == 1

    rows = list(csv.DictReader(io.StringIO(events_table(shown)), delimiter="\t"))
    assert tuple(rows[0]) == COLUMNS
    assert [row["word"] for row in rows] == ["axe", "n/a", "bee", "cow"]
    assert [row["trial_type"] for row in rows] == ["word", "catch", "word", "word"]
    assert rows[1]["correct"] == "1"
    assert float(rows[0]["onset"]) == 0.0
    lsl = [float(row["lsl_time"]) - float(row["onset"]) for row in rows]
    assert max(lsl) - min(lsl) < 1e-5


def test_space_at_a_question_pauses_and_it_is_asked_again() -> None:
    steps = (
        Step("question", "Was the last word axe? y or n", CATCH, 0.0, 1, "y"),
        Step("word", "bee", "bee", 0.5, 1),
    )
    screen = Screen({100.5: " ", 101.0: "x", 101.5: "n", 102.0: "y"})
    shown, marked = run(steps, screen)
    assert [label for label, _ in marked] == [CATCH, PAUSED, RESUMED, CATCH, "bee"]
    assert [one.key for one in shown] == [" ", "n", ""]
    figures = summary(shown)
    assert (figures["n_asked"], figures["n_right"]) == (1, 0)


def test_who_ends_at_a_question_has_not_answered_it() -> None:
    steps = (
        Step("rest", "go", "", 0.0, 0),
        Step("word", "axe", "axe", 0.5, 1),
        Step("catch", "Was it bee? (y/n)", CATCH, 0.0, 1, "n"),
        Step("word", "bee", "bee", 0.5, 1),
    )
    shown, _ = run(steps, Screen({100.1: "x", 101.0: "q"}))
    assert (shown[-1].step.kind, summary(shown)["n_asked"]) == ("catch", 0)
    row = list(csv.DictReader(io.StringIO(events_table(shown)), delimiter="\t"))[-1]
    assert (row["trial_type"], row["response"], row["correct"]) == ("catch", "n/a", "n/a")


def test_what_cannot_be_shown_now_waits_for_a_key() -> None:
    """A page that is gone when a word is due: a pause, and the word is not lost."""

    class Gone(Screen):
        away = 0

        def show(self, step: Step) -> float | None:
            if step.label == "bee" and self.away < 2:
                self.away += 1
                return None
            return super().show(step)

    steps = tuple(Step("word", word, word, 0.5, 1) for word in WORDS[:3])
    shown, sent = run(steps, Gone({105.0: "x", 107.0: "x"}))
    assert [label for label, _ in sent] == ["axe", *[PAUSED, RESUMED] * 2, "bee", "cow"]
    assert [one.step.label for one in shown] == ["axe", "bee", "cow"]
    assert shown[0].duration == pytest.approx(0.5, abs=0.02)  # until the pause was seen
    assert max(one.late for one in shown) < 0.02  # no time is made up for


def test_a_step_is_told_ahead_with_its_time() -> None:
    steps = make_schedule(WORDS, Plan(cues=False, catch=0.0))
    screen = Screen({100.5: "x"})
    told: list[tuple[Step, float]] = []
    screen.prepare = told.extend  # type: ignore[method-assign]
    shown, _ = run(steps, screen)
    planned = dict(told)
    assert len(told) > 3 * len(planned)  # some steps ahead, at the same times whenever it is told
    assert all(planned[step] == pytest.approx(due) for step, due in told)
    timed = [one for one in shown if one.step in planned]
    assert len(timed) == len(steps) - 2  # all but the rest, and what follows its key
    for one in timed:
        assert one.time - one.late == pytest.approx(planned[one.step])


@given(
    st.lists(st.tuples(st.floats(0, 0.05), st.floats(0, 0.05), st.floats(0.1, 5)), min_size=1, max_size=90),
    st.floats(-1e5, 1e5), st.floats(-1e-4, 1e-4),
)  # fmt: skip
def test_a_clock_is_related_within_its_error(
    trips: list[tuple[float, float, float]], offset: float, drift: float
) -> None:
    """Whatever the ways there and back take, and however two clocks drift apart."""
    clock, now = PageClock(), 1000.0
    for there, back, wait in trips:
        asked, answered = now, now + there
        clock.add(asked, offset + answered * (1 + drift), answered + back)
        now = answered + back
        slack = 1e-9 * (abs(offset) + now) + 0.1 * abs(drift)
        assert abs(clock.ours(offset + now * (1 + drift)) - now) <= clock.error + slack
        assert clock.error <= (there + back) / 2 + slack
        assert clock.theirs(clock.ours(3.0)) == pytest.approx(3.0)
        now += wait


def test_a_clock_that_was_set_is_related_anew() -> None:
    clock = PageClock()
    for k in range(10):
        clock.add(k, k + 50.0, k + 0.002)
    clock.add(20.0, 90.0, 20.002)
    assert clock.ours(90.0) == pytest.approx(20.001, abs=1.1e-3)


def test_nothing_shown_is_a_table_with_a_header() -> None:
    assert events_table([]).split() == list(COLUMNS)
    assert summary([])["late_ms"] is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("axe\nbee\n", ("axe", "bee")),
        ("word\naxe\n\nbee\naxe\n", ("axe", "bee")),
        ("onset\tword\n1\taxe\n2\tn/a\n3\tice cream\n4\n", ("axe", "ice cream")),
        ("\ufeffH\u00fctte\nna\u00efve", ("H\u00fctte", "na\u00efve")),
    ],
)
def test_words_of_a_table_or_a_list(text: str, words: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "words.tsv"
    path.write_text(text, encoding="utf-8")
    assert read_words(path) == words


@pytest.mark.parametrize("text", ["", "\n\n", "word\n", "onset\tlabel\n1\taxe\n"])
def test_a_file_without_words_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "words.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"words\.tsv: need"):
        read_words(path)


def test_without_a_terminal_there_is_nothing_to_show_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("axe\nbee\n")
    ran = call(capsys, "present", words, "--wait", "0", "--markers", "nobody", "--save",
               tmp_path / "run.tsv")  # fmt: skip
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "need a terminal" in ran.err
    assert not (tmp_path / "run.tsv").exists()


def read_on(terminal: int, screen: bytearray) -> bytearray:
    """Add what a terminal shows by now; returns all of it."""
    os.set_blocking(terminal, False)
    with contextlib.suppress(BlockingIOError, OSError):
        screen += os.read(terminal, 1 << 16)
    return screen


@pytest.mark.lsl
@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_markers_that_nobody_reads_are_told_before_the_first_word(
    source_id: str, tmp_path: Path
) -> None:
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rt_decoder", "present", str(tmp_path / "words.txt"), "--markers",
         source_id, "--wait", "0"],
        stdin=theirs, stdout=theirs, stderr=subprocess.STDOUT, cwd=REPO,
    )  # fmt: skip
    os.close(theirs)
    screen = bytearray()
    read = partial(read_on, ours, screen)

    try:
        wait_for(lambda: b"NOBODY READS THE MARKERS" in read())
        os.write(ours, b"q")
        wait_for(lambda: read() and process.poll() is not None)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert process.returncode == 0, screen
    assert b"warning: nobody read the markers" in screen


@pytest.mark.lsl
@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_a_presentation_on_a_terminal(source_id: str, tmp_path: Path) -> None:
    """Markers come over LSL, stamped by the same clock; Ctrl-C keeps what was shown."""
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rt_decoder", "present", str(tmp_path / "words.txt"), "--markers",
         source_id, "--save", str(tmp_path / "run.tsv"), "--no-cues", "--catch", "0",
         "--shown", ".1", "--gap", ".1", "--jitter", "0", "--times", "1000", "--json"],
        stdin=theirs, stdout=theirs, stderr=subprocess.STDOUT, cwd=REPO,
    )  # fmt: skip
    os.close(theirs)
    screen = bytearray()
    read = partial(read_on, ours, screen)

    try:
        found = wait_for(lambda: pylsl.resolve_byprop("name", source_id, 1, 1.0))
        inlet = pylsl.StreamInlet(found[0], recover=False)
        inlet.open_stream(timeout=60.0)
        wait_for(lambda: b"Press a key" in read())
        os.write(ours, b"x")
        came: list[tuple[str, float, float]] = []

        def pull() -> bool:
            read()
            sample, at = inlet.pull_sample(timeout=0.0)
            if sample:
                came.append((sample[0], at, pylsl.local_clock()))
            return len(came) >= 8

        wait_for(pull)
        process.send_signal(signal.SIGINT)
        wait_for(lambda: read() and process.poll() is not None)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert process.returncode == 0, screen[-2000:]
    assert set(WORDS) == {label for label, _, _ in came}
    assert all(abs(now - at) < 60.0 for _, at, now in came)  # our own clock
    rows = list(csv.DictReader(io.StringIO((tmp_path / "run.tsv").read_text()), delimiter="\t"))
    assert [row["word"] for row in rows[:8]] == [label for label, _, _ in came[:8]]
    for row, (_, at, _) in zip(rows, came, strict=False):
        assert float(row["lsl_time"]) == pytest.approx(at, abs=1e-5)
    assert screen.endswith(b"\n")
    assert b"\x1b[?1049l" in screen  # the terminal is as it was


@pytest.mark.parametrize("text", ["word,freq\nhouse,3\n", 'n;"word"\n1;house\n'])
def test_a_table_with_commas_is_no_list_of_words(text: str, tmp_path: Path) -> None:
    (tmp_path / "words.csv").write_text(text)
    with pytest.raises(ValueError, match="need columns separated by tabs, got"):
        read_words(tmp_path / "words.csv")
    (tmp_path / "words.txt").write_text("word\nyes, please\n")
    assert read_words(tmp_path / "words.txt") == ("yes, please",)
