"""The benchmark of a fit runs, and its goals hold where it is tiny."""

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
