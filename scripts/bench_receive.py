#!/usr/bin/env python3
"""Measure latency and CPU of receiving an LSL stream: `LslSource` beside pylsl and mne-lsl.

Another process sends 1 kHz over loopback and stamps each push when it is made. Latency is the time
from that stamp until the receiver has the newest sample of the push. CPU is that of the receiving
process, including liblsl's threads. Receivers take turns in rounds, so that a busy machine slows
all alike.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rt_decoder.sinks.loopback import configure_loopback

configure_loopback()

import pylsl  # noqa: E402 - after its configuration
from pylsl import local_clock  # noqa: E402

from rt_decoder.signal import SignalInfo  # noqa: E402
from rt_decoder.sinks.outlets import data_outlet  # noqa: E402
from rt_decoder.sources.lsl.find import resolve  # noqa: E402
from rt_decoder.sources.lsl.source import LslSource  # noqa: E402

SFREQ = 1000.0
# number and stamp of the newest sample received, and its time of arrival
Arrival = tuple[float, float, float]


def send(source_id: str, n_channels: int, chunk: int) -> None:
    """Push sample numbers until killed."""
    names = tuple(f"ch{i}" for i in range(n_channels))
    info = SignalInfo(SFREQ, names, ("eeg",) * n_channels, ("uV",) * n_channels)
    outlet = data_outlet("bench", info, source_id, "float32")
    data = np.zeros((chunk, n_channels), np.float32)
    start, n_sent = time.monotonic(), 0
    while True:
        # restart before float32 loses integers, at a multiple of the chunk length
        data[:, 0] = (n_sent + np.arange(chunk)) % (chunk * 100_000)
        time.sleep(max(0.0, start + (n_sent + chunk) / SFREQ - time.monotonic()))
        outlet.push_chunk(data, pylsl.local_clock())
        n_sent += chunk


def with_source(source_id: str) -> Iterator[Arrival]:
    """Receive as rt_decoder does."""
    source = LslSource(resolve(source_id=source_id))
    source.open()
    try:
        while True:
            data, stamps, arrival = source.pull(0.5)
            if len(stamps):
                yield data[-1, 0], stamps[-1], arrival
    finally:
        source.close()


def with_pylsl(source_id: str) -> Iterator[Arrival]:
    """Receive as the documentation of pylsl recommends for low latency."""
    stream = resolve(source_id=source_id)
    inlet = pylsl.StreamInlet(stream, recover=False)
    inlet.open_stream(5.0)
    data = np.zeros((1000, stream.channel_count()), np.float32)
    while True:
        _, stamps = inlet.pull_chunk(0.5, max_samples=1000, min_samples=1, dest_obj=data)
        if stamps:
            yield data[len(stamps) - 1, 0], stamps[-1], local_clock()


def with_mne_lsl(source_id: str) -> Iterator[Arrival]:
    """Receive with StreamLSL at its fastest, polling as often as it allows."""
    from mne_lsl.stream import StreamLSL

    stream = StreamLSL(bufsize=2.0, source_id=source_id)
    stream.connect(acquisition_delay=0.001, timeout=5.0)
    try:
        while True:
            while not stream.n_new_samples:
                time.sleep(1e-4)
            data, stamps = stream.get_data()
            yield data[0, -1], stamps[-1], local_clock()
    finally:
        stream.disconnect()


RECEIVERS: dict[str, Callable[[str], Iterator[Arrival]]] = {
    "rt_decoder": with_source,
    "pylsl": with_pylsl,
    "mne_lsl": with_mne_lsl,
}


def measure(receiver: Iterator[Arrival], chunk: int, seconds: float) -> tuple[list[float], float]:
    """Measure the latencies in us of complete pushes, and the CPU share in percent."""
    warm = local_clock() + 0.5
    while next(receiver)[2] < warm:
        pass
    latencies: list[float] = []
    begin, cpu = time.monotonic(), time.process_time()
    while time.monotonic() < begin + seconds:
        number, stamp, arrival = next(receiver)
        if number % chunk == chunk - 1:
            latencies.append(1e6 * (arrival - stamp))
    wall, cpu = time.monotonic() - begin, time.process_time() - cpu
    receiver.close()  # type: ignore[attr-defined]
    return latencies, 100 * cpu / wall


def compare(names: list[str], n_channels: int, chunk: int, rounds: int, seconds: float) -> dict:
    """Measure one condition: every receiver in turn, `rounds` times."""
    source_id = f"bench-{uuid.uuid4().hex}"
    arguments = ["--send", source_id, str(n_channels), str(chunk)]
    sender = subprocess.Popen([sys.executable, __file__, *arguments])
    got: dict[str, list] = {name: [] for name in names}
    try:
        for _ in range(rounds):
            for name in names:
                got[name].append(measure(RECEIVERS[name](source_id), chunk, seconds))
    finally:
        sender.kill()
        sender.wait()
    result: dict = {"n_channels": n_channels, "chunk": chunk}
    for name, runs in got.items():
        latencies = np.concatenate([latencies for latencies, _ in runs])
        result[name] = {
            "p50_us": round(float(np.percentile(latencies, 50)), 1),
            "p99_us": round(float(np.percentile(latencies, 99)), 1),
            "cpu_percent": round(float(np.mean([cpu for _, cpu in runs])), 2),
            "n": len(latencies),
        }
    return result


def main() -> None:
    """Compare all receivers in all conditions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, nargs="+", default=[64, 306])
    parser.add_argument("--chunks", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--seconds", type=float, default=4.0, help="per receiver and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--send", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.send:
        send(args.send[0], int(args.send[1]), int(args.send[2]))
    skipped = [name for name in ("mne_lsl",) if importlib.util.find_spec(name) is None]
    for name in skipped:
        print(f"skipped: {name} is not installed (pip install 'rt-decoder[bench]')")
    names = [name for name in RECEIVERS if name not in skipped]
    results = []
    for n_channels in args.channels:
        for chunk in args.chunks:
            result = compare(names, n_channels, chunk, args.rounds, args.seconds)
            results.append(result)
            for name in names:
                row = result[name]
                print(
                    f"{n_channels:4d} channels, chunk {chunk:2d}, {name:10s} "
                    f"p50 {row['p50_us']:7.0f} us, p99 {row['p99_us']:7.0f} us, "
                    f"CPU {row['cpu_percent']:5.1f} %",
                    flush=True,
                )
    if args.json:
        print(json.dumps({"sfreq": SFREQ, "conditions": results, "skipped": skipped}))


if __name__ == "__main__":
    main()
