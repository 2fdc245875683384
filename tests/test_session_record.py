"""The text of a record's decisions, its version, and records of version 1."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_decoder.commands.convert import convert
from rt_decoder.commands.decode import decode_file
from rt_decoder.decoder import Decoder
from rt_decoder.files.decisions import (
    FORMAT_VERSION,
    Chosen,
    Decision,
    Dropped,
    LogEnded,
    MarkerCame,
    MarkerWithoutTime,
    Note,
    Paused,
    Prior,
    Realigned,
    Restart,
    Skip,
    Start,
    Truth,
)
from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.files.session_record import checked_decisions, encode, parse
from rt_decoder.files.steps import recorded_start
from rt_decoder.model import Model
from rt_decoder.pipeline import PipelineOptions
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import FLAGS_VERSION, Choice, Marker
from rt_decoder.timing.markers import MarkerRules
from tests.small import lines, random_model, small_recipe, small_recording, timeless

BELT = {
    "stream": "belt", "channels": ["belt"], "sfreq": 25.0, "delay_ms": 80.0, "limit_ms": 120.0,
    "averaged": 1,
}  # fmt: skip
RULES = MarkerRules("TRIG", {"1": "Säge"}, 255, 0.01, 3.0, ("ä*",), (), True)
TEXTS: list[tuple[Decision, str]] = [
    (
        Start(0, RULES, True, ("eye", "mains"), (BELT,), True, True),
        '{"index": 0, "decision": "start", "rules": {"trigger": "TRIG", "names": {"1": "Säge"}, '
        '"mask": 255, "offset": 0.01, "wait": 3.0, "include": ["ä*"], "exclude": [], "fold": true, '
        '"stems": false}, '
        '"continuous": true, "without": ["eye", '
        '"mains"], "references": [{"stream": "belt", "channels": ["belt"], "sfreq": 25.0, '
        '"delay_ms": 80.0, "limit_ms": 120.0, "averaged": 1}], "align": true, "learn": true, '
        '"when_unlike": "abstain", "anytime": false, "level": 0.0, "format_version": 7, "flags_version": 2}',
    ),
    (Restart(7), '{"index": 7, "decision": "restart"}'),
    (
        MarkerCame(8, "axe", 1.25),
        '{"index": 8, "decision": "marker", "label": "axe", "time": 1.25}',
    ),
    (
        MarkerWithoutTime(8, "axe"),
        '{"index": 8, "decision": "marker_without_time", "label": "axe"}',
    ),
    (Skip(9, 30), '{"index": 9, "decision": "skip", "n": 30}'),
    (Realigned(9, 30), '{"index": 9, "decision": "realigned", "n_events": 30}'),
    (
        Chosen(9, Choice(("axe", "Säge"), {"axe": 0.25, "bee": 0.0}, 0.5, 3, True)),
        '{"index": 9, "decision": "chosen", "choice": {"candidates": ["axe", "Säge"], "prior": '
        '{"axe": 0.25, "bee": 0.0}, "threshold": 0.5, "top": 3, "posterior": true}}',
    ),
    (
        MarkerCame(9, "axe", 1.25, Choice()),
        '{"index": 9, "decision": "marker", "label": "axe", "time": 1.25, "choice": '
        '{"candidates": [], "prior": null, "threshold": null, "top": null, "posterior": false}}',
    ),
    (Paused(9, True), '{"index": 9, "decision": "paused", "on": true}'),
    (Truth(9, 3, "axe"), '{"index": 9, "decision": "truth", "seq": 3, "label": "axe"}'),
    (Prior.of(9, np.ones(1)), '{"index": 9, "decision": "prior", "log_prior": "AACAPw=="}'),
    (Dropped(9, 3, 8), '{"index": 9, "decision": "dropped", "n_jobs": 3, "n_samples": 8}'),
    (LogEnded(9, "full"), '{"index": 9, "decision": "log_ended", "reason": "full"}'),
    (
        Note(9, "stale", {"silent_s": 0.5, "channels": ["Cz"]}),
        '{"index": 9, "decision": "note", "event": "stale", "details": {"silent_s": 0.5, '
        '"channels": ["Cz"]}}',
    ),
]  # fmt: skip


@pytest.mark.parametrize(("decision", "text"), TEXTS, ids=lambda one: type(one).__name__)
def test_each_kind_has_its_text(decision: Decision, text: str) -> None:
    assert encode(decision) == text
    assert parse(text) == decision
    assert type(parse(text)) is type(decision)


def test_candidates_of_version_5_are_read() -> None:
    text = '{"index": 9, "decision": "restricted", "items": ["axe"]}'
    assert parse(text) == Chosen(9, Choice(("axe",)))


@pytest.mark.parametrize(
    "change",
    [
        {"candidates": "axe"}, {"candidates": None}, {"prior": []}, {"prior": {}},
        {"prior": {"axe": -1.0}}, {"prior": {"axe": 0.0}}, {"prior": {"axe": "1"}},
        {"threshold": -0.1}, {"threshold": "0"}, {"top": 0}, {"top": 1.5}, {"top": True},
        {"posterior": 1}, {"more": 1},
    ],
)  # fmt: skip
def test_a_choice_that_none_made_is_damage(change: dict[str, Any]) -> None:
    plain = {"candidates": [], "prior": None, "threshold": None, "top": None, "posterior": False}
    for decision in ("chosen", "marker"):
        text = {"index": 9, "decision": decision, "label": "axe", "time": 1.0}
        text["choice"] = plain | change
        with pytest.raises(ValueError, match="damaged"):
            parse(json.dumps(text))


@settings(max_examples=200, deadline=None)
@given(
    index=st.integers(0, 1 << 40),
    label=st.text(),
    time=st.floats(-1e9, 1e9),
    n=st.integers(0, 1 << 40),
    details=st.dictionaries(st.text(), st.text() | st.booleans() | st.lists(st.integers())),
)
def test_what_is_written_is_read(
    index: int, label: str, time: float, n: int, details: dict[str, Any]
) -> None:
    rules = MarkerRules(label, {label: label}, n, time, 2.0)
    for decision in (
        Start(index, rules, bool(n % 2), (label,), (details,), None), MarkerCame(index, label, time),
        MarkerWithoutTime(index, label), Skip(index, n), Dropped(index, n, n),
        Realigned(index, n), LogEnded(index, label), Note(index, label, details),
    ):  # fmt: skip
        assert parse(encode(decision)) == decision


# --- versions


START = '{"index": 0, "decision": "start", "rules": {}, "continuous": true'


def test_a_record_states_its_version() -> None:
    plain = json.loads(encode(Start(0, MarkerRules(), True)))
    assert (plain["format_version"], plain["flags_version"]) == (FORMAT_VERSION, FLAGS_VERSION)
    old = parse(START + "}")
    assert isinstance(old, Start)
    assert (old.format_version, old.flags_version) == (1, 1)
    assert json.loads(encode(old))["format_version"] == FORMAT_VERSION  # it is written anew


def test_a_record_of_before_says_nothing_of_alignment() -> None:
    old = parse(START + ', "format_version": 3}')
    assert isinstance(old, Start)
    assert old.align is None
    assert old.learn is False


@pytest.mark.parametrize("version", ["format_version", "flags_version"])
def test_a_newer_record_is_refused(version: str) -> None:
    text = f'{{"index": 0, "decision": "start", "rules": "of another kind", "{version}": 99}}'
    with pytest.raises(
        ValueError, match=r"r\.xdf: need a .* older, got .*99.*: upgrade rt-decoder"
    ):
        checked_decisions("r.xdf", [text, '{"index": 0, "decision": "pause"}'])


def test_a_kind_that_is_not_known_is_never_passed_over() -> None:
    unknown = '{"index": 5, "decision": "pause", "n": 3}'
    with pytest.raises(ValueError, match=r"need a decision among start, .*got 'pause': upgrade"):
        checked_decisions("r.xdf", [encode(Start(0, MarkerRules(), True)), unknown])
    # version 1 had every event as a kind, and obeyed none of them
    assert checked_decisions("r.xdf", [START + "}", unknown])[1] == Note(5, "pause", {"n": 3})


def test_stages_of_version_1_have_their_names_of_today() -> None:
    without = '"without": ["eye", "line"]'
    old, new = parse(f"{START}, {without}}}"), parse(f'{START}, {without}, "format_version": 2}}')
    assert (old.without, new.without) == (("eye", "mains"), ("eye", "line"))  # type: ignore[union-attr]


# --- a record of version 1, byte by byte


def chunk(tag: int, content: bytes) -> bytes:
    return struct.pack("<BIH", 4, len(content) + 2, tag) + content


def count(n: int) -> bytes:
    return struct.pack("<BI", 4, n)


class Xdf:
    """XDF as its specification has it, without the program's own writer."""

    def __init__(self) -> None:
        self.content = b"XDF:" + chunk(
            1, b"<?xml version='1.0'?><info><version>1.0</version></info>"
        )

    def stream(
        self, number: int, name: str, kind: str, n: int, sfreq: float, desc: str = ""
    ) -> None:
        xml = (
            f"<info><name>{name}</name><type>{kind}</type><channel_count>{n or 1}</channel_count>"
            f"<nominal_srate>{sfreq}</nominal_srate><channel_format>"
            f"{'double64' if n else 'string'}</channel_format><source_id /><desc>{desc}</desc></info>"
        )
        self.content += chunk(2, struct.pack("<I", number) + xml.encode())

    def numbers(self, number: int, values: np.ndarray, stamps: Sequence[float]) -> None:
        samples = b"".join(
            struct.pack("<Bd", 8, stamp) + row.astype("<f8").tobytes()
            for row, stamp in zip(values, stamps, strict=True)
        )
        self.content += chunk(3, struct.pack("<I", number) + count(len(values)) + samples)

    def text(self, number: int, text: str, stamp: float) -> None:
        encoded = text.encode()
        body = count(1) + struct.pack("<Bd", 8, stamp) + count(len(encoded)) + encoded
        self.content += chunk(3, struct.pack("<I", number) + body)

    def end(self, *numbers: int) -> bytes:
        for number in numbers:
            self.content += chunk(6, struct.pack("<I", number) + b"<info></info>")
        return self.content


