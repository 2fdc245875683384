"""Compare the time base with liblsl's dejitter and raw stamps, on simulated and real streams.

Errors are in samples, against the true times of the simulated samples. `quiet` streams lose
nothing: every decision is false. `loss` and `step` streams have one fault after 30 s, with many
seeds; the error is the largest from 2 s after it on. `real` streams have no truth: 100 samples are
deleted at 15 places, and the error of the 5 s from 2 s after each is against the same method's
times of the whole stream (for raw stamps, their distance from our times). liblsl runs over loopback
on the first `--peer-seconds` of quiet streams and the first seed of others. Exit 1: a missed goal.

    python scripts/bench_timebase.py [--seconds S] [--seeds N] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rt_decoder.sinks.loopback import configure_loopback
from rt_decoder.timing.timebase import RateMismatch, TimeBase, TimedSamples

configure_loopback()

REPO = Path(__file__).resolve().parents[1]
JITTERS = (0.0, 0.3, 1.0, 3.0)  # samples, standard deviation
FAULT_AT, AFTER = 30.0, 2.0  # s


class Stream(NamedTuple):
    """A simulated stream."""

    name: str
    stamps: np.ndarray  # (n,) s
    true: np.ndarray  # (n,) s, true times
    arrivals: np.ndarray | None = None  # (n,) s
    goal: float = 0.15  # samples, for the 99th percentile of the error
    settled: float = 1.0  # s, before which errors do not count


def quiet_streams(sfreq: float, seconds: float) -> Iterator[Stream]:
    """Yield streams without losses."""
    n = int(seconds * sfreq)
    t = np.arange(n) / sfreq
    rng = np.random.default_rng(1)

    def noise(sigma: float) -> np.ndarray:
        return sigma / sfreq * rng.standard_normal(n)

    for sigma in JITTERS:
        yield Stream(f"jitter {sigma:g}", t + noise(sigma), t, settled=10.0 if sigma > 1 else 1.0)
    for length in (10, 32):
        pushed = np.minimum(np.arange(n) // length * length + length - 1, n - 1)
        for sigma in (0.0, 0.3):
            yield Stream(f"burst {length} jitter {sigma:g}", (t + noise(sigma))[pushed], t)
    for sigma in (0.0, 0.3, 1.0):
        stamps = t.copy()
        starts = np.cumsum(rng.exponential(5.0, int(seconds)))
        for start in starts[starts < seconds]:
            first, last = np.searchsorted(t, [start, start + 0.05])
            stamps[first:last] = start + 0.05
        yield Stream(f"stall 50 ms 0.2/s jitter {sigma:g}", stamps + noise(sigma), t)
    sine = t + 2e-4 * 300 / (2 * np.pi) * np.sin(2 * np.pi * t / 300)
    line = t + 2e-4 * t * t / (2 * seconds)
    for sigma in (0.0, 1.0):
        yield Stream(f"drift 200 ppm sine jitter {sigma:g}", sine + noise(sigma), sine, goal=0.6)
        yield Stream(f"drift 200 ppm linear jitter {sigma:g}", line + noise(sigma), line, goal=0.6)
        yield Stream(f"rate off 0.1 % jitter {sigma:g}", t * 1.001 + noise(sigma), t * 1.001)
    for sigma in (0.0, 0.3, 1.0):
        picks = np.flatnonzero(rng.random(n - 1) < 0.01) + 1
        twice = t + noise(sigma)
        twice[picks] = twice[picks - 1]
        yield Stream(f"1 % duplicate jitter {sigma:g}", twice, t)
        swapped = t + noise(sigma)
        swapped[picks], swapped[picks - 1] = swapped[picks - 1], swapped[picks].copy()
        yield Stream(f"1 % reversed jitter {sigma:g}", swapped, t)


def fault_stream(sfreq: float, sigma: float, kind: str, size: int, seed: int) -> Stream:
    """Lose `size` samples, or set the clock by as much, after 30 s; a step has arrivals, too."""
    rng = np.random.default_rng(seed)
    n, at = int((FAULT_AT + 15.0) * sfreq), int(FAULT_AT * sfreq)
    taken = np.arange(n) / sfreq
    if kind != "step":
        taken[at:] += size / sfreq
    true = taken.copy()
    if kind == "step":
        true[at:] += size / sfreq
    arrivals = None
    if kind != "loss":  # 10 ms of delay, 3 ms of jitter, polled every 30 ms
        arrivals = np.ceil((taken + 0.01 + rng.exponential(0.003, n)) / 0.03) * 0.03 + 1e4
    return Stream(kind, true + sigma / sfreq * rng.standard_normal(n), true, arrivals)


def ours(stamps: np.ndarray, sfreq: float, arrivals: np.ndarray | None = None) -> TimedSamples:
    """Run a whole stream through a time base at once."""
    return TimeBase(sfreq, 1.0).update(stamps, arrivals)


def liblsl(stamps: np.ndarray, sfreq: float) -> np.ndarray:
    """Run a stream over loopback through liblsl's proc_dejitter; returns the times (n,)."""
    import pylsl

    name = uuid.uuid4().hex
    info = pylsl.StreamInfo(name, "EEG", 1, sfreq, pylsl.cf_float32, name)
    outlet = pylsl.StreamOutlet(info, max_buffered=360)
    found = pylsl.resolve_byprop("source_id", name, timeout=10.0)
    inlet = pylsl.StreamInlet(
        found[0], max_buflen=360, recover=False, processing_flags=pylsl.proc_dejitter
    )
    inlet.open_stream(timeout=10.0)
    while not outlet.have_consumers():
        time.sleep(0.001)
    times: list[float] = []
    for start in range(0, len(stamps), 2000):
        part = stamps[start : start + 2000] + 1e3  # to LSL, a stamp of 0 means no stamp
        outlet.push_chunk(np.zeros((len(part), 1), np.float32), part.tolist())
        while len(times) < start + len(part):
            left = start + len(part) - len(times)
            _, got = inlet.pull_chunk(timeout=10.0, max_samples=left)
            if not got:
                raise TimeoutError(f"need {len(stamps)} samples over loopback, got {len(times)}")
            times.extend(got)
    inlet.close_stream()
    return np.array(times) - 1e3


