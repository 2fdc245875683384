"""What processes cost: CPU time of each thread, and memory, as Linux tells it in ``/proc``."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

__all__ = ["Usage", "usage"]

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6
# what is in a command line, and the process that it is; the first that fits
_ROLES = {
    "scripts.speed.sender": "sender",
    "rt_decoder.live.process": "session",
    "rt_decoder dashboard": "page's server",
    "--type=renderer": "browser, renderer",
    "--type=gpu-process": "browser, drawing",
    "--type=": "browser, rest",
    "--headless": "browser, rest",
}


class Usage(NamedTuple):
    """Of one kind of process, all together."""

    cpu_s: float  # since it began
    rss_mb: float
    threads: Counter[str]  # CPU s by name; "main" is the first thread


def usage(root: int) -> dict[str, Usage]:
    """Return what the descendants of a process have used so far, by what they are.

    Parameters
    ----------
    root : int
        Id of the process, which is left out.

    Returns
    -------
    dict of str to Usage
        Empty where there is no ``/proc``.
    """
    found: dict[str, Usage] = {}
    for pid in _descendants(root):
        with suppress(OSError):  # it has ended
            role, one = _read(Path(f"/proc/{pid}"))
            before = found.get(role, Usage(0.0, 0.0, Counter()))
            found[role] = Usage(
                before.cpu_s + one.cpu_s, before.rss_mb + one.rss_mb, before.threads + one.threads
            )
    return found


def _descendants(pid: int) -> list[int]:
    children: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            children += map(int, listed.read_text().split())
    return children + [further for child in children for further in _descendants(child)]


def _read(process: Path) -> tuple[str, Usage]:
    command = process.joinpath("cmdline").read_text().replace("\0", " ")
    role = next((role for part, role in _ROLES.items() if part in command), "others")
    threads: Counter[str] = Counter()
    for thread in process.joinpath("task").iterdir():
        with suppress(OSError):
            name, _, rest = thread.joinpath("stat").read_text().partition("(")[2].rpartition(")")
            user, system = map(int, rest.split()[11:13])
            threads["main" if thread.name == process.name else name] += (user + system) / _TICK
    pages = int(process.joinpath("statm").read_text().split()[1])
    return role, Usage(sum(threads.values()), pages * _PAGE_MB, threads)
