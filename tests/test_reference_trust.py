"""What a reference may do before anybody knows whether it is what it was in calibration: little.

At the start, behind flags, after lost samples, a drop-out and a reconnect, of every type and from
weak to strong: an artifact is at most 1.05 times what it is without the stage, in the first 5 s too.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from calibration.cleaning.regressors import fit_regressors
from calibration.cleaning.stage_fit import StageFit
from rt_decoder.cleaning.regressors import REFERENCE_TYPES, Regressors
from rt_decoder.signal import FLAGS, Chunk, Reason, SignalInfo

SFREQ, N_DATA, FITTED, JUDGED = 100.0, 4, 120.0, 60.0  # Hz, channels, s, s
MOST, FIRST = 1.05, 5.0  # times the artifact without the stage; s
SIZES = (0.5, 1.0, 3.0)  # of the artifact, in standard deviations of the rest
FAULTS = ("inverted", "noise", "another's", "six times")
SITUATIONS = ("start", "flagged", "reset", "lost", "late")
LOST = 10.0  # s


def course(kind: str, seconds: float, seed: int) -> np.ndarray:
    """What a reference of this type looks like, with an RMS of 1."""
    rng, n = np.random.default_rng(seed), round(seconds * SFREQ)
    if kind == "resp":
        pace = 0.25 * (1 + 0.15 * np.interp(np.arange(n), np.arange(0, n + 400, 400),
                                            rng.standard_normal(n // 400 + 1)))  # fmt: skip
        x = np.sin(2 * np.pi * (np.cumsum(pace) / SFREQ + rng.random()))
    elif kind in ("ecg", "eog"):
        every, width = (0.85, 0.06) if kind == "ecg" else (3.0, 0.25)
        x = np.zeros(n)
        at = np.cumsum(every * (1 + 0.1 * rng.standard_normal(round(seconds / every) + 9)))
        x[[round(t * SFREQ) for t in at if t < seconds - 0.1]] = 1.0
        x = np.convolve(x, np.hanning(round(2 * width * SFREQ)), "same")
    else:
        x = rng.standard_normal(n) * (0.3 + np.repeat(rng.random(n // 50 + 1), 50)[:n])
    x = x - x.mean()
    return np.asarray(x / np.sqrt(np.mean(x**2)))


def info(kind: str) -> SignalInfo:
    names = (*(f"E{k}" for k in range(N_DATA)), "reference")
    return SignalInfo(SFREQ, names, ("eeg",) * N_DATA + (kind,), ("V",) * (N_DATA + 1))


def mixed(reference: np.ndarray, artifact: np.ndarray, size: float, seed: int) -> np.ndarray:
    """Data channels of noise and artifact, and the reference, in V."""
    noise = np.random.default_rng(100 + seed).standard_normal((len(artifact), N_DATA))
    data = noise + size * np.outer(artifact, np.linspace(0.5, 1.5, N_DATA))
    return np.column_stack([1e-5 * data, 1e-4 * reference])


@cache
def fitted(kind: str, size: float) -> StageFit:
    own = course(kind, FITTED, 1)
    data = mixed(own, own, size, 1)
    found = fit_regressors(data, info(kind), np.zeros(len(data), bool), names=["reference"])
    assert isinstance(found, StageFit), found
    return found


def run(
    stage: Regressors, data: np.ndarray, index: int, flag: int = 0, lost: bool = False
) -> np.ndarray:
    flags, of_channels = np.full(len(data), flag, FLAGS), np.zeros(data.shape, FLAGS)
    of_channels[:, -1] = int(Reason.REFERENCE_LOST) if lost else 0
    times = (index + np.arange(len(data))) / SFREQ
    return stage.process(Chunk(data, times, index, flags, of_channels)).data[:, :N_DATA].copy()


def left(kind: str, size: float, fault: str, situation: str, seed: int) -> tuple[float, float]:
    """What is left of an artifact in the first 5 s of a fault, and in 50 s from its begin."""
    stage = Regressors(info(kind), **fitted(kind, size).arguments)
    artifact = course(kind, 2 * JUDGED, seed)
    seen = {
        "none": artifact,
        "inverted": -artifact,
        "noise": np.random.default_rng(seed).standard_normal(len(artifact)),
        "another's": course(kind, 2 * JUDGED, 50 + seed),
        "six times": 6.0 * artifact,
    }[fault]
    x, healthy = (mixed(one, artifact, size, seed) for one in (seen, artifact))
    first, n_lost, n_first = (round(t * SFREQ) for t in (JUDGED, LOST, FIRST))
    if situation in ("reset", "lost"):
        run(stage, healthy[:first], 0)
    if situation == "reset":  # as the pipeline does after lost samples
        stage.reset()
    elif situation in ("lost", "late"):  # late: an auxiliary stream that joins after the start
        run(stage, x[first : first + n_lost], first, lost=True)
        first += n_lost
    flag = int(Reason.MUSCLE) if situation == "flagged" else 0
    out = [run(stage, x[first : first + n_first], first, flag)]
    out.append(run(stage, x[first + n_first :], first + n_first))
    clean = mixed(artifact, artifact, 0.0, seed)[first:, :N_DATA]
    before, after = x[first:, :N_DATA] - clean, np.concatenate(out) - clean
    rows = slice(0, n_first), slice(0, round((JUDGED - LOST) * SFREQ))
    shares = [float(np.sqrt(np.mean(after[r] ** 2) / np.mean(before[r] ** 2))) for r in rows]
    return shares[0], shares[1]


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("kind", REFERENCE_TYPES)
def test_what_nobody_knows_yet_does_no_harm(kind: str, situation: str) -> None:
    for size in SIZES:
        for fault in FAULTS:
            worst = max(max(left(kind, size, fault, situation, seed)) for seed in (2, 3))
            assert worst <= MOST, (size, fault)


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("kind", REFERENCE_TYPES)
def test_a_good_reference_earns_its_trust(kind: str, situation: str) -> None:
    """Within seconds; but nothing is earned behind flags."""
    for size in SIZES:
        at_first, then = left(kind, size, "none", situation, 2)
        assert at_first < (1.0 if situation == "flagged" else 0.7)
        assert then < 0.4


def test_a_short_loss_costs_no_trust() -> None:
    stage = Regressors(info("resp"), **fitted("resp", 1.0).arguments)
    own = course("resp", JUDGED, 2)
    x, half, second = mixed(own, own, 1.0, 2), round(JUDGED / 2 * SFREQ), round(SFREQ)
    run(stage, x[:half], 0)
    run(stage, x[half : half + second], half, lost=True)
    out = run(stage, x[half + second :], half + second)
    clean = mixed(own, own, 0.0, 2)[half + second :, :N_DATA]
    error = np.sqrt(np.mean((out - clean)[second : 3 * second] ** 2, axis=0))
    assert (
        error < 0.15 * np.std(x[:, :N_DATA] - mixed(own, own, 0.0, 2)[:, :N_DATA], axis=0)
    ).all()


def test_what_is_heard_clearly_is_trusted_at_once() -> None:
    """After a loss of 10 s the running mean alone, of 2 s, leaves .2 here, however strong the effect."""
    stage, own = Regressors(info("resp"), **fitted("resp", 3.0).arguments), course("resp", 60.0, 2)
    x, back, second = mixed(own, own, 3.0, 2), round(40 * SFREQ), round(SFREQ)
    run(stage, x[: back - round(LOST * SFREQ)], 0)
    run(stage, x[back - round(LOST * SFREQ) : back], back - round(LOST * SFREQ), lost=True)
    out = run(stage, x[back:], back)[second : 2 * second]
    clean = mixed(own, own, 0.0, 2)[back + second : back + 2 * second, :N_DATA]
    before = x[back + second : back + 2 * second, :N_DATA] - clean
    assert np.std(out - clean) < 0.05 * np.std(before)
