"""The line canceller against a batch of sines, a notch, and mains that drift, step and pause."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from rt_decoder.cleaning.filter_design import design_sos
from rt_decoder.cleaning.mains import MainsCanceller
from rt_decoder.kernels import mains as kernel
from rt_decoder.signal import FLAGS, Chunk, Reason, SignalInfo
from tests.contract import INFO, copy, make_chunk

SFREQ, N = 250.0, 8


def sensors(n=N, sfreq=SFREQ, kind="eeg"):
    return SignalInfo(sfreq, tuple(f"E{i}" for i in range(n)), (kind,) * n, ("V",) * n)


def a_chunk(data, index=0):
    n, c = data.shape
    return Chunk(data, np.zeros(n), index, np.zeros(n, FLAGS), np.zeros((n, c), FLAGS))


def eeg(seconds, sfreq=SFREQ, n=N, seed=0):
    """Noise that falls with frequency, 8 uV, on offsets of its own a channel."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((int(seconds * sfreq) + 1000, n))
    pole = np.exp(-2 * np.pi * 5.0 / sfreq)
    slow = signal.lfilter([1.0], [1.0, -pole], white, axis=0)[1000:]
    return 8e-6 * slow / slow.std() + 1e-3 * rng.standard_normal(n)


def hum(frequency, size=1.0, sfreq=SFREQ, n=N, harmonic=1, seed=1):
    """Line of about 5 uV; `frequency` (n,) Hz and `size` change as they like."""
    rng = np.random.default_rng([seed, harmonic])
    turn = 2 * np.pi * np.cumsum(np.asarray(frequency)) / sfreq
    phases, sizes = rng.uniform(0, 2 * np.pi, n), 5e-6 * rng.uniform(0.5, 1.5, n)
    return (
        sizes
        * np.cos(harmonic * turn[:, None] + phases)
        * np.broadcast_to(np.asarray(size)[..., None], (len(turn), 1))
    )


def through(stage, data):
    stage.reset()
    return copy(stage.process(a_chunk(data))).data


def left_db(out, line):
    """Attenuation in dB of what of `line` is found in `out`, by its sines in windows of 4 s.

    Noise of 8 uV hides what is 33 dB below a line of 5 uV in so short a window.
    """
    n = int(4 * SFREQ)
    found = before = 0.0
    for start in range(0, len(out) - n + 1, n):
        part, known = out[start : start + n], line[start : start + n]
        basis = np.stack([known[:, 0], signal.hilbert(known[:, 0]).imag], axis=1)
        found += np.sum(np.linalg.lstsq(basis, part - part.mean(0), rcond=None)[0] ** 2)
        before += np.sum(np.linalg.lstsq(basis, known, rcond=None)[0] ** 2)
    return 10 * np.log10(before / found)


def test_is_the_best_sine_of_a_batch():
    # the oracle: least squares of sine and cosine at the known frequency, over all samples
    data, t = eeg(60.0), np.arange(15000) / SFREQ
    line = hum(np.full(15000, 50.0))
    out = through(MainsCanceller(sensors(), 50.0), data + line)
    basis = np.stack([np.cos(2 * np.pi * 50 * t), np.sin(2 * np.pi * 50 * t)], axis=1)
    x = data + line
    batch = x - basis @ np.linalg.lstsq(basis, x - x.mean(0), rcond=None)[0]
    late = t > 5.0
    assert left_db(out[late], line[late]) > 30.0
    differ = np.sqrt(np.mean((out - batch)[late] ** 2))
    assert differ < 0.08 * np.sqrt(np.mean(line[late] ** 2))


def test_without_a_limit_it_is_linear_and_its_response_is_that_of_its_equations():
    # a pole pair in the oscillator's frame: at `line_freq` nothing passes, 5 Hz off all does
    stage = MainsCanceller(sensors(1), 50.0, time_constant=0.5)
    t = np.arange(5000) / SFREQ
    for freq, low, high in ((50.0, 0.0, 0.01), (45.0, 0.98, 1.02), (10.0, 0.99, 1.01)):
        tone = 1e-5 * np.sin(2 * np.pi * freq * t)[:, None]
        out = through(stage, tone)[2500:]
        assert low <= out.std() / tone.std() <= high, freq


