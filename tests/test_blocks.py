"""Recordings that stay in their file: the same bits as those in memory."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from calibration.cleaning.chain import fit_cleaning
from calibration.demo import save_recording
from calibration.design import build_design, draft_model
from calibration.events import label_recording
from calibration.fit import fit_model
from calibration.levels import channel_jump, channel_scale
from rt_decoder.commands.clean import clean_file
from rt_decoder.files import blocks, csv_file
from rt_decoder.files.blocks import Blocks
from rt_decoder.files.fif_writer import Span, write_fif
from rt_decoder.files.model_file import model_hash
from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.files.spool import Spool
from rt_decoder.signal import SignalInfo
from rt_decoder.timing.markers import MarkerRules
from tests.small import fake_embedder, small_recipe, small_recording
from tests.test_fuzz import GOOD_PULLS, START, mne_file, session_record


@pytest.fixture
def in_blocks(monkeypatch):
    """Every recording stays in its file, in blocks of about a hundred samples."""
    monkeypatch.setattr(blocks, "WHOLE_BYTES", 0)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 10_000)


def noise(n=5000, c=3, seed=0):
    return np.random.default_rng(seed).standard_normal((n, c))


def recorded(data):
    c = data.shape[1]
    info = SignalInfo(250.0, tuple(f"ch{k}" for k in range(c)), ("eeg",) * c, ("V",) * c)
    return Recording(data, np.arange(len(data)) / 250.0, info)


def in_file(array):
    return Blocks(lambda start, stop: array[start:stop].copy(), array.shape)


@given(
    st.lists(st.tuples(st.integers(-60, 60), st.integers(-60, 60)), max_size=8),
    st.sampled_from([slice(None), [2, 0], 1, np.array([0, -1])]),
)
def test_slices_as_an_array_does(cuts, columns):
    array = noise(50)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", 24 * 7)
        data = in_file(array)
    for start, stop in cuts:
        assert_array_equal(data[start:stop], array[start:stop])
        assert_array_equal(data[start:stop, columns], array[start:stop, columns])
    assert_array_equal(data[:, columns], array[:, columns])
    assert_array_equal(np.asarray(data), array)


@pytest.mark.parametrize("key", [3, [1, 2], slice(0, 10, 2), np.arange(2)])
def test_only_rows_in_order(key):
    with pytest.raises(TypeError, match="need a slice of rows"):
        in_file(noise(20))[key]


@pytest.mark.parametrize("n", [2, 3, 999, 1000, 1001, 1002, 2001, 7777])
def test_channel_sizes_as_numpy_has_them(in_blocks, n):
    data = noise(n)
    data[np.random.default_rng(1).random(data.shape) < 0.05] = np.nan
    data[:, 2] = 0.0
    data[:2, 1] = 1.0, 2.0
    one = recorded(data)
    other = replace(one, data=in_file(data))
    jumps = channel_jump([one], one.info, ())
    for k in range(3):
        moved = np.abs(np.diff(data[:, k]))
        moved = moved[np.isfinite(moved)]
        high = float(np.percentile(moved, 99.9)) if len(moved) else 0.0
        assert jumps[k] == (8.0 * high if high else np.finfo(float).max)
    assert_array_equal(jumps, channel_jump([other], one.info, ()))
    assert_array_equal(channel_scale([one], one.info, ()), channel_scale([other], one.info, ()))


def test_fif_is_written_from_blocks_as_from_memory(tmp_path):
    data, spans = noise(), [Span(3, "word")]
    info = recorded(data).info
    write_fif(tmp_path / "a_raw.fif", data, info, spans)
    write_fif(tmp_path / "b_raw.fif", in_file(data), info, spans)
    first, second = (read_recording(tmp_path / f"{name}_raw.fif") for name in "ab")
    assert_array_equal(first.data, data)
    assert_array_equal(second.data, data)
    assert first.markers == second.markers


def test_a_gap_is_left_out_of_blocks_too(tmp_path, monkeypatch):
    one = small_recording(seconds=60.0)
    path = tmp_path / "gap_raw.fif"
    spans = [Span(500, "BAD_ACQ_SKIP", 300), Span(1500, "BAD_ACQ_SKIP", 250)]
    write_fif(path, one.data, one.info, spans)
    whole = read_recording(path)
    monkeypatch.setattr(blocks, "WHOLE_BYTES", 0)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 10_000)
    again = read_recording(path)
    assert isinstance(whole.data, np.ndarray)
    assert isinstance(again.data, Blocks)
    assert len(whole.data) == len(one.data) - 550
    assert_array_equal(np.asarray(again.data), whole.data)
    assert_array_equal(again.data[450:560], whole.data[450:560])
    assert_array_equal(again.stamps, whole.stamps)


@pytest.mark.parametrize("whole", [0, 1 << 20])
def test_spooled_rows_come_back(tmp_path, monkeypatch, whole):
    monkeypatch.setattr(blocks, "WHOLE_BYTES", whole)
    rows = noise()
    spool = Spool(3, tmp_path)
    for at in range(0, 5000, 77):
        spool.put(1000 + at, rows[at : at + 77])
    data = spool.data()
    assert isinstance(data, Blocks) == (not whole)
    assert_array_equal(data[1000:6000], rows)
    assert not data[:1000].any()
    assert not [*tmp_path.iterdir()] or os.name == "nt", "the file has a name"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_is_said(tmp_path, in_blocks, monkeypatch):
    full = open("/dev/full", "w+b", buffering=0)  # noqa: SIM115
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *_, **__: full)
    with pytest.raises(OSError, match=r"^need room for 0.0 GiB .*No space left.* another disk"):
        Spool(3, tmp_path).put(0, noise())
    with pytest.raises(OSError, match=r"set TMPDIR to a folder with room"):
        Spool(3).put(0, noise())


def cleaned(recording, path):
    model = draft_model([recording], small_recipe())
    found = clean_file(model, recording, path)
    return found, read_recording(path)


def test_a_recording_is_cleaned_in_blocks(tmp_path, monkeypatch):
    one = small_recording(seconds=30.0)
    kept = np.r_[:2000, 2250 : len(one.data)]  # a second is lost
    one = replace(one, data=one.data[kept], stamps=one.stamps[kept], markers=())
    found, whole = cleaned(one, tmp_path / "a_raw.fif")
    monkeypatch.setattr(blocks, "WHOLE_BYTES", 0)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 10_000)
    again, in_parts = cleaned(replace(one, data=in_file(one.data)), tmp_path / "b_raw.fif")
    assert found == again
    assert_array_equal(np.asarray(in_parts.data), whole.data)
    assert whole.bad_segments == in_parts.bad_segments
    assert len(whole.data) == len(one.data) + 250
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_raw.fif", "b_raw.fif"]


def test_csv_is_read_in_blocks(tmp_path, monkeypatch):
    rows = np.random.default_rng(0).standard_normal((2000, 4))
    rows[:, 1] = np.arange(2000) / 250.0
    path = tmp_path / "a.csv"
    table = "\n".join(",".join(map(repr, row)) for row in rows.tolist())
    path.write_text(f"a,timestamps,b,c\n{table}\n")
    whole = read_recording(path, units="uV")
    monkeypatch.setattr(blocks, "WHOLE_BYTES", 0)
    monkeypatch.setattr(csv_file, "_ROWS", 300)
    again = read_recording(path, units="uV")
    assert isinstance(again.data, Blocks)
    assert_array_equal(whole.data, rows[:, [0, 2, 3]])
    assert_array_equal(np.asarray(again.data), whole.data)
    assert_array_equal(again.stamps, rows[:, 1])


def fitted(path, recipe):
    labelled = label_recording(read_recording(path), None, recipe, MarkerRules())
    draft = draft_model([labelled.recording], recipe)
    draft, found = fit_cleaning(draft, [labelled])
    design = build_design(draft, [labelled])
    return fit_model(draft, design, embedder=fake_embedder), found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a_raw.fif", "a.xdf"])
def test_a_model_fitted_on_blocks_has_the_same_bits(tmp_path, monkeypatch, name):
    one = small_recording(seconds=90.0)
    path = tmp_path / name
    if name.endswith(".fif"):
        write_fif(path, one.data, one.info, [Span(m.index, m.label) for m in one.markers])
    else:
        save_recording(one, path)
    recipe = small_recipe(clean={"stages": ["muscle", "eye", "regressors", "heartbeat"]})
    whole, found = fitted(path, recipe)
    monkeypatch.setattr(blocks, "WHOLE_BYTES", 0)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 100_000)
    again, same = fitted(path, recipe)
    assert found == same
    assert sum("left_out" not in stage for stage in found.values()) >= 2
    assert model_hash(again) == model_hash(whole)


def test_sizes_of_a_long_recording_take_little_memory(monkeypatch):
    """A hundred MB of samples, of which blocks of 65536 rows and of 1 MiB are in memory."""
    n, c = 400_000, 32
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1 << 20)
    wave = noise(1000, c)
    info = recorded(wave).info
    data = Blocks(lambda start, stop: wave[np.arange(start, stop) % 1000], (n, c))
    one = Recording(data, np.arange(n) / 250.0, info)
    tracemalloc.start()
    channel_jump([one], info, ())
    channel_scale([one], info, ())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * 8 * n * c


@pytest.mark.parametrize("kind", ["edf", "vhdr", "fif", "session record"])
def test_every_format_is_read_in_blocks(tmp_path, monkeypatch, kind):
    is_record = kind == "session record"
    path = session_record(tmp_path, [START], GOOD_PULLS) if is_record else mne_file(tmp_path, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = read_recording(path)
        monkeypatch.setattr(blocks, "WHOLE_BYTES", 0)
        monkeypatch.setattr(blocks, "BLOCK_BYTES", 8 * whole.info.n_channels * 7)
        again = read_recording(path)
    assert isinstance(again.data, Blocks)
    assert_array_equal(np.asarray(again.data), whole.data)
    for start in (0, 30, 3):
        assert_array_equal(again.data[start : start + 17], whole.data[start : start + 17])
    assert_array_equal(again.times, whole.times)
    assert_array_equal(np.asarray(again.pulls), np.asarray(whole.pulls))
    assert again.markers == whole.markers
    assert again.decisions == whole.decisions


def test_a_file_cut_off_while_it_is_read_is_said(tmp_path, in_blocks):
    paths = mne_file(tmp_path, "fif"), tmp_path / "a.xdf"
    save_recording(small_recording(seconds=10.0), paths[1])
    for path in paths:
        recording = read_recording(path)
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
        with pytest.raises(OSError, match=f"{path.name}"):
            np.asarray(recording.data)
