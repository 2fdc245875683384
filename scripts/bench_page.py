"""Compare a decoder's latency with the operator's page open and closed, in turns of one run.

A sender in a process of its own streams a simulated person at 1 kHz; a session of `open_live`
reads out every hop of 10 ms, and sends readouts, log and cleaned signal over LSL. In turns,
`rt-decoder dashboard` with a page in a headless Chromium watches it, or nothing does. Latency is what
each readout tells of itself: newest sample to emission. The sender stands for an amplifier, which no
browser delays: it has a real-time priority where the system allows it. The browser starts with the
priority that it has from `rt-decoder dashboard --open`. The page's heap and the memory of its server are read at the
beginning and at the end of each turn, and the CPU time of every process (on Linux).

    python scripts/bench_page.py [--seconds 20] [--turns 6] [--channels 64] [--tune priority] [--json]

Goal, on a quiet machine (`--judge`): the p99 with the page open is at most 5 % above that without.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE))
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

from rt_decoder.dashboard.priority import step_back  # noqa: E402 - after the threads
from rt_decoder.files.model_file import save_model  # noqa: E402 - after the threads
from rt_decoder.sinks.loopback import configure_loopback  # noqa: E402 - after the threads

configure_loopback()

from rt_decoder.live.api import open_live  # noqa: E402 - after its configuration
from scripts.speed.scene import Case, load_scene, make_scene  # noqa: E402 - after its configuration
from scripts.speed.sender import sending  # noqa: E402 - after its configuration
from scripts.speed.usage import usage  # noqa: E402 - after its configuration
from tests.browser import Browser, browsing, find_browser  # noqa: E402 - after its configuration

SETTLE_S = 3.0
SERVER = "page's server"
MOST_SLOWER = 1.05


def main() -> None:
    """Run turns, and print what they measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--chunk", type=int, default=10)
    parser.add_argument("--words", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=20.0, help="a turn")
    parser.add_argument("--tune", default="", help="of the session, as for rt-decoder run")
    parser.add_argument("--turns", type=int, default=6, help="half of them with the page")
    parser.add_argument("--judge", action="store_true", help="exit with 1 where the goal is missed")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    program = find_browser()
    if program is None:
        sys.exit("error: need chromium on the path, or named by RT_DECODER_CHROMIUM")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        turns = measure(args, Path(folder), program, stack)
    found = {
        which: summary([turn for turn in turns if turn["open"] == (which == "open")])
        for which in ("closed", "open")
    }
    ratio = found["open"]["p99"] / found["closed"]["p99"]
    for which, row in found.items():
        print(f"{which:>6}: " + ", ".join(f"{name} {value:.3f} ms" for name, value in row.items()))
    heaps = [turn["heap_mb"] for turn in turns if turn["open"]]
    print(f"p99 open / closed {ratio:.3f} (goal: at most {MOST_SLOWER:g})")
    print("heap of the page, MB at begin and end of each turn:", heaps)
    rss = [[round(mb, 1) for mb in turn["rss_mb"]] for turn in turns if turn["open"]]
    print("memory of its server, MB at begin and end of each turn:", rss)
    costs = {which: mean_costs(turns, which == "open") for which in found}
    print_costs(costs)
    if args.json:
        told = found | {
            "ratio": round(ratio, 4),
            "heap_mb": heaps,
            "server_mb": rss,
            "cpu_percent": costs,
            "load": round(os.getloadavg()[0], 1),
        }
        print(json.dumps(told))
    if args.judge and ratio > MOST_SLOWER:
        sys.exit(1)


