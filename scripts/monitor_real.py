"""Real recordings, watched by monitors of other runs and people, for `eval_monitor.py`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from monitor_faults import channels, late

from calibration.design import build_design, draft_model
from calibration.events import label_recording
from calibration.monitor import fit_monitor
from calibration.monitor_montage import known_orders
from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model
from rt_decoder.monitor.monitor import Monitor, make_monitor
from rt_decoder.recipe import Recipe
from rt_decoder.recorded import features_of_recording
from rt_decoder.signal import Marker
from rt_decoder.timing.markers import MarkerRules


def alarms(events: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """What was told of a healthy session."""
    return [f"{one['check']}: {one['what']}" for name, one in events
            if name in ("unlike_calibration", "channels_differ")]  # fmt: skip


def real(data: Path) -> Iterator[dict[str, Any]]:
    """Everything about real people."""
    for task, folder in (("N170", data / "muse_n170" / "N170"), ("P300", data / "muse" / "P300")):
        runs = [read_recording(file, units="uV") for file in sorted(folder.glob("*.csv"))]
        recipe = {"stream": {"picks": ["TP9", "AF7", "AF8", "TP10"], "reference": "none",
                             "line_freq": 60.0}, "filter": {"l_freq": 1.0, "h_freq": 30.0}}  # fmt: skip
        changes = {"as it is": channels(np.eye(4)), "inverted": channels(-np.eye(4)),
                   "100 ms": late(0.1), "200 ms": late(0.2)}  # fmt: skip
        for number, run in enumerate(runs):
            model = monitored([one for other, one in enumerate(runs) if other != number], recipe)
            for what, change in changes.items():
                yield {"data": task, "run": number, "what": what, **heard(model, change(run))}
    yield from _flicker(data / "ssvep_exo")
    yield from _rest(data / "eegmat")


def _flicker(folder: Path) -> Iterator[dict[str, Any]]:
    import mne

    people: dict[str, list[Recording]] = defaultdict(list)
    for file in sorted(folder.glob("*_raw.fif")):
        read = read_recording(file)
        onsets = mne.read_events(str(file).replace("_raw", "-eve"), verbose="error")
        first = mne.io.read_raw_fif(file, verbose="error").first_samp
        times = [(row[0] - first) / read.info.sfreq for row in onsets if row[2] > 1]
        marks = tuple(Marker("flicker", read.times[0] + one) for one in sorted(times))
        people[file.name[:9]].append(replace(read, markers=marks))
    recipe = {"stream": {"reference": "none"}, "filter": {"l_freq": 1.0, "h_freq": 40.0}}
    for name, (first, second) in people.items():
        model = monitored([first], recipe)
        yield {"data": "flicker", "run": name, "what": "other record", **heard(model, second)}
        for other, records in people.items():
            if other != name:
                yield {"data": "flicker", "run": name, "what": other, **heard(model, records[0])}


def _rest(folder: Path) -> Iterator[dict[str, Any]]:
    def half(recording: Recording, second: bool) -> Recording:
        rows = slice(len(recording.data) // 2, None) if second else slice(len(recording.data) // 2)
        return replace(recording, data=recording.data[rows], stamps=recording.stamps[rows])

    rests = {file.stem[:9]: read_recording(file) for file in sorted(folder.glob("*_1.edf"))}
    recipe = {"stream": {"picks": ["eeg"]}, "clean": {"stages": []}}
    for name, rest in rests.items():
        every = np.arange(2.0, rest.times[len(rest.times) // 2] - rest.times[0] - 3, 1.5)
        marks = tuple(Marker("tick", rest.times[0] + float(one)) for one in every)
        model = monitored([replace(half(rest, False), markers=marks)], recipe)
        order = known_orders(model.info.ch_names, None)["left and right"]
        picks = [rest.info.ch_names.index(one) for one in model.info.ch_names]
        matrix = np.eye(len(rest.info.ch_names))
        matrix[picks] = matrix[np.array(picks)[order]]
        task = read_recording(folder / f"{name}_2.edf")
        yield {"data": "rest", "run": name, "what": "rest", **heard(model, half(rest, True))}
        yield {"data": "rest", "run": name, "what": "task", **heard(model, task)}
        mirrored = channels(matrix)(half(rest, True))
        yield {"data": "rest", "run": name, "what": "left and right", **heard(model, mirrored)}
        others = [one for other, one in rests.items() if other != name]
        told = [heard(model, half(one, False)) for one in others]
        yield {"data": "rest", "run": name, "what": "other people", "n": len(told),
               "alarms": [one["alarms"] for one in told]}  # fmt: skip


def monitored(recordings: Sequence[Recording], recipe: dict[str, Any]) -> Model:
    """Fit the monitor alone on recordings with markers."""
    settings = Recipe.from_dict(recipe)
    labelled = [label_recording(one, None, settings, MarkerRules()) for one in recordings]
    draft = draft_model(recordings, settings)
    design = build_design(draft, labelled)
    return fit_monitor(replace(draft, certificate={"split": {"purge_s": 0.0}}), design, labelled)


def heard(model: Model, recording: Recording) -> dict[str, Any]:
    """Watch a recording without decoding it."""
    monitor = make_monitor(model)
    d = model.certificate["monitor"]["events"]["d"]
    if not isinstance(monitor, Monitor):
        return {"d": round(d, 2), "alarms": [], "state": "not checked"}
    for _ in features_of_recording(model, recording, recording.markers, watcher=monitor):
        pass
    events = monitor.take_events()
    first = next(
        (one.get("n_events") for name, one in events if name == "unlike_calibration"), None
    )
    return {"d": round(d, 2), "alarms": alarms(events), "at_event": first, **monitor.summary}
