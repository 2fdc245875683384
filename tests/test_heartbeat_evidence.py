"""The heartbeat template moves with the evidence: to a change, and away where it is not there."""

from __future__ import annotations

import numpy as np

from rt_decoder.cleaning.heartbeat import HeartbeatTemplate
from rt_decoder.kernels.heartbeat import GIVEN, TRUST, TRUSTED
from tests.test_heartbeat import FILTER, INFO, LEVELS, MAP, SFREQ, make_chunk, pulse, scene


def stage_of(course, n_beats, watched=None):
    ecg = np.eye(4)[-1]
    return HeartbeatTemplate(
        INFO, ecg, MAP[None], FILTER[None], course[:, None], LEVELS, n_beats, watched
    )


def in_pieces(stage, data, seconds, state):
    """Run a stage; return one value of its state after each piece."""
    n, seen = round(seconds * SFREQ), []
    chunk = make_chunk(data)
    for first in range(0, len(data) // n * n, n):
        rows = slice(first, first + n)
        stage.process(
            chunk._replace(
                data=chunk.data[rows],
                times=chunk.times[rows],
                index=first,
                flags=chunk.flags[rows],
                channel_flags=chunk.channel_flags[rows],
            )
        )
        seen.append(stage._state[state])
    return np.array(seen)


def test_a_change_is_followed_over_some_beats():
    """However clear it is; in the end nearly all of it is subtracted."""
    chunk, _, peaks = scene(seconds=60.0, noise=1e-6)
    given = in_pieces(stage_of(0.0 * pulse(), 300.0), chunk.data, 0.1, (GIVEN, 0))
    at = [round(10 * peaks[k] / SFREQ) + 1 for k in (2, 8, 40)]
    assert given[at[0]] < 0.4 < given[at[1]] < 0.9
    assert given[at[2]] > 0.9


def test_a_template_that_was_there_is_doubted_later_than_one_that_never_was():
    """Both end without trust: what was seen to be there delays that by a beat or so."""
    chunk, artifact, peaks = scene(seconds=60.0, size=1.0, noise=1e-6)
    usual = np.mean(np.sum((artifact @ FILTER[:, None]) ** 2, axis=1))
    lost = peaks[len(peaks) // 2] - 5
    later = chunk.data.copy()
    later[lost:, :3] -= artifact[lost:]
    watched = np.array([usual, 4.0])
    without, proven = (
        in_pieces(stage_of(pulse(), 0.0, watched), data, 0.1, (TRUST, TRUSTED))
        for data in (later[lost:], later)
    )
    begin = round(10 * lost / SFREQ)
    assert np.all(proven[:begin] == 1.0)
    delays = np.argmax(without == 0.0), np.argmax(proven[begin:] == 0.0)
    assert 0 < delays[0] < delays[1] < delays[0] + 30
    assert max(without[-1], proven[-1]) < 1e-3