def largest(error: np.ndarray, share: float = 99.0) -> float:
    """Percentile of the absolute errors."""
    return round(float(np.percentile(np.abs(error), share)), 3)


def bench_quiet(stream: Stream, sfreq: float, peer_seconds: float) -> dict[str, Any]:
    """Measure one stream without losses."""
    start = time.process_time()
    timed = ours(stream.stamps, sfreq)
    us = 1e6 * (time.process_time() - start) / len(stream.stamps)
    first, n = int(stream.settled * sfreq), int(peer_seconds * sfreq)
    peer = liblsl(stream.stamps[:n], sfreq)
    row: dict[str, Any] = {
        "kind": "quiet",
        "case": stream.name,
        "sfreq": sfreq,
        "decisions": dict(Counter(decision.kind for decision in timed.decisions)),
        "p99": largest((timed.times - stream.true)[first:] * sfreq),
        "max": largest((timed.times - stream.true)[first:] * sfreq, 100),
        "liblsl_p99": largest((peer - stream.true[:n])[first:] * sfreq),
        "raw_p99": largest((stream.stamps - stream.true)[first:] * sfreq),
        "held": round(float(np.mean(timed.flags > 0)), 5),
        "us_a_sample": round(us, 2),
    }
    row["met"] = not row["decisions"] and row["p99"] <= stream.goal and us <= 2.0
    return row


def bench_fault(sfreq: float, sigma: float, kind: str, size: int, seeds: int) -> dict[str, Any]:
    """Measure one fault with many seeds."""
    at = int(FAULT_AT * sfreq)
    after = at + int(AFTER * sfreq)
    kinds: Counter[str] = Counter()
    decided, errors, off, unflagged, found = [], [], [], [], 0
    expected = "reset" if kind == "step" else "gap"
    for seed in range(seeds):
        stream = fault_stream(sfreq, sigma, kind, size, seed)
        timed = ours(stream.stamps, sfreq, stream.arrivals)
        kinds.update(decision.kind for decision in timed.decisions)
        right = [d for d in timed.decisions if d.kind == expected and d.sample >= at]
        error = (timed.times - stream.true) * sfreq
        errors.append(np.abs(error[after:]).max())
        unflagged.append(int(np.sum((np.abs(error) > 1.0)[at:] & (timed.flags[at:] == 0))))
        if len(right) == len(timed.decisions) == 1:
            found += 1
            decided.append((right[0].sample - at) / sfreq)
            off.append(abs(right[0].n_lost - size) if kind != "step" else 0)
    stream = fault_stream(sfreq, sigma, kind, size, 0)
    peer = liblsl(stream.stamps, sfreq)
    row: dict[str, Any] = {
        "kind": kind,
        "case": f"{kind} {size} jitter {sigma:g}",
        "sfreq": sfreq,
        "found": found / seeds,
        "decisions": dict(kinds),
        "decided_s": round(max(decided, default=np.nan), 3),
        "count_off": max(off, default=-1),
        "max": round(float(max(errors)), 3),
        "unflagged": max(unflagged),  # samples wrong by more than 1 and not flagged
        "liblsl_max": largest((peer - stream.true)[after:] * sfreq, 100),
        "raw_max": largest((stream.stamps - stream.true)[after:] * sfreq, 100),
    }
    row["met"] = found >= 0.95 * seeds and row["decided_s"] <= 1.0 and row["max"] <= 1.0
    return row