@pytest.mark.parametrize("sfreq", [250.0, 1000.0])
@pytest.mark.parametrize(("frequency", "least"), [(50.0, 28.0), (50.1, 28.0), (49.85, 26.0)])
def test_finds_the_frequency(sfreq, frequency, least):
    n = int(40 * sfreq)
    line = hum(np.full(n, frequency), sfreq=sfreq)
    stage = MainsCanceller(sensors(sfreq=sfreq), 50.0)
    out = through(stage, eeg(40.0, sfreq) + line)
    assert stage.frequency == pytest.approx(frequency, abs=0.01)
    late = slice(int(20 * sfreq), None, int(sfreq / SFREQ))
    assert left_db(out[late], line[late]) > least


def test_follows_drift():
    t = np.arange(int(120 * SFREQ)) / SFREQ
    line = hum(50.0 + 0.1 * t / 60.0)
    stage = MainsCanceller(sensors(), 50.0)
    out = through(stage, eeg(120.0) + line)
    assert stage.frequency == pytest.approx(50.2, abs=0.02)
    late = t > 10.0
    assert left_db(out[late], line[late]) > 25.0


def test_follows_a_step_in_size():
    t = np.arange(int(60 * SFREQ)) / SFREQ
    line = hum(np.full(len(t), 50.0), 1.0 + 3.0 * (t > 30.0))
    out = through(MainsCanceller(sensors(), 50.0), eeg(60.0) + line)
    assert left_db(out[t > 36.0], line[t > 36.0]) > 35.0
    soon = (t >= 33.0) & (t <= 37.0)
    assert left_db(out[soon], line[soon]) > 20.0


def test_harmonics():
    n = int(40 * SFREQ)
    frequency = np.full(n, 50.06)
    lines = [hum(frequency, harmonic=h) for h in (1, 2)]
    two = MainsCanceller(sensors(), 50.0, harmonics=5)
    assert two.harmonics == 2  # 150 Hz does not exist at 250 Hz
    out = through(two, eeg(40.0) + sum(lines))
    for line in lines:
        assert left_db(out[-5000:], line[-5000:]) > 30.0
    out = through(MainsCanceller(sensors(), 50.0), eeg(40.0) + sum(lines))
    assert abs(left_db(out[-5000:], lines[1][-5000:])) < 0.5


def test_a_multiple_tells_the_frequency_as_fast_as_the_mains_themselves():
    found = []
    for harmonic in (1, 2):
        stage = MainsCanceller(sensors(), 50.0, harmonics=2)
        through(stage, 0.1 * eeg(4.0) + hum(np.full(1000, 50.1), harmonic=harmonic))
        found.append(stage.frequency)
    assert found[0] == pytest.approx(50.08, abs=0.01)
    assert found[1] == pytest.approx(found[0], abs=0.005)


def test_the_oscillator_keeps_its_length():
    stage = MainsCanceller(sensors(), 50.0)
    through(stage, eeg(1.0))
    stage._status[[kernel.COS, kernel.SIN]] *= 1.01
    stage.process(a_chunk(eeg(1.0), 250))
    assert np.linalg.norm(stage._status[[kernel.COS, kernel.SIN]]) == pytest.approx(1.0, abs=1e-12)


