"""What others read of us, and what we read of others: pyxdf, MNE-LSL."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import numpy as np
import pytest
import pyxdf

from calibration.demo import save_recording
from rt_decoder.files.read import read_recording
from rt_decoder.replay.plan import ReplayOptions
from rt_decoder.replay.replay import replay
from rt_decoder.signal import SignalInfo
from rt_decoder.sinks.outlets import data_outlet
from tests.lsl_loopback import wait_for
from tests.small import call, lines, save_small, small_recording

RECORDING = small_recording(seconds=12.0)


def read_by_pyxdf(path: Path, caplog: pytest.LogCaptureFixture) -> dict[str, dict]:
    """Streams by name; pyxdf has no remark."""
    with caplog.at_level(logging.WARNING):
        streams, _ = pyxdf.load_xdf(str(path))
    assert [record.message for record in caplog.records] == []
    return {stream["info"]["name"][0]: stream for stream in streams}


def test_a_saved_recording_is_read_without_a_remark(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.xdf"
    save_recording(RECORDING, path)
    data = read_by_pyxdf(path, caplog)[RECORDING.name]
    np.testing.assert_array_equal(data["time_series"], RECORDING.data)
    ours = read_recording(path)  # measurements of 0 change no bit
    np.testing.assert_array_equal(ours.stamps, RECORDING.stamps)
    assert ours.markers == RECORDING.markers


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "me.rtd.safetensors"
    save_small(path)
    return path


@pytest.mark.lsl
def test_a_session_record_is_read_without_a_remark(
    model: Path, source_id: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys
) -> None:
    sender = threading.Thread(
        target=replay, args=(RECORDING, RECORDING.markers, ReplayOptions(wait=120.0, speed=2.0)),
        kwargs={"name": source_id, "source_id": source_id},
    )  # fmt: skip
    sender.start()
    record = tmp_path / "s.xdf"
    ran = call(
        capsys, "run", "--model", model, "--name", source_id, "--markers", f"{source_id}-markers",
        "--force", "--outlet", "", "--record", record, "--timeout", "60", "--until-lost",
    )  # fmt: skip
    sender.join()
    assert ran.code == 0, ran.err
    streams = read_by_pyxdf(record, caplog)
    data = streams[source_id]["info"]
    channels = data["desc"][0]["channels"][0]["channel"]
    assert [one["label"][0] for one in channels] == list(RECORDING.info.ch_names)
    assert {one["unit"][0] for one in channels[:8]} == {"V"}
    assert {one["type"][0].upper() for one in channels[:8]} == {"EEG"}
    assert len(streams[f"{source_id}-markers"]["time_series"]) > 5


@pytest.mark.lsl
def test_mne_lsl_reads_our_outlets(source_id: str) -> None:
    StreamLSL = pytest.importorskip("mne_lsl.stream").StreamLSL
    from mne.io.constants import FIFF

    info = SignalInfo(100.0, ("Fz", "HEOG", "ECG"), ("eeg", "eog", "ecg"), ("V", "V", "V"))
    outlet = data_outlet(source_id, info, source_id)
    stream = StreamLSL(bufsize=2.0, name=source_id, source_id=source_id)
    stream.connect(acquisition_delay=0.01, timeout=60.0)
    try:
        assert stream.info["sfreq"] == info.sfreq
        assert stream.ch_names == list(info.ch_names)
        assert stream.get_channel_types() == list(info.ch_types)
        assert {int(unit) for unit, _ in stream.get_channel_units()} == {FIFF.FIFF_UNIT_V}
        wait_for(outlet.have_consumers)
        sent = np.arange(300.0).reshape(100, 3)
        for row in sent:
            outlet.push_sample(row.tolist())
        wait_for(lambda: stream.n_new_samples >= 100)
        data, _ = stream.get_data(winsize=1.0)
        np.testing.assert_array_equal(data.T, sent)
    finally:
        stream.disconnect()


@pytest.mark.slow
@pytest.mark.lsl
def test_a_player_of_mne_lsl_is_a_source(
    model: Path, source_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    PlayerLSL = pytest.importorskip("mne_lsl.player").PlayerLSL
    import mne

    types = ["stim" if kind == "stim" else kind for kind in RECORDING.info.ch_types]
    types = [kind if kind in ("eeg", "eog", "ecg", "resp", "stim") else "misc" for kind in types]
    info = mne.create_info(list(RECORDING.info.ch_names), RECORDING.info.sfreq, types)
    raw = mne.io.RawArray(RECORDING.data.T, info, verbose="error")
    log = tmp_path / "s.jsonl"
    with PlayerLSL(raw, chunk_size=10, n_repeat=np.inf, name=source_id, source_id=source_id):
        ran = call(
            capsys, "run", "--model", model, "--name", source_id, "--markers", "channel:TRIG",
            "--force", "--outlet", "", "--log", log, "--timeout", "60", "--seconds", "8",
        )  # fmt: skip
    assert ran.code == 0, ran.err
    told = lines(log)
    assert sum(line["type"] == "readout" for line in told) > 2
    assert told[-1]["counts"].get("lost_samples", 0) == 0