def real_streams(folder: Path) -> Iterator[tuple[str, np.ndarray, float]]:
    """Yield name, stamps and nominal rate of each recorded LSL stream."""
    import pyxdf

    for path in sorted(folder.glob("muse/*/*.csv")):
        yield path.name, np.genfromtxt(path, delimiter=",", names=True)["timestamps"], 256.0
    for path in sorted(folder.glob("xdf/*/*.xdf")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            streams, _ = pyxdf.load_xdf(
                path, synchronize_clocks=False, dejitter_timestamps=False, verbose=False
            )
        for stream in streams:
            sfreq = float(stream["info"]["nominal_srate"][0])
            if sfreq > 0 and len(stream["time_stamps"]) > 10 * sfreq:
                yield path.name, np.asarray(stream["time_stamps"]), sfreq


def bench_real(name: str, stamps: np.ndarray, sfreq: float, n_lost: int = 100) -> dict[str, Any]:
    """Measure one recorded stream."""
    row: dict[str, Any] = {"kind": "real", "case": name, "sfreq": sfreq}
    try:
        whole = ours(stamps, sfreq)
    except RateMismatch as error:
        return row | {"rate": round(error.measured, 2), "met": True}
    whole_peer = liblsl(stamps - stamps[0], sfreq)
    errors, decided, off, peer = [], [], [], 0.0
    for at in np.linspace(0.2, 0.8, 15) * len(stamps):
        left = np.delete(np.arange(len(stamps)), np.s_[int(at) : int(at) + n_lost])
        timed = ours(stamps[left], sfreq)
        gaps = [d for d in timed.decisions if d.kind == "gap" and 0 <= d.sample - at < 2 * sfreq]
        decided += [(gap.sample - at) / sfreq for gap in gaps[:1]]
        off += [abs(gaps[0].n_lost - n_lost)] if gaps else []
        seen = np.s_[int(at + AFTER * sfreq) : int(at + (AFTER + 5.0) * sfreq)]
        if len(left[seen]):
            errors.append(largest((timed.times - whole.times[left])[seen] * sfreq))
            if len(errors) == 8:
                got = liblsl(stamps[left] - stamps[0], sfreq)
                peer = largest((got - whole_peer[left])[seen] * sfreq)
    row |= {
        "found": len(decided) / 15,
        "decisions": dict(Counter(decision.kind for decision in whole.decisions)),
        "decided_s": round(max(decided, default=np.nan), 3),
        "count_off": max(off, default=-1),
        "p99": round(float(np.median(errors)), 3),
        "max": max(errors),
        "liblsl_p99": peer,
        "raw_p99": largest((stamps - whole.times) * sfreq),
        "held": round(float(np.mean(whole.flags > 0)), 5),
    }
    row["met"] = row["found"] >= 0.95 and row["decided_s"] <= 1.0 and row["max"] <= 1.0
    return row


def show(row: dict[str, Any]) -> None:
    """Print one row."""
    rest = {key: value for key, value in row.items() if key not in ("kind", "case", "sfreq", "met")}
    cells = "  ".join(f"{key} {value}" for key, value in rest.items() if value != {})
    mark = "ok  " if row["met"] else "MISS"
    print(f"{mark} {row['kind']:5} {row['case']:36} {row['sfreq']:g} Hz  {cells}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600.0, help="length of a quiet stream")
    parser.add_argument("--peer-seconds", type=float, default=300.0, help="its part for liblsl")
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds of each fault")
    parser.add_argument("--data", type=Path, default=REPO.parent / "shared" / "data")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []

    def add(row: dict[str, Any]) -> None:
        rows.append(row)
        show(row)

    ours(np.arange(1000) / 250.0, 250.0)  # compiles
    for sfreq in (250.0, 1000.0):
        for stream in quiet_streams(sfreq, options.seconds):
            add(bench_quiet(stream, sfreq, options.peer_seconds))
        for sigma in JITTERS:
            for size in (10, 100, 1000, 5000):
                add(bench_fault(sfreq, sigma, "loss", size, options.seeds))
            for seconds in (-0.5, -0.05, 0.05, 0.5):
                add(bench_fault(sfreq, sigma, "step", round(seconds * sfreq), options.seeds))
    if options.data.is_dir():
        for name, stamps, sfreq in real_streams(options.data):
            add(bench_real(name, stamps, sfreq))
    else:
        print(f"no real recordings at {options.data}: use --data")
    missed = [f"{row['case']} {row['sfreq']:g} Hz" for row in rows if not row["met"]]
    print(f"{len(rows) - len(missed)} of {len(rows)} meet their goal")
    if options.json:
        print(json.dumps({"bench": "timebase", "rows": rows, "missed": missed}))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