def measure(
    args: argparse.Namespace, folder: Path, program: str, stack: ExitStack
) -> list[dict[str, Any]]:
    """Let the page be open and closed in turns, beside one session."""
    scene_path, model_path = folder / "scene.npy", folder / "m.rtd.safetensors"
    make_scene(scene_path, args.channels, args.words)
    save_model(load_scene(str(scene_path)).model, model_path)
    name = f"page-{uuid.uuid4().hex[:8]}"
    case = Case(args.channels, args.chunk, "continuous", str(scene_path))
    stack.enter_context(sending(case, name, is_first=True))
    options: dict[str, Any] = {"tune": args.tune.split(",")} if args.tune else {}
    options |= {"outlet": name, "clean_outlet": f"{name}-clean", "continuous": True, "force": True}
    live = stack.enter_context(open_live(str(model_path), name, network=True, **options))
    turns = []
    for k in range(args.turns):
        is_open = bool(k % 2)
        with ExitStack() as viewing:
            page = open_page(program, folder / f"profile{k}", viewing) if is_open else None
            for _ in latencies(live, SETTLE_S):
                pass
            heap = [heap_mb(page)] if page else []
            before = usage(os.getpid())
            ms = list(latencies(live, args.seconds))
            after = usage(os.getpid())
            heap += [heap_mb(page)] if page else []
        spent = {
            role: 100 * (one.cpu_s - before[role].cpu_s) / args.seconds
            for role, one in after.items()
            if role in before
        }
        rss = [one[SERVER].rss_mb for one in (before, after) if SERVER in one]
        turns.append({"open": is_open, "ms": ms, "heap_mb": heap, "cpu": spent, "rss_mb": rss})
        print(
            f"turn {k + 1}: {'open' if is_open else 'closed'}, {len(ms)} readouts", file=sys.stderr
        )
    return turns


def open_page(program: str, profile: Path, stack: ExitStack) -> Browser:
    """Start the page's server and a browser that looks at it."""
    server = subprocess.Popen(
        [sys.executable, "-m", "rt_decoder", "dashboard", "--port", "0"],
        cwd=HERE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    stack.callback(server.wait, 30.0)
    stack.callback(server.terminate)
    url = server.stdout.readline().split()[2].rstrip(",")
    browser = stack.enter_context(browsing(program, profile, step_back))
    browser.look(width=1440)
    browser.open(url)
    end = time.monotonic() + 60.0
    while not browser.evaluate("rt_decoder.signal.drawn > 2"):
        if time.monotonic() > end:
            raise TimeoutError("need a page that draws a signal, got none in 60 s")
        time.sleep(0.1)
    return browser


def heap_mb(browser: Browser) -> float:
    """Heap of the page after a collection, in MB."""
    browser.call("HeapProfiler.collectGarbage")
    return round(browser.call("Runtime.getHeapUsage")["usedSize"] / 1e6, 2)


def latencies(live: Any, seconds: float) -> Any:
    """Latency of each readout that comes in so many s, in ms."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (
            readout := live.next(timeout=0.5)
        ) is not None and readout.latency_ms == readout.latency_ms:
            yield readout.latency_ms


def summary(turns: list[dict[str, Any]]) -> dict[str, float]:
    """Percentiles of all turns together."""
    ms = np.concatenate([turn["ms"] for turn in turns])
    return {f"p{q}": float(np.percentile(ms, q)) for q in (50, 95, 99)} | {"max": float(ms.max())}


def mean_costs(turns: list[dict[str, Any]], is_open: bool) -> dict[str, float]:
    """CPU time of each kind of process, in percent of one core."""
    of = [turn["cpu"] for turn in turns if turn["open"] == is_open]
    roles = {role: None for one in of for role in one}
    return {role: round(sum(one.get(role, 0.0) for one in of) / len(of), 2) for role in roles}


def print_costs(costs: dict[str, dict[str, float]]) -> None:
    """Print what processes cost with the page closed and open."""
    for role in costs["open"]:
        closed = costs["closed"].get(role)
        before = "     -" if closed is None else f"{closed:5.1f} %"
        print(f"CPU of {role:<18} closed {before}, open {costs['open'][role]:5.1f} % of a core")


if __name__ == "__main__":
    main()
