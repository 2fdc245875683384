"""Framing: hops on the grid of the absolute index, short losses bridged, long ones reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rt_decoder.signal import Reason
from rt_decoder.timing.framing import Framer
from tests.contract import INFO, allocated, copy, make_chunk, part

GAP = int(Reason.GAP)


def frame(framer, *chunks):
    """Hops of all chunks with whether the framer had jumped."""
    out = []
    for chunk in chunks:
        framer.push(chunk)
        out += [(copy(hop), framer.jumped) for hop in framer.hops()]
    return out


def test_hops_lie_on_the_grid():
    chunk = make_chunk(50, index=17)
    hops = [hop for hop, _ in frame(Framer(INFO, 10), chunk)]
    assert [hop.index for hop in hops] == [20, 30, 40, 50]
    for hop in hops:
        want = part(chunk, hop.index - 17, hop.index - 7)
        for name in ("data", "times", "flags", "channel_flags"):
            assert np.array_equal(getattr(hop, name), getattr(want, name))


def test_start_on_the_grid_loses_nothing():
    assert [hop.index for hop, _ in frame(Framer(INFO, 10), make_chunk(25, index=30))] == [30, 40]


def test_short_loss_is_held_and_flagged():
    whole = make_chunk(40, index=0)
    before, after = part(whole, 0, 13), part(whole, 16, 40)
    hops = frame(Framer(INFO, 10), before, after)
    assert [hop.index for hop, _ in hops] == [0, 10, 20, 30]
    assert not any(jumped for _, jumped in hops)
    hop = hops[1][0]
    assert np.array_equal(hop.data[3:6], np.tile(whole.data[12], (3, 1)))
    assert np.allclose(hop.times, whole.times[10:20])
    assert np.array_equal(hop.flags[3:6], [GAP] * 3)
    assert not hop.channel_flags[3:6].any()
    assert np.array_equal(hop.data[6:], whole.data[16:20])
    assert np.array_equal(hop.flags[6:], whole.flags[16:20])


@pytest.mark.parametrize(("n_lost", "held"), [(10, True), (11, False)])
def test_limit_of_holding_is_50_ms(n_lost, held):
    whole = make_chunk(100, index=0)
    hops = frame(Framer(INFO, 10), part(whole, 0, 15), part(whole, 15 + n_lost, 100))
    assert any(jumped for _, jumped in hops) is not held
    assert (len(hops) == 10) is held


@pytest.mark.parametrize(
    ("sfreq", "max_hold_s", "n_held"),
    [(100.0, 0.29, 29), (np.nextafter(500.0, 0.0), 0.05, 25), (500.0, 0.0, 0)],
)
def test_rounding_takes_no_sample_from_the_limit(sfreq, max_hold_s, n_held):
    info = replace(INFO, sfreq=float(sfreq))
    for n_lost in (n_held, n_held + 1):
        whole = make_chunk(100, index=0, info=info)
        chunks = part(whole, 0, 15), part(whole, 15 + n_lost, 100)
        hops = frame(Framer(info, 10, max_hold_s), *chunks)
        assert any(jumped for _, jumped in hops) == (n_lost > n_held)


def test_a_long_loss_ends_the_hop_early_and_is_told_with_the_next_one():
    whole = make_chunk(100, index=0)
    hops = frame(Framer(INFO, 10), part(whole, 0, 25), part(whole, 55, 100))
    assert [(hop.index, jumped) for hop, jumped in hops] == [
        (0, False),
        (10, False),
        (20, False),
        (60, True),
        (70, False),
        (80, False),
        (90, False),
    ]
    tail, jump = hops[2][0], hops[3][0]
    assert np.array_equal(tail.data, whole.data[20:25])
    assert np.array_equal(tail.flags, whole.flags[20:25])
    assert jump.flags[0] == whole.flags[60] | GAP
    assert np.array_equal(jump.flags[1:], whole.flags[61:70])
    assert np.array_equal(jump.data, whole.data[60:70])


def test_held_samples_can_cross_the_first_grid_point():
    whole = make_chunk(40, index=5)
    hops = frame(Framer(INFO, 10), part(whole, 0, 4), part(whole, 7, 40))
    assert hops[0][0].index == 10
    assert np.array_equal(hops[0][0].data[:2], np.tile(whole.data[3], (2, 1)))
    assert np.allclose(hops[0][0].times, whole.times[5:15])


@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=12),
    losses=st.lists(st.integers(0, 25), min_size=12, max_size=12),
    start=st.integers(0, 30),
    n_steps=st.integers(1, 12),
    n_step=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_against_a_plain_model(lengths, losses, start, n_steps, n_step):
    n_hop = n_steps * n_step
    whole = make_chunk(1200, index=start)
    framer, sent, hops, at = Framer(INFO, n_hop, n_step=n_step), [], [], 0
    for length, lost in zip(lengths, losses, strict=False):
        sent.append(part(whole, at, at + length))
        hops += frame(framer, sent[-1])
        at += length + lost
    found = [(hop.index, len(hop.data), jumped) for hop, jumped in hops]
    assert found == _model(sent, n_hop, n_step)
    for hop, _ in hops:
        have = ~(hop.flags & GAP).astype(bool)
        rows = np.arange(hop.index, hop.index + len(hop.data)) - start
        assert np.array_equal(hop.data[have], whole.data[rows][have])
        assert np.allclose(hop.times, whole.times[rows])


def _model(chunks, n_hop, n_step=1, n_hold=10):
    """Which hops come out, sample by sample."""
    out, expected, filled, jumped = [], None, None, False
    for chunk in chunks:
        for index in range(chunk.index, chunk.index + len(chunk.data)):
            if expected is not None and index - expected > n_hold:
                if filled and (n := filled - filled % n_step):  # the unfinished hop, short
                    out.append((expected - filled, n, jumped))
                    jumped = False
                filled, jumped, expected = None, True, index
            for at in range(index if expected is None else expected, index + 1):
                if at % n_hop == 0:
                    filled = 0
                if filled is None:
                    continue
                filled += 1
                if filled == n_hop:
                    out.append((at - n_hop + 1, n_hop, jumped))
                    filled, jumped = 0, False
            expected = index + 1
    return out


@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=12),
    losses=st.lists(st.sampled_from([0, 0, 3, 25]), min_size=12, max_size=12),
    start=st.integers(0, 30),
    n_hop=st.integers(1, 12),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
@example([40, 40, 3], [0, 25, 0], 0, 5, [106])  # the last hop jumps, and only its start is there
@settings(max_examples=60, deadline=None)
def test_a_hop_is_cut_where_asked_and_nothing_else_changes(lengths, losses, start, n_hop, cuts):
    whole = make_chunk(1200, index=start)
    plain, cutting, at = Framer(INFO, n_hop), Framer(INFO, n_hop), 0
    expected, found = [], []

    def ahead(first):
        return min((cut for cut in cuts if cut > first), default=0)

    for length, lost in zip(lengths, losses, strict=False):
        chunk = part(whole, at, at + length)
        expected += frame(plain, chunk)
        cutting.push(chunk)
        for hop in cutting.hops(ahead):
            found.append((copy(hop), cutting.jumped))
        at += length + lost
    ends = [hop.index + len(hop.data) for hop, _ in found]
    begun = {row for hop, _ in expected for row in range(hop.index, hop.index + len(hop.data))}
    assert {cut for cut in cuts if cut - 1 in begun} <= {*ends}
    # What is left of the last hop is handed out if it is cut; `plain` waits for its end.
    assert {hop.index for hop, jumped in found if jumped and hop.index in begun} == {
        hop.index for hop, jumped in expected if jumped
    }
    for name in ("data", "times", "flags", "channel_flags"):
        both = [
            np.concatenate([getattr(hop, name) for hop, _ in hops], axis=0)
            for hops in (found, expected)
            if hops
        ]
        if len(both) == 2:  # the last hop may lack its end in one of them
            assert np.array_equal(both[0][: len(both[1])], both[1])


def test_reset_forgets():
    framer = Framer(INFO, 10)
    frame(framer, make_chunk(15, index=100))
    framer.reset()
    assert [hop.index for hop, _ in frame(framer, make_chunk(15, index=0))] == [0]


def test_no_allocation():
    framer, chunk, position = Framer(INFO, 64), make_chunk(100, index=0), [0]

    def step():
        framer.push(chunk._replace(index=position[0]))
        position[0] += 100
        for _ in framer.hops():
            pass

    stays, peak = allocated(step, 500)
    assert stays < 512
    assert peak < 2048


def test_backward_index_is_refused():
    framer = Framer(INFO, 10)
    frame(framer, make_chunk(15, index=100))
    with pytest.raises(ValueError, match="need a chunk from sample 115 on, got one from 114"):
        framer.push(make_chunk(5, index=114))


def test_wrong_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="7 channels, got 3"):
        Framer(INFO, 10).push(make_chunk(5, info=INFO.pick([0, 1, 2])))


def test_hops_left_over_are_refused():
    framer = Framer(INFO, 10)
    framer.push(make_chunk(25, index=0))
    with pytest.raises(RuntimeError, match="hops left over"):
        framer.push(make_chunk(5, index=25))


@pytest.mark.parametrize(
    "settings", [{"n_hop": 0}, {"n_hop": 5, "max_hold_s": -1.0}, {"n_hop": 5, "n_step": 2}]
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(ValueError, match="need"):
        Framer(INFO, **settings)


def test_what_a_hop_lacks():
    framer = Framer(INFO, 10)
    assert framer.n_missing() == 1  # nobody knows where the grid lies
    framer.push(make_chunk(4, index=33))
    assert framer.n_missing() == 13  # up to 40 samples are dropped
    assert framer.n_missing(lambda start: start + 3) == 6
    for n, index in ((12, 37), (1, 49)):
        assert not list(framer.hops())
        framer.push(make_chunk(n, index=index))
    assert [hop.index for hop in framer.hops()] == [40]
    assert framer.n_missing() == 10
    assert framer.n_missing(lambda start: start + 99) == 10
