"""Decode from an experiment's own program: what comes, what ends it, and what it leaves behind."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from pylsl import local_clock

from calibration.demo import save_recording
from calibration.design import draft_model
from rt_decoder import Decoder, Live, ModelMismatch, open_live
from rt_decoder.files.model_file import load_model, model_hash, save_model
from rt_decoder.files.read import read_recording
from rt_decoder.live.run_options import run_options
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import Readout
from rt_decoder.sinks.outlets import data_outlet
from tests.lsl_loopback import wait_for
from tests.small import (
    REPO,
    WORDS,
    command_line,
    finish,
    random_model,
    small_recipe,
    small_recording,
    timeless,
)

RECORDING = small_recording(seconds=12.0)


class Amplifier:
    """Sends `RECORDING` in real time from a thread, again and again."""

    def __init__(self, name: str) -> None:
        self.outlet: Any = data_outlet(name, RECORDING.info, name)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _send(self) -> None:
        start, row, sfreq = local_clock(), 0, RECORDING.info.sfreq
        data = np.ascontiguousarray(RECORDING.data)
        while not self._stopped.wait(0.01):
            n = int((local_clock() - start) * sfreq) - row
            if n > 0:
                rows = np.arange(row, row + n)
                self.outlet.push_chunk(data[rows % len(data)], list(start + rows / sfreq))
                row += n

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self.outlet = None


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "me.rtd.safetensors"
    save_model(random_model(RECORDING, small_recipe()), path)
    return path


@pytest.fixture
def amplifier(source_id: str) -> Iterator[Amplifier]:
    amplifier = Amplifier(source_id)
    amplifier.start()
    yield amplifier
    amplifier.stop()


def hold(model: Path, source_id: str, **options: Any) -> Live:
    return open_live(model, source_id, force=True, outlet="", timeout=60.0, **options)


def told(live: Live) -> list[str]:
    return [line["event"] for line in list(live.events)]


@pytest.mark.lsl
@pytest.mark.parametrize("in_process", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_session_that_an_experiment_marks_is_its_record(
    model, amplifier, source_id, in_process, tmp_path
) -> None:
    record = tmp_path / "session.xdf"
    readouts = []
    with hold(model, source_id, record=record, continuous=False, in_process=in_process) as live:
        assert live.stream == source_id
        assert live.files == {"record": str(record)}
        assert live.next(timeout=0.0) is None
        wait_for(lambda: "live" in told(live))
        for label in ("word3", "", "word5"):  # the second is for the decoder to find out
            live.mark(label)
            readout = live.next(timeout=120.0)
            assert readout is not None
            readouts.append(readout)
        footer = live.stop()
    assert live.state == "ended"
    assert [one.kind for one in readouts] == ["event"] * 3
    assert [one.label for one in readouts] == ["word3", "onset", "word5"]
    assert "label_unknown" not in told(live)
    assert footer["counts"]["readouts"] == 3
    assert model_hash(load_model(model)).encode() in record.read_bytes()
    recording = read_recording(record)
    again = decode_recording(load_model(model), recording, recording.markers)
    assert timeless(list(again)) == timeless(readouts)
    with pytest.raises(EOFError, match="has ended: it was asked to stop"):
        live.next()


@pytest.mark.slow
@pytest.mark.lsl
@pytest.mark.parametrize("continuous", [True, False])
def test_candidates_are_chosen_while_it_runs(
    model, amplifier, source_id, continuous, tmp_path
) -> None:
    """The record answers as live, whatever was chosen when."""
    record = tmp_path / "session.xdf"
    readouts: list[Readout] = []

    def read(condition: Callable[[Readout], bool]) -> Readout:
        live.mark("")
        while True:
            readout = live.next(timeout=120.0)
            assert readout is not None
            readouts.append(readout)
            if readout.kind == "event" and condition(readout):
                return readout

    two = {"word1", "word7"}
    with hold(model, source_id, record=record, continuous=continuous) as live:
        assert live.items == WORDS
        with pytest.raises(ValueError, match="word99"):
            live.restrict(["word1", "word99"])
        with pytest.raises(ValueError, match="list of items"):
            live.restrict("word1")
        wait_for(lambda: "live" in told(live))
        everything = read(lambda _: True)
        live.restrict(two)
        wait_for(lambda: "chosen" in told(live))
        pair = read(lambda _: True)
        live.restrict(["word4"])
        single = read(lambda readout: len(readout.words) == 1)
        live.restrict()
        again = read(lambda readout: len(readout.words) > 2)
        live.stop()
        readouts += live
    assert len(everything.words) == len(again.words) == 10
    assert set(pair.words) == two
    assert sum(pair.probabilities) == pytest.approx(1.0)
    assert 0.0 <= pair.bits <= 1.0
    assert single.probabilities == (1.0,)
    assert single.bits == pytest.approx(0.0)
    recording = read_recording(record)
    options = PipelineOptions(continuous=continuous, force=True)
    offline = decode_recording(load_model(model), recording, recording.markers, options)
    assert timeless(list(offline)) == timeless(readouts)


@pytest.mark.lsl
@pytest.mark.parametrize("in_process", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_an_experiment_chooses_pauses_and_tells_is_in_the_record(
    model, amplifier, source_id, in_process, tmp_path
) -> None:
    """Threshold, prior, candidates, top and posterior, at once or for one event; pauses; truths."""
    record = tmp_path / "session.xdf"
    readouts: list[Readout] = []

    def read(label: str = "", **choice: Any) -> Readout:
        live.mark(label, **choice)
        readout = live.next(timeout=120.0)
        assert readout is not None
        readouts.append(readout)
        return readout

    with hold(
        model, source_id, record=record, continuous=False, in_process=in_process,
        candidates=WORDS[:6], posterior=True,
    ) as live:  # fmt: skip
        wait_for(lambda: "live" in told(live))
        six = read()
        assert set(six.words) == set(WORDS[:6])
        assert six.posterior[six.item] == pytest.approx(six.probabilities[0])
        assert six.words[0] == WORDS[six.item]
        assert six.before == pytest.approx([1 / 6] * 6 + [0.0] * 6)
        live.choose(threshold=2.0, prior={"word1": 3.0, "word4": 1.0, "word9": 7.0}, top=1)
        wait_for(lambda: told(live).count("chosen") == 2)
        two = read()
        assert two.abstained
        assert "uncertain" in two.reasons
        assert len(two.words) == 1
        assert np.flatnonzero(two.before).tolist() == [1, 4]  # candidates stay
        own = read(candidates=["word7", "word8"], prior=None, threshold=None, posterior=False)
        assert set(own.words) <= {"word7", "word8"}
        assert own.posterior == own.before == ()
        assert not own.abstained
        assert np.flatnonzero(read().before).tolist() == [1, 4]
        live.pause()
        wait_for(lambda: live.paused)
        live.mark("unheard")
        wait_for(lambda: "marker_lost" in told(live))
        live.resume()
        wait_for(lambda: not live.paused)
        live.choose(candidates=(), prior=None, threshold=None, top=None, posterior=False)
        wait_for(lambda: told(live).count("chosen") == 3)
        everything = read("word5")  # whose marker tells its item
        live.truth(six.seq, "word2")
        live.truth(six.seq, "word3")  # too late
        wait_for(lambda: "refused" in told(live))
        with pytest.raises(ValueError, match="item of the model"):
            live.truth(six.seq, "word99")
        footer = live.stop()
    assert len(everything.words) == 10
    lost = next(line for line in live.events if line["event"] == "marker_lost")
    assert (lost["label"], lost["reason"]) == ("unheard", "the session was paused")
    assert live.score["n"] == footer["score"]["n"] == 2
    assert live.score == footer["score"]
    assert live.score["verdict"] == "not above chance so far"
    recording = read_recording(record)
    fitted = load_model(model)
    options = PipelineOptions(force=True, continuous=False)
    for chunk in (7, 64):
        decoder = Decoder(fitted, recording.info, options)
        again = list(
            decode_recording(
                fitted, recording, recording.markers, options, chunk=chunk, decoder=decoder
            )
        )
        assert timeless(again) == timeless(readouts)
        score = decoder.pipeline.answerer.scored.score.summary()
        score.pop("bits_per_minute"), footer["score"].pop("bits_per_minute", None)
        assert score == footer["score"]


@pytest.mark.slow
@pytest.mark.lsl
def test_every_hop_is_read_out_where_nothing_marks(model, amplifier, source_id) -> None:
    seen = []
    with hold(model, source_id) as live:
        for readout in live:
            seen.append(readout.seq)
            if len(seen) == 200:
                break
    assert seen == list(range(200))
    list(live)  # what was not taken can still be, and it ends


@pytest.mark.slow
@pytest.mark.lsl
def test_other_tasks_run_while_one_waits_for_readouts(model, amplifier, source_id) -> None:
    async def take(live: Live) -> tuple[list[int], int]:
        seqs, n_turns, over = [], 0, asyncio.Event()

        async def turn() -> None:
            nonlocal n_turns
            while not over.is_set():
                n_turns += 1
                await asyncio.sleep(0.001)

        other = asyncio.create_task(turn())
        waits = asyncio.create_task(anext(live))
        await asyncio.sleep(0)
        waits.cancel()  # takes no readout with it
        async for readout in live:
            seqs.append(readout.seq)
            if len(seqs) == 50:
                live.stop()
        over.set()
        await other
        return seqs, n_turns

    with hold(model, source_id) as live:
        seqs, n_turns = asyncio.run(take(live))
    assert len(seqs) >= 50
    assert seqs == list(range(len(seqs)))
    assert n_turns > 5


@pytest.mark.slow
@pytest.mark.lsl
def test_a_function_takes_readouts_and_its_time_is_measured(model, amplifier, source_id) -> None:
    seen: list[int] = []

    def slow(readout: Readout) -> None:
        seen.append(readout.seq)
        if readout.seq == 10:
            threading.Event().wait(0.05)

    with hold(model, source_id, on_readout=slow, budget_ms=40.0) as live:
        with pytest.raises(RuntimeError, match="on_readout"):
            live.next()
        assert not live.wait(timeout=0.0)
        wait_for(lambda: len(seen) > 50)
    assert seen == list(range(len(seen)))
    told_of = live.callback
    assert told_of["n"] == len(seen)
    assert told_of["n_over"] >= 1
    assert told_of["ms"]["max"] >= 50.0
    assert told(live).count("callback_slow") == 1
    assert live.wait()


@pytest.mark.slow
@pytest.mark.lsl
def test_what_the_function_raises_is_raised_where_it_can_be_caught(
    model, amplifier, source_id
) -> None:
    live = hold(model, source_id, on_readout=lambda readout: 1 / (3 - readout.seq))
    with pytest.raises(ZeroDivisionError):
        live.wait()
    assert live.state == "live"  # the session goes on
    with pytest.raises(ZeroDivisionError):
        live.stop()
    assert live.state == "ended"
    assert live.callback["n"] >= 4


@pytest.mark.slow
@pytest.mark.lsl
def test_what_comes_right_after_opening_is_answered(model, amplifier, source_id) -> None:
    """Once a session is open, the samples before an onset are there."""
    with hold(model, source_id, continuous=False) as live:
        assert live.ask("word2", timeout=120.0) is not None
    assert "marker_lost" not in told(live)


@pytest.mark.slow
@pytest.mark.lsl
def test_what_is_asked_has_its_own_readout(model, amplifier, source_id) -> None:
    """Whatever else comes: hops, and an event before it that nobody took."""
    with hold(model, source_id, continuous=True, marker_offset=20.0) as live:
        wait_for(lambda: "live" in told(live))
        earlier = live.mark("word1")
        readout = live.ask("word2", timeout=120.0, candidates=["word4", "word5"])
        assert readout is not None
        assert (readout.kind, readout.label) == ("event", "word2")
        assert set(readout.words) == {"word4", "word5"}
        assert readout.onset > earlier
        live.pause()
        wait_for(lambda: live.paused)
        assert live.ask(timeout=None) is None  # at once: it is known that there will be none
        assert live.missed == "the session was paused"
        live.resume()
        assert live.ask(timeout=0.001) is None
        assert live.missed == "no readout within 0.001 s"


@pytest.mark.slow
@pytest.mark.lsl
def test_liblsl_says_nothing_on_stderr(model, source_id, tmp_path) -> None:
    """Without any configuration of its own: the sender, the experiment and its session."""
    save_recording(replace(RECORDING, markers=()), tmp_path / "sent.xdf")
    code = f"""
    import rt_decoder
    with rt_decoder.open_live({str(model)!r}, {source_id!r}, force=True, outlet="") as live:
        print(live.next(timeout=60.0).kind)
    """
    given = {key: value for key, value in os.environ.items() if key != "LSLAPICFG"}
    given |= {"HOME": str(tmp_path)}
    sender = subprocess.Popen(
        command_line("replay", tmp_path / "sent.xdf", "--name", source_id), env=given, cwd=REPO,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env=given, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    finally:
        sender.terminate()
        finish(sender)
    assert (ran.returncode, ran.stdout) == (0, "continuous\n"), ran.stderr
    assert "INFO" not in ran.stderr
    assert "Configuration" not in ran.stderr


@pytest.mark.slow
@pytest.mark.lsl
def test_a_session_ends_after_the_seconds_asked_for(model, amplifier, source_id) -> None:
    with hold(model, source_id, seconds=1.0) as live:
        assert live.wait(timeout=120.0)
        readouts = list(live)
        with pytest.raises(EOFError, match=r"it has decoded for the 1\.?\d* s asked for"):
            live.next()
    assert len(readouts) > 10


@pytest.mark.slow
@pytest.mark.lsl
def test_errors_are_raised_where_the_experiment_can_catch_them(model, source_id, tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        open_live(tmp_path / "absent.rtd.safetensors")
    with pytest.raises(LookupError, match=r"need a stream|no stream"):
        open_live(model, source_id, timeout=0.2, outlet="", force=True)
    with pytest.raises(ValueError, match="--force"):
        open_live(model, source_id, timeout=0.2, outlet="")
    with pytest.raises(TypeError, match="did you mean"):
        open_live(model, source_id, recrd="x")
    info = RECORDING.info.pick(range(4))
    outlet: Any = data_outlet(source_id, info, source_id)
    with pytest.raises(ModelMismatch):
        hold(model, source_id)
    del outlet


@pytest.mark.slow
@pytest.mark.lsl
def test_a_process_that_dies_is_told(model, amplifier, source_id) -> None:
    live = hold(model, source_id)
    process = live._link._process  # type: ignore[attr-defined]
    process.kill()
    with pytest.raises(RuntimeError, match="has died"):
        list(live)
    with pytest.raises(RuntimeError, match="has died"):
        live.stop()


@pytest.mark.slow
@pytest.mark.lsl
@pytest.mark.parametrize("how", ["interrupted", "left"])
def test_an_experiment_that_ends_ends_its_session(
    model, amplifier, source_id, how, tmp_path
) -> None:
    """By Ctrl-C, or without a word; a script needs no guard against being imported."""
    log = tmp_path / "session.jsonl"
    script = tmp_path / "experiment.py"
    script.write_text(
        textwrap.dedent(f"""
        import os
        from rt_decoder import open_live

        live = open_live({str(model)!r}, {source_id!r}, force=True, outlet="", timeout=60.0,
                         log={str(log)!r})
        print(live.next().kind, flush=True)
        if {how!r} == "left":
            os._exit(3)
        with live:
            for readout in live:
                pass
        """),
        encoding="utf-8",
    )
    ran = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert ran.stdout is not None
    assert ran.stdout.readline() == "continuous\n"
    if how == "interrupted":
        os.kill(ran.pid, signal.SIGINT)
    _, err = ran.communicate()
    assert ran.returncode == (3 if how == "left" else -signal.SIGINT)
    assert ("KeyboardInterrupt" in err) == (how == "interrupted")
    wait_for(lambda: '"footer"' in log.read_text(encoding="utf-8"))


@pytest.mark.lsl
def test_a_wish_that_cannot_be_fulfilled_is_told_and_ends_nothing(
    model, amplifier, source_id, tmp_path
) -> None:
    """Candidates of a model that only cleans: an event, since the session is another process."""
    path = tmp_path / "cleaning.rtd.safetensors"
    save_model(draft_model([RECORDING], small_recipe()), path)
    with hold(path, source_id, clean_outlet=f"{source_id}-clean") as live:
        live.restrict()
        wait_for(lambda: "refused" in told(live))
        footer = live.stop()
    assert footer["type"] == "footer"


@pytest.mark.slow
@pytest.mark.lsl
def test_candidates_may_come_from_anything_that_lists_them(model, amplifier, source_id) -> None:
    with hold(model, source_id) as live:
        live.restrict(item for item in ("word1", "word5"))  # type: ignore[arg-type]
        readout = live.next(timeout=120.0)
        while readout is not None and len(readout.words) > 2:
            readout = live.next(timeout=120.0)
    assert readout is not None
    assert set(readout.words) == {"word1", "word5"}


def test_every_option_of_the_command_is_a_keyword_of_the_same_name() -> None:
    """As the parser has them: an option that is added to one is added to the other."""
    from typer.main import get_command

    from rt_decoder.commands.cli import app

    command = get_command(app)
    run = command.get_command(click.Context(command), "run")  # type: ignore[attr-defined]
    keywords = inspect.signature(open_live).parameters
    of_the_terminal = {"model", "json", "help", "config"}
    for option in run.params:
        name = max(option.opts, key=len).removeprefix("--").replace("-", "_")
        if name in of_the_terminal or name in keywords:
            continue
        value = {"reference": [], "without": (), "when_behind": "skip"}.get(name, option.default)
        run_options({name: value() if callable(value) else value})
        with pytest.raises(TypeError, match=f"did you mean.*{name}"):
            run_options({f"{name}_": 1})


def test_options_are_those_of_the_command_line() -> None:
    options = run_options(
        {"markers": "channel:STI", "marker_offset": 30, "when_behind": "skip", "max_behind": 100}
    )
    assert (options.rules.trigger, options.markers) == ("STI", "")
    assert options.rules.offset == pytest.approx(0.03)
    assert options.max_behind == pytest.approx(0.1)
    assert options.skip
    with pytest.raises(ValueError, match="when_behind among"):
        run_options({"when_behind": "never"})
