"""Whatever a file or a server says: an answer or one sentence, never a crash, a hang or all memory.

Inputs are valid ones with bytes flipped, cut out, doubled or put in, valid containers with hostile
content, and noise. `RT_DECODER_FUZZ=20` runs twenty times as many examples.
"""

from __future__ import annotations

import json
import os
import random
import re
import struct
import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calibration.language.vector_cache import VectorCache
from rt_decoder.channels import Declared, declared_info
from rt_decoder.files.decisions import Restart, Start
from rt_decoder.files.events import markers_from_events, read_events
from rt_decoder.files.model_file import ModelCorrupt, content_hash, load_model, save_model
from rt_decoder.files.model_format import FORMAT_VERSION
from rt_decoder.files.read import read_recording
from rt_decoder.files.recording import Recording
from rt_decoder.files.steps import recorded_start
from rt_decoder.files.tables import read_channel_table
from rt_decoder.files.xdf_writer import XdfWriter
from rt_decoder.recipe import Recipe, read_recipe
from rt_decoder.recorded import decode_recording
from rt_decoder.replay.faults import Fault, parse_faults
from rt_decoder.signal import ModelMismatch
from rt_decoder.sinks.record import Recorder
from rt_decoder.source import Received
from rt_decoder.timing.markers import MarkerRules
from tests.small import random_model, small_recipe, small_recording

TIMES = int(os.environ.get("RT_DECODER_FUZZ", "1"))
# what a reader may say, beside the package's own errors, which are kinds of these
REFUSALS = (ValueError, OSError)
MOST_BYTES = 200 << 20  # MNE alone takes some
LONGEST = 500  # characters of a sentence
RECORDING = small_recording(seconds=4.0, sfreq=100.0)
MODEL = random_model(RECORDING, small_recipe())


def fuzz(n: int) -> Callable[..., Any]:
    """So many examples by default; one that hangs ends with the test's timeout."""
    return settings(
        max_examples=n * TIMES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=TIMES == 1,
    )


@contextmanager
def bounded(most: int = MOST_BYTES) -> Iterator[None]:
    """At most so many bytes at a time, numpy's counted."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def answer(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Result, or None after one of `REFUSALS` with one sentence; anything else fails the test."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            with bounded():
                return call(*args, **kwargs)
        except REFUSALS as error:
            said = str(error)
            assert 0 < len(said) <= LONGEST, said
            assert "\n" not in said, said
            return None
        finally:
            # numpy's complaints of numbers that were not checked
            assert not [w for w in map(str, told) if "encountered in" in w]


@st.composite
def mutations(draw: st.DrawFn, original: bytes, most: int = 4) -> bytes:
    """`original` with up to `most` flips, cuts, doublings, insertions and huge numbers."""
    content = bytearray(original)
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        n = draw(st.integers(1, 64))
        kind = draw(st.sampled_from(("flip", "cut", "double", "insert", "number", "end")))
        if kind == "flip" and content:
            content[at] ^= draw(st.integers(1, 255))
        elif kind == "cut":
            del content[at : at + n]
        elif kind == "double":
            content[at:at] = content[at : at + n]
        elif kind == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=n))
        elif kind == "number":
            content[at : at + 8] = struct.pack("<Q", draw(st.sampled_from(NUMBERS)))
        else:
            del content[at:]
    return bytes(content)


NUMBERS = (0, 1, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
HOSTILE = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from([0, 1, -1, 1 << 31, 10**30, 10**400]),
        st.sampled_from([0.0, -1.0, 1e-320, 1e308, float("nan"), float("inf")]),
        st.sampled_from(["", "eeg", "V", "\x00", "\ud7ff", "x" * 10_000, "1e999", "NaN"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["stream", "hop_ms", "tmin", "x", ""]), inner, max_size=3),
    ),
    max_leaves=6,
)


def file_of(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


# --- the model file


@pytest.fixture(scope="module")
def model_bytes(folder: Path) -> bytes:
    save_model(MODEL, folder / "good.safetensors")
    return (folder / "good.safetensors").read_bytes()


def parts(content: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Header of safetensors, header of ours in it, tensors."""
    n = int.from_bytes(content[:8], "little")
    outer = json.loads(content[8 : 8 + n])
    return outer, json.loads(outer["__metadata__"]["rt_decoder"]), content[8 + n :]


