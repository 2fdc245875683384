"""Projectors compared with the plain matrix, and with MNE on a recording."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.cleaning.stage_fit import LeftOut
from rt_decoder.cleaning.projector import Projector, compose
from rt_decoder.kernels.projector import project
from rt_decoder.signal import SignalInfo
from tests.contract import INFO, copy, make_chunk


def patterns(n, rank, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, rank)))[0]


def sensors(n, kind="eeg", sfreq=200.0):
    return SignalInfo(sfreq, tuple(f"E{i}" for i in range(n)), (kind,) * n, ("V",) * n)


@pytest.mark.parametrize("n", [5, 8, 19, 64])
@pytest.mark.parametrize("rank", [0, 1, 3, 4])
@pytest.mark.parametrize("kept", [True, False])
def test_matches_the_matrix(n, rank, kept):
    info, found = sensors(n), patterns(n, rank)
    matrix = np.eye(n) - found @ found.T if kept else found @ found.T
    stage = Projector(info, matrix)
    assert (stage.rank, stage.kept) == (rank, kept) or 2 * rank >= n
    chunk = make_chunk(61, info=info)
    out = stage.process(chunk).data
    assert np.allclose(out, chunk.data @ matrix.T, rtol=0, atol=1e-12 * np.abs(chunk.data).max())


def test_any_matrix_is_applied_and_references_pass():
    matrix = np.random.default_rng(1).standard_normal((5, 5))
    chunk = make_chunk(50)
    chunk.data[:, 5:] *= 1e6
    out = Projector(INFO, matrix).process(chunk)
    assert np.allclose(out.data[:, :5], chunk.data[:, :5] @ matrix.T, rtol=1e-10, atol=1e-16)
    assert np.array_equal(out.data[:, 5:], chunk.data[:, 5:])
    assert np.array_equal(out.channel_flags, chunk.channel_flags)


def test_mixed_units_keep_their_precision():
    # couples magnetometers (T) with gradiometers (T/m): factors of 1e-2 one way, 1e2 back
    rng = np.random.default_rng(2)
    unit = np.r_[np.full(4, 1e-13), np.full(8, 1e-11)]
    basis = patterns(12, 5)
    matrix = basis @ basis.T * unit[:, None] / unit
    info = SignalInfo(
        200.0,
        tuple(f"M{i}" for i in range(12)),
        ("mag",) * 4 + ("grad",) * 8,
        ("T",) * 4 + ("T/m",) * 8,
    )
    stage = Projector(info, matrix)
    assert (stage.rank, stage.kept) == (5, False)
    chunk = make_chunk(40, info=info)._replace(data=unit * rng.standard_normal((40, 12)))
    out = stage.process(chunk).data
    assert np.allclose(out / unit, chunk.data @ matrix.T / unit, rtol=0, atol=1e-12)


def test_composed_matrix_matches_two_stages():
    first, second = np.eye(5) - 0.2, np.diag(np.arange(1.0, 6.0))
    chunk = make_chunk(30)
    one = Projector(INFO, compose(first, second)).process(chunk).data
    between = copy(Projector(INFO, first).process(chunk))
    two = Projector(INFO, second).process(between).data
    assert np.allclose(one, two, rtol=0, atol=1e-16)
    assert np.array_equal(compose(first), first)


def test_compiled_kernel_matches_its_python():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((30, 9))
    right, left = np.zeros((5, 8)), np.zeros((5, 8))
    right[:, :7], left[:, :7] = rng.standard_normal((2, 5, 7))
    outs = []
    for function in (project, project.py_func):
        y = x.copy()
        function(y, 7, True, right, left, np.zeros((8 + 1 + 5) * 24))
        outs.append(y)
    assert np.allclose(outs[0], outs[1], rtol=1e-12, atol=1e-12)
    want = x[:, :7] + x[:, :7] @ right[:, :7].T @ left[:, :7]
    assert np.allclose(outs[0][:, :7], want)


@pytest.mark.parametrize(
    ("types", "matrix", "message"),
    [
        (("eeg", "eeg", "eog"), np.eye(3), r"shape \(2, 2\), got .* \(3, 3\)"),
        (("eeg", "eeg", "eog"), np.full((2, 2), np.nan), "finite"),
        (("eog", "eeg", "eeg"), np.eye(2), "data channels before references"),
        (("eog", "ecg", "misc"), np.eye(0), "data channels before references"),
    ],
)
def test_bad_arguments_are_refused(types, matrix, message):
    with pytest.raises(ValueError, match=message):
        Projector(SignalInfo(200.0, ("a", "b", "c"), types, ("V",) * 3), matrix)


def test_composing_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one matrix"):
        compose()


@pytest.fixture(scope="module")
def meg(data_dir):
    """Read the first 2 s of a recording of 306 MEG channels with three projections."""
    import mne

    path = data_dir / "mne_lsl_samples" / "sample_audvis_raw.fif"
    if not path.is_file():
        pytest.skip(f"no MEG recording at {path}")
    raw = mne.io.read_raw_fif(path, verbose="error").crop(0, 2.0)
    raw.pick("meg", exclude=[]).load_data(verbose="error")
    types = tuple(raw.get_channel_types())
    info = SignalInfo(
        raw.info["sfreq"],
        tuple(raw.ch_names),
        types,
        tuple("T" if kind == "mag" else "T/m" for kind in types),
    )
    return path, raw, info


def projected(fit, raw, info):
    stage = Projector(info, **fit.arguments)
    data = np.ascontiguousarray(raw.get_data().T)
    chunk = make_chunk(len(data), index=0, info=info)._replace(data=data)
    return stage, stage.process(chunk).data.T


def assert_close(got, want, info):
    types = np.array(info.ch_types)
    for kind in ("mag", "grad"):
        rows = types == kind
        error = np.abs(got[rows] - want[rows]).max()
        assert error <= 1e-6 * np.abs(want[rows]).max(), kind


@pytest.mark.realdata
def test_projections_match_mne(meg):
    from calibration.cleaning.projector import projector_from_info

    path, raw, info = meg
    fit = projector_from_info(path, info)
    assert fit.report["ssp"] == ["PCA-v1", "PCA-v2", "PCA-v3"]
    assert list(fit.report["left"]) == ["Average EEG reference"]
    assert fit.report["rank"] == 303
    stage, got = projected(fit, raw, info)
    assert (stage.rank, stage.kept) == (3, True)
    assert_close(got, raw.copy().apply_proj(verbose="error").get_data(), info)


@pytest.mark.realdata
@pytest.mark.slow
def test_separation_matches_mne(meg):
    from mne.preprocessing import maxwell_filter

    from calibration.cleaning.projector import projector_from_info

    _, raw, info = meg
    fit = projector_from_info(raw.info, info, sss=True)
    assert fit.report["ssp"] == []
    stage, got = projected(fit, raw, info)
    assert stage.rank == fit.report["rank"] < 80
    assert not stage.kept
    assert_close(got, maxwell_filter(raw.copy(), verbose="error").get_data(), info)


def test_a_recording_without_projections_has_no_projector():
    import mne

    from calibration.cleaning.projector import projector_from_info

    info = sensors(4)
    fit = projector_from_info(mne.create_info(list(info.ch_names), 200.0, "eeg"), info)
    assert isinstance(fit, LeftOut)
    assert "no projections" in fit.reason


def test_separation_with_memory_is_refused():
    import mne

    from calibration.cleaning.projector import sss_matrix

    mne_info = mne.create_info(["a"], 200.0, "mag")
    with pytest.raises(ValueError, match="without memory, got st_duration"):
        sss_matrix(mne_info, ["a"], st_duration=10.0)
    with pytest.raises(ValueError, match="need MEG channels"):
        sss_matrix(mne.create_info(["a"], 200.0, "eeg"), ["a"])
