"""Compare a session's latency with the view of `rt-decoder run` on a terminal, and without it.

A sender in a process of its own streams a simulated person at 1 kHz; `rt-decoder run` reads out every
hop of 10 ms on a pseudo-terminal that is read as fast as it is written, in turns with the view and
with `--quiet`. Latency is what each readout tells of itself in the log: newest sample to emission. The
first seconds of a turn do not count. Linux and macOS.

    python scripts/bench_view.py [--seconds 15] [--turns 6] [--channels 64] [--judge] [--json]

Goal, on a quiet machine (`--judge`): the p99 with the view is at most 5 % above that without.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import subprocess
import sys
import tempfile
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE))
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

from rt_decoder.sinks.loopback import configure_loopback  # noqa: E402 - after the threads

configure_loopback()

from rt_decoder.files.model_file import save_model  # noqa: E402 - after its configuration
from scripts.speed.scene import Case, load_scene, make_scene  # noqa: E402 - after its configuration
from scripts.speed.sender import sending  # noqa: E402 - after its configuration

SETTLE_S = 3.0
MOST_SLOWER = 1.05


def main() -> None:
    """Run turns, and print what they measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--chunk", type=int, default=10)
    parser.add_argument("--words", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=15.0, help="a turn")
    parser.add_argument("--turns", type=int, default=6, help="half of them with the view")
    parser.add_argument("--judge", action="store_true", help="exit with 1 where the goal is missed")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        turns = measure(args, Path(folder))
    found = {
        which: summary([turn for turn in turns if turn["view"] == (which == "view")])
        for which in ("quiet", "view")
    }
    ratios = {q: found["view"][q] / found["quiet"][q] for q in ("p50", "p99")}
    for which, row in found.items():
        print(f"{which:>6}: " + ", ".join(f"{name} {value:.3f}" for name, value in row.items()))
    said = ", ".join(f"{q} {ratio:.3f}" for q, ratio in ratios.items())
    print(f"view / quiet: {said} (goal: p99 at most {MOST_SLOWER:g})")
    if args.json:
        print(json.dumps(found | {"ratios": ratios}))
    if args.judge and ratios["p99"] > MOST_SLOWER:
        sys.exit(1)


def measure(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Run sessions with the view and without it, in turns, beside one sender."""
    scene_path, model_path = folder / "scene.npy", folder / "m.rtd.safetensors"
    make_scene(scene_path, args.channels, args.words)
    save_model(load_scene(str(scene_path)).model, model_path)
    name = f"view-{uuid.uuid4().hex[:8]}"
    turns = []
    with sending(Case(args.channels, args.chunk, "continuous", str(scene_path)), name):
        for k in range(args.turns):
            log = folder / f"{k}.jsonl"
            options = ["--model", model_path, "--name", name, "--log", log, "--continuous", "--force",
                       "--seconds", args.seconds + SETTLE_S]  # fmt: skip
            has_view = bool(k % 2)
            n_bytes, cpu_s = on_terminal("run", *options, *([] if has_view else ["--quiet"]))
            ms = latencies(log)
            turns.append({"view": has_view, "ms": ms, "bytes": n_bytes, "cpu_s": cpu_s})
            what = "view" if has_view else "quiet"
            print(f"turn {k + 1}: {what}, {len(ms)} readouts, {n_bytes} bytes", file=sys.stderr)
    return turns


def on_terminal(*arguments: object) -> tuple[int, float]:
    """Run rt-decoder on a terminal of 100 columns; gives the bytes that it drew, and its CPU time, s."""
    ours, its = pty.openpty()
    before = os.times()
    process = subprocess.Popen(
        [sys.executable, "-m", "rt_decoder", *map(str, arguments)],
        cwd=HERE, stdin=its, stdout=its, stderr=its,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
    )  # fmt: skip
    os.close(its)
    drawn = bytearray()

    def read() -> None:
        with suppress(OSError):  # the end of a terminal
            while got := os.read(ours, 1 << 16):
                drawn.extend(got)

    reader = threading.Thread(target=read)
    reader.start()
    code = process.wait()
    reader.join()
    os.close(ours)
    if code:
        raise RuntimeError(f"need a session that ends well, got {code}: {drawn[-500:].decode()}")
    after = os.times()
    spent = after.children_user + after.children_system
    return len(drawn), spent - before.children_user - before.children_system


def latencies(log: Path) -> np.ndarray:
    """Latency of each readout of a log in ms, less those of the first seconds."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    told = [row for row in rows if row["type"] == "readout" and row["latency_ms"] is not None]
    begin = told[0]["time"] + SETTLE_S
    return np.array([row["latency_ms"] for row in told if row["time"] >= begin])


def summary(turns: list[dict[str, Any]]) -> dict[str, float]:
    """Percentiles of all turns together, in ms, bytes drawn and CPU time, in s, of a turn."""
    ms = np.concatenate([turn["ms"] for turn in turns])
    found = {f"p{q}": float(np.percentile(ms, q)) for q in (50, 95, 99)} | {"max": float(ms.max())}
    mean = {key: float(np.mean([turn[key] for turn in turns])) for key in ("bytes", "cpu_s")}
    return found | mean


if __name__ == "__main__":
    main()