def joined(outer: dict[str, Any], head: Any, tensors: bytes, *, honest: bool = True) -> bytes:
    """A model file, by default with the hash of what it holds."""
    text = head if isinstance(head, str) else json.dumps(head)
    metadata = outer["__metadata__"] | {"rt_decoder": text}
    if honest:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        plain = json.dumps(outer | {"__metadata__": metadata}).encode()
        try:
            loaded = load(struct.pack("<Q", len(plain)) + plain + tensors)
            metadata["sha256"] = content_hash(text, loaded)
        except (SafetensorError, KeyError, ValueError, TypeError, UnicodeEncodeError):
            pass
    header = json.dumps(outer | {"__metadata__": metadata}).encode()
    return struct.pack("<Q", len(header)) + header + tensors


def load_refused(path: Path) -> Any:
    """As `answer`; a file that is there may be called nothing but corrupt."""
    said = ""
    with bounded():
        try:
            return load_model(path)
        except ModelCorrupt as error:
            said = str(error)
    assert said.startswith(("the header of m", "m.safetensors")), said
    assert "\n" not in said
    return None


@fuzz(150)
@given(data=st.data())
def test_a_damaged_model_is_corrupt(data: st.DataObject, folder: Path, model_bytes: bytes) -> None:
    content = data.draw(st.one_of(mutations(model_bytes), st.binary(max_size=200)))
    model = load_refused(file_of(folder, "m.safetensors", content))
    assert model is None or content == model_bytes


@fuzz(50)
@given(data=st.data())
def test_a_hostile_header_under_a_true_hash(
    data: st.DataObject, folder: Path, model_bytes: bytes
) -> None:
    outer, head, tensors = parts(model_bytes)
    place = data.draw(st.sampled_from(sorted(_places(head))))
    *way, last = place
    inside = head
    for key in way:
        inside = inside[key]
    if data.draw(st.booleans()):
        inside[last] = data.draw(HOSTILE)
    else:
        del inside[last]
    model = load_refused(file_of(folder, "m.safetensors", joined(outer, head, tensors)))
    if model is not None:  # and then it decodes, or says why not
        answer(lambda: list(decode_recording(model, RECORDING, RECORDING.markers)))


