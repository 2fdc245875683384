"""Caches, terminals, texts from outside."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from edge_cases import texts  # noqa: F401  (of this kind, too)
from edge_cases.calls import REPO, program, write_inputs
from edge_cases.case import Ran, case, rt_decoder


def _decoding(folder: Path, **how: str | Path | None) -> Ran:
    return program(
        "decode", "--force", folder / "rec.xdf", "--model", folder / "m.safetensors", "--jsonl",
        folder / "l.jsonl", **how,
    )  # fmt: skip


def _readouts(folder: Path) -> list[str]:
    """Winning words of the log."""
    lines = map(json.loads, (folder / "l.jsonl").read_text(encoding="utf-8").splitlines())
    return [line["top"][0][0] for line in lines if line["type"] == "readout" and line["top"]]


def _installed(folder: Path) -> Path:
    """A copy of the programs that has no place for compiled kernels beside them."""
    place = folder / "install"
    for name in ("rt_decoder", "calibration"):
        shutil.copytree(REPO / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    (place / "rt_decoder" / "kernels" / "__pycache__").write_text("no folder")
    return place


# --- where kernels are kept


def _without_cache(folder: Path, **where: str | None) -> str:
    write_inputs(folder)
    (folder / "file").write_text("no folder")
    ran = _decoding(folder, at=_installed(folder), NUMBA_CACHE_DIR=None, **where)
    assert ran.code == 0, ran
    assert ran.err.count("warning: need a folder for compiled kernels") == 1, ran.err
    assert "Traceback" not in ran.err
    assert len(_readouts(folder)) > 5
    return "compiled in memory, said once, decoded"


@case("machine", "no cache: read-only install, home that is a file", "traceback at import")
def _(folder: Path) -> str:
    home = str(folder / "file")
    return _without_cache(folder, HOME=home, XDG_CACHE_HOME=None, RT_DECODER_CACHE=None)


@case("machine", "no cache: RT_DECODER_CACHE empty", "traceback at import")
def _(folder: Path) -> str:
    return _without_cache(folder, RT_DECODER_CACHE="")


def _info(**environment: str | None) -> tuple[str, Ran]:
    ran = program("info", "--json", **environment)
    assert ran.code == 0, ran
    return json.loads(ran.out.splitlines()[-1])["kernel_cache"], ran


@case("machine", "info names the cache", "not told")
def _(folder: Path) -> str:
    (folder / "kept").mkdir(mode=0o700)
    told, _ = _info(NUMBA_CACHE_DIR=str(folder / "kept"))
    assert told.startswith(str(folder / "kept")), told
    return "info tells kernel_cache"


def _open_folder(folder: Path, mode: int) -> str:
    kept, own = folder / "kept", folder / "own"
    kept.mkdir(mode=0o700)
    first, _ = _info(NUMBA_CACHE_DIR=str(kept), RT_DECODER_CACHE=str(own))
    Path(first).chmod(mode)
    told, _ = _info(NUMBA_CACHE_DIR=str(kept), RT_DECODER_CACHE=str(own))
    assert told != first
    return f"not used at mode {mode:o}"


for _mode in (0o777, 0o775):
    case("machine", f"cache that others can write to, {_mode:o}", "loaded: whatever lay there ran")(
        lambda folder, mode=_mode: _open_folder(folder, mode)
    )


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "halved": lambda content: content[: len(content) // 2],
    "empty": lambda content: content[:0],
    "a wrong byte each": lambda content: (
        content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 0xFF])
        + content[len(content) // 2 + 1 :]
    ),
    "zeros": lambda content: bytes(len(content)),
}  # fmt: skip


def _damaged(folder: Path, how: str) -> str:
    write_inputs(folder)
    kept = folder / "kept"
    kept.mkdir(mode=0o700)
    place = Path(_info(NUMBA_CACHE_DIR=str(kept))[0])
    shutil.copytree(Path(_info(NUMBA_CACHE_DIR=None)[0]), place, dirs_exist_ok=True)
    place.chmod(0o700)
    assert _decoding(folder, NUMBA_CACHE_DIR=str(kept)).code == 0
    words = _readouts(folder)
    files = [*place.rglob("guard.*.nbc"), *place.rglob("window.*.nbc")]
    whole = {path: path.read_bytes() for path in files}
    for path, content in whole.items():
        path.write_bytes(DAMAGE[how](content))
    (folder / "l.jsonl").unlink()
    ran = _decoding(folder, NUMBA_CACHE_DIR=str(kept))
    assert ran.code == 0, ran
    assert _readouts(folder) == words
    n = sum(path.read_bytes() != DAMAGE[how](content) for path, content in whole.items())
    assert n, "no damaged file was needed"
    return f"same readouts; {n} of {len(files)} damaged files were needed, and were rebuilt"


for _how in DAMAGE:
    case("machine", f"kernel cache, {_how}", "segmentation fault, or a traceback of pickle")(
        lambda folder, how=_how: _damaged(folder, how)
    )


# --- this machine only


def _kept_here(folder: Path, gone: str) -> str:
    import socket

    write_inputs(folder)
    config = folder / "rt_decoder-lsl-x.cfg"  # as if written by the program
    config.write_text("[lab]\nKnownPeers = {127.0.0.1}\n")
    replaced = patch.object(socket.socket, "setsockopt", side_effect=PermissionError(1, "no"))
    if gone == "system":
        replaced = patch.object(socket, "SO_BINDTODEVICE", None)
    said = []
    with replaced, patch.dict(os.environ, {"LSLAPICFG": str(config)}):
        for command in (
            ("replay", folder / "rec.xdf", "--wait", "0.1"),
            (
                "run",
                "--force",
                "--model",
                folder / "m.safetensors",
                "--name",
                "no",
                "--timeout",
                "0.1",
            ),
        ):
            ran = rt_decoder(*command)
            assert ran.code == 2, ran
            assert "need --network" in ran.err, ran
            said.append(ran.err)
        without = rt_decoder(*command, "--outlet", "")  # offers nothing
        assert "need a stream" in without.err, without
    return said[0].strip()


@case("machine", "system without SO_BINDTODEVICE", "streams open to the network, unsaid")
def _(folder: Path) -> str:
    return _kept_here(folder, "system")


@case("machine", "container that forbids SO_BINDTODEVICE", "streams open to the network, unsaid")
def _(folder: Path) -> str:
    return _kept_here(folder, "permission")
