"""`rt-decoder record`: streams into a session record, without a model."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rt_decoder.checks.quality import StreamQuality
from rt_decoder.checks.unfitted import unfitted_model
from rt_decoder.decoder import Decoder
from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.recorded import decode_recording
from rt_decoder.replay.plan import ReplayOptions
from rt_decoder.replay.replay import replay
from rt_decoder.signal import FLAGS, Chunk, Reason, SignalInfo
from rt_decoder.sinks.outlets import data_outlet
from tests.lsl_loopback import wait_for
from tests.small import (
    Ran,
    call,
    finish,
    random_model,
    small_recipe,
    small_recording,
    start,
    timeless,
)

RECORDING = small_recording(seconds=8.0)


def recorded(
    capsys: pytest.CaptureFixture[str], recording: Recording, name: str, *arguments: str | Path
) -> Ran:
    """What `record` says of a stream that ends."""
    options = ReplayOptions(speed=4.0, wait=120.0, linger=3.0)
    sender = threading.Thread(
        target=replay, args=(recording, recording.markers, options),
        kwargs={"name": name, "source_id": name},
    )  # fmt: skip
    sender.start()
    try:
        return call(capsys, "record", "--name", name, *arguments, "--until-lost", "--json")
    finally:
        sender.join()


@pytest.mark.lsl
def test_what_was_sent_is_what_is_recorded(
    capsys: pytest.CaptureFixture[str], source_id: str, tmp_path: Path
) -> None:
    """Samples, markers, and the readouts of any model: it decodes as if it had been a session."""
    path, markers = tmp_path / "calibration.xdf", f"{source_id}-markers"
    ran = recorded(capsys, RECORDING, source_id, "--markers", markers, "-o", path)
    assert (ran.code, ran.err) == (0, "")
    told = json.loads(ran.out.splitlines()[-1])
    found = read_recording(path)
    np.testing.assert_array_equal(found.data, RECORDING.data)
    assert found.info.ch_names == RECORDING.info.ch_names
    assert found.info.ch_types == RECORDING.info.ch_types
    assert [one.label for one in found.markers] == [one.label for one in RECORDING.markers]
    assert told["n_samples"] == len(RECORDING.data)
    assert told["markers"] == Counter(one.label for one in RECORDING.markers)
    assert (told["channels"], told["errors"], told["counts"].get("lost_samples", 0)) == ({}, [], 0)
    assert path.stat().st_mode & 0o77 == 0

    model = random_model(RECORDING, small_recipe())
    sent = timeless(list(decode_recording(model, RECORDING, RECORDING.markers)))
    assert timeless(list(decode_recording(model, found, found.markers))) == sent


@pytest.mark.slow
@pytest.mark.lsl
def test_a_dead_channel_is_told_and_a_taken_name_is_not_replaced(
    capsys: pytest.CaptureFixture[str], source_id: str, tmp_path: Path
) -> None:
    path = tmp_path / "rest.xdf"
    path.write_bytes(b"of another day")
    data = np.array(RECORDING.data)
    data[:, 2], data[len(data) // 2 :, 5] = 0.0, np.nan
    silent = replace(RECORDING, data=data, markers=())
    ran = recorded(capsys, silent, source_id, "-o", path)
    assert ran.code == 0, ran.err
    assert path.read_bytes() == b"of another day"
    told = json.loads(ran.out.splitlines()[-1])
    assert Path(told["path"]).name == "rest-002.xdf"
    names = RECORDING.info.ch_names
    assert told["channels"][names[2]]["constant"] == pytest.approx(1.0, abs=0.02)
    assert told["channels"][names[5]]["missing"] == pytest.approx(0.5, abs=0.02)
    assert f"channels: {names[2]} 9" in ran.out or f"channels: {names[2]} 100 %" in ran.out
    np.testing.assert_array_equal(read_recording(Path(told["path"])).data, data)


@pytest.mark.lsl
def test_a_stop_before_the_first_sample_leaves_no_file(source_id: str, tmp_path: Path) -> None:
    outlet: Any = data_outlet(source_id, RECORDING.info, source_id)
    process = start("record", "--name", source_id, "-o", tmp_path / "none.xdf")
    wait_for(outlet.have_consumers)
    process.send_signal(signal.SIGINT)
    ran = finish(process)
    assert (ran.code, list(tmp_path.iterdir())) == (130, [])
    # the signal comes while the stream is being opened, or after it
    told = ("nothing was written", "no sample had come")
    assert ran.err in [f"error: interrupted; {what}\n" for what in told]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--name", "nobody-sends-this", "--timeout", "0", "-o", "{tmp}/x.xdf"), 1, "got none in"),
        (("-o", "{tmp}/x.fif"), 2, ".xdf"),
        (("-o", "{tmp}/away/x.xdf"), 2, "away"),
        (("--reference", "belt=fast", "-o", "{tmp}/x.xdf"), 2, "--reference NAME"),
        (("--channels", "{tmp}/none.tsv", "-o", "{tmp}/x.xdf"), 1, "none.tsv"),
        ((), 2, "example: rt-decoder record"),
    ],
)  # fmt: skip
def test_a_wrong_call_writes_nothing(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    ran = call(capsys, "record", *(one.format(tmp=tmp_path) for one in arguments))
    assert (ran.code, list(tmp_path.iterdir())) == (code, [])
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_run_without_a_model_points_to_record(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ran = call(capsys, "run", "--record", tmp_path / "s.xdf")
    assert ran.code == 2
    assert "rt-decoder record" in ran.err


def test_an_unfitted_model_changes_nothing() -> None:
    """Whatever the types and units: values become SI, and what is missing is held and flagged."""
    info = SignalInfo(100.0, ("Cz", "MEG1", "belt", "code"), ("eeg", "mag", "resp", "stim"),
                      ("uV", "fT", "n/a", "n/a"))  # fmt: skip
    model = unfitted_model(info)
    assert model.info.units == ("V", "T", "n/a", "n/a")
    assert not model.has_map
    data = np.random.default_rng(0).standard_normal((500, 4))
    sent = data.copy()
    sent[203, 0] = np.nan
    decoder, hops = Decoder(model, info), []
    decoder.pipeline.tap(lambda hop: hops.append((hop.data.copy(), hop.channel_flags.copy())))
    for _ in decoder.push_features(sent, 10.0 + np.arange(500) / 100.0):
        pass
    got, flags = (np.concatenate(parts) for parts in zip(*hops, strict=True))
    data[203, 0] = data[202, 0]
    np.testing.assert_allclose(got, data * [1e-6, 1e-15, 1.0, 1.0], rtol=1e-12)
    assert np.argwhere(flags & Reason.NONFINITE).tolist() == [[203, 0]]


def test_shares_are_of_the_samples_that_came() -> None:
    """Lost samples are no fault of a channel."""
    info = SignalInfo(100.0, ("Fz", "Cz"), ("eeg", "eeg"), ("V", "V"))
    quality = StreamQuality(info)
    flags, channels = np.zeros(10, FLAGS), np.zeros((10, 2), FLAGS)
    flags[:5] = Reason.GAP
    channels[4:9, 1] = Reason.FLAT
    quality.look(Chunk(np.zeros((10, 2)), np.zeros(10), 0, flags, channels))
    assert quality.shares() == {"Cz": {"constant": 0.8}}
    assert quality.lines() == ["Cz 80 % constant"]
    assert quality.lines(0.9) == []
