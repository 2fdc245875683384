"""The soak: it judges memory as it says, and a short one passes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "scripts"))

from soak import Look, growth  # noqa: E402
from soak_sender import BAD_EVERY_S, BAD_S, block_of  # noqa: E402

SHORT = ["--channels", "8", "--sfreq", "250", "--settle", "3", "--interval", "2", "--json"]


def looks(rss_kib: np.ndarray) -> list[Look]:
    return [Look(float(s), int(kib), 30, 9) for s, kib in enumerate(rss_kib)]


def test_growth_is_of_what_comes_after_the_settling():
    seconds = np.arange(1200)
    start = np.where(seconds < 110, 50_000, 0)  # what compiling takes, and gives back
    assert growth(looks(200_000 + start), 120.0) == {"rss_kib": 0, "n_fds": 0, "n_threads": 0}
    leak = growth(looks(200_000 + 2 * seconds), 120.0)
    assert leak is not None
    assert leak["rss_kib"] == pytest.approx(2 * (1199 - 30 - (120 + 30)), abs=4)
    spike = np.where(seconds % 100 == 50, 9_000, 0)  # one look in a hundred
    assert growth(looks(200_000 + spike), 120.0) == {"rss_kib": 0, "n_fds": 0, "n_threads": 0}
    assert growth(looks(200_000 + 0 * seconds)[:100], 120.0) is None


def test_the_endless_stream_has_no_jumps_and_numbers_its_samples():
    data = np.column_stack((np.arange(100.0), np.zeros(100)))  # rises by 1 a sample
    block = block_of(data, 0, 10_000, 100.0)
    np.testing.assert_array_equal(block[:, 1], np.arange(10_000))
    bad = np.isnan(block[:, 0])
    assert bad.sum() == int(100 / BAD_EVERY_S) * round(BAD_S * 100)
    steps = np.abs(np.diff(block[:, 0]))
    assert np.nanmax(steps) <= 1
    np.testing.assert_array_equal(block_of(data, 137, 150, 100.0), block[137:150])


def soak(*options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(REPO / "scripts" / "soak.py"), *SHORT, *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPO,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def last_line(process: subprocess.Popen[str]) -> dict:
    try:
        out, err = process.communicate(timeout=90)
    finally:
        process.kill()
    assert out, err
    return json.loads(out.splitlines()[-1])


def check_accounted_for(seen: dict) -> None:
    assert seen["sent"] == seen["received"] == seen["in"]
    assert seen["in"] == seen["decoded"] + seen["flagged"] + seen["waiting_for_a_hop"]
    assert seen["markers_sent"] == seen["markers_received"]
    assert seen["dropped"] == 0


@pytest.mark.lsl
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_short_soak_accounts_for_everything():
    process = soak("--minutes", "0.25")
    seen = last_line(process)
    check_accounted_for(seen)
    assert seen["sent"] == 0.25 * 60 * 250
    assert seen["growth"]["n_fds"] == seen["growth"]["n_threads"] == 0
    assert process.returncode == bool(seen["failed"])


@pytest.mark.lsl
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_ctrl_c_ends_a_soak_in_good_order():
    process = soak("--minutes", "10")
    assert process.stdout is not None
    process.stdout.readline()  # the header
    process.stdout.readline()  # the first report
    process.send_signal(signal.SIGINT)
    seen = last_line(process)
    check_accounted_for(seen)
    assert 0 < seen["sent"] < 10 * 60 * 250
