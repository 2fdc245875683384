"""Replay with faults: the data come from processes that can die, hang and come back changed.

Markers come from this process, as from a stimulus computer without faults. Each is sent at its
recorded time, even if its sample is late or lost; its stamp is that of the sender's clock then
(see `Schedule.clock`).
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import pylsl

from rt_decoder.replay.fault_plan import corrupt, lives, schedule
from rt_decoder.replay.outlet_process import OutletProcess
from rt_decoder.replay.plan import Plan, ReplayOptions
from rt_decoder.signal import SignalInfo

__all__ = ["FaultySender"]

_POLL_S = 0.05  # longest time until a request to stop is noticed
_FLUSH_S = 0.05  # liblsl hands a push to the network within a millisecond
_PATIENCE_S = 30.0  # for a process to start, or to send what is due


class FaultySender:
    """Sends a recording and injects the faults; a context manager.

    Each life of the outlet is a process. All are started in advance, so that a life begins at its
    time to the moment; none outlives the sender.

    Parameters
    ----------
    name, source_id : str
        Of the data stream, in all its lives.
    info : SignalInfo
        As recorded.
    plan : Plan
        Samples and markers as recorded.
    markers : pylsl.StreamOutlet
        Of markers.
    options : ReplayOptions
        Which faults; samples a push; seed of jitter and permutations.

    Raises
    ------
    ValueError
        If a fault comes after the end, does not fit the recording, or needs another system.
    """

    def __init__(
        self,
        name: str,
        source_id: str,
        info: SignalInfo,
        plan: Plan,
        markers: pylsl.StreamOutlet,
        options: ReplayOptions,
    ) -> None:
        faults, since = options.faults, plan.since
        if not hasattr(signal, "SIGSTOP") and any(fault.kind == "hang" for fault in faults):
            raise ValueError("need a system with SIGSTOP for the fault hang; use silent instead")
        self.faults = tuple(faults)
        self._since = since
        self._plan = sent = schedule(since, faults, chunk=options.chunk, seed=options.seed)
        born = lives(info, faults, seed=options.seed)
        self._markers, self._marked = markers, plan
        self.n_markers = 0
        self._start, self._speed = np.nan, 1.0
        self._actual: dict[int, dict[str, float]] = {}  # measured times of faults of the process
        self._lives: list[OutletProcess] = []
        values = corrupt(plan.data, since, info, faults)
        with ExitStack() as unfinished:
            unfinished.callback(self.close)  # if anything fails here, end the processes
            for number, life in enumerate(born):
                mine = sent.life == number
                chosen = values[np.ix_(sent.rows[mine], life.picks)]
                self._lives.append(
                    OutletProcess(
                        name, source_id, life.info, chosen, sent.due[mine], sent.stamps[mine]
                    )
                )
            unfinished.pop_all()
        self._living, *self._unborn = self._lives
        self._away = False  # whether the outlet is dead and not yet back
        self._living.open()

    def __enter__(self) -> FaultySender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def have_consumers(self) -> bool:
        """Whether anyone reads the data."""
        return not self._away and self._living.have_consumers()

    @property
    def n_samples(self) -> int:
        """Samples sent so far."""
        return sum(life.n_sent for life in self._lives)

    def run(
        self,
        start: float,
        speed: float,
        should_stop: Callable[[], bool],
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Send everything.

        Parameters
        ----------
        start : float
            LSL time of the first sample in s.
        speed : float
            How many times faster than recorded.
        should_stop : callable
            Asked at least twenty times a second.
        progress : callable or None
            Called with the number of samples sent so far.

        Raises
        ------
        ChildProcessError
            If a process of the outlet ends before its time.
        TimeoutError
            If a process of the outlet does not answer.
        """
        self._start, self._speed = start, speed
        self._lives[0].start(self._start, speed)

        def pause(seconds: float) -> None:
            if not self._away:
                self._living.check()
            if progress is not None:
                progress(self.n_samples)
            time.sleep(min(seconds, _POLL_S))

        for due, act in self._timeline():
            while (wait := self._start + due / speed - pylsl.local_clock()) > 0:
                if should_stop():
                    return
                pause(wait)
            act()
        while not (self._lives[-1].done or should_stop()):
            pause(_POLL_S)
        if progress is not None:
            progress(self.n_samples)

    def _timeline(self) -> list[tuple[float, Callable[[], None]]]:
        """List what this process does, and when in s since the start."""
        due = np.maximum.accumulate(self._since)
        acts: list[tuple[float, Callable[[], None]]] = [
            (float(due[row]), partial(self._mark, number))
            for number, row in enumerate(self._marked.rows)
        ]
        for number, fault in enumerate(self.faults):
            if fault.process:
                begin, end = (self._die, self._return) if fault.death else (self._hang, self._wake)
                acts.append((fault.at, partial(begin, number)))
                acts.append((fault.end, partial(end, number)))
        return sorted(acts, key=lambda act: act[0])

    def _mark(self, number: int) -> None:
        row, at = self._marked.rows[number], self._marked.at[number]
        stamp = self._plan.clock[row] + (at - self._since[row])
        self._markers.push_sample([self._marked.labels[number]], self._start + float(stamp))
        self.n_markers += 1

    def _die(self, number: int) -> None:
        life = self._living
        self._wait_until(lambda: life.done, life)  # it has only samples due before its death
        time.sleep(_FLUSH_S)
        self._away = True
        self._actual[number] = {"time": pylsl.local_clock()}
        life.kill()

    def _return(self, number: int) -> None:
        self._living = life = self._unborn.pop(0)
        self._away = False
        life.open()
        life.start(self._start, self._speed)
        self._wait_until(lambda: bool(np.isfinite(life.opened)), life)
        self._actual[number]["until"] = life.opened

    def _hang(self, number: int) -> None:
        self._actual[number] = {"time": pylsl.local_clock()}
        self._living.hang()

    def _wake(self, number: int) -> None:
        self._living.wake()
        self._actual[number]["until"] = pylsl.local_clock()

    def _wait_until(self, condition: Callable[[], bool], life: OutletProcess) -> None:
        end = time.monotonic() + _PATIENCE_S
        while not condition():
            life.check()
            if time.monotonic() > end:
                raise TimeoutError(f"the process of stream {life.name!r} does not answer")
            time.sleep(0.001)

    def injected(self) -> list[dict[str, Any]]:
        """Return one dict per fault that has happened so far.

        =============  ==========================================================================
        key            value
        =============  ==========================================================================
        ``fault``      kind, as in `Fault`
        ``amount``     as in `Fault`
        ``at``         s in the recording
        ``time``       LSL time of its begin: measured for a fault of the process, else planned
        ``until``      LSL time of its end, likewise; None for a fault of the whole stream
        ``index``      first sample that it covers
        ``n_samples``  number of samples that it covers
        ``n_lost``     number of these that were never sent; 0 for kinds that lose none
        =============  ==========================================================================
        """
        now, n = pylsl.local_clock(), len(self._since)
        sent = np.zeros(n, bool)
        sent[self._plan.rows] = True
        found = []
        for number, fault in enumerate(self.faults):
            if not self._start + fault.at / self._speed <= now:
                continue
            first, stop = np.searchsorted(np.maximum.accumulate(self._since), (fault.at, fault.end))
            if fault.kind == "step":
                stop = n
            loses = fault.death or fault.kind in ("loss", "silent")
            planned = {"time": self._start + fault.at / self._speed, "until": None}
            if np.isfinite(fault.end):
                planned["until"] = self._start + fault.end / self._speed
            found.append(
                {
                    "fault": fault.kind, "amount": fault.amount, "at": fault.at,
                    **planned, **self._actual.get(number, {}),
                    "index": int(first), "n_samples": int(stop - first),
                    "n_lost": int(np.sum(~sent[first:stop])) if loses else 0,
                }
            )  # fmt: skip
        return found

    def close(self) -> None:
        """End every process."""
        for life in self._lives:
            if life.process.returncode is None:
                life.close()
