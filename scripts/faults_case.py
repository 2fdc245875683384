"""Run one case of `scripts/faults.py`: a session on streams with a fault.

The session cleans with every stage, watches with every check of the monitor, and decodes at
markers; each label is the row of its sample. No brain responds to these markers: the monitor says so
(`--when-unlike warn`, so that words are named and judged all the same).
Taps on the pipeline record for every sample its row, the index and time that it got, whether it was
flagged, and whether its values are those of the recording. The windows of readouts are judged by
these.
"""

from __future__ import annotations

import sys
import threading
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rt_decoder.live.options import LiveOptions, Sinks
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.replay.plan import ReplayOptions

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

from pylsl import local_clock  # noqa: E402

from calibration.cleaning.chain import fit_cleaning  # noqa: E402
from calibration.design import build_design  # noqa: E402
from calibration.monitor import fit_monitor  # noqa: E402
from rt_decoder.decoder import Decoder  # noqa: E402
from rt_decoder.files.model_file import load_model, save_model  # noqa: E402
from rt_decoder.files.read import read_recording  # noqa: E402
from rt_decoder.files.recording import Recording  # noqa: E402
from rt_decoder.files.steps import recorded_start  # noqa: E402
from rt_decoder.live.session import Session  # noqa: E402
from rt_decoder.model import Model  # noqa: E402
from rt_decoder.monitor.verdict import CHANGES  # noqa: E402
from rt_decoder.recipe import STAGES  # noqa: E402
from rt_decoder.recorded import decode_recording  # noqa: E402
from rt_decoder.replay.fault_plan import schedule  # noqa: E402
from rt_decoder.replay.faults import Fault, parse_faults  # noqa: E402
from rt_decoder.replay.replay import Replayed, replay  # noqa: E402
from rt_decoder.signal import (  # noqa: E402
    BAD,
    Chunk,
    Marker,
    ModelMismatch,
    Readout,
    SignalInfo,
    StreamLost,
)
from rt_decoder.simulation.disturbance import CLEANING  # noqa: E402
from rt_decoder.simulation.participant import Participant  # noqa: E402
from rt_decoder.sinks.log import JsonlLog  # noqa: E402
from rt_decoder.sinks.record import Recorder  # noqa: E402
from rt_decoder.sources.streams import LslStreams, ReferenceChoice  # noqa: E402
from tests.cleaned import CUES, drafted, labelled  # noqa: E402
from tests.small import VECTORS, WORDS, lines, timeless  # noqa: E402

N_CHANNELS = 16  # so that the monitor compares them
SETTLED_S = 2.0  # after a fault, or the start, until the times of samples must be right
SEVERITIES = {"blink": 1.0, "saccade": 1.0, "heart": 4.0, "breath": 4.0, "mains": 1.0}
ROW = "TRIG"  # the channel that holds the number of the sample
REFERENCES = ("ECG", "RESP")
LATE_S = 0.04  # delay of references on an auxiliary stream
EVERY = {250.0: 2, 1000.0: 4}  # by rate of the main stream: its samples per auxiliary sample
CLOCKS = ("drift=20ppm", "drift=-100ppm")  # of the main stream, of the auxiliary stream


def make_recording(sfreq: float, seconds: float, session: int = 2) -> Recording:
    """Simulate a participant; in session 2 there is a marker every 0.4 s, labelled by its row.

    There is no chewing, so that all flags come from the fault. Heart and breath are strong, so that
    references matter.
    """
    participant = Participant(
        VECTORS, WORDS, n_channels=N_CHANNELS, sfreq=sfreq, references=True, scene=CLEANING,
        artifacts=SEVERITIES,
    )  # fmt: skip
    simulation = participant.simulate(
        duration=seconds, seed=session, components=False, cues=CUES if session == 1 else ()
    )
    info, n = simulation.info, len(simulation.data)
    markers = simulation.events
    if session != 1:
        rows = range(round(sfreq), n, round(0.4 * sfreq))
        markers = tuple(Marker(str(row), row / sfreq, row) for row in rows)
    info = SignalInfo(sfreq, (*info.ch_names, ROW), (*info.ch_types, "stim"), (*info.units, "n/a"))
    data = np.column_stack([simulation.data, np.arange(n)])
    return Recording(data, np.arange(n) / sfreq, info, markers, name=f"session-{session}")


