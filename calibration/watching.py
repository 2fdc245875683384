"""Watch recordings with a model's monitor, for those who score them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from calibration.design import without_map
from calibration.events import LabelledRecording
from rt_decoder.counted import counted
from rt_decoder.files.monitor_text import told_lines
from rt_decoder.model import Model
from rt_decoder.monitor.monitor import make_monitor
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import features_of_recording
from rt_decoder.timing.items import CUE

__all__ = ["watch_recordings", "watching_lines"]


def watch_recordings(model: Model, sessions: Sequence[LabelledRecording]) -> list[dict[str, Any]]:
    """Say of each recording whether it is like calibration, by response and montage.

    Parameters
    ----------
    model : Model
        With or without a monitor.
    sessions : sequence of LabelledRecording
        With their events.

    Returns
    -------
    list of dict
        The monitor's ``summary``, and ``told``: what it said, in plain words; empty where nothing is
        checked.
    """
    found = []
    for session in sessions:
        if (monitor := make_monitor(model)) is None:
            return []
        words = [one for one in session.markers if not one.label.startswith(CUE)]
        options = PipelineOptions(session.rules)
        for _ in features_of_recording(
            without_map(model), session.recording, words, options, watcher=monitor
        ):
            pass
        told = told_lines(details for _, details in monitor.take_events())
        found.append({"summary": monitor.summary, "told": told})
    return found


def watching_lines(found: Sequence[dict[str, Any]]) -> list[str]:
    """Describe what `watch_recordings` found.

    Parameters
    ----------
    found : sequence of dict
        As it returns them.

    Returns
    -------
    list of str
    """
    if not found:
        return ["like calibration: not checked, the model cannot tell"]
    lines = []
    for number, one in enumerate(found, 1):
        summary = one["summary"]
        level = f", response {summary['level']:.2f} of calibration's" if "level" in summary else ""
        lines.append(
            f"recording {number} like calibration: {summary['state']} "
            f"({counted(summary['n_events'], 'event')} judged{level})"
        )
        lines += [f"  {told}" for told in one["told"]]
    return lines
