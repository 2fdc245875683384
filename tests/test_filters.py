"""Filters against scipy and numpy, and their designs' limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from rt_decoder.cleaning.filter_design import design_sos, group_delay
from rt_decoder.cleaning.filters import Decimator, FilterBank, Rereference, SosFilter
from rt_decoder.signal import Reason, SignalInfo
from tests.contract import INFO, STAGES, check_cut_invariant, copy, make_chunk, run

DESIGNS = [
    {"l_freq": 0.5, "h_freq": 40.0},
    {"l_freq": 0.1, "h_freq": 20.0, "order": 3},
    {"l_freq": 1.0},
    {"h_freq": 30.0, "order": 5},
    {"notch": (50.0, 60.0)},
    {"l_freq": 1.0, "h_freq": 80.0, "notch": (50.0,), "order": 2},
]


def scipy_filter(sos, data):
    """The oracle: sosfilt primed at the first sample."""
    zi = signal.sosfilt_zi(sos)[:, :, None] * data[0]
    return signal.sosfilt(sos, data, axis=0, zi=zi)[0]


@pytest.mark.parametrize("design", DESIGNS)
def test_matches_scipy(design):
    sos = design_sos(INFO.sfreq, **design)
    chunk = make_chunk(3000)
    out = SosFilter(INFO, sos).process(chunk)
    want = scipy_filter(sos, chunk.data)
    # an offset of ten times the signal goes in, and with it the rounding of its cancellation
    assert np.abs(out.data - want).max() <= 1e-12 * np.abs(chunk.data).max()


@pytest.mark.parametrize("design", DESIGNS)
def test_a_constant_stays_settled(design):
    sos = design_sos(INFO.sfreq, **design)
    chunk = make_chunk(2000)
    chunk.data[:] = 0.02 * np.arange(1, 8)  # V: offsets of real amplifiers
    out = SosFilter(INFO, sos).process(chunk).data
    gain = np.prod(sos[:, :3].sum(axis=1) / sos[:, 3:].sum(axis=1))
    assert np.allclose(out, gain * chunk.data, atol=1e-11)


@given(gain=st.floats(1e-3, 1e3), offset=st.floats(-1e-2, 1e-2), order=st.permutations(range(7)))
@settings(max_examples=25, deadline=None)
def test_linear_and_separate_by_channel(gain, offset, order):
    sos = design_sos(INFO.sfreq, 0.5, 40.0)
    chunk = make_chunk(300)
    plain = copy(SosFilter(INFO, sos).process(chunk)).data
    other = chunk._replace(data=gain * chunk.data[:, order] + offset)
    out = SosFilter(INFO.pick(order), sos).process(other).data
    assert np.allclose(out, gain * plain[:, order], rtol=1e-6, atol=1e-10 * (1 + gain))


def test_impulse_response_is_scipys():
    sos = design_sos(INFO.sfreq, 2.0, 30.0)
    chunk = make_chunk(400)
    chunk.data[:] = 0.0
    chunk.data[1] = 1.0
    out = SosFilter(INFO, sos).process(chunk).data
    assert np.allclose(out[1:, 3], signal.sosfilt(sos, np.r_[1.0, np.zeros(398)]), atol=1e-14)


def test_states_do_not_become_subnormal():
    sos = design_sos(INFO.sfreq, h_freq=30.0)
    stage, chunk = SosFilter(INFO, sos), make_chunk(400)
    stage.process(chunk)
    chunk.data[:] = 0.0
    for k in range(1, 40):
        out = stage.process(chunk._replace(index=37 + 400 * k)).data
    assert (out == 0.0).all()


def test_vanishing_states_do_not_depend_on_the_cut():
    chunk = make_chunk(1500)
    chunk.data[:] = 0.0
    chunk.data[0] = 1.0
    case = STAGES["low-pass"]
    whole = run(case.make(INFO), chunk)
    tiny = np.abs(whole.data[whole.data != 0.0]).min()
    assert tiny < 1e-190  # the run crosses the size below which states are set to zero
    check_cut_invariant(case, chunk, range(1, 1500, 7))


def test_design_passes_and_stops():
    sos = design_sos(500.0, 1.0, 40.0, 4, notch=(50.0, 100.0))
    freqs = [0.1, 1.0, 10.0, 40.0, 50.0, 100.0, 150.0]
    _, response = signal.sosfreqz(sos, freqs, fs=500.0)
    gains = dict(zip(freqs, np.abs(response), strict=True))
    assert gains[10.0] == pytest.approx(1.0, abs=0.01)
    assert gains[1.0] == pytest.approx(np.sqrt(0.5), abs=0.02)
    assert max(gains[0.1], gains[50.0], gains[100.0], gains[150.0]) < 0.01


@pytest.mark.parametrize("design", DESIGNS)
def test_group_delay_is_scipys(design):
    sos = design_sos(INFO.sfreq, **design)
    freqs, response = signal.sosfreqz(sos, np.geomspace(0.02, 99.0, 200_000), fs=INFO.sfreq)
    delay = -np.diff(np.unwrap(np.angle(response))) / np.diff(2 * np.pi * freqs)
    kept = np.abs(response[1:]) >= np.abs(response).max() / np.sqrt(2)
    assert group_delay(sos, INFO.sfreq) == pytest.approx(np.median(delay[kept]), rel=0.05, abs=2e-4)


def test_a_higher_rate_keeps_the_delay():
    delays = [group_delay(design_sos(rate, 0.5, 40.0), rate) for rate in (250.0, 1000.0)]
    assert delays[0] == pytest.approx(delays[1], rel=0.1)


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ({"h_freq": 100.0}, "need h_freq between 0 and 100 Hz"),
        ({"l_freq": 0.0}, "need l_freq"),
        ({"notch": (50.0, 150.0)}, "need notch between .* got 150"),
        ({"l_freq": 40.0, "h_freq": 1.0}, "l_freq below h_freq"),
        ({"h_freq": 30.0, "order": 0}, "filter order"),
        ({"notch": (50.0,), "notch_q": 0.0}, "notch_q"),
        ({"l_freq": float("nan")}, "need l_freq"),
    ],
)
def test_bad_designs_are_refused(design, message):
    with pytest.raises(ValueError, match=message):
        design_sos(INFO.sfreq, **design)


@pytest.mark.parametrize(
    ("sos", "message"),
    [
        (np.zeros((2, 5)), "shape"),
        ([[1, 0, 0, 1, np.nan, 0]], "finite"),
        ([[1, 0, 0, 2, 0, 0]], "a0 = 1"),
        ([[1, 0, 0, 1, 0, 0], [1, 0, 0, 1, -2.1, 1.05]], "unstable one at 1"),
        ([[1, 0, 0, 1, -1, 0]], "unstable"),
    ],
)
def test_bad_sections_are_refused(sos, message):
    with pytest.raises(ValueError, match=message):
        SosFilter(INFO, np.array(sos, float))


def test_average_reference_is_over_eeg_only():
    chunk = make_chunk(50)
    chunk.channel_flags[:] = 0
    out = Rereference(INFO, "average").process(chunk).data
    eeg = chunk.data[:, :5]
    assert np.allclose(out[:, :5], eeg - eeg.mean(axis=1, keepdims=True), atol=1e-18)
    assert np.array_equal(out[:, 5:], chunk.data[:, 5:])


def test_a_bad_channel_leaves_the_average():
    chunk = make_chunk(60)
    chunk.channel_flags[:] = 0
    plain = copy(Rereference(INFO, "average").process(chunk)).data
    chunk.channel_flags[10:20, 1] = Reason.JUMP
    chunk.channel_flags[15:20, 3] = Reason.BAD_CHANNEL
    chunk.channel_flags[20:30, 1] = Reason.JUMP | Reason.REPAIRED  # repaired: as good as any
    chunk.channel_flags[30:40, 2] = Reason.REPAIRED
    chunk.channel_flags[40:50, 5:] = Reason.FLAT  # no channel of the average
    chunk.channel_flags[50:55, :5] = Reason.RAIL  # none is left: all are used
    out = Rereference(INFO, "average").process(chunk).data
    x = chunk.data[:, :5]
    for rows, used in ((slice(10, 15), [0, 2, 3, 4]), (slice(15, 20), [0, 2, 4])):
        want = x[rows] - x[rows][:, used].mean(axis=1, keepdims=True)
        assert np.allclose(out[rows, :5], want, rtol=0, atol=1e-18)
    for rows in (slice(0, 10), slice(20, 60)):
        assert out[rows].tobytes() == plain[rows].tobytes()
    assert np.array_equal(out[:, 5:], chunk.data[:, 5:])


def test_a_bad_channel_leaves_the_named_reference():
    chunk = make_chunk(20)
    chunk.channel_flags[:] = 0
    chunk.channel_flags[10:, 1] = Reason.FLAT
    out = Rereference(INFO, ["C3", "C4"]).process(chunk).data
    assert np.allclose(out[10:, :5], chunk.data[10:, :5] - chunk.data[10:, [3]], atol=1e-18)
    mean = chunk.data[:10, [1, 3]].mean(axis=1, keepdims=True)
    assert np.allclose(out[:10, :5], chunk.data[:10, :5] - mean, atol=1e-18)


def test_named_reference():
    chunk = make_chunk(50)
    chunk.channel_flags[:] = 0
    out = Rereference(INFO, ["C3", "C4"]).process(chunk).data
    want = chunk.data[:, :5] - chunk.data[:, [1, 3]].mean(axis=1, keepdims=True)
    assert np.allclose(out[:, :5], want, atol=1e-18)
    assert np.array_equal(out[:, 5:], chunk.data[:, 5:])
    assert np.allclose(Rereference(INFO, "Cz").process(chunk).data[:, 2], 0.0)


def test_intracranial_average():
    info = SignalInfo(200.0, tuple("abc"), ("seeg", "seeg", "misc"), ("V",) * 3)
    chunk = make_chunk(10, info=info)
    chunk.channel_flags[:] = 0
    out = Rereference(info, "average").process(chunk).data
    assert np.allclose(out[:, :2].sum(axis=1), 0.0, atol=1e-18)


def test_no_reference_copies_nothing():
    chunk = make_chunk(10)
    assert Rereference(INFO, None).process(chunk) is chunk
    assert Rereference(INFO, "none").process(chunk) is chunk


@pytest.mark.parametrize(
    ("types", "kind", "message"),
    [
        (("eeg", "eog"), ["Cz"], "got Cz"),
        (("eeg", "eog"), [], "no name"),
        (("eeg", "eog"), ["a", "b"], "one type"),
        (("mag", "misc"), "average", "need eeg"),
    ],
)
def test_bad_references_are_refused(types, kind, message):
    with pytest.raises(ValueError, match=message):
        Rereference(SignalInfo(200.0, ("a", "b"), types, ("V", "V")), kind)


@pytest.mark.parametrize("factor", [2, 4, 5])
@pytest.mark.parametrize("index", [0, 37])
def test_decimation_keeps_the_grid(factor, index):
    chunk = make_chunk(203, index=index)
    stage = Decimator(INFO, factor)
    out = stage.process(chunk)
    kept = np.flatnonzero(np.arange(index, index + 203) % factor == 0)
    assert out.index == -(-index // factor)
    assert np.array_equal(out.times, chunk.times[kept])
    want = scipy_filter(signal.cheby1(8, 0.05, 0.8 / factor, output="sos"), chunk.data)[kept]
    assert np.allclose(out.data, want, rtol=1e-9, atol=1e-16)
    assert stage.info.sfreq == INFO.sfreq / factor
    for row, at in enumerate(kept):
        span = slice(max(0, at - factor + 1), at + 1)
        assert out.flags[row] == np.bitwise_or.reduce(chunk.flags[span])
        assert np.array_equal(
            out.channel_flags[row], np.bitwise_or.reduce(chunk.channel_flags[span], axis=0)
        )


def test_decimation_does_not_alias():
    chunk = make_chunk(4000, index=0)
    tone = np.sin(2 * np.pi * 47.0 * chunk.times)  # would fold to 3 Hz at 50 Hz
    out = Decimator(INFO, 4).process(chunk._replace(data=np.tile(tone[:, None], 7)))
    assert np.abs(out.data[50:]).max() < 1e-2


def test_decimation_by_one_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        Decimator(INFO, 1)


def test_bank_is_squared_band_passes():
    bands = ((8.0, 12.0), (70.0, 95.0))
    chunk = make_chunk(500)
    bank = FilterBank(INFO, bands, 3)
    out = bank.process(chunk)
    for b, (low, high) in enumerate(bands):
        want = scipy_filter(design_sos(INFO.sfreq, low, high, 3), chunk.data) ** 2
        columns = slice(7 * b, 7 * b + 7)
        assert np.allclose(out.data[:, columns], want, rtol=1e-6, atol=1e-24)
        assert np.array_equal(out.channel_flags[:, columns], chunk.channel_flags)
    assert bank.info.ch_names[:2] == ("Fz:8-12", "C3:8-12")
    assert bank.info.ch_names[7] == "Fz:70-95"
    assert bank.info.units[0] == "V^2"
    assert bank.delay == max(bank.delays) == bank.delays[0]


def test_bank_tells_bands_apart():
    chunk = make_chunk(2000, index=0)
    tone = np.sin(2 * np.pi * 10.0 * chunk.times)
    out = FilterBank(INFO, ((8.0, 12.0), (20.0, 30.0))).process(
        chunk._replace(data=np.tile(tone[:, None], 7))
    )
    power = out.data[1000:].mean(axis=0)
    assert power[0] == pytest.approx(0.5, rel=0.05)
    assert power[7] < 1e-4


def test_bank_needs_bands():
    with pytest.raises(ValueError, match="at least one band"):
        FilterBank(INFO, ())
    with pytest.raises(ValueError, match="need h_freq"):
        FilterBank(INFO, ((8.0, 120.0),))


def test_positions_follow_the_bands():
    positions = np.arange(21.0).reshape(7, 3)
    info = SignalInfo(200.0, INFO.ch_names, INFO.ch_types, INFO.units, positions)
    bank = FilterBank(info, ((8.0, 12.0), (20.0, 30.0)))
    assert np.array_equal(bank.info.positions, np.vstack([positions, positions]))


def test_flags_pass_through():
    chunk = make_chunk(50)
    out = SosFilter(INFO, design_sos(INFO.sfreq, 1.0, 40.0)).process(chunk)
    assert np.array_equal(out.flags, chunk.flags)
    assert (out.flags & Reason.RAIL).any()