def _places(head: Any, way: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Way to every entry."""
    if not isinstance(head, dict):
        return []
    below = [place for key, value in head.items() for place in _places(value, (*way, key))]
    return [(*way, key) for key in head] + below


@fuzz(100)
@given(data=st.data())
def test_hostile_tensors_under_a_true_hash(
    data: st.DataObject, folder: Path, model_bytes: bytes
) -> None:
    outer, head, tensors = parts(model_bytes)
    name = data.draw(st.sampled_from(sorted(set(outer) - {"__metadata__"})))
    entry = dict(outer[name])
    kind = data.draw(st.sampled_from(("dtype", "shape", "offsets", "gone", "more", "values")))
    n_bytes = entry["data_offsets"][1] - entry["data_offsets"][0]
    if kind == "dtype":
        entry["dtype"] = data.draw(
            st.sampled_from(["F16", "BF16", "F8_E4M3", "BOOL", "U8", "I64", "F64", "X"])
        )
        entry["shape"] = [
            n_bytes // {"F16": 2, "BF16": 2, "I64": 8, "F64": 8}.get(entry["dtype"], 1)
        ]
    elif kind == "shape":
        numbers = st.integers(0, 8) | st.sampled_from([1 << 31, 1 << 62, (1 << 64) - 1])
        entry["shape"] = data.draw(st.lists(numbers, max_size=4))
    elif kind == "offsets":
        entry["data_offsets"] = data.draw(st.lists(st.integers(0, 1 << 62), min_size=2, max_size=2))
    elif kind == "values":
        begin = entry["data_offsets"][0]
        tensors = tensors[:begin] + b"\xff" * 8 + tensors[begin + 8 :]
    outer = {k: v for k, v in outer.items() if k != name}
    if kind != "gone":
        outer[name if kind != "more" else f"{name}.more"] = entry
    load_refused(file_of(folder, "m.safetensors", joined(outer, head, tensors)))


def hostile_model(change: Callable[[dict[str, Any]], Any], content: bytes) -> bytes:
    outer, head, tensors = parts(content)
    changed = change(head)
    return joined(outer, head if changed is None else changed, tensors)


FOUND_IN_MODELS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "infinite version": lambda head: json.dumps(head).replace(
        f'"format_version": {FORMAT_VERSION}', '"format_version": Infinity'
    ),
    "negative version": lambda head: head.update(format_version=-3),
    "a rate of many digits": lambda head: head["info"].update(sfreq=10**400),
    "a rate beyond reason": lambda head: head["info"].update(sfreq=1e300),
    "numbers as names": lambda head: head["info"].update(
        ch_names=list(range(len(head["info"]["ch_names"])))
    ),
    "a hop of a year": lambda head: head["recipe"]["stream"].update(hop_ms=3e10),
    "a window of a year": lambda head: head["recipe"]["features"].update(tmax=3e7),
    "no recipe": lambda head: head.update(recipe=[]),
    "no section": lambda head: head["recipe"].update(stream=None),
    "numbers as items": lambda head: head.update(items=list(range(12))),
    "a negative tau": lambda head: head["posterior"].update(tau=-1.0),
    "a list as certificate": lambda head: head.update(certificate=[1]),
    "a list": lambda head: [head],
    "deep": lambda head: "[" * 100_000,
    "deep inside": lambda head: json.dumps(head).replace('"versions": {', '"versions": {"x": ' + "[" * 5000 + "]" * 5000 + ","),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND_IN_MODELS)
def test_what_was_found_in_models(name: str, folder: Path, model_bytes: bytes) -> None:
    content = hostile_model(FOUND_IN_MODELS[name], model_bytes)
    assert content != model_bytes
    assert load_refused(file_of(folder, "m.safetensors", content)) is None


def test_an_honest_copy_loads(folder: Path, model_bytes: bytes) -> None:
    content = hostile_model(lambda head: None, model_bytes)
    assert load_refused(file_of(folder, "m.safetensors", content)) is not None


# --- vectors kept on disk


@fuzz(40)
@given(data=st.data())
def test_a_hostile_cache_is_computed_again(data: st.DataObject, tmp_path_factory: Any) -> None:
    import hashlib

    cache = VectorCache(tmp_path_factory.mktemp("cache"))
    key = "ab" * 32
    cache.write({key: np.ones(4)})
    (shard,) = cache.folder.iterdir()
    content = data.draw(mutations(shard.read_bytes()) | st.binary(max_size=100))
    shard.unlink()
    name = hashlib.sha256(content).hexdigest()  # a true hash over hostile content
    (cache.folder / f"{name}.safetensors").write_bytes(content)
    with bounded():
        found = cache.read([key])
    assert set(found) <= {key}
    assert all(vector.ndim == 1 and vector.dtype == np.float32 for vector in found.values())


# --- recordings


@pytest.fixture(scope="module")
def xdf_bytes(folder: Path) -> bytes:
    path = folder / "good.xdf"
    path.unlink(missing_ok=True)
    with XdfWriter(path) as xdf:
        xdf.add_stream(1, name="amp", type="EEG", info=RECORDING.info)
        xdf.add_stream(2, name="stimuli", type="Markers")
        for start in range(0, 60, 20):
            rows = slice(start, start + 20)
            xdf.write_samples(1, RECORDING.data[rows], RECORDING.stamps[rows])
            xdf.write_samples(2, ["word1"], RECORDING.stamps[rows][:1])
            xdf.write_clock_offset(1, start / 100, 0.01)
    return path.read_bytes()


@pytest.fixture(scope="module")
def record_bytes(folder: Path) -> bytes:
    path = folder / "good_record.xdf"
    record = Recorder(path, RECORDING.info, "amp")
    record.decision(100.0, Start(0, MarkerRules(), True))
    for start in range(0, 100, 20):
        rows = slice(start, start + 20)
        record.pulled(
            Received(RECORDING.data[rows], RECORDING.stamps[rows] + 100, 100.2 + start / 100, 0.01)
        )
    for marker in RECORDING.markers[:2]:
        record.marker(marker._replace(time=marker.time + 100), 101.0, 50)
    record.decision(101.0, Restart(60))
    record.close()
    return path.read_bytes()


def csv_bytes(n: int = 30) -> bytes:
    lines = ["timestamps,TP9,AF7,Marker0"]
    lines += [f"{i / 256:.6f},{i % 7}.5,{-i % 5}.25,{i == 10:d}" for i in range(n)]
    return "\n".join(lines).encode()


READ = {"units": "microvolts"}


@fuzz(120)
@given(data=st.data())
def test_a_damaged_xdf_file(data: st.DataObject, folder: Path, xdf_bytes: bytes) -> None:
    answer(read_recording, file_of(folder, "m.xdf", data.draw(mutations(xdf_bytes))), **READ)


@fuzz(80)
# One number: with draws, hypothesis found the same choices inconsistent after other tests, which is
# not explained yet.
@given(seed=st.integers(0, 2**32))
def test_a_damaged_session_record(seed: int, folder: Path, record_bytes: bytes) -> None:
    rng, damaged = random.Random(seed), bytearray(record_bytes)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(damaged))
        to = min(len(damaged), at + rng.choice((1, 2, 4, 64, 4096)))
        damaged[at:to] = rng.choice((b"", rng.randbytes(to - at), bytes(damaged[at:to]) * 2))
        if len(damaged) < 2:
            break
    path = file_of(folder, "m.xdf", bytes(damaged))
    recording = answer(read_recording, path)
    if recording is not None:
        check_obeyed(recording)


def check_obeyed(recording: Recording) -> None:
    """What passed as a session record is decoded, or refused as not fitting the model."""
    answer(recorded_start, recording)
    answer(lambda: list(decode_recording(MODEL, recording, recording.markers)))


DECISION_KINDS = (
    "start", "marker", "marker_without_time", "restart", "skip", "dropped", "log_ended", "note",
    "x",
)  # fmt: skip
RECORD_VALUES = HOSTILE | st.sampled_from(
    [{"offset": 1e12}, {"wait": 1e9}, {"names": {"1": 2}}, {"mask": -1}, {"trigger": None}]
)


@fuzz(100)
@given(
    decisions=st.lists(
        st.one_of(
            HOSTILE,
            st.fixed_dictionaries(
                {},
                optional={
                    "index": HOSTILE | st.integers(-5, 200),
                    "decision": st.sampled_from(DECISION_KINDS),
                    "rules": RECORD_VALUES,
                    "continuous": HOSTILE | st.booleans(),
                    "label": HOSTILE,
                    "time": HOSTILE | st.floats(90, 110),
                    "n_samples": HOSTILE,
                    "n_jobs": HOSTILE,
                    "n": HOSTILE | st.integers(0, 100),
                    "reason": HOSTILE,
                    "event": HOSTILE,
                    "details": HOSTILE,
                    "without": HOSTILE | st.just(["line"]),
                    "references": HOSTILE,
                    "format_version": HOSTILE,
                    "flags_version": HOSTILE,
                },
            ),
        ),
        min_size=1,
        max_size=3,
    ),
    pulls=st.lists(
        st.tuples(
            st.sampled_from([0.0, 5.0, 20.0, 19.5, -20.0, 1e18, float("nan"), 500.0]),
            st.sampled_from([100.2, float("inf"), -1e300, float("nan")]),
            st.sampled_from([0.0, 0.01, float("nan"), 1e200]),
        ),
        max_size=4,
    ),
)
def test_hostile_decisions_and_pulls(decisions: list[Any], pulls: list[Any], folder: Path) -> None:
    recording = answer(read_recording, session_record(folder, decisions, pulls))
    if recording is not None:
        check_obeyed(recording)


def session_record(
    folder: Path, decisions: list[Any], pulls: list[Any], n_columns: int = 3
) -> Path:
    path = folder / "m.xdf"
    path.unlink(missing_ok=True)
    with XdfWriter(path) as xdf:
        xdf.add_stream(1, name="amp", type="EEG", info=RECORDING.info)
        xdf.add_stream(2, name="amp-markers", type="Markers")
        xdf.add_stream(3, name="rt_decoder-arrivals", type="Arrivals", n_channels=n_columns)
        xdf.add_stream(4, name="rt_decoder-decisions", type="Decisions")
        xdf.write_samples(1, RECORDING.data[:60], RECORDING.stamps[:60] + 100)
        rows = np.array(pulls, float).reshape(-1, 3)[:, :n_columns]
        if len(rows):
            xdf.write_samples(3, rows, np.full(len(rows), 100.0))
        texts = [json.dumps(one) if not isinstance(one, str) else one for one in decisions]
        xdf.write_samples(4, texts, np.full(len(texts), 100.0))
    return path


START = {"index": 0, "decision": "start", "rules": {}, "continuous": True}
GOOD_PULLS = [(20.0, 100.2, 0.0)] * 3
FOUND_IN_RECORDS: dict[str, tuple[list[Any], list[Any]]] = {
    "no JSON": (["nonsense"], GOOD_PULLS),
    "no object": ([3], GOOD_PULLS),
    "no decision": ([{"index": 0}], GOOD_PULLS),
    "deep": (["[" * 100_000], GOOD_PULLS),
    "an index before the first": ([START, {"index": -5, "decision": "restart"}], GOOD_PULLS),
    "an index of text": ([START, {"index": "x", "decision": "restart"}], GOOD_PULLS),
    "unknown rules": ([START | {"rules": {"x": 1}}], GOOD_PULLS),
    "rules of another type": ([START | {"rules": {"names": {"1": 2}}}], GOOD_PULLS),
    "a wait of years": ([START | {"rules": {"wait": 1e9}}], GOOD_PULLS),
    "a marker at no time": (
        [START, {"index": 0, "decision": "marker", "label": "x", "time": None}], GOOD_PULLS,
    ),
    "an alignment that is neither on nor off": ([START | {"align": 1}], GOOD_PULLS),
    "labels that join neither or do": ([START | {"learn": None}], GOOD_PULLS),
    "an alignment by no number of events": (
        [START, {"index": 3, "decision": "realigned", "n_events": "x"}], GOOD_PULLS,
    ),
    "no stages": ([START | {"without": 5}], GOOD_PULLS),
    "references of another type": ([START | {"references": [[]]}], GOOD_PULLS),
    "a version of text": ([START | {"format_version": "2"}], GOOD_PULLS),
    "a version before the first": ([START | {"format_version": 0}], GOOD_PULLS),
    "a kind that is not known": (
        [START | {"format_version": 2}, {"index": 0, "decision": "pause"}], GOOD_PULLS,
    ),
    "a log that ended for no reason": ([{"index": 0, "decision": "log_ended"}], GOOD_PULLS),
    "an event with more in it than events have": (
        [{"index": 0, "decision": "stale", "x": [[1]]}], GOOD_PULLS,
    ),
    "pulls of NaN samples": ([START], [(float("nan"), 100.2, 0.0)]),
    "pulls of fewer than no samples": ([START], [(20.0, 100.2, 0.0), (-10.0, 100.4, 0.0)]),
    "pulls at no time": ([START], [(20.0, float("nan"), 0.0)]),
    "a correction of NaN": ([START], [(20.0, 100.2, float("nan"))]),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND_IN_RECORDS)
def test_what_was_found_in_session_records(name: str, folder: Path) -> None:
    path = session_record(folder, *FOUND_IN_RECORDS[name])
    with pytest.raises(ValueError, match=r"m\.xdf: need"):
        read_recording(path)


def test_pulls_of_two_columns_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="need n, arrival and correction"):
        read_recording(session_record(folder, [START], GOOD_PULLS, n_columns=2))


def test_a_good_record_made_in_the_same_way_is_read(folder: Path) -> None:
    recording = read_recording(session_record(folder, [START], GOOD_PULLS))
    assert len(recording.stamps) == 60


@fuzz(100)
@given(data=st.data())
def test_a_damaged_csv_file(data: st.DataObject, folder: Path) -> None:
    content = data.draw(mutations(csv_bytes()) | st.binary(max_size=300))
    answer(read_recording, file_of(folder, "m.csv", content), **READ)


@fuzz(80)
@given(
    rows=st.lists(
        st.lists(
            st.sampled_from(["0", "1", "1e308", "-1e308", "nan", "inf", "1e-320", "", "x", "1e10"]),
            min_size=1, max_size=4,
        ),
        max_size=6,
    ),
    header=st.sampled_from(
        ["timestamps,a,b", "a,timestamps", "timestamps", "", '"timestamps', "timestamps,timestamps"]
    ),
)  # fmt: skip
def test_odd_numbers_in_a_csv_file(rows: list[list[str]], header: str, folder: Path) -> None:
    text = "\n".join([header, *(",".join(row) for row in rows)])
    answer(read_recording, file_of(folder, "m.csv", text.encode()), **READ)


FOUND_IN_CSV = {
    "a header field beyond csv's limit": "timestamps," + "x" * 200_000 + "\n0,1\n1,2\n",
    "stamps that overflow": "timestamps,a\n-1e308,1\n0,1\n1e308,2\n",
    "stamps that stand still": "timestamps,a\n" + "0,1\n" * 9 + "1,1\n",
    "stamps that hardly advance": "timestamps,a\n0,1\n1e-300,1\n2e-300,1\n",
    "a rate beyond reason": "timestamps,a\n" + "".join(f"{i * 1e-9},1\n" for i in range(20)),
}


@pytest.mark.parametrize("name", FOUND_IN_CSV)
def test_what_was_found_in_csv_files(name: str, folder: Path) -> None:
    path = file_of(folder, "m.csv", FOUND_IN_CSV[name].encode())
    assert answer(read_recording, path, **READ) is None


# --- huge promises: refused before memory is taken


def xdf_chunk(tag: int, content: bytes) -> bytes:
    return struct.pack("<BQH", 8, len(content) + 2, tag) + content


def xdf_of(n_channels: int, kind: str, count: bytes, rest: bytes = b"") -> bytes:
    """A stream header and one chunk of samples that declares `count`."""
    xml = (
        "<info><name>x</name><type>EEG</type><nominal_srate>100</nominal_srate>"
        f"<channel_count>{n_channels}</channel_count><channel_format>{kind}</channel_format></info>"
    ).encode()
    stream = struct.pack("<I", 1)
    return b"XDF:" + xdf_chunk(2, stream + xml) + xdf_chunk(3, stream + count + rest)


def counted(n: int) -> bytes:
    return struct.pack("<BQ", 8, n)


PROMISES = {
    "samples": xdf_of(4, "float32", counted(1 << 33), bytes(100)),
    "samples beyond any memory": xdf_of(4, "float32", counted(1 << 60), bytes(100)),
    "texts": xdf_of(1, "string", counted(1 << 27), bytes(100)),
    "channels": xdf_of(1 << 30, "double64", counted(1), bytes(100)),
    "channels and no sample": xdf_of(1 << 32, "double64", counted(0)),
    "no channel": xdf_of(0, "double64", counted(1 << 40)),
    "fewer than no channel": xdf_of(-5, "double64", counted(3), bytes(100)),
    "a format of its own": xdf_of(2, "float128", counted(3), bytes(100)),
    "a long text": xdf_of(1, "string", counted(1), b"\0" + counted(1 << 40)),
}


@pytest.mark.parametrize("name", PROMISES)
def test_xdf_that_promises_too_much(name: str, folder: Path) -> None:
    path = file_of(folder, "m.xdf", PROMISES[name])
    with bounded(20 << 20), pytest.raises(OSError, match=r"m\.xdf"):
        read_recording(path)


def test_samples_of_no_stream_are_refused(folder: Path) -> None:
    content = b"XDF:" + xdf_chunk(3, struct.pack("<I", 7) + counted(1 << 40))
    with bounded(20 << 20), pytest.raises(OSError, match="no stream"):
        read_recording(file_of(folder, "m.xdf", content))


def test_xml_that_expands_is_refused(folder: Path) -> None:
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    xml = f'<!DOCTYPE info [<!ENTITY e0 "{"x" * 100}">{entities}]><info><name>&e11;</name></info>'
    content = b"XDF:" + xdf_chunk(2, struct.pack("<I", 1) + xml.encode())
    with bounded(100 << 20), pytest.raises(OSError, match=r"m\.xdf"):
        read_recording(file_of(folder, "m.xdf", content))


LIMITED = """\
import resource, sys
from rt_decoder.files.read import read_recording
import mne, mne.io  # before memory is bounded
try:
    read_recording(sys.argv[2])  # what is imported lazily
except (OSError, ValueError):
    pass
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (400 << 20),) * 2)
try:
    read_recording(sys.argv[1])
    print("read")