def with_late_references(recording: Recording) -> Recording:
    """Delay the references of a recording, as those of an auxiliary stream are."""
    data, n_late = recording.data.copy(), round(LATE_S * recording.info.sfreq)
    for name in REFERENCES:
        column = data[:, recording.info.ch_names.index(name)]
        column[n_late:] = column[:-n_late].copy()
    return replace(recording, data=data)


def apart(recording: Recording) -> tuple[Recording, Recording]:
    """Split a recording into one without references, and one of the references alone."""
    info, every = recording.info, EVERY[recording.info.sfreq]
    own = [info.ch_names.index(name) for name in REFERENCES]
    others = [k for k in range(info.n_channels) if k not in own]
    slower = replace(info.pick(own), sfreq=info.sfreq / every)
    references = Recording(
        recording.data[::every, own], recording.stamps[::every], slower, (), name="references"
    )
    return replace(recording, data=recording.data[:, others], info=info.pick(others)), references


def save_fitted(of: str, sfreq: float, path: Path) -> None:
    """Write a model with every cleaning stage, and a random map.

    References on an auxiliary stream are late. That hardly matters for a belt, but a late ECG
    explains little of the heartbeat, so that its template may not be found.
    """
    recording, needed = make_recording(sfreq, 120.0, session=1), set(STAGES)
    if of == "references":
        recording, needed = with_late_references(recording), needed - {"heartbeat"}
    sessions = [labelled(recording)]
    model, reports = fit_cleaning(drafted(recording), sessions)
    if missing := needed - set(model.cleaning):
        raise ValueError(f"need every stage, got none of {', '.join(missing)}: {reports}")
    split = {"split": {"purge_s": 0.0}}
    model = fit_monitor(replace(model, certificate=split), build_design(model, sessions), sessions)
    if missing := {"events", "channels"} - set(model.monitor):
        raise ValueError(f"need a monitor of {', '.join(missing)}, got none")
    save_model(model, path)


class Tap:
    """Records what goes through a session's pipeline."""

    def __init__(self, session: Session) -> None:
        self.model = session.model
        self.epoch = 0  # number of restarts; each restarts the index, too
        self.rows: list[int] = []
        self.samples: list[tuple[int, int, float, float, np.ndarray]] = []
        self.flagged: dict[tuple[int, int], bool] = {}
        self.readouts: list[tuple[int, Readout]] = []
        take = lambda readout: self.readouts.append((self.epoch, readout))  # noqa: E731
        session.attach(replace(session.sinks, on_readout=take))
        pipeline, ring = session.decoder.pipeline, session.decoder.pipeline.ring
        push, restart, write = pipeline.push, pipeline.restart, ring.write

        def tapped_push(chunk: Chunk) -> list[Readout]:
            now = local_clock()
            for i, values in enumerate(chunk.data.copy()):
                place = (self.epoch, chunk.index + i)
                self.flagged[place] = bool(chunk.flags[i])
                self.samples.append((*place, float(chunk.times[i]), now, values))
            return push(chunk)

        def tapped_restart() -> None:
            self.epoch += 1
            restart()

        def tapped_write(data: np.ndarray, flags: np.ndarray) -> None:
            for i, flag in enumerate(flags):  # with the flags that the stages added
                self.flagged[self.epoch, ring.next + i] = bool(flag & BAD)
            write(data, flags)

        pipeline.push = tapped_push  # type: ignore[method-assign]
        pipeline.restart = tapped_restart  # type: ignore[method-assign]
        ring.write = tapped_write  # type: ignore[method-assign]
        self.window = (pipeline.window.first, pipeline.window.last)


class TappedSource:
    """A source that records the rows that it delivers."""

    def __init__(self, source: Any, rows: list[int]) -> None:
        self._source, self._rows = source, rows
        self._column = source.info.ch_names.index(ROW)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def pull(self, timeout: float, n: int = 1) -> Any:
        pulled = self._source.pull(timeout, n)
        self._rows += pulled[0][:, self._column].astype(int).tolist()
        return pulled


class TappedStreams:
    """Streams whose samples come through a `TappedSource` even after a loss."""

    def __init__(self, streams: LslStreams, rows: list[int]) -> None:
        self._streams, self._rows = streams, rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._streams, name)

    def reopen(self, wait: float) -> TappedSource | None:
        found = self._streams.reopen(wait)
        return None if found is None else TappedSource(found, self._rows)


