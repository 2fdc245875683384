"""What answering asks of a monitor."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

import numpy as np

__all__ = ["Watching"]


class Watching(Protocol):
    """What knows whether the signal is that of calibration: a `monitor.watcher.Watcher`."""

    @property
    def state(self) -> Enum:
        """What is known of the signal so far; its value is text."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """Reasons to abstain; empty for none."""

    def truth(self, label: str, scores: np.ndarray) -> None:
        """Take the cosines (V,) of an event whose marker has this label, after its readout."""