def test_leaves_what_is_beside_the_line():
    t = np.arange(int(60 * SFREQ)) / SFREQ
    data, line = eeg(60.0), hum(np.full(len(t), 50.05))
    notch = design_sos(SFREQ, notch=(50.0,), notch_q=30.0)
    late = t > 10.0
    plain = through(MainsCanceller(sensors(), 50.0), data + line)
    for freq in (48.0, 49.0, 51.0, 52.0):
        tone = 1e-6 * np.sin(2 * np.pi * freq * t)[:, None] * np.ones(N)
        out = through(MainsCanceller(sensors(), 50.0), data + line + tone) - plain
        lost = np.std((out - tone)[late]) / tone.std()
        notched = np.std((signal.sosfilt(notch, tone, axis=0) - tone)[late]) / tone.std()
        assert lost < (0.1 if abs(freq - 50.0) > 1.5 else 0.2)
        assert lost < 0.35 * notched
    band = design_sos(SFREQ, 40.0, 60.0)
    beside = signal.sosfilt(band, data - data[0], axis=0)[late]
    out = signal.sosfilt(band, plain - data, axis=0)[late]
    notched = signal.sosfilt(notch, data - data[0], axis=0) - (data - data[0])
    notched = signal.sosfilt(band, notched, axis=0)[late]
    assert out.std() < 0.25 * beside.std()
    assert out.std() < 0.5 * notched.std()


def test_a_pop_does_not_ring():
    t = np.arange(int(40 * SFREQ)) / SFREQ
    data = eeg(40.0) + hum(np.full(len(t), 50.0))
    pop = np.zeros_like(data)
    pop[t >= 20.0, 3] = 500e-6 * np.exp(-(t[t >= 20.0] - 20.0) / 0.5)
    stage = MainsCanceller(sensors(), 50.0)
    ringing = through(stage, data + pop) - through(stage, data) - pop
    notch = design_sos(SFREQ, notch=(50.0,), notch_q=30.0)
    notched = signal.sosfilt(notch, pop, axis=0) - pop
    for start, stop in ((20.0, 20.1), (20.1, 20.3), (20.3, 21.0)):
        part = (t > start + 0.004) & (t < stop)
        worst = np.abs(ringing[part]).max()
        assert worst < 0.5e-6
        assert worst < np.abs(notched[part]).max() / 5.0
    assert np.abs(ringing[:, np.arange(N) != 3]).max() < 0.05e-6  # through the frequency alone


def test_an_offset_of_100_mv_is_no_line():
    data = eeg(20.0)
    stage = MainsCanceller(sensors(), 50.0)
    plain = through(stage, data)
    moved = through(stage, data + 0.1)
    assert np.abs(moved - 0.1 - plain).max() < 1e-9


def test_every_channel_but_triggers():
    kinds = ("eeg", "eog", "ecg", "misc", "stim")
    info = SignalInfo(SFREQ, tuple("abcde"), kinds, ("V",) * 5)
    data, line = eeg(30.0, n=5), hum(np.full(7500, 50.0), n=5)
    out = through(MainsCanceller(info, 50.0), data + line)
    assert out[:, 4].tobytes() == np.ascontiguousarray((data + line)[:, 4]).tobytes()
    for k in range(4):
        assert left_db(out[2500:, [k]], line[2500:, [k]]) > 25.0


def test_no_line_takes_little():
    data = eeg(60.0)
    stage = MainsCanceller(sensors(), 50.0)
    out = through(stage, data)
    assert stage.frequency == pytest.approx(50.0, abs=0.1)
    assert np.std((out - data)[2500:]) < 0.05 * np.std(data - data.mean(0))


def test_units_do_not_matter():
    line = hum(np.full(10000, 50.1))
    scale = np.r_[np.full(4, 1.0), np.full(4, 1e-7)]
    data = eeg(40.0) + line
    outs = []
    for gain in (1.0, scale):
        stage = MainsCanceller(sensors(), 50.0)
        outs.append((through(stage, data * gain) / gain, stage.frequency))
    assert np.allclose(outs[0][0], outs[1][0], rtol=0, atol=1e-10)
    assert outs[0][1] == pytest.approx(outs[1][1], abs=1e-6)