class Senders:
    """Replays of several recordings, each with its faults, that begin together."""

    def __init__(self, *streams: tuple[Recording, str, tuple[Fault, ...], int | None]) -> None:
        self._over = threading.Event()
        self._begin = 0.0
        self._together = threading.Barrier(len(streams), self._now, timeout=60.0)
        self.sent: dict[str, Replayed] = {}
        self._threads = [threading.Thread(target=self._send, args=stream) for stream in streams]

    def _now(self) -> None:
        self._begin = local_clock()

    def _send(
        self, recording: Recording, source_id: str, faults: tuple[Fault, ...], chunk: int | None
    ) -> None:
        try:
            self.sent[source_id] = replay(
                recording,
                options=ReplayOptions(
                    chunk=chunk, faults=faults, seed=1, begin=self._start, linger=1.0
                ),
                name=source_id,
                source_id=source_id,
                should_stop=self._over.is_set,
            )
        except BaseException:
            self._together.abort()  # so that the others do not wait for this one
            raise

    def _start(self) -> float:
        self._together.wait()
        return self._begin

    def __enter__(self) -> Senders:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def sending(self) -> bool:
        """Whether the first stream is still being sent."""
        return self._threads[0].is_alive()


def run_case(
    spec: str, of: str, sfreq: float, chunk: int | None, seconds: float, model: Path, folder: Path
) -> dict[str, Any]:
    """Stream, decode and measure; returns what happened, fit for JSON.

    If `of` is "stream", the faults happen to the main stream, sent in chunks of `chunk` samples. If
    it is "references", they happen to the auxiliary stream, which is sent sample by sample: chunks
    would be late.
    """
    recording = make_recording(sfreq, seconds)
    fitted = load_model(model)
    source_id = f"faults-{uuid.uuid4().hex}"
    if of == "stream":
        faults = parse_faults(spec)
        faulty, streams = source_id, [(recording, source_id, faults, chunk)]
    else:
        recording, references = apart(recording)
        faults, faulty = parse_faults(CLOCKS[0]), f"{source_id}-references"
        streams = [
            (recording, source_id, faults, chunk),
            (references, faulty, parse_faults(f"{spec},{CLOCKS[1]}"), None),
        ]
    with Senders(*streams) as senders:
        last = len(recording.stamps) - 1
        wanted = LslStreams(
            {"source_id": source_id}, (f"{source_id}-markers",), timeout=60.0,
            references=(ReferenceChoice(faulty),) * (of != "stream"),
        )  # fmt: skip
        tap, error, footer, error_at = _decode(fitted, wanted, senders, last, folder)
    begin, end = _when(senders.sent[faulty], parse_faults(spec)[0])
    log = [line for line in lines(folder / "log.jsonl") if line["type"] == "event"]
    samples = _samples(tap, recording, senders.sent[source_id], faults, chunk)
    return {
        "injected": senders.sent[faulty].faults,
        "events": [line | {"after_s": round(line["time"] - begin, 3)} for line in log],
        "error": error,
        "error_after_s": round(error_at - begin, 3) if error else None,
        "reasons": sorted({reason for _, readout in tap.readouts for reason in readout.reasons}),
        "max_stamp_error_samples": _stamp_error(samples, begin, end, sfreq),
        "recovery_s": _recovery(samples, end, sfreq),
        "n_readouts": len(tap.readouts),
        "bad_readouts": sum(_is_bad(tap, samples, *one) for one in tap.readouts),
        "same_from_record": _same_from_record(fitted, tap, folder, log),
        "footer": footer.get("counts", {}),
        "left_behind": left_behind(source_id),
    }


def _decode(
    model: Model, streams: LslStreams, senders: Senders, last: int, folder: Path
) -> tuple[Tap, str, dict, float]:
    source, markers = streams.samples(), streams.markers()
    log, record = JsonlLog(folder / "log.jsonl"), Recorder(
        folder / "record.xdf", source.info, source.name, markers[0].name
    )  # fmt: skip
    options, sinks = LiveOptions(when_unlike="warn"), Sinks(log=log, recorder=record)
    session = Session(model, source, options, markers=markers, sinks=sinks)
    tap = Tap(session)
    session.source = TappedSource(source, tap.rows)
    session.streams = TappedStreams(streams, tap.rows)
    error, footer = "", {}
    try:
        footer = session.run(lambda: tap.rows[-1:] == [last] or not senders.sending)
    except (ModelMismatch, StreamLost) as refused:
        error = f"{type(refused).__name__}: {refused}"
    finally:
        ended = local_clock()
        session.close()
        log.close()
        record.close()
    return tap, error, footer, ended


