"""The benchmark of a fit runs; goals of memory hold where it is tiny, those of speed need its size."""

import json
import subprocess
import sys

import pytest

from tests.small import REPO


@pytest.mark.slow
def test_memory_of_a_tiny_recording():
    options = ["--minutes=4", "--same-minutes=4", "--channels=12", "--sfreq=200", "--limit-gib=6"]
    command = [sys.executable, str(REPO / "scripts" / "bench_fit.py"), "memory", *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    memory = json.loads(done.stdout.splitlines()[-1])["memory"]
    assert all(memory["goals"].values()), memory["goals"]
    assert len(memory["goals"]) == 10
    for kind in ("fif", "xdf"):
        assert memory["figures"][kind]["fit"]["peak_gib"] < 2.0


@pytest.mark.slow
def test_speed_of_tiny_problems():
    options = ["--size=0.05", "--runs=1", "--speeds=p3840,p12240,layers,permutations"]
    command = [sys.executable, str(REPO / "scripts" / "bench_fit.py"), "speed", *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    speed = json.loads(done.stdout.splitlines()[-1])["speed"]
    assert done.returncode == (not all(speed["goals"].values())), done.stderr
    assert len(speed["goals"]) == 6
    for name in ("p3840", "p12240", "permutations"):
        assert speed["figures"][name]["ratio"] > 0
    assert speed["figures"]["p3840"]["bound"] > speed["figures"]["p3840"]["ratio"]
