"""Do slow work in a thread, so that the hot loop never waits."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from time import monotonic, sleep

__all__ = ["Worker"]

SYNC_EVERY = 1.0  # s; what a power cut may cost
MAX_WAITING = 64 << 20  # bytes
CLOSE_TIMEOUT = 30.0  # s; a disk that hangs for longer keeps nobody from leaving


class Worker:
    """Run jobs from a bounded queue in a thread; jobs that do not fit are dropped.

    `put` takes no lock that the thread could hold, so it costs the same whatever the disk does.
    The queue is bounded in jobs and in bytes. Subclasses say what `_sync` and `_finish` do; both
    run in the thread.

    Parameters
    ----------
    name : str
        What it does, such as the file that it writes; also the name of the thread.
    max_jobs : int
        Jobs that may wait.
    drop : bool
        False waits for room instead, for use offline.

    Attributes
    ----------
    error : Exception or None
        What ended the work, if anything did: the disk was full, a line could not be written. An
        error that nobody foresaw ends it too, and its traceback goes to stderr.
    """

    def __init__(self, name: str, max_jobs: int, drop: bool = True) -> None:
        # SimpleQueue: `put` of queue.Queue shares a lock with a thread that may be preempted
        self._jobs: queue.SimpleQueue[tuple[Callable[[], None], int] | None] = queue.SimpleQueue()
        self._max_jobs = max_jobs
        self._drop = drop
        # each of the counts is written by one thread only
        self._bytes_put = self._bytes_done = 0
        self._n_refused = self._n_failed = 0
        self._due: float | None = None  # when what was written must be on the disk
        self._closed = self._told = self._hangs = False
        self.name = name
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def n_dropped(self) -> int:
        """Jobs that were never done."""
        return self._n_refused + self._n_failed

    @property
    def has_ended(self) -> bool:
        """Whether no job will be done any more: it was closed, or an error ended the work."""
        return self._closed or self.error is not None

    @property
    def is_idle(self) -> bool:
        """Whether every job that holds memory is done."""
        return self._bytes_put == self._bytes_done

    @property
    def is_full(self) -> bool:
        """Whether there is no room for the next job."""
        return (
            self._jobs.qsize() >= self._max_jobs
            or self._bytes_put - self._bytes_done >= MAX_WAITING
        )

    def put(self, job: Callable[[], None], n_bytes: int = 0) -> bool:
        """Queue a job that holds `n_bytes` of memory, or count it as dropped and return False."""
        while not self._drop and not self.has_ended and self.is_full:
            sleep(1e-3)
        if self.has_ended or self.is_full:
            self._n_refused += 1
            return False
        self._bytes_put += n_bytes
        self._jobs.put((job, n_bytes))
        return True

    @property
    def reason(self) -> str:
        """What ended the work, without the file's name; empty if nothing did."""
        if isinstance(self.error, OSError) and self.error.strerror:
            return self.error.strerror
        return "" if self.error is None else str(self.error)

    def take_error(self) -> Exception | None:
        """Return the error that ended the work, once; otherwise None."""
        if self.error is None or self._told:
            return None
        self._told = True
        return self.error

    def _work(self) -> None:
        try:
            self._run()
        finally:  # of an error that `_try` does not know: a dead thread must not look alive
            if (error := sys.exception()) is not None:
                self.error = RuntimeError(f"{type(error).__name__}: {error}")
                self._n_failed += 1
                self._run()  # counts what still comes, and closes the file

    def _run(self) -> None:
        while True:
            left = None if self._due is None else self._due - monotonic()
            try:
                entry = self._jobs.get(timeout=left) if left is None or left > 0 else ()
            except queue.Empty:
                entry = ()
            if entry is None:
                break
            self._try(*entry)
        try:
            self._finish()
        except OSError as error:
            self.error = self.error or error

    def _try(self, job: Callable[[], None] | None = None, n_bytes: int = 0) -> None:
        """Do a job, or without one make sure of what was written."""
        if self.error is None:
            try:
                if job is None:
                    self._sync()
                else:
                    job()
            except (OSError, ValueError, TypeError) as error:  # ends writing, never decoding
                self.error = error
        self._n_failed += job is not None and self.error is not None
        self._bytes_done += n_bytes
        if job is None or self.error is not None:
            self._due = None
        elif self._due is None:
            self._due = monotonic() + SYNC_EVERY

    def _sync(self) -> None:
        """Hand to the disk what was written; called at most `SYNC_EVERY` after it was."""

    def _finish(self) -> None:
        """Close what was opened, also after an error."""

    def close(self) -> None:
        """Finish the jobs that wait, then end the thread."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        if self._hangs:  # it has been waited for
            return
        self._thread.join(CLOSE_TIMEOUT if self._drop else None)
        if self._thread.is_alive():
            self._hangs = True
            self._n_refused += self._jobs.qsize()  # with the one that hangs, without the end
            self.error = self.error or TimeoutError(
                f"the disk hung for {CLOSE_TIMEOUT:g} s when the file was closed"
            )
