"""Run many tasks at once, on this machine or on a Dask cluster, past workers that die."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from calibration.people.cell import Outcome, Task, fit_cells
from rt_decoder.files.packages import need_packages

__all__ = ["check_cluster", "run_tasks"]

_WAIT = 60  # s for a cluster's first worker


def check_cluster(address: str, jobs: int) -> None:
    """Refuse what would fail once all is read: packages of the wanted backend.

    Parameters
    ----------
    address : str
        Of a Dask scheduler; empty for this machine.
    jobs : int
        Processes on this machine.

    Raises
    ------
    ImportError
        If a package is missing.
    """
    if address:
        need_packages("joblib", "dask", "distributed", what="for --dask")
    elif jobs > 1:
        need_packages("joblib", what="for --jobs")


def run_tasks(
    tasks: Sequence[Task], done: Callable[[list[Outcome]], None], *, jobs: int = 1,
    address: str = "",
) -> None:  # fmt: skip
    """Run tasks in any order, and pass on what became of each.

    A worker that dies takes its task along. A Dask scheduler gives the task to another worker; on
    this machine, a task whose process died is run again beside no other. `cell.fit_cells` counts
    how often, and gives up.

    Parameters
    ----------
    tasks : sequence of Task
    done : callable
        Receives the outcomes of one task, in the thread of the caller.
    jobs : int
        Processes on this machine; 1 is this one.
    address : str
        Of a Dask scheduler; its workers see the same files. Empty for this machine.

    Raises
    ------
    OSError
        If there is no scheduler or worker, or workers die before they begin.
    """
    if address:
        with _client(address) as client:
            _on_cluster(tasks, done, client)
    elif jobs == 1:
        for task in tasks:
            done(fit_cells(task))
    else:
        _on_this_machine(list(enumerate(tasks)), done, jobs)


def _numbered(number: int, task: Task) -> tuple[int, list[Outcome]]:
    return number, fit_cells(task)


def _on_this_machine(
    waiting: list[tuple[int, Task]], done: Callable[[list[Outcome]], None], jobs: int
) -> None:
    from joblib import Parallel, delayed, parallel_config

    threads = max((task.threads for _, task in waiting), default=1)
    died = False
    while waiting:
        begun = [one for one in waiting if one[1].was_begun]
        if died and not begun:
            raise OSError("workers died before they began, as where memory is short: fewer --jobs?")
        batch = begun[:1] or waiting
        ended: set[int] = set()
        try:
            with parallel_config("loky", inner_max_num_threads=threads):
                pool = Parallel(n_jobs=max(2, jobs), batch_size=1, return_as="generator_unordered")
                for number, outcomes in pool(delayed(_numbered)(*one) for one in batch):
                    ended.add(number)
                    done(outcomes)
            died = False
        except BrokenProcessPool:
            died = True
        waiting = [one for one in waiting if one[0] not in ended]


def _on_cluster(tasks: Sequence[Task], done: Callable[[list[Outcome]], None], client: Any) -> None:
    from joblib import Parallel, delayed, parallel_config

    with parallel_config("dask", client=client, wait_for_workers_timeout=_WAIT):
        pool = Parallel(batch_size=1, pre_dispatch="all", return_as="generator_unordered")
        for outcomes in pool(delayed(fit_cells)(task) for task in tasks):
            done(outcomes)


@contextmanager
def _client(address: str) -> Iterator[Any]:
    from distributed import Client

    try:
        client = Client(address, timeout="20s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise OSError(f"need a Dask scheduler at {address}, got none: {error}") from None
    with client:
        yield client
