"""BIDS data sets of MEG and of intracranial electrodes, written and read again; and replaced safely."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mne_bids")

import mne_bids

from calibration.demo import save_recording
from rt_decoder.files.bids import BidsChoice, find_runs
from rt_decoder.files.model_file import load_model
from rt_decoder.files.read import read_marked, read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.signal import SignalInfo
from tests.small import VECTORS, WORDS, call, small_recording

QUICK = ("--n-permutations", "19", "--nulls", "false", "--stages", "repair")


def of_kind(kind: str, n: int, unit: str) -> Recording:
    """The small participant's brain in `n` channels of a kind, mixed at random, with its trigger."""
    small = small_recording(seconds=40.0)
    mix = np.random.default_rng(1).standard_normal((8, n)) / 3
    brain = small.data[:, :8] @ mix
    names = tuple(f"{kind.upper()}{i:03d}" for i in range(n))
    types, units = (kind,) * n, (unit,) * n
    if kind == "mag":  # as a Vectorview: two gradiometers and a magnetometer at each place
        kinds = ("grad", "grad", "mag") * (n // 3)
        types = kinds
        units = tuple({"grad": "T/m", "mag": "T"}[one] for one in kinds)
        brain *= np.where(np.array(kinds) == "mag", 1e-7, 1e-5)
    info = SignalInfo(small.info.sfreq, (*names, "TRIG"), (*types, "stim"), (*units, "n/a"))
    return replace(small, data=np.column_stack((brain, small.data[:, -1])), info=info)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "n", "unit", "datatype"), [("mag", 306, "T", "meg"), ("seeg", 24, "V", "ieeg")]
)
def test_what_is_converted_is_read_again_and_fits(
    kind: str, n: int, unit: str, datatype: str, tmp_path: Path, capsys
) -> None:
    was = of_kind(kind, n, unit)
    save_recording(was, tmp_path / "s.xdf")
    root = tmp_path / "set"
    ran = call(capsys, "convert", tmp_path / "s.xdf", "-o", root, "--subject", "01", "--task", "w")
    assert ran.code == 0, ran.err
    (run,) = find_runs(root, BidsChoice("01"))
    assert run.recording.parent.name == datatype
    read, markers = read_marked(run.recording, run.events)
    assert (read.info.ch_names, read.info.ch_types) == (was.info.ch_names, was.info.ch_types)
    assert read.info.units == was.info.units
    np.testing.assert_allclose(read.data, was.data, rtol=1.2e-7, atol=1e-25)
    assert [(m.label, m.index) for m in markers] == [(m.label, m.index) for m in was.markers]
    vectors = tmp_path / "vectors.tsv"
    rows = (
        "\t".join((word, *map(repr, map(float, v)))) for word, v in zip(WORDS, VECTORS, strict=True)
    )
    columns = "\t".join(("item", *(f"v{i}" for i in range(VECTORS.shape[1]))))
    vectors.write_text("\n".join((columns, *rows)) + "\n")
    model = tmp_path / "m.rtd.safetensors"
    reference = "none" if kind == "mag" else "average"
    fit = (
        "fit",
        "--bids",
        root,
        "--subject",
        "01",
        "--vectors",
        vectors,
        "-o",
        model,
        *QUICK,
        "--reference",
        reference,
    )
    ran = call(capsys, *fit, program="calibration")
    assert ran.code == 0, ran.err
    assert set(load_model(model).info.ch_types) >= set(was.info.ch_types) - {"stim"}


@pytest.fixture
def written(tmp_path: Path, capsys) -> Callable[..., Any]:
    """Write a session into a data set, where one is already."""
    for name, session in (("old.xdf", 1), ("new.xdf", 2)):
        save_recording(small_recording(session=session, seconds=10.0), tmp_path / name)

    def write(name: str, *more: str) -> Any:
        to = ("-o", tmp_path / "set", "--subject", "01", "--task", "w")
        return call(capsys, "convert", tmp_path / name, *to, *more)

    assert write("old.xdf").code == 0
    return write


def test_a_recording_stays_where_its_replacement_fails(
    written: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "set" / "sub-01" / "eeg"
    before = {file: file.read_bytes() for file in folder.iterdir()}
    assert len(before) > 4
    whole = mne_bids.write_raw_bids

    def full(*args: Any, **kwargs: Any) -> None:
        whole(*args, **kwargs)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mne_bids, "write_raw_bids", full)
    ran = written("new.xdf", "--overwrite")
    assert ran.code == 1
    assert "need room on the disk" in ran.err
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
    monkeypatch.undo()
    assert written("new.xdf", "--overwrite").code == 0
    assert {file.name for file in folder.iterdir()} == {file.name for file in before}
    read = read_recording(next(folder.glob("*.vhdr")))
    np.testing.assert_allclose(
        read.data, read_recording(tmp_path / "new.xdf").data, rtol=1.2e-7, atol=0
    )