def _when(sent: Replayed, fault: Fault) -> tuple[float, float]:
    """Return the LSL times of a fault's begin and end; equal for a fault of the whole stream."""
    told = next(one for one in sent.faults if one["fault"] == fault.kind)
    return told["time"], told["time"] if told["until"] is None else told["until"]


def _samples(
    tap: Tap, recording: Recording, sent: Replayed, faults: tuple[Fault, ...], chunk: int | None
) -> dict[str, np.ndarray]:
    """Return row, place, error in s, arrival, flagged and right of each sample in the pipeline."""
    if len(tap.rows) < len(tap.samples):
        raise ValueError(f"{len(tap.rows)} samples pulled, {len(tap.samples)} in the pipeline")
    rows = np.array(tap.rows[: len(tap.samples)], np.int64)
    clock = schedule(recording.stamps - recording.stamps[0], faults, chunk=chunk, seed=1).clock
    epoch, index, times, arrival = np.array([sample[:4] for sample in tap.samples]).T
    values = np.array([sample[4] for sample in tap.samples])
    n = tap.model.n_picks  # decoded channels; references may be on the auxiliary stream
    picks = [recording.info.ch_names.index(name) for name in tap.model.info.ch_names[:n]]
    same = np.isclose(values[:, :n], recording.data[rows][:, picks], rtol=1e-9, atol=0)
    right = same.all(axis=1)
    places = list(zip(epoch.astype(int).tolist(), index.astype(int).tolist(), strict=True))
    return {
        "row": rows,
        "place": np.array(places),
        "error": times - (sent.start + clock[rows]),
        "arrival": arrival,
        "flagged": np.array([tap.flagged[place] for place in places]),
        "right": right,
    }


def _stamp_error(samples: dict, begin: float, end: float, sfreq: float) -> float | None:
    """Largest error of unflagged samples from `SETTLED_S` after the fault on; None without any."""
    late = samples["arrival"] >= max(begin, end) + SETTLED_S
    errors = np.abs(samples["error"])[late & ~samples["flagged"]] * sfreq
    return round(float(errors.max()), 3) if len(errors) else None


def _recovery(samples: dict, end: float, sfreq: float) -> float | None:
    """Time in s from the fault's end until all samples are right and unflagged; None if never."""
    good = samples["right"] & ~samples["flagged"] & (np.abs(samples["error"]) * sfreq <= 1)
    bad = np.flatnonzero(~good)
    first = bad[-1] + 1 if len(bad) else 0
    arrival = samples["arrival"]
    if first >= len(arrival) or arrival[-1] < end:
        return None
    first = max(first, int(np.searchsorted(arrival, end)))
    return round(float(arrival[min(first, len(arrival) - 1)] - end), 3)


def _is_bad(tap: Tap, samples: dict, epoch: int, readout: Readout) -> bool:
    """Whether a word was named although more of its window was bad than was flagged.

    A sample is bad if it is missing, has other values than the recording, or is off by more than
    one sample relative to the marker.
    """
    if readout.abstained:
        return False
    first, last = tap.window
    onset = int(readout.label)
    place, here = samples["place"], samples["place"][:, 0] == epoch
    offset = place[:, 1] - readout.index
    inside = here & (offset >= first) & (offset < last)
    off = np.abs(samples["row"] - onset - offset) > 1
    n_good = int(np.sum(inside & samples["right"] & ~off))
    n = last - first
    return n - n_good > round((1 - readout.quality) * n)


def _same_from_record(model: Model, tap: Tap, folder: Path, log: list[dict[str, Any]]) -> bool:
    """Whether the session record decodes to the session's readouts, and its monitor told the same."""
    record = read_recording(folder / "record.xdf")
    started = recorded_start(record)
    if started is None:
        return False
    options = PipelineOptions(started.rules, started.continuous).as_recorded(started, model)
    decoder = Decoder(model, record.info, options)
    again = decode_recording(model, record, record.markers, chunk=7, decoder=decoder)
    same = timeless(list(again)) == timeless([readout for _, readout in tap.readouts])
    told = [
        {
            key: value
            for key, value in line.items()
            if key not in ("type", "time", "index", "after_s")
        }
        for line in log
        if line["event"] in CHANGES
    ]
    events = [{"event": event} | details for event, details in decoder.take_events()]
    return same and told == [line for line in events if line["event"] in CHANGES]


def left_behind(source_id: str) -> list[int]:
    """Return the ids of the outlet's processes that still run; always empty except on Linux."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if source_id.encode() in line:
            found.append(int(path.parent.name))
    return found