except (OSError, ValueError) as error:
    print(type(error).__name__, error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
@pytest.mark.parametrize("suffix", ["edf", "fif", "vhdr"])
def test_mne_files_that_promise_too_much(suffix: str, folder: Path) -> None:
    good = mne_file(folder, suffix)
    bad = {"edf": _edf_of_many_records, "fif": _fif_of_many_samples, "vhdr": _no_data}[suffix](good)
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, str(bad), str(good)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stdout.count("\n") == 1
    # of EDF, MNE reads the records that are there and says so
    assert re.match(r"(OSError|ValueError) .*m(_raw)?\.|read", ran.stdout), ran.stdout
    assert suffix == "edf" or not ran.stdout.startswith("read")


# --- what MNE reads


def mne_file(folder: Path, suffix: str) -> Path:
    """A small recording in that format."""
    path = folder / f"good_raw.{suffix}"
    if path.exists():
        return path
    import mne

    eeg = RECORDING.info.ch_names[:4]
    info = mne.create_info(list(eeg), 100.0, "eeg", verbose="error")
    raw = mne.io.RawArray(RECORDING.data[:, :4].T, info, verbose="error")
    if suffix == "fif":
        raw.save(path, verbose="error")
    elif suffix == "edf":
        path.write_bytes(edf_bytes(RECORDING.data[:100, :2]))
    else:
        _write_brainvision(path, RECORDING.data[:, :2])
    return path


def edf_bytes(data: np.ndarray) -> bytes:
    """EDF as its specification has it, one record a second; `data` (n, c) in V."""
    n, c = data.shape
    fields = [
        (8, ["0"]), (80, ["X"]), (80, ["X"]), (8, ["01.01.01"]), (8, ["01.01.01"]),
        (8, [str(256 * (c + 1))]), (44, [""]), (8, [str(n // 100)]), (8, ["1"]), (4, [str(c)]),
        (16, [f"EEG {i}" for i in range(c)]), (80, [""] * c), (8, ["uV"] * c),
        (8, ["-1000"] * c), (8, ["1000"] * c), (8, ["-32768"] * c), (8, ["32767"] * c),
        (80, [""] * c), (8, ["100"] * c), (32, [""] * c),
    ]  # fmt: skip
    header = "".join(text.ljust(size) for size, texts in fields for text in texts)
    values = np.clip(data * 1e6 * 32.767, -32768, 32767).astype("<i2")
    records = values.reshape(n // 100, 100, c).transpose(0, 2, 1)
    return header.encode() + records.tobytes()


def _write_brainvision(path: Path, data: np.ndarray) -> None:
    text = (
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={path.with_suffix('.eeg').name}\nMarkerFile={path.with_suffix('.vmrk').name}\n"
        "DataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=2\n"
        "SamplingInterval=10000\n\n[Binary Infos]\nBinaryFormat=INT_16\n\n[Channel Infos]\n"
        "Ch1=Fz,,0.1,µV\nCh2=Cz,,0.1,µV\n"
    )
    markers = (
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={path.with_suffix('.eeg').name}\n\n[Marker Infos]\n"
        "Mk1=Stimulus,S  1,20,1,0\nMk2=Stimulus,S  2,80,1,0\n"
    )
    path.write_text(text, encoding="utf-8")
    path.with_suffix(".vmrk").write_text(markers, encoding="utf-8")
    path.with_suffix(".eeg").write_bytes((data * 1e7).astype("<i2").tobytes())


def _edf_of_many_records(good: Path) -> Path:
    content = bytearray(good.read_bytes())
    content[236:244] = b"99999999"
    return file_of(good.parent, "m.edf", bytes(content))


def _fif_of_many_samples(good: Path) -> Path:
    """The skip of a data buffer (tag 303): silence that takes no room in the file."""
    content = good.read_bytes()
    at = content.index(struct.pack(">2i", 300, 4))  # the first data buffer, float32
    end = at + 16 + struct.unpack_from(">i", content, at + 8)[0]
    skip = struct.pack(">4ii", 301, 3, 4, 0, 1 << 20)
    return file_of(good.parent, "m_raw.fif", content[:end] + skip + content[at:end] + content[end:])


def _no_data(good: Path) -> Path:
    path = file_of(good.parent, "m.vhdr", good.read_bytes())
    path.write_text(good.read_text().replace("good_raw.eeg", "absent.eeg"), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", ["edf", "vhdr", "fif"])
def test_good_files_of_the_tests_are_read(suffix: str, folder: Path) -> None:
    recording = read_recording(mne_file(folder, suffix))
    assert len(recording.stamps) >= 100
    assert recording.info.ch_types[0] == "eeg"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["edf", "vhdr", "fif"])
@fuzz(150)
@given(data=st.data())
def test_a_damaged_file_that_mne_reads(suffix: str, data: st.DataObject, folder: Path) -> None:
    good = mne_file(folder, suffix)
    name = f"m{'_raw' if suffix == 'fif' else ''}.{suffix}"
    content = good.read_bytes()
    if suffix == "edf" and data.draw(st.booleans()):  # most of it is data
        content = data.draw(mutations(content[:768])) + content[768:]
    else:
        content = data.draw(mutations(content))
    answer(read_recording, file_of(folder, name, content))


def fif_tag(kind: int, type_: int, content: bytes, following: int = 0) -> bytes:
    return struct.pack(">4i", kind, type_, len(content), following) + content


FIF_HEAD = fif_tag(100, 31, bytes(20)) + fif_tag(101, 3, struct.pack(">i", -1))
REFERENCE = fif_tag(104, 3, struct.pack(">i", 118)) + fif_tag(115, 3, struct.pack(">i", 2))
CIRCLES = {
    "to itself": FIF_HEAD + fif_tag(999, 3, bytes(4), following=len(FIF_HEAD)),
    "to the start": FIF_HEAD + fif_tag(999, 3, bytes(4)) + fif_tag(999, 3, bytes(4), following=20),
    "by its name": FIF_HEAD + REFERENCE + fif_tag(118, 10, b"m_raw-1.fif"),
    "by its number": FIF_HEAD + REFERENCE + fif_tag(117, 3, struct.pack(">i", 1)),
}


@pytest.mark.parametrize("name", CIRCLES)
def test_fif_that_leads_in_a_circle(name: str, folder: Path) -> None:
    path = file_of(folder, "m_raw-1.fif", CIRCLES[name])
    with bounded(), pytest.raises(OSError, match="circle"):
        read_recording(path)


@pytest.mark.slow
def test_split_files_are_no_circle(folder: Path) -> None:
    import mne

    raw = mne.io.read_raw(mne_file(folder, "fif"), verbose="error")
    long = mne.concatenate_raws([raw.copy() for _ in range(400)], verbose="error")
    long.save(folder / "split_raw.fif", split_size="2MB", verbose="error")
    assert (folder / "split_raw-1.fif").is_file()
    assert len(read_recording(folder / "split_raw.fif").stamps) == 400 * 400


# --- tables


EVENTS = b"onset\tduration\ttrial_type\tword\n" + b"".join(
    b"%d.%d\t0\tword\tword%d\n" % (i // 10, i % 10, i % 3) for i in range(2, 12)
)


@fuzz(100)
@given(content=mutations(EVENTS) | st.binary(max_size=200))
def test_a_damaged_events_table(content: bytes, folder: Path) -> None:
    rows = answer(read_events, file_of(folder, "m.tsv", content))
    if rows is not None:
        answer(markers_from_events, rows, RECORDING)


@pytest.mark.parametrize("onset", ["1e308", "-1e308", "inf", "nan", "1e11"])
def test_onsets_beyond_reason(onset: str, folder: Path) -> None:
    path = file_of(folder, "m.tsv", f"onset\tword\n{onset}\taxe\n".encode())
    assert answer(read_events, path) is None


CHANNELS = b"stream_name\tmodel_name\ttype\tunit\nch1\tFz\teeg\tmicrovolts\nch2\tCz\teeg\t\n"


@fuzz(100)
@given(content=mutations(CHANNELS) | st.binary(max_size=200))
def test_a_damaged_channel_table(content: bytes, folder: Path) -> None:
    declared = (Declared("ch1", "EEG", "uV"), Declared("ch2", "EEG", "uV"))
    path = file_of(folder, "m.tsv", content)
    table = answer(read_channel_table, path)
    if table is not None:
        answer(declared_info, 100.0, declared, channels=table, units="uV")


TOML = (
    b'[filter]\nl_freq = 1.0\norder = 2\n[stream]\npicks = ["eeg"]\n[features]\nbands = [[4, 8]]\n'
)


@fuzz(100)
@given(content=mutations(TOML) | st.binary(max_size=100))
def test_a_damaged_recipe(content: bytes, folder: Path) -> None:
    sections = answer(read_recipe, file_of(folder, "m.toml", content))
    if sections is not None:
        answer(Recipe.from_dict, sections)


# --- faults


@fuzz(300)
@given(
    spec=st.text(max_size=60)
    | st.text("abcdefghijklmnopqrstuvwxyz=@.,+-0123456789spmHz ", max_size=60)
    | mutations(b"loss=0.1s@10,step=+0.5s@30,kill=5s@60,jitter=4ms,rate=500Hz@85").map(
        lambda raw: raw.decode("latin-1")
    )
)
def test_any_text_as_faults(spec: str) -> None:
    faults = answer(parse_faults, spec)
    for fault in faults or ():
        assert isinstance(fault, Fault)
        assert np.isfinite(fault.amount)
        assert 0 <= fault.at < 1e12


def test_errors_of_our_own_are_among_the_refusals() -> None:
    assert issubclass(ModelCorrupt, REFUSALS)
    assert issubclass(ModelMismatch, REFUSALS)
