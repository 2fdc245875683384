"""The heartbeat template moves with the evidence: to a change, and away where it is not there."""

from __future__ import annotations

import numpy as np

from rt_decoder.cleaning.heartbeat import HeartbeatTemplate
from rt_decoder.kernels.heartbeat import GIVEN
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
