"""scripts/eval_repair.py on a simulated person who was recorded twice, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rt_decoder.files.fif_writer import write_fif
from rt_decoder.simulation.participant import Participant

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "eval_repair.py"


def run(*args):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, args)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])},
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two recordings of 100 s; in the second Cz is another channel's signal, turned."""
    vectors = np.random.default_rng(0).standard_normal((6, 4))
    person = Participant(vectors, list("abcdef"), n_channels=16, sfreq=250.0, seed=1)
    place = tmp_path_factory.mktemp("twice")
    for number in (1, 2):
        found = person.simulate(duration=100.0, seed=number, components=False)
        data, info = found.data.copy(), found.info
        if number == 2:
            names = list(info.ch_names)
            data[:, names.index("Cz")] = -2 * data[:, names.index("P7")]
        write_fif(place / f"person_{number}_raw.fif", data, info, (), 50.0, ())
    return place


def test_a_channel_that_changed_is_passed_on_and_dead_ones_are_repaired(folder):
    done = run("--data", folder, "--faults", "dead,bridged", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    person = result["people"]["person"]
    changed = person["as_they_are"]["channels"]["Cz"]
    assert changed["told"]
    assert changed["replaced_after_30_s"] < 0.1
    assert set(person["as_they_are"]["channels"]) == {"Cz"}
    assert person["bridged in both"]["bad_in_first"] == ["bridged"] * 2
    assert person["dead in both"]["bad_in_first"] == ["flat"]
    assert all(goal["pass"] for goal in result["goals"].values())


def test_what_it_refuses(folder):
    assert "need a folder of two recordings" in run("--data", folder / "none").stderr
    assert "need faults among dead" in run("--data", folder, "--faults", "lost").stderr
