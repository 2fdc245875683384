"""Who may import whom, what import costs, and what the code never does."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
LIVE = sorted((REPO / "rt_decoder").rglob("*.py"))
OFFLINE = sorted((REPO / "calibration").rglob("*.py"))
HEAVY = {"torch", "transformers", "sklearn", "mne", "scipy.signal"}
# the stages; each knows values and kernels, never another stage
STAGES = ("guard", "filters", "features", "mapping", "vocabulary", "readout", "framing", "ring")


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", LIVE, ids=lambda p: p.relative_to(REPO).as_posix())
def test_live_side_never_imports_calibration(path):
    assert not {name for name in _imports(path) if name.split(".")[0] == "calibration"}


def test_only_the_command_line_reaches_calibration():
    reaching = {
        path.relative_to(REPO).as_posix()
        for path in LIVE
        if "calibration." in path.read_text(encoding="utf-8").replace("calibration.``", "")
        and "import_module" in path.read_text(encoding="utf-8")
    }
    assert reaching == {"rt_decoder/cli.py"}


@pytest.mark.parametrize("stage", STAGES)
def test_stages_know_values_and_kernels_only(stage):
    inside = {
        n for n in _imports(REPO / "rt_decoder" / f"{stage}.py") if n.startswith("rt_decoder")
    }
    allowed = {"rt_decoder.signal", "rt_decoder.filter_design"}
    assert {n for n in inside if not n.startswith("rt_decoder.kernels")} <= allowed


def test_kernels_import_nothing_of_the_package():
    # a cached kernel that calls another file's would go stale when that file changes
    for path in (REPO / "rt_decoder" / "kernels").glob("*.py"):
        assert not {n for n in _imports(path) if n.startswith("rt_decoder")}, path.name


def test_import_stays_light():
    code = "import sys, rt_decoder, rt_decoder.cli; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPO
    ).stdout.split()
    assert not HEAVY & set(loaded)


def _calls_and_names() -> list[tuple[Path, ast.AST]]:
    scripts = sorted((REPO / "scripts").glob("*.py"))
    return [
        (path, node)
        for path in [*LIVE, *OFFLINE, *scripts]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    ]


def test_nothing_is_unpickled_or_evaluated():
    for path, node in _calls_and_names():
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in {"eval", "exec", "pickle.load", "pickle.loads", "torch.load"}, path
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert "pickle" not in ast.unparse(node), path
        if isinstance(node, ast.keyword) and node.arg in {"allow_pickle", "trust_remote_code"}:
            assert isinstance(node.value, ast.Constant), path
            assert node.value.value is False, path


def test_top_level_holds_what_the_design_says():
    listed = subprocess.run(
        ["git", "ls-files"], capture_output=True, text=True, check=False, cwd=REPO
    ).stdout.splitlines()
    top = {name.split("/")[0] for name in listed}
    allowed = {"rt_decoder", "calibration", "tests", "scripts", "pyproject.toml", "README.md"}
    assert {name for name in top if not name.startswith(".")} <= allowed | {"LICENSE"}
