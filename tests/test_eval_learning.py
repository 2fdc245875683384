"""scripts/eval_learning.py on made-up subjects who share nothing, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.test_eval_words import folder  # noqa: F401  (a fixture)

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "eval_learning.py"


def run(*args):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, args)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[1]), "RT_DECODER_CACHE": ""},
        check=False,
    )


def test_labels_teach_what_others_could_not(folder):  # noqa: F811
    done = run("--data", folder, "--json")
    result = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == (not all(result["goals"].values())), done.stderr
    assert result["n_labels"] == ["0", "100", "200", "all"]
    labels, wrong = np.array(result["labels"]), np.array(result["shuffled"])
    assert (np.diff(labels) > 0).all(), labels
    assert labels[0] == wrong[0] == pytest.approx(0.5, abs=0.1)
    assert labels[-1] > 0.75
    assert wrong[-1] < 0.6
    assert result["above"] == 3


def test_too_few_people_are_refused(folder, tmp_path):  # noqa: F811
    done = run("--data", folder, "--people", 2)
    assert done.returncode == 2
    assert "need subjectNN.npz of 3 people or more" in done.stderr
    done = run("--data", tmp_path)
    assert done.returncode == 1
    assert "cannot read" in done.stderr
