"""The same recording given twice, in any form, wherever recordings are joined."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calibration.fit
import calibration.people.cell as cell
import calibration.senses
from calibration.commands.people import load_people
from calibration.demo import save_recording
from calibration.fit import fit_model
from calibration.identity import (
    REACH,
    check_files,
    doubles,
    fingerprint,
    is_same,
    recording_ids,
    told,
    were_told,
)
from rt_decoder.files.blocks import Blocks
from rt_decoder.files.outputs import companion_path
from rt_decoder.files.recording import Recording
from rt_decoder.files.sums import RecordingId
from rt_decoder.files.sums_file import load_sums
from rt_decoder.signal import SignalInfo
from tests.small import call, fake_embedder, small_recording

QUICK = ("--picks", "eeg", "--stages", "[]", "--n-blocks", "4", "--n-permutations", "19",
         "--precision", "0", "--nulls", "false")  # fmt: skip


def recorded(data: np.ndarray, sfreq: float = 250.0, kind: str = "eeg") -> Recording:
    n, c = data.shape
    info = SignalInfo(sfreq, tuple(f"C{k}" for k in range(c)), (kind,) * c, ("V",) * c)
    return Recording(data, np.arange(n) / sfreq, info)


def brain(seed: int, n: int = 30000, c: int = 4, mains: float = 0.0) -> np.ndarray:
    """Noise that drifts, on mains as large as is asked for."""
    rng = np.random.default_rng(seed)
    drift = np.cumsum(rng.standard_normal((n, c)), axis=0) * 0.05
    phases = rng.uniform(0, 2 * np.pi, c)
    hum = np.sin(2 * np.pi * 50 / 250 * np.arange(n)[:, None] + phases)
    return rng.standard_normal((n, c)) + drift + mains * hum


def known(data: np.ndarray, **of: Any) -> RecordingId:
    return RecordingId("", fingerprint(recorded(data, **of)))


# --- what is the same, and what is not


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x * 1e6 + 3.0,
        lambda x: x.astype(np.float32).astype(float),
        lambda x: np.round(x * 1000) / 1000,
        lambda x: x[:, ::-1],
        lambda x: x[:, 1:2],
        lambda x: x[7777:17777],
        lambda x: np.concatenate((brain(77), x, brain(78))),
        lambda x: np.where(np.arange(len(x))[:, None] % 5000 < 40, np.nan, x),
        lambda x: np.delete(x, np.arange(4000, 4100), axis=0),
    ],
)
def test_the_same_samples_are_found_in_every_form(change) -> None:
    data = brain(1)
    assert is_same(known(data), known(change(data)))


@pytest.mark.parametrize("mains", [0.0, 10.0, 100.0])
def test_other_recordings_are_not_the_same(mains: float) -> None:
    ids = [known(brain(seed, mains=mains)) for seed in range(5)]
    assert all(len(one.fingerprint) == 256 for one in ids)
    assert doubles(ids) == []


def test_what_repeats_in_every_run_tells_nothing() -> None:
    """Mains alone, pulses at the same places, flat and short signals have no fingerprint."""
    t = np.arange(30000)[:, None]
    pulses = np.zeros((30000, 1))
    pulses[np.random.default_rng(0).integers(0, 30000, 300)] = 1.0
    for data in (
        np.round(99 * np.sin(np.pi * t / 25)),
        np.zeros((30000, 2)),
        pulses,
        brain(1, n=2 * REACH),
    ):
        assert fingerprint(recorded(data)) == ()
    assert fingerprint(recorded(brain(1), kind="stim")) == ()
    assert fingerprint(recorded(np.zeros((0, 1)))) == ()
    assert not is_same(RecordingId(""), RecordingId(""))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4000))
def test_blocks_of_any_length_give_the_same(rows: int) -> None:
    from unittest.mock import patch

    data = brain(3, n=8000, c=2)
    whole = fingerprint(recorded(data))
    blocks = Blocks(lambda start, stop: data[start:stop], data.shape)
    with patch("calibration.identity.block_rows", return_value=rows):
        assert fingerprint(replace(recorded(data), data=blocks)) == whole


def test_headers_that_are_alike_are_not_the_same_samples() -> None:
    one, other = known(brain(1)), known(brain(2))
    same = RecordingId("abc", one.fingerprint)
    assert not is_same(same, RecordingId("abc", other.fingerprint))
    assert is_same(same, RecordingId("abc"))  # an older model knows no samples


def test_a_certificate_tells_its_recordings() -> None:
    one = RecordingId("abc", known(brain(1)).fingerprint)
    certificate = json.loads(json.dumps({"data_hash": ["abc"], "fingerprints": told([one])}))
    (read,) = were_told(certificate)
    assert read.data_hash == "abc"
    assert is_same(read, known(brain(1) * 2))
    assert not is_same(read, known(brain(2)))
    assert were_told({"data_hash": ["abc"]}) == recording_ids(["abc"])
    assert were_told({}) == ()


def test_copies_are_refused_before_they_are_read(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "run.fif").write_bytes(b"same")
    with pytest.raises(ValueError, match=r"a/run\.fif and b/run\.fif"):
        check_files([tmp_path / "a" / "run.fif", tmp_path / "b" / "run.fif"])
    with pytest.raises(ValueError, match=r"got run\.fif twice"):
        check_files([tmp_path / "a" / "run.fif", tmp_path / "b" / ".." / "a" / "run.fif"])
    (tmp_path / "b" / "run.fif").write_bytes(b"diff")
    check_files([tmp_path / "a" / "run.fif", tmp_path / "b" / "run.fif"])


# --- wherever recordings are joined


def write_csv(recording: Recording, path: Path) -> None:
    """Write the channels of the brain, in the opposite order."""
    picks = [k for k, kind in enumerate(recording.info.ch_types) if kind == "eeg"][::-1]
    names = ["timestamps", *(recording.info.ch_names[k] for k in picks)]
    table = np.column_stack((recording.times, recording.data[:, picks]))
    np.savetxt(path, table, delimiter=",", header=",".join(names), comments="", fmt="%.9g")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sessions, a copy of the first and the same as CSV, each with its events."""
    folder = tmp_path_factory.mktemp("twice")
    first, other = small_recording(), small_recording(session=2)
    save_recording(first, folder / "one.xdf")
    save_recording(other, folder / "other.xdf")
    write_csv(first, folder / "one.csv")
    shutil.copy(folder / "one.xdf", folder / "copy.xdf")
    shutil.copy(folder / "one.tsv", folder / "copy.tsv")
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No language model: every word has its vector."""
    monkeypatch.setattr(calibration.fit, "embedder_of", lambda *_: fake_embedder)
    monkeypatch.setattr(cell, "fit_model", partial(fit_model, embedder=fake_embedder))
    monkeypatch.setattr(calibration.senses, "check_embedding", lambda *_: None)


def fit(capsys: Any, files: Path, out: Path, *names: str, more: tuple[Any, ...] = ()) -> Any:
    events = [part for name in names for part in ("--events", files / f"{name[:-4]}.tsv")]
    paths = [files / name for name in names]
    return call(
        capsys, "fit", *paths, *events, "-o", out, "--units", "uV", *QUICK, *more,
        program="calibration",
    )  # fmt: skip


@pytest.fixture
def model(files: Path, tmp_path: Path, capsys, quick) -> Path:
    """A model of the first session."""
    path = tmp_path / "me.rtd.safetensors"
    ran = fit(capsys, files, path, "one.xdf")
    assert ran.code == 0, ran.err
    return path


@pytest.mark.parametrize("again", ["one.xdf", "copy.xdf", "one.csv"])
def test_fit_refuses_a_recording_twice(again: str, files: Path, tmp_path: Path, capsys) -> None:
    shutil.copy(files / "one.tsv", files / "copy.tsv")
    ran = fit(capsys, files, tmp_path / "me.rtd.safetensors", "one.xdf", "other.xdf", again)
    assert ran.code == 1
    assert "need each recording once" in ran.err
    assert "one.xdf" in ran.err
    assert again in ran.err
    assert not (tmp_path / "me.rtd.safetensors").exists()


def test_refit_evaluate_and_prior_know_the_samples_in_another_format(
    files: Path, model: Path, tmp_path: Path, capsys
) -> None:
    events, out = ("--events", files / "one.tsv"), tmp_path / "new.rtd.safetensors"
    csv = (files / "one.csv", *events, "--units", "uV")
    ran = call(capsys, "refit", model, *csv, "-o", out, program="calibration")
    assert ran.code == 1
    assert "one.csv, which is in me.rtd.safetensors" in ran.err
    ran = call(capsys, "evaluate", *csv, "--model", model, program="calibration")
    assert ran.code == 0, ran.err
    assert "trained on this data" in ran.out
    ran = fit(capsys, files, out, "other.xdf", "one.csv", more=("--prior-from", model))
    assert ran.code == 1
    assert "one.csv, which is in me.rtd.safetensors" in ran.err
    assert not out.exists()
    ran = call(capsys, "refit", model, files / "one.csv", "--remove", "-o", out,
               program="calibration")  # fmt: skip
    assert "got the only one" in ran.err  # it was found


def test_a_recording_of_the_prior_is_not_added(
    files: Path, model: Path, tmp_path: Path, capsys
) -> None:
    """Other people's sums keep what tells their recordings."""
    helped = tmp_path / "helped.rtd.safetensors"
    ran = fit(capsys, files, helped, "other.xdf", more=("--prior-from", model, "--alphas", "100"))
    assert ran.code == 0, ran.err
    (companion,) = load_people([helped])[1]
    (person,) = companion.people
    theirs = load_sums(companion_path(model)).people[0]
    if person.others is None:  # kappa 0: none of theirs is counted
        pytest.skip("the prior was not chosen")
    assert person.others.recordings == theirs.recorded
    ran = call(
        capsys, "refit", helped, files / "one.csv", "--events", files / "one.tsv", "--units", "uV",
        "-o", tmp_path / "x.rtd.safetensors", program="calibration",
    )  # fmt: skip
    assert ran.code == 1
    assert "one.csv, which is in the prior of helped.rtd.safetensors" in ran.err


