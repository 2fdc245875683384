"""The benchmark of the cleaning chain runs, on stages that work."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import bench_clean as bench

pytestmark = pytest.mark.slow
TINY = bench.Effort(seconds=40.0, rounds=2, hops=20, left=50)


@pytest.fixture(scope="module")
def stages():
    return bench.fit_chain(12, TINY.seconds)


def test_the_chain_is_the_one_named(stages):
    assert list(stages) == [
        "guard",
        "muscle",
        "filter",
        "repair",
        "rereference",
        "eye",
        "regressors",
        "heartbeat",
    ]
    assert len(bench.SOS) == 6
    assert len(stages["eye"].rest_scale) == 4
    assert stages["regressors"].weights.shape == (6, 12)
    assert stages["heartbeat"].template.shape == (800, 12)


def test_the_chain_removes_artifacts(stages):
    loud, quiet = (
        _size(stages, bench.recording(12, 8.0, seed=2, quiet=quiet).data) for quiet in (False, True)
    )
    assert loud < 1.5 * quiet


def _size(stages, data):
    """RMS behind the chain, of good samples once the filters have settled."""
    chain = bench.Chain(stages, data, 10)
    out = []
    for _ in range(len(data) // 10):
        hop = chain.take()
        for stage in stages.values():
            hop = stage.process(hop)
        out.append(hop.data[:, :12].copy())
    return np.sqrt(np.mean(np.concatenate(out[300:]) ** 2))


def test_a_race_reports_all_times(stages):
    data = bench.recording(12, 6.0, seed=2).data
    row = bench._race(stages, data, 20, None, TINY)
    assert row["us"] > 0
    assert row["sosfilt_us"] > 0
    assert row["of_sosfilt"] == pytest.approx(row["us"] / row["sosfilt_us"], rel=0.5)
    assert row["asr_us"] is None
    assert set(row["stages_us"]) == set(stages)
    assert bench.Chain(stages, data, 20).left_behind(TINY.left) == 0


def test_arrays_left_behind_are_counted(stages):
    class Hoards:
        def __init__(self):
            self.kept = []

        def process(self, chunk):
            self.kept.append(chunk.data.copy())
            return chunk

        def reset(self):
            self.kept.clear()

    data = bench.recording(12, 6.0, seed=2).data
    assert bench.Chain({"hoards": Hoards()}, data, 10).left_behind(50) >= 50 * 10 * 16 * 8
