"""Tell before the process runs out of descriptors: of files, sockets and what liblsl has open."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

__all__ = ["DescriptorCheck", "descriptors"]

# after these events, connections have been made
CONNECTED = ("live", "returned", "markers_stream_returned", "reference_returned")
MANY = 0.8  # of the limit


def descriptors() -> tuple[int, int] | None:
    """Return how many descriptors this process has open and may have; None where unknown."""
    if sys.platform == "win32":
        return None
    import resource

    try:
        return sum(1 for _ in Path("/dev/fd").iterdir()), resource.getrlimit(
            resource.RLIMIT_NOFILE
        )[0]
    except OSError:
        return None


class DescriptorCheck:
    """Tell once when most of the descriptors are in use; again when that many more are."""

    def __init__(self) -> None:
        self._told = 0

    def look(self, after: str) -> list[dict[str, Any]]:
        """Return the details of an event ``descriptors`` if it is due after the event `after`."""
        now = descriptors() if after in CONNECTED else None
        if now is None or now[0] < MANY * now[1] or now[0] <= 1.05 * self._told:
            return []
        self._told = now[0]
        reason = (
            f"{now[0]} of {now[1]} descriptors are in use: start the program anew at the next "
            "break, or raise the limit (ulimit -n)"
        )
        return [{"n_open": now[0], "limit": now[1], "reason": reason}]