def test_pool_refuses_one_person_as_two(files: Path, model: Path, tmp_path: Path, capsys) -> None:
    again = tmp_path / "again.rtd.safetensors"
    ran = fit(capsys, files, again, "one.csv")
    assert ran.code == 0, ran.err
    ran = call(capsys, "pool", model, again, "-o", tmp_path / "g.rtd.safetensors",
               program="calibration")  # fmt: skip
    assert ran.code == 1
    assert "me.rtd.safetensors and again.rtd.safetensors" in ran.err


def test_people_who_are_one_are_not_counted_twice(
    files: Path, tmp_path: Path, capsys, quick
) -> None:
    def people(*rows: str) -> Any:
        table = files / "people.tsv"
        table.write_text("\n".join(("person\trecordings\tevents", *rows)) + "\n")
        return call(
            capsys, "fit", "--people", table, "-o", tmp_path / "all", *QUICK, "--units", "uV",
            program="calibration",
        )  # fmt: skip

    rows = ["S1\tone.xdf\tone.tsv", "S2\tother.xdf\tother.tsv"]
    ran = people(*rows, "S3\tcopy.xdf\tcopy.tsv")
    assert ran.code == 2
    assert "one.xdf and copy.xdf" in ran.err
    ran = people(*rows, "S3\tone.csv\tone.tsv")
    assert ran.code == 1
    assert "need each recording with one person, got samples of S1" in ran.err
    told_of = json.loads((tmp_path / "all" / "people.json").read_text())
    assert {row["person"] for row in told_of["cells"]} == {"S1", "S2"}
    assert [row["n"] for row in told_of["group"]] == [2]