@pytest.mark.parametrize("whole", [True, False])
def test_flagged_samples_teach_nothing(whole):
    data = eeg(20.0) + hum(np.full(5000, 50.0))
    chunk, spoilt = a_chunk(data), a_chunk(data.copy())
    # loud at the mains frequency itself, in one channel; the high-pass forgets it within a second
    t = np.arange(2000, 2250) / SFREQ
    spoilt.data[2000:2250, 2] += 1e-3 * np.cos(2 * np.pi * 50.0 * t)
    for each in (chunk, spoilt):
        if whole:
            each.flags[2000:2300] = Reason.MUSCLE
        else:
            each.channel_flags[2000:2300, 2] = Reason.RAIL
    stage = MainsCanceller(sensors(), 50.0)
    a = copy(stage.process(chunk)).data
    weights = stage._memory[kernel.WEIGHTS :].copy()
    stage.reset()
    b = copy(stage.process(spoilt)).data
    assert np.allclose(b - a, spoilt.data - chunk.data, rtol=0, atol=1e-10)
    assert np.allclose(stage._memory[kernel.WEIGHTS :], weights, rtol=1e-4)
    chunk.flags[:] = chunk.channel_flags[:] = 0
    spoilt.flags[:] = spoilt.channel_flags[:] = 0
    stage.reset()
    a = copy(stage.process(chunk)).data
    stage.reset()
    assert np.abs(stage.process(spoilt).data - spoilt.data - (a - chunk.data)).max() > 1e-7


def test_what_was_corrected_teaches():
    chunk = a_chunk(eeg(10.0) + hum(np.full(2500, 50.0)))
    marked = a_chunk(chunk.data)
    marked.flags[:] = Reason.EYE
    marked.channel_flags[:, 3] = Reason.REPAIRED
    stage = MainsCanceller(sensors(), 50.0)
    a = copy(stage.process(chunk)).data
    stage.reset()
    assert np.array_equal(stage.process(marked).data, a)


def test_a_pause_of_the_line_keeps_its_frequency_in_range_and_its_oscillator_at_one():
    t = np.arange(int(300 * SFREQ)) / SFREQ
    line = hum(np.full(len(t), 50.4), ((t < 60.0) | (t > 200.0)).astype(float))
    stage = MainsCanceller(sensors(), 50.0)
    out = through(stage, eeg(300.0) + line)
    c, s = stage._status[[kernel.COS, kernel.SIN]]
    assert c * c + s * s == pytest.approx(1.0, abs=1e-12)
    assert stage.frequency == pytest.approx(50.4, abs=0.02)
    assert left_db(out[t > 250.0], line[t > 250.0]) > 20.0
    far = MainsCanceller(sensors(), 50.0)
    through(far, eeg(60.0) + hum(np.full(15000, 53.0)))
    assert abs(far.frequency - 50.0) <= 0.5 + 1e-9


def test_a_channel_that_stands_still_does_not_become_subnormal():
    data = eeg(4.0) + hum(np.full(1000, 50.0))
    stage = MainsCanceller(sensors(), 50.0, time_constant=0.1)
    stage.process(a_chunk(data))
    still = np.zeros((5000, N))
    for k in range(40):
        stage.process(a_chunk(still, 1000 + 5000 * k))
    held = np.abs(stage._memory[stage._memory != 0.0])
    assert held.min() > np.finfo(float).tiny


def test_kernel_in_python_is_the_same():
    stage, plain = MainsCanceller(INFO, 50.0), MainsCanceller(INFO, 50.0)
    chunk = make_chunk(120)
    out = np.empty_like(chunk.data)
    kernel.cancel_line.py_func(
        chunk.data, chunk.flags, chunk.channel_flags, chunk.index, plain._gains, plain._passed,
        plain._settings, plain._memory, plain._status, out,
    )  # fmt: skip
    assert np.allclose(stage.process(chunk).data, out, rtol=0, atol=1e-18)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((95.0,), "need line_freq between"),
        ((10.0,), "need line_freq between"),
        ((float("nan"),), "need line_freq"),
        ((50.0, 0), "need harmonics .* from 1"),
        ((50.0, 1, 0.0), "time_constant"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MainsCanceller(INFO, *arguments)
