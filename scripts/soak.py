#!/usr/bin/env python3
"""Decode a live stream for a long time, and report whether anything grows, leaks or gets lost.

Another process sends a simulated participant and markers over real LSL; a session in this process
decodes them with a random model, with log and record on. A line every half minute shows the state.
It fails if resident memory grows by a mebibyte or more, if there are more file descriptors or
threads, if anything is dropped, or if a sample or marker is unaccounted for. Growth is the median
over the last minute minus that over the first minute after the first two (or over a third of that
time each, if it is short). Ctrl-C ends it early, with a report.

    python scripts/soak.py [--minutes 20] [--channels 64] [--sfreq 1000] [--json]
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rt_decoder.signal import BAD
from scripts.soak_look import Look, look

REPO = Path(__file__).resolve().parents[1]
LIMIT_KIB, STRETCH_S, DRAIN_S, LOOK_EVERY_S = 1024, 60.0, 10.0, 1.0


class Counts:
    """Counts samples on their way through a session, without keeping any."""

    def __init__(self, session: Any, number: int) -> None:
        from pylsl import local_clock

        self.received = self.broken = self.came_in = self.decoded = self.flagged = 0
        self.oldest = 0.0  # s, largest age of a newest sample since the last report
        self.first = 0.0
        pipeline = session.decoder.pipeline
        pull, push, write = session.source.pull, pipeline.push, pipeline.ring.write

        def counted_pull(timeout: float, n: int = 1) -> Any:
            pulled = pull(timeout, n)
            if len(pulled.stamps):
                numbers = pulled.data[:, number]
                self.first = self.first or time.monotonic()
                self.broken += int(numbers[0] != self.received)
                self.broken += int(numbers[-1] - numbers[0] != len(numbers) - 1)
                self.received += len(numbers)
            return pulled

        def counted_push(chunk: Any) -> Any:
            if self.first and len(chunk.data):
                self.came_in += len(chunk.data)
                self.oldest = max(self.oldest, local_clock() - float(chunk.times[-1]))
            return push(chunk)

        def counted_write(data: Any, flags: Any) -> None:
            if self.first:  # not yet while warming up
                n_bad = int(np.count_nonzero(flags & BAD))
                self.flagged += n_bad
                self.decoded += len(flags) - n_bad
            write(data, flags)

        session.source.pull = counted_pull
        pipeline.push = counted_push
        pipeline.ring.write = counted_write


class Sender:
    """The process that sends."""

    def __init__(self, source_id: str, n_channels: int, sfreq: float, n: int) -> None:
        self.told: dict[str, Any] = {}
        self.process = subprocess.Popen(
            [
                sys.executable, str(Path(__file__).with_name("soak_sender.py")),
                source_id, str(n_channels), str(sfreq), str(n),
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPO,
            start_new_session=True,  # Ctrl-C reaches only this process, which then stops the sender
        )  # fmt: skip
        self._reader = threading.Thread(target=self._listen)
        self._reader.start()

    def _listen(self) -> None:
        for line in self.process.stdout or ():
            self.told |= json.loads(line)

    def stop(self) -> None:
        if self.process.stdin and self.process.poll() is None and "n_sent" not in self.told:
            self.process.stdin.write("stop\n")
            self.process.stdin.flush()

    def close(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(5.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join()


def soak(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    from soak_sender import NUMBER, make_recording

    from rt_decoder.live.options import Sinks
    from rt_decoder.live.session import Session
    from rt_decoder.sinks.log import JsonlLog
    from rt_decoder.sinks.record import Recorder
    from rt_decoder.sources.streams import LslStreams
    from tests.small import random_model, small_recipe

    recording = make_recording(args.channels, args.sfreq)
    model = random_model(recording, small_recipe())
    number = recording.info.ch_names.index(NUMBER)
    del recording
    source_id = f"soak-{uuid.uuid4().hex}"
    sender = Sender(source_id, args.channels, args.sfreq, round(60 * args.minutes * args.sfreq))
    asked = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: asked.set())
    try:
        streams = LslStreams({"source_id": source_id}, (f"{source_id}-markers",), timeout=60.0)
        source, markers = streams.samples(), streams.markers()
        log = JsonlLog(folder / "log.jsonl")
        recorder = Recorder(folder / "record.xdf", source.info, source.name)
        session = Session(model, source, markers=markers, sinks=Sinks(log=log, recorder=recorder))
        counts = Counts(session, number)
        watch = Watch(session, counts, args.interval)
        try:
            footer = session.run(Ended(sender, counts, session, asked))
            n_dropped = footer["n_dropped"]
        finally:
            watch.stop()
            session.close()
            log.close()
            recorder.close()
    finally:
        sender.close()
        signal.signal(signal.SIGINT, before)
    return judge(args, watch.looks, counts, sender.told, footer, n_dropped, session)


class Ended:
    """Tells the session to end: everything sent has arrived, or nothing more will come."""

    def __init__(self, sender: Sender, counts: Counts, session: Any, asked: Any) -> None:
        self._sender, self._counts, self._session, self._asked = sender, counts, session, asked
        self._deadline = 0.0

    def __call__(self) -> bool:
        told = self._sender.told
        if self._asked.is_set():
            self._asked.clear()
            self._sender.stop()
            self._deadline = time.monotonic() + DRAIN_S
        if "n_sent" in told:
            self._deadline = self._deadline or time.monotonic() + DRAIN_S
            if self._counts.received >= told["n_sent"]:
                return self._session.counts["markers_received"] >= told["n_markers"]
        return self._sender.process.poll() is not None or 0 < self._deadline < time.monotonic()


class Watch:
    """A thread that watches the process and prints reports."""

    def __init__(self, session: Any, counts: Counts, interval: float) -> None:
        self.looks: list[Look] = []
        self._session, self._counts, self._interval = session, counts, interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        print(
            f"{'s':>6}{'memory MiB':>12}{'files':>7}{'threads':>9}{'received':>11}{'in':>11}"
            f"{'decoded':>11}{'flagged':>9}{'dropped':>9}{'oldest ms':>11}", flush=True,
        )  # fmt: skip
        report = self._interval
        while not self._over.wait(LOOK_EVERY_S):
            if not self._counts.first:
                continue
            self.looks.append(look(time.monotonic() - self._counts.first))
            if self.looks[-1].since >= report:
                report += self._interval
                self._report(self.looks[-1])

    def _report(self, now: Look) -> None:
        counts = self._counts
        n_dropped = sum(sink.n_dropped for sink in (self._session.log, self._session.recorder))
        print(
            f"{now.since:>6.0f}{now.rss_kib / 1024:>12.2f}{now.n_fds:>7}{now.n_threads:>9}"
            f"{counts.received:>11}{counts.came_in:>11}{counts.decoded:>11}{counts.flagged:>9}"
            f"{n_dropped:>9}{1e3 * counts.oldest:>11.1f}", flush=True,
        )  # fmt: skip
        counts.oldest = 0.0


def judge(
    args: argparse.Namespace, looks: list[Look], counts: Counts, told: dict[str, Any],
    footer: dict[str, Any], n_dropped: int, session: Any,
) -> dict[str, Any]:  # fmt: skip
    """Judge the run: returns the figures, and in `failed` what went wrong. Nothing else judges."""
    sent, marked = told.get("n_sent"), told.get("n_markers")
    in_framer = counts.came_in - counts.decoded - counts.flagged
    in_align = counts.received - counts.came_in
    n_hop = session.model.n_hop
    markers = {key: footer["counts"].get(key, 0) for key in ("markers_received", "markers_lost")}
    markers["waiting"] = session.decoder.n_waiting
    failed = []
    if counts.received != sent or counts.broken:
        failed.append(f"{sent} samples sent, {counts.received} received, {counts.broken} breaks")
    if in_align or not 0 <= in_framer < n_hop:
        failed.append(f"{in_align} samples between source and pipeline, {in_framer} in no hop")
    if markers["markers_received"] != marked or markers["markers_lost"]:
        failed.append(f"{marked} markers sent, {markers}")
    if footer["counts"].get("readouts", 0) + markers["waiting"] != marked:
        failed.append(f"{footer['counts'].get('readouts', 0)} readouts for {marked} markers")
    if n_dropped or footer["errors"]:
        failed.append(f"{n_dropped} lines or chunks dropped {' '.join(footer['errors'])}".strip())
    grown = growth(looks, args.settle)
    if grown and grown["rss_kib"] >= LIMIT_KIB:
        failed.append(f"memory grew by {grown['rss_kib']} KiB")
    for key in ("n_fds", "n_threads"):
        if grown and grown[key] > 0:
            failed.append(f"{key} grew by {grown[key]}")
    return {
        "minutes": round(looks[-1].since / 60, 2) if looks else 0.0,
        "channels": args.channels, "sfreq": args.sfreq,
        "sent": sent, "received": counts.received, "in": counts.came_in,
        "decoded": counts.decoded, "flagged": counts.flagged, "waiting_for_a_hop": in_framer,
        "markers_sent": marked, **markers, "readouts": footer["n_readouts"],
        "dropped": n_dropped, "growth": grown, "rss_mib": round(looks[-1].rss_kib / 1024, 1)
        if looks else None, "events": footer["counts"], "latency_ms": footer["latency_ms"],
        "failed": failed,
    }  # fmt: skip


def growth(looks: list[Look], settle: float) -> dict[str, int] | None:
    """Medians over the last stretch minus those over the first after `settle` s; None if short."""
    settled = [one for one in looks if one.since >= settle]
    if len(settled) < 6:
        return None
    begin, end = settled[0].since, settled[-1].since
    stretch = min(STRETCH_S, (end - begin) / 3)
    first = [one for one in settled if one.since <= begin + stretch]
    last = [one for one in settled if one.since >= end - stretch]
    return {
        key: round(
            statistics.median(getattr(one, key) for one in last)
            - statistics.median(getattr(one, key) for one in first)
        )
        for key in ("rss_kib", "n_fds", "n_threads")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--channels", type=int, default=64, help="EEG channels, 4 to 64")
    parser.add_argument("--sfreq", type=float, default=1000.0, help="Hz")
    parser.add_argument("--settle", type=float, default=120.0, help="s until memory is compared")
    parser.add_argument("--interval", type=float, default=30.0, help="s between reports")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    args = parser.parse_args()
    if not sys.platform.startswith("linux"):
        parser.error("need Linux: memory and descriptors are read from /proc")
    sys.path.insert(0, str(REPO))
    from rt_decoder.sinks.loopback import configure_loopback

    configure_loopback()  # before liblsl is loaded, here and in the process started below
    with tempfile.TemporaryDirectory(prefix="rt_decoder-soak-") as folder:
        seen = soak(args, Path(folder))
    if seen["growth"] is None:
        print("too short to judge whether memory grows")
    print(f"failed: {'; '.join(seen['failed']) or 'nothing'}")
    if args.json:
        print(json.dumps(seen, allow_nan=False))
    sys.exit(1 if seen["failed"] else 0)


if __name__ == "__main__":
    main()