class Old(NamedTuple):
    """A record of version 1, and what its session read out."""

    content: bytes
    readouts: list[tuple[Any, ...]]


@cache
def recording() -> Recording:
    """Twenty seconds, of which some samples were lost."""
    whole = small_recording(session=2, seconds=20.0)
    kept = np.delete(np.arange(len(whole.stamps)), np.s_[3500:3600])
    return replace(whole, data=whole.data[kept], stamps=whole.stamps[kept])


@cache
def model() -> Model:
    mains = {"line_freq": 50.0, "harmonics": 2, "time_constant": 1.0}
    return replace(random_model(recording(), small_recipe()), cleaning={"mains": mains})


@cache
def old_record(continuous: bool, without: tuple[str, ...]) -> Old:
    """What a session of version 1 wrote: references, markers, skipped samples, a restart, events."""
    of, rng = recording(), np.random.default_rng(3)
    names = dict(model().recipe.target.names)
    rules = {"trigger": "", "names": names, "mask": None, "offset": 0.0, "wait": 3.0}
    left_out = ["mains" for _ in without]
    options = PipelineOptions(MarkerRules(**rules), continuous, left_out, force=True)
    decoder = Decoder(model(), of.info, options)
    xdf, readouts, markers, start = Xdf(), [], list(of.markers), 0
    rows = zip(of.info.ch_names, of.info.ch_types, of.info.units, strict=True)
    desc = "".join(
        f"<channel><label>{name}</label><type>{kind}</type><unit>{unit}</unit></channel>"
        for name, kind, unit in rows
    )
    xdf.stream(1, "amp", "EEG", of.info.n_channels, of.info.sfreq, f"<channels>{desc}</channels>")
    xdf.stream(2, "stimuli", "Markers", 0, 0)
    xdf.stream(3, "rt_decoder-arrivals", "Arrivals", 3, 0)
    xdf.stream(4, "rt_decoder-decisions", "Decisions", 0, 0)
    belt = "<channels><channel><label>belt</label><type>resp</type><unit>n/a</unit></channel></channels>"
    xdf.stream(5, "belt", "Reference", 1, 25.0, belt)
    xdf.stream(6, "rt_decoder-arrivals:belt", "Arrivals", 4, 0)

    def decide(index: int, what: str) -> None:
        xdf.text(4, f'{{"index": {index}, "decision": {what}}}', 100.0)

    decide(
        0,
        f'"start", "rules": {json.dumps(rules)}, "continuous": {json.dumps(continuous)}, '
        f'"without": {json.dumps(list(without))}, "references": [{json.dumps(BELT)}]',
    )
    for k in range(10_000):
        stop = min(len(of.stamps), start + int(rng.integers(1, 40)))
        while markers and markers[0].time < of.stamps[start] + rng.normal(-0.1, 0.3):
            label, time = markers.pop(0)[:2]
            decide(start, f'"marker", "label": "{label}", "time": {time!r}')
            xdf.text(2, label, time)
            decoder.mark(Marker(label, time))
        if k == 40:
            decide(start, '"marker_without_time", "label": "x"')
            decide(start, '"log_ended", "reason": "no space"')
            decide(start, '"stale", "silent_s": 0.4')
        if k == 130:
            decoder.restart()
            decide(start, '"restart", "stream": "amp"')
        data, stamps = of.data[start:stop], of.stamps[start:stop]
        arrival, correction = float(stamps[-1]) + 0.004, 1e-6 * (start // 500)
        xdf.numbers(1, data, stamps)
        xdf.numbers(3, np.array([[len(stamps), arrival, correction]]), [arrival])
        xdf.numbers(5, np.full((2, 1), k / 7), [7000 + k, 7000.04 + k])
        xdf.numbers(6, np.array([[2.0, arrival, -6950.0, stop]]), [arrival])
        if 90 <= k < 95:
            decide(start, f'"skip", "n": {stop - start}')
            decoder.skip(data, stamps + correction, arrival)
        else:
            readouts += decoder.push(data, stamps + correction, arrival)
        start = stop
        if start == len(of.stamps):
            break
    return Old(xdf.end(1, 2, 3, 4, 5, 6), timeless(readouts))


@pytest.mark.parametrize("without", [(), ("line",)])
@pytest.mark.parametrize("continuous", [False, True])
def test_a_record_of_version_1_decodes_as_its_session_did(
    tmp_path: Path, continuous: bool, without: tuple[str, ...]
) -> None:
    old, path = old_record(continuous, without), tmp_path / "old.xdf"
    assert len(old.readouts) >= 15
    path.write_bytes(old.content)
    convert(path, tmp_path / "new.xdf")
    before, after = read_recording(path), read_recording(tmp_path / "new.xdf")
    assert after.decisions == before.decisions
    for read, version in ((before, 1), (after, FORMAT_VERSION)):
        start = recorded_start(read)
        assert start is not None
        assert (start.format_version, start.references) == (version, (BELT,))
        assert start.without == (("mains",) if without else ())
        options = PipelineOptions(start.rules, start.continuous, start.without, force=True)
        decoder = Decoder(model(), read.info, options)
        again = decode_recording(model(), read, read.markers, decoder=decoder, chunk=33)
        assert timeless(list(again)) == old.readouts
    footer = decode_file(model(), before, before.markers, tmp_path / "old.jsonl", options)
    assert footer["n_readouts"] == len(old.readouts)
    words = [line["word"] for line in lines(tmp_path / "old.jsonl") if line["type"] == "readout"]
    assert len(words) == len(old.readouts)
    belt = read_recording(path, stream="belt")
    assert (belt.decisions, len(belt.data) % 2) == ((), 0)


def test_the_stage_left_out_matters() -> None:
    """Or the test above would not see it."""
    assert old_record(True, ()).readouts != old_record(True, ("line",)).readouts


@pytest.mark.parametrize("stream", [None, "belt"])
def test_no_stream_of_a_newer_record_is_read(tmp_path: Path, stream: str | None) -> None:
    xdf, channel = Xdf(), "<channel><label>{}</label><type>eeg</type><unit>V</unit></channel>"
    for number, name, kind in ((1, "amp", "EEG"), (5, "belt", "Reference")):
        desc = f"<channels>{channel.format(name)}</channels>"
        xdf.stream(number, name, kind, 1, 100.0, desc)
        xdf.numbers(number, np.zeros((10, 1)), (np.arange(10) / 100).tolist())
    for number, name, row in (
        (3, "rt_decoder-arrivals", [10.0, 1.0, 0.0]),
        (6, "rt_decoder-arrivals:belt", [10.0, 1.0, 0.0, 0.0]),
    ):
        xdf.stream(number, name, "Arrivals", len(row), 0)
        xdf.numbers(number, np.array([row]), [1.0])
    xdf.stream(4, "rt_decoder-decisions", "Decisions", 0, 0)
    before, path = xdf.content, tmp_path / "r.xdf"
    xdf.text(4, START + "}", 0.0)
    path.write_bytes(xdf.end(1, 3, 4, 5, 6))
    assert len(read_recording(path, stream=stream).data) == 10
    xdf.content = before
    xdf.text(4, f'{START}, "format_version": {FORMAT_VERSION + 1}}}', 0.0)
    path.write_bytes(xdf.end(1, 3, 4, 5, 6))
    with pytest.raises(
        ValueError, match=r"r\.xdf: need a session record of .*: upgrade rt-decoder"
    ):
        read_recording(path, stream=stream)


def test_holes_of_a_record_of_version_1_are_told(tmp_path: Path) -> None:
    path, xdf = tmp_path / "old.xdf", Xdf()
    xdf.content = old_record(False, ()).content
    xdf.text(4, '{"index": 99, "decision": "dropped", "n_jobs": 3, "n_samples": 8}', 1.0)
    path.write_bytes(xdf.content)
    with pytest.warns(RuntimeWarning, match=r"3 entries with 8 samples.* up to sample 99$"):
        assert read_recording(path).decisions[-1] == Dropped(99, 3, 8)
