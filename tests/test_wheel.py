"""The wheel, built through the sdist, in an environment that holds its dependencies and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest

from calibration.demo import save_recording
from rt_decoder.files.packages import packages_of
from tests.small import REPO, Ran, save_small, small_recording

PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def needed(requirements: list[str], found: set[str]) -> set[str]:
    """Distributions that these ask for, and those ask for, without extras."""
    for requirement in requirements:
        rule, _, marker = requirement.partition(";")
        name = re.split(r"[\s<>=!~\[(]", rule, maxsplit=1)[0]
        if "extra" in marker or name in found:
            continue
        try:
            one = distribution(name)
        except ModuleNotFoundError:
            assert marker, name  # of another system or Python
            continue
        found.add(name)
        needed(list(one.requires or ()), found)
    return found


def link(name: str, site: Path) -> None:
    """Let an environment see one of the distributions of this one."""
    one = distribution(name)
    roots = {
        file.parts[0] for file in one.files or () if file.parts[0] not in ("..", "__pycache__")
    }
    for root in roots:
        place = site / root
        if not place.exists():
            place.symlink_to(Path(str(one.locate_file(root))).resolve())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel; `build` makes the sdist of the checkout, and the wheel of the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(REPO)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(list(folder.glob("*.tar.gz"))) == 1
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an environment's programs."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=False, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    for name in needed(PROJECT["dependencies"], set()):
        link(name, site)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", built]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder / "bin"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the checkout, with a model and a recording in two formats."""
    folder = tmp_path_factory.mktemp("work")
    save_small(folder / "me.rtd.safetensors")
    recording = small_recording(seconds=20.0)
    save_recording(recording, folder / "run.xdf")
    names = recording.info.ch_names
    table = "".join(
        f"{name}\t{name}\t{kind}\t{unit}\n"
        for name, kind, unit in zip(
            names, recording.info.ch_types, recording.info.units, strict=True
        )
    )
    (folder / "channels.tsv").write_text(f"stream_name\tmodel_name\ttype\tunit\n{table}")
    np.savetxt(
        folder / "run.csv", np.column_stack((recording.stamps, recording.data)), delimiter=",",
        header=",".join(("timestamps", *names)), comments="",
    )  # fmt: skip
    return folder


def run(installed: Path, work: Path, *command: str) -> Ran:
    """Run an installed program in a home of its own, far from the checkout."""
    kept = ("PATH", "LSLAPICFG", "OMP_NUM_THREADS")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    ran = subprocess.run(
        [str(installed / command[0]), *command[1:]], cwd=work, capture_output=True, text=True,
        check=False, env=environment | {"HOME": str(work)}, timeout=600,
    )  # fmt: skip
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def of_packages(names: list[str]) -> Iterator[str]:
    for name in names:
        if name.startswith(("rt_decoder/", "calibration/")) and not name.endswith(".py"):
            yield name


@pytest.mark.slow
def test_the_wheel_holds_every_file_that_is_read_and_no_other(built: Path) -> None:
    with zipfile.ZipFile(built) as wheel:
        names = wheel.namelist()
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "rt_decoder", "calibration"], cwd=REPO,
        capture_output=True, text=True, check=True,
    ).stdout.split("\n")  # fmt: skip
    wanted = {name for name in of_packages(tracked) if not name.endswith("README.md")}
    assert "rt_decoder/kernels/signatures.txt" in wanted
    assert "calibration/report/templates/page.html" in wanted
    assert set(of_packages(names)) == wanted
    code = {name for name in names if name.endswith(".py")}
    assert code == {name for name in tracked if name.endswith(".py")}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="links")
def test_the_dependencies_alone_decode_xdf_and_csv(installed: Path, work: Path) -> None:
    model = ("--model", "me.rtd.safetensors", "--force")
    for name, reading in (
        ("run.xdf", ()),
        ("run.csv", ("--channels", "channels.tsv", "--markers", "channel:TRIG")),
    ):
        out = name.replace(".", "-") + ".jsonl"
        ran = run(installed, work, "rt-decoder", "decode", name, *model, *reading, "--jsonl", out)
        assert ran.code == 0, ran.err
        told = [json.loads(line) for line in (work / out).read_text().splitlines()]
        assert sum(line["type"] == "readout" for line in told) > 10
    assert not list(installed.parent.glob("lib/python*/site-packages/mne"))


@pytest.mark.slow
@pytest.mark.lsl
@pytest.mark.skipif(os.name == "nt", reason="links")
def test_the_dependencies_alone_record(installed: Path, work: Path, source_id: str) -> None:
    replay = ("replay", "run.xdf", "--name", source_id, "--wait", "60")
    sender = subprocess.Popen(
        [str(installed / "rt-decoder"), *replay], cwd=work, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        record = ("record", "--name", source_id, "--timeout", "60", "--seconds", "3", "-o", "s.xdf")
        ran = run(installed, work, "rt-decoder", *record)
        assert ran.code == 0, ran.err
        assert (work / "s.xdf").stat().st_size > 10_000
    finally:
        sender.terminate()
        sender.wait(60.0)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="links")
def test_what_the_dependencies_cannot_do_is_told_with_the_fix(installed: Path, work: Path) -> None:
    before = set(work.iterdir())
    for command in (
        ("rt-decoder", "demo"),
        ("rt-decoder", "simulate", "--save", "x.xdf"),
        ("rt-calibrate", "fit", "run.xdf", "-o", "x.rtd.safetensors"),
    ):
        ran = run(installed, work, *command)
        assert (ran.code, ran.out) == (1, ""), command
        assert ran.err.startswith("error: need ")
        assert ran.err.endswith("pip install 'rt-decoder[calibration]'\n")
        assert ran.err.count("\n") == 1
    (work / "run.fif").write_bytes(b"")
    ran = run(installed, work, "rt-decoder", "decode", "run.fif", "--model", "me.rtd.safetensors",
              "--force", "--jsonl", "x.jsonl")  # fmt: skip
    assert "pip install 'rt-decoder[files]'" in ran.err
    assert set(work.iterdir()) - before <= {work / "run.fif"}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="links")
def test_a_report_of_a_bug_has_what_it_needs(installed: Path, work: Path) -> None:
    ran = run(installed, work, "rt-decoder", "info", "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out.splitlines()[-1])
    assert told["rt-decoder"] == PROJECT["version"]
    assert {"python", "numpy", "numba", "pylsl", "liblsl", "system", "cpus", "memory_gb", "threads",
            "encoding", "kernel_cache", "lsl_config"} <= told.keys()  # fmt: skip
    assert {f"[{extra}]" for extra in packages_of()} <= told.keys()
    assert told["[files]"].startswith("without mne")
    assert str(work) not in ran.out  # its user's home
