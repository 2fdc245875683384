"""The FieldTrip source against a buffer server of the tests, on loopback."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pylsl import local_clock

from rt_decoder.live.opening import open_session
from rt_decoder.live.run_options import RunOptions
from rt_decoder.signal import Marker, ModelMismatch, SignalInfo, StreamLost
from rt_decoder.sources.fieldtrip import source as fieldtrip
from rt_decoder.sources.fieldtrip.source import FieldTripSource, parse_address
from rt_decoder.timing.timebase import TimeBase
from tests import fieldtrip_server as protocol
from tests.fieldtrip_server import FieldTripServer, names_chunk
from tests.lsl_loopback import wait_for
from tests.small import random_model, small_recipe, small_recording

client_module = pytest.importorskip(
    "rt_decoder.sources.fieldtrip.client", reason="needs mne-realtime", exc_type=ImportError
)
reader_module = pytest.importorskip("rt_decoder.sources.fieldtrip.reader")

NAMES = ("Fz", "Cz", "TRIG")


@pytest.fixture(autouse=True)
def _nothing_left_behind():
    before = set(threading.enumerate())
    yield
    wait_for(lambda: set(threading.enumerate()) <= before)


@pytest.fixture
def server() -> Iterator[FieldTripServer]:
    with FieldTripServer() as buffer:
        buffer.put_header(1000.0, 3, "float64", names_chunk(NAMES))
        yield buffer


@pytest.fixture
def arrivals(monkeypatch) -> SimpleNamespace:
    """The clock by which samples arrive, set by the test in `now`."""
    clock = SimpleNamespace(now=1e4)
    monkeypatch.setattr(reader_module, "local_clock", lambda: clock.now)
    return clock


@contextmanager
def opened(server: FieldTripServer, **kwargs) -> Iterator[FieldTripSource]:
    source = FieldTripSource(server.address, **{"units": "microvolts"} | kwargs)
    try:
        source.open()
        yield source
    finally:
        source.close()


def described(server: FieldTripServer, **kwargs) -> SignalInfo:
    source = FieldTripSource(server.address, **kwargs)
    source.close()
    return source.info


def pull_rows(source: FieldTripSource, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The next `n` samples at least, copied."""
    got: list[tuple[np.ndarray, np.ndarray]] = []

    def enough() -> bool:
        data, stamps, _ = source.pull(0.2)
        got.append((data.copy(), stamps.copy()))
        return sum(len(stamps) for _, stamps in got) >= n

    wait_for(enough)
    return np.concatenate([d for d, _ in got]), np.concatenate([s for _, s in got])


def pull_until_lost(source: FieldTripSource, deadline: float = 120.0) -> tuple[int, float, str]:
    """Samples still delivered, the longest single pull in s, and the reason of the loss."""
    n, longest, end = 0, 0.0, time.monotonic() + deadline
    while time.monotonic() < end:
        began = time.monotonic()
        try:
            n += len(source.pull(0.05).stamps)
        except StreamLost as error:
            return n, longest, str(error)
        longest = max(longest, time.monotonic() - began)
    raise AssertionError(f"still not lost after {deadline:g} s")


def numbered(first: int, n: int) -> np.ndarray:
    """Samples whose first channel holds their number."""
    return np.column_stack([np.arange(first, first + n)] * 3).astype(float)


# values


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int32", "uint8", "int64"])
def test_every_number_format_arrives_exactly(server, dtype):
    kind = np.dtype(dtype)
    limits = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    top = 2**53 if dtype == "int64" else limits.max  # what double holds exactly
    values = np.array([[limits.min if dtype != "int64" else -top, top, 1], [0, 7, 3]], kind)
    server.put_header(500.0, 3, dtype, names_chunk(NAMES))
    with opened(server) as source:
        server.put_data(values)
        data, _ = pull_rows(source, 2)
        assert (source.info.sfreq, source.info.ch_names) == (500.0, NAMES)
        assert source.info.units == ("microvolts", "microvolts", "n/a")
        assert source.types_by_name == {NAMES[2]: "stim"}
    assert data.dtype == np.float64
    np.testing.assert_array_equal(data, values.astype(float))


def test_it_begins_with_the_next_sample(server):
    server.put_data(numbered(0, 40))
    server.put_event("trigger", "old")
    source = FieldTripSource(server.address, units="V")
    markers = source.markers()
    try:
        source.open()
        server.put_event("trigger", "new")
        server.put_data(numbered(40, 2))
        np.testing.assert_array_equal(pull_rows(source, 2)[0][:, 0], [40, 41])
        assert [m.label for m in wait_for(markers.pull)] == ["new"]
    finally:
        source.close()
    assert source.correction() == markers.correction() == 0.0


def test_a_slow_session_loses_nothing_and_holds_a_bounded_queue(server, monkeypatch):
    monkeypatch.setattr(fieldtrip, "QUEUED_SECONDS", 1.5)
    monkeypatch.setattr(fieldtrip, "_LONGEST_PULL", 64)
    with opened(server) as source:
        for first in range(0, 5000, 50):
            server.put_data(numbered(first, 50))
        wait_for(lambda: source._reader.n_queued > 1400)
        assert source._reader.n_queued <= 1500
        data, _ = pull_rows(source, 5000)
        assert source.counts["lost"] == source.n_overrun == 0
    np.testing.assert_array_equal(data[:, 0], np.arange(5000))


def test_channels_and_units(server, tmp_path):
    with pytest.raises(ValueError, match=r"channel Fz \(eeg\): need a known unit.*--units"):
        FieldTripSource(server.address)
    with pytest.raises(FileNotFoundError):
        FieldTripSource(server.address, channels=tmp_path / "none.tsv")
    assert described(server, units="fT").ch_types == ("mag",) * 3
    assert described(server, units="fT/cm").ch_types == ("grad",) * 3
    table = tmp_path / "channels.tsv"
    table.write_text("stream_name\tmodel_name\ttype\tunit\nTRIG\tSTI\tstim\tn/a\n")
    info = described(server, channels=table, units="uV")
    assert (info.ch_names[2], info.ch_types, info.units[2]) == (
        "STI", ("eeg", "eeg", "stim"), "n/a",
    )  # fmt: skip
    server.put_header(float(np.float32(600.615)), 2)  # no names; a rate as CTF has it
    info = described(server, units="V")
    assert (info.sfreq, info.ch_names) == (600.615, ("ch1", "ch2"))


@pytest.mark.parametrize(
    ("sfreq", "n_channels", "chunks", "message"),
    [
        (0.0, 3, b"", "above 0 Hz"),
        (np.nan, 3, b"", "above 0 Hz"),
        (1000.0, 0, b"", "1 to 10000 channels.*got 0"),
        (1000.0, 2, names_chunk(["a", "a"]), "unique"),
    ],
)
def test_an_invalid_header_is_refused(server, sfreq, n_channels, chunks, message):
    server.put_header(sfreq, n_channels, chunks=chunks)
    with pytest.raises(ValueError, match=message):
        FieldTripSource(server.address, units="V")


# events


@pytest.mark.parametrize(
    ("kind", "value", "label"),
    [
        ("trigger", "axe", "axe"),
        ("trigger", "Grün".encode("latin-1"), "Grün"),
        ("trigger", "axe\0\0", "axe"),
        ("trigger", np.int32(17), "17"),
        ("trigger", np.uint8(255), "255"),
        ("trigger", np.float64(4.0), "4"),
        ("trigger", np.float32(0.5), "0.5"),
        ("trigger", np.array([1, 2], np.int32), "1 2"),
        ("stimulus", "", "stimulus"),
        (np.array([7], np.int32), "", "7"),
    ],
)
def test_an_event_is_a_marker(server, kind, value, label):
    with opened(server) as source:
        markers = source.markers()
        server.put_event(kind, value, 5)
        assert [m.label for m in wait_for(markers.pull)] == [label]


def test_events_of_one_type_are_read_and_others_counted(server):
    with opened(server) as source:
        some, every = source.markers("stimulus"), source.markers()
        for i in range(90):  # more than one request takes
            server.put_event("stimulus" if i % 3 else "button", str(i))
        got: list[Marker] = []
        wait_for(lambda: got.extend(every.pull()) or len(got) == 90)
        assert [m.label for m in got] == [str(i) for i in range(90)]
        assert [m.label for m in some.pull()] == [str(i) for i in range(90) if i % 3]
        assert (some.name, every.name) == (f"{source.name}/stimulus", f"{source.name}/events")


def test_events_that_the_server_forgot_are_counted(server):
    server.n_events_kept = 10
    with opened(server) as source:
        markers = source.markers()
        with server._changed:
            for i in range(200):
                server.put_event("trigger", str(i))
        got: list[Marker] = []
        wait_for(lambda: got.extend(markers.pull()) or source.counts["events_lost"])
        wait_for(
            lambda: got.extend(markers.pull()) or len(got) + source.counts["events_lost"] == 200
        )
        with server._changed:  # the client never sees the count at 0
            server.flush(protocol.FLUSH_EVT)
            server.put_event("trigger", "after")
        assert [m.label for m in wait_for(markers.pull)] == ["after"]


def test_an_event_at_sample_now_happened_now(server):
    with opened(server) as source:
        markers = source.markers()
        server.put_data(numbered(0, 20))
        _, stamps = pull_rows(source, 20)
        with server._changed:
            server._events.append(protocol.event_bytes("trigger", "x", -1))
            server._n_events += 1
        (marker,) = wait_for(markers.pull)
        assert marker.time == pytest.approx(stamps[-1] + 1e-3, abs=1e-6)


def test_events_fall_on_their_samples(server, arrivals):
    """Blocks come late, and at 1.0005 times the rate; events name samples, also future ones."""
    rng = np.random.default_rng(0)
    with opened(server) as source:
        markers = source.markers()
        timebase = TimeBase(1000.0, history=10.0)
        wanted, found = [], []
        for n in range(25, 6001, 25):
            arrivals.now = 1e4 + n / 1000.5 + rng.exponential(5e-4)
            server.put_data(numbered(n - 25, 25))
            timebase.update(pull_rows(source, 25)[1])
            if n > 2000 and n % 50 == 0:
                wanted.append(n + int(rng.integers(-200, 10)))
                server.put_event("trigger", str(wanted[-1]), wanted[-1])
        wait_for(lambda: found.extend(markers.pull()) or len(found) == len(wanted))
    assert [marker.label for marker in found] == [str(i) for i in wanted]
    assert [timebase.index_of(marker.time) for marker in found if int(marker.label) < 6000] == [
        i for i in wanted if i < 6000
    ]


# time


def simulate(seconds, *, rate=1000.0, jitter=1e-3, block=28, extra=lambda taken: 0.0):
    """Stamps minus true times in samples, for blocks that come late; `extra` s more by time."""
    from rt_decoder.sources.fieldtrip.clock import SampleClock

    rng, clock, error, n = np.random.default_rng(1), SampleClock(1000.0), [], 0
    while n < seconds * 1000:
        n += block
        taken = 1e5 + np.arange(n - block, n) / rate
        clock.observe(n - 1, taken[-1] + rng.exponential(jitter) + extra(taken[-1] - 1e5))
        error.append((clock.times(n - block, n) - taken) * 1000)
    return np.concatenate(error), clock


@pytest.mark.parametrize("rate", [1000.0, 1001.0, 999.0])
def test_the_clock_line_is_smooth_and_below_the_arrivals(rate):
    error, clock = simulate(40, rate=rate)
    assert np.ptp(error[2000:]) < 0.5  # arrivals scatter by several samples
    assert np.ptp(error[5000:]) < 0.3
    assert 0 < np.median(error) < 0.5  # mean lateness is 1 sample
    assert clock.n_steps == 0


@pytest.mark.parametrize(("silent", "speed"), [(0.2, 5.0), (4.0, 5.0), (1.5, 1.25)])
def test_a_stall_of_the_sender_moves_nothing(silent, speed):
    def stall(t):  # nothing for a while, then faster than taken until it has caught up
        return max(0.0, silent - (1 - 1 / speed) * (t - 20)) if t >= 20 else 0.0

    error, clock = simulate(40, extra=stall)
    assert np.ptp(error[5000:]) < 0.4
    assert clock.n_steps == 0


@pytest.mark.parametrize("pause", [0.05, 0.5, 10.0])
def test_a_pause_of_the_acquisition_is_a_step_of_its_length(pause):
    error, clock = simulate(40, extra=lambda t: pause * (t >= 20))
    assert clock.n_steps == 1
    steps = np.flatnonzero(np.abs(np.diff(error)) > 10)
    assert len(steps) == 1
    assert 20_000 < steps[0] <= 22_200
    assert np.ptp(error[5000 : steps[0]]) < 0.3
    assert abs(error[-5000:].mean() - error[5000:19_000].mean() - 1000 * pause) < 0.5


def test_the_next_block_corrects_a_late_beginning():
    error, _ = simulate(5, extra=lambda t: 0.3 * (t < 0.03))
    assert error[0] > 299
    assert np.abs(error[100:]).max() < 2


def test_delivered_times_never_change(server):
    from rt_decoder.sources.fieldtrip.clock import SampleClock

    clock = SampleClock(100.0)
    clock.observe(9, 50.0)
    given_out = clock.times(0, 10)
    clock.observe(19, 50.6)
    later = clock.times(10, 20)
    assert clock.time_of(4) == given_out[4]
    assert clock.time_of(13) == pytest.approx(later[3], abs=1e-12)
    assert clock.time_of(-5) < given_out[0]


# loss


def test_a_closed_connection_is_seen_at_once(server):
    with opened(server, reply_timeout=30.0) as source:
        markers = source.markers()
        server.put_event("trigger", "last")
        server.put_data(numbered(0, 30))
        wait_for(lambda: source._reader.n_queued == 30 and markers._markers)
        began = time.monotonic()
        server.drop_clients()
        wait_for(lambda: source.ended)
        assert time.monotonic() - began < 20.0  # before the timeout of a reply
        n, _, why = pull_until_lost(source)
        assert n == 30  # what came before is still delivered
        assert "closed" in why or "reset" in why
        assert [m.label for m in markers.pull()] == ["last"]
        with pytest.raises(StreamLost):
            markers.pull()


def test_a_frozen_server_is_stale_then_lost(server):
    with opened(server, reply_timeout=1.5) as source:
        server.put_data(numbered(0, 10))
        pull_rows(source, 10)
        server.freeze()
        began = time.monotonic()
        n, longest, why = pull_until_lost(source)
        assert time.monotonic() - began > 1.0
        assert n == 0
        assert longest < 1.0  # the session's loop goes on meanwhile
        assert "no answer within 1.5 s" in why


def test_closing_does_not_wait_for_a_frozen_server(server):
    with opened(server, reply_timeout=30.0) as source:
        server.freeze()
        began = time.monotonic()
        source.close()
        assert time.monotonic() - began < 20.0
        with pytest.raises(StreamLost, match="was closed"):
            source.pull(0.0)


def test_a_silent_measurement_is_not_lost(server):
    with opened(server, reply_timeout=1.0) as source:
        end = time.monotonic() + 1.3
        while time.monotonic() < end:
            assert len(source.pull(0.05).stamps) == 0
        server.put_data(numbered(0, 5))
        assert len(pull_rows(source, 5)[0]) == 5


def test_an_overrun_is_counted_and_leaves_a_hole_of_its_length(server, arrivals):
    server.ring = 200
    server.put_header(1000.0, 3, "float64", names_chunk(NAMES))
    rows, times = [], []

    def deliver(source: FieldTripSource) -> None:
        data, stamps = pull_rows(source, 50)
        rows.append(data[:, 0])
        times.append(stamps)

    with opened(server) as source:
        for n in range(0, 2000, 50):
            arrivals.now = 1e4 + n / 1000
            if 500 <= n < 1500:
                continue
            if n == 1500:  # the client cannot ask in between, and the ring goes round five times
                with server._changed:
                    for first in range(500, 1500, 100):
                        server.put_data(numbered(first, 100))
                wait_for(lambda: source.n_overrun)
            server.put_data(numbered(n, 50))
            deliver(source)
        assert (source.n_overrun, source.counts["lost"]) == (1, 1000)
    numbers, stamps = np.concatenate(rows), np.concatenate(times)
    np.testing.assert_array_equal(numbers, [*range(500), *range(1500, 2000)])
    np.testing.assert_allclose(stamps - stamps[0], (numbers - numbers[0]) / 1000, atol=1e-3)


@pytest.mark.parametrize("how", ["header", "flush header", "flush data", "same counts"])
def test_a_new_measurement_ends_the_old_one(server, how, monkeypatch):
    if how == "same counts":
        monkeypatch.setattr(reader_module, "HEADER_AGAIN", 0.05)
    with opened(server) as source:
        server.put_data(numbered(0, 100))
        pull_rows(source, 100)
        if how == "flush header":
            server.flush()
        elif how == "flush data":
            server.flush(protocol.FLUSH_DAT)
        else:
            with server._changed:
                server.put_header(1000.0, 3, "float64", names_chunk(("Cz", "Fz", "TRIG")))
                if how == "same counts":
                    server.put_data(numbered(0, 100))
        assert "new measurement" in pull_until_lost(source)[2]
        if how != "flush header":
            assert described(server, units="V").ch_names[0] == (
                "Fz" if how == "flush data" else "Cz"
            )


def test_a_header_that_changed_before_open_is_refused(server):
    source = FieldTripSource(server.address, units="V")
    server.put_header(2000.0, 3, "float64", names_chunk(NAMES))
    with pytest.raises(StreamLost, match="another header"):
        source.open()
    assert not source._reader._client.isConnected  # a session tries again with a new source


@pytest.mark.slow
def test_a_session_survives_a_new_measurement():
    """Same contract, channels permuted: decoded by name. Another contract: refused."""
    recording = small_recording(seconds=20.0)
    model = random_model(recording, small_recipe())
    names, rows = recording.info.ch_names, recording.data * 1e6
    order = np.random.default_rng(0).permutation(len(names))

    with FieldTripServer() as server:

        def begin(sfreq: float, picks: np.ndarray) -> None:
            server.put_header(sfreq, len(picks), "float64", names_chunk([names[i] for i in picks]))

        begin(250.0, np.arange(len(names)))
        seen: list[int] = []
        options = RunOptions(
            fieldtrip=server.address, markers="all", units="microvolts", timeout=5.0
        )
        stack = ExitStack()
        session = open_session(model, options, stack, on_readout=lambda r: seen.append(r.seq))
        state = {"n": 0}
        start = time.monotonic()

        def drive() -> bool:
            """A block at each look for which it is time: stamps come from arrivals."""
            n = state["n"]
            if time.monotonic() < start + n / 250.0:
                return False
            state["n"] += 25
            if n == 750:
                begin(250.0, order)
            elif n == 1500:
                begin(500.0 * 1.5, order)
            elif n < 1500:
                picks = np.arange(len(names)) if n < 750 else order
                server.put_data(rows[n : n + 25][:, picks])
                if n % 100 == 0:
                    server.put_event("word", f"word{n // 100 % 12}")
            return n > 3000

        try:
            with pytest.raises(ModelMismatch, match="250 Hz, got 750"):
                session.run(drive)
            assert session.counts["lost"] == 2
            assert session.counts["returned"] == 1
            assert session.counts["markers_received"] >= 12
            assert len(seen) > 0
        finally:
            stack.close()


# connecting


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        ("localhost:1973", ("localhost", 1973)),
        ("meg", ("meg", 1972)),
        (" 10.1.2.3 ", ("10.1.2.3", 1972)),
        ("[::1]:80", ("::1", 80)),
        ("[::1]", ("::1", 1972)),
        ("::1", ("::1", 1972)),
    ],
)
def test_addresses(address, parsed):
    assert parse_address(address) == parsed


@pytest.mark.parametrize(
    "address", ["", ":1972", "h:", "h:0", "h:65536", "h:x", "h:-1", "a b:1", "http://h:1", "h:²"]
)
def test_bad_addresses(address):
    with pytest.raises(ValueError, match="need HOST:PORT"):
        parse_address(address)


def test_a_missing_server_is_reported_in_time():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=rf"no FieldTrip buffer at 127.0.0.1:{port} in 0.3 s"):
        FieldTripSource(f"127.0.0.1:{port}", units="V", timeout=0.3)
    assert time.monotonic() - began > 0.1  # tried again meanwhile


def test_it_waits_for_a_measurement():
    with FieldTripServer() as server:
        with pytest.raises(TimeoutError, match="no measurement has begun"):
            FieldTripSource(server.address, units="V", timeout=0.5)
        timer = threading.Timer(0.2, server.put_header, (1000.0, 2))
        timer.start()
        assert described(server, units="V", timeout=60.0).n_channels == 2
        timer.join()


# the Neuromag header


def neuromag_chunk(tmp_path, order: str = "<") -> tuple[bytes, object]:
    """Header of a FIF file of MNE's as `neuromag2ft` would send it, and MNE's own reading."""
    import mne

    kinds = ["mag", "grad", "grad", "eeg", "eog", "ecg", "emg", "stim", "misc", "resp", "seeg"]
    kinds.append("ecog")
    info = mne.create_info(
        [f"{kind.upper()}{i:03d}" for i, kind in enumerate(kinds)], 1000.0, kinds
    )
    for i, channel in enumerate(info["chs"]):
        channel["loc"][:3] = (0.01 * i, 0.02, -0.03)
    mne.io.write_info(tmp_path / "x-info.fif", info, overwrite=True, verbose="error")
    raw = (tmp_path / "x-info.fif").read_bytes()
    out, at = struct.pack(order + "9i", 100, 31, 20, *[0] * 6), 0
    out += struct.pack(order + "4i", 101, 3, 4, 0) + b"\xff" * 4
    while at + 16 <= len(raw):
        kind, type_, size, following = struct.unpack_from(">4i", raw, at)
        payload = raw[at + 16 : at + 16 + size]
        if kind == 203:  # words, then 16 letters
            payload = (
                np.frombuffer(payload[:80], ">i4").astype(order + "i4").tobytes() + payload[80:]
            )
        if kind not in (100, 101):
            out += struct.pack(order + "4i", kind, type_, size, 0) + payload
        if following == -1:
            break
        at += 16 + size
    return out, mne.io.read_info(tmp_path / "x-info.fif", verbose="error")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("named", [True, False])
def test_neuromag_header_gives_types_units_and_positions(server, tmp_path, order, named):
    chunk, info = neuromag_chunk(tmp_path, order)
    chunks = protocol.chunk(8, chunk) + protocol.chunk(7, b"a CTF header, left unread")
    if named:
        chunks = names_chunk(info["ch_names"]) + chunks
    server.put_header(1000.0, len(info["ch_names"]), chunks=chunks)
    with opened(server, units=None) as source:
        server.put_data(np.full((1, 12), 1e-12, np.float32))
        np.testing.assert_allclose(pull_rows(source, 1)[0], 1e-12)
    got = source.info
    assert got.ch_names == tuple(info["ch_names"])
    assert list(got.ch_types) == info.get_channel_types()
    assert got.units == ("T", "T/m", "T/m", "V", "V", "V", "V", *["n/a"] * 3, "V", "V")
    wanted = [channel["loc"][:3] for channel in info["chs"]]
    np.testing.assert_allclose(got.positions, wanted, rtol=1e-6)


@given(cut=st.integers(0, 3000), noise=st.binary(max_size=40), at=st.integers(0, 3000))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_damaged_neuromag_header_raises_nothing(tmp_path, cut, noise, at):
    from rt_decoder.sources.fieldtrip.header import neuromag_channels

    whole, _ = neuromag_chunk(tmp_path)
    declared, positions = neuromag_channels((whole[:at] + noise + whole[at + len(noise) :])[:-cut])
    assert positions.shape == (len(declared), 3)


# malformed replies


class Babbler:
    """Answers every request with the next of `replies`, then closes."""

    def __init__(self, replies: list[bytes]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._replies = replies
        self._thread = threading.Thread(target=self._talk, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        wait_for(lambda: not self._thread.is_alive())

    def _talk(self) -> None:
        with suppress(OSError):
            sock, _ = self._listener.accept()
            sock.settimeout(5.0)
            with sock:
                for reply in self._replies:
                    if not sock.recv(64):
                        return
                    sock.sendall(reply)


def framed(status: int, payload: bytes, size: int | None = None, version: int = 1) -> bytes:
    return struct.pack("HHI", version, status, len(payload) if size is None else size) + payload


numbers = st.one_of(st.integers(0, 20), st.sampled_from([2**16, 2**31 - 1, 2**31, 2**32 - 1]))
statuses = st.sampled_from(
    [protocol.GET_OK, protocol.GET_ERR, protocol.WAIT_OK, protocol.WAIT_ERR, 0, 7]
)
words = st.lists(numbers, max_size=12).map(lambda w: struct.pack(f"{len(w)}I", *w))
replies = st.one_of(
    st.binary(max_size=80),
    st.builds(framed, statuses, st.one_of(words, st.binary(max_size=80))),
    st.builds(framed, statuses, words, size=numbers, version=st.sampled_from([1, 1, 1, 2, 256])),
)


@given(
    st.lists(replies, min_size=1, max_size=4), st.sampled_from(["header", "wait", "data", "events"])
)
@settings(max_examples=150)
def test_the_client_answers_or_gives_up_on_any_reply(answers, what):
    with Babbler(answers) as address:
        client = client_module.BufferClient(*parse_address(address), 0.05)
        requests = {
            "header": lambda: client.header(),
            "wait": lambda: client.wait_for(0, 10),
            "data": lambda: client.data(0, 2, 3, 9),
            "events": lambda: client.events(0, 4),
        }

        def talk() -> None:
            for _ in range(len(answers) + 1):
                requests[what]()

        try:
            with pytest.raises(StreamLost):
                talk()
            assert not client.isConnected
        finally:
            client.disconnect()


HEADER = framed(protocol.GET_OK, struct.pack("3If2I", 2, 10, 0, 100.0, 9, 0))


@given(st.lists(replies, max_size=4), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_the_source_raises_only_its_own_errors_on_any_reply(answers, n):
    count = framed(protocol.WAIT_OK, struct.pack("2I", n, n))
    with Babbler([HEADER, HEADER, count, *answers]) as address:
        source = FieldTripSource(address, units="V", reply_timeout=0.05)
        source.markers()
        try:
            source.open()
            pull_until_lost(source)
        finally:
            source.close()


def test_a_reply_that_claims_gigabytes_is_refused_unread():
    with Babbler([framed(protocol.GET_OK, b"", size=2**32 - 1)]) as address:
        client = client_module.BufferClient(*parse_address(address), 1.0)
        with pytest.raises(StreamLost, match="at most"):
            client.data(0, 2, 3, 9)


@pytest.mark.parametrize("head", [(2, 3, 9, 24), (3, 2, 7, 24), (3, 1, 9, 12)])
def test_samples_of_another_shape_are_refused(head):
    reply = framed(protocol.GET_OK, struct.pack("4I", *head) + bytes(head[3]))
    with Babbler([reply]) as address:
        client = client_module.BufferClient(*parse_address(address), 1.0)
        with pytest.raises(StreamLost, match=r"need \(2, 3\) float32, got"):
            client.data(0, 2, 3, 9)


def test_a_reply_that_trickles_has_one_deadline():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = client_module.BufferClient(*listener.getsockname(), 0.2)
        peer, _ = listener.accept()
        with peer, peer.makefile("wb", buffering=0) as out:
            timer = threading.Thread(target=trickle, args=(out,))
            timer.start()
            began = time.monotonic()
            with pytest.raises(StreamLost, match="no answer"):
                client.wait_for(0, 1)
            assert time.monotonic() - began < 2.0  # the whole reply takes 2.4 s
            timer.join()


def trickle(out) -> None:
    with suppress(OSError):
        for byte in framed(protocol.WAIT_OK, bytes(8)):
            out.write(bytes([byte]))
            time.sleep(0.15)


def test_arrival_is_on_the_lsl_clock(server):
    with opened(server) as source:
        server.put_data(numbered(0, 5))
        _, stamps, arrival = next(p for p in iter(lambda: source.pull(1.0), None) if len(p.stamps))
        assert abs(arrival - local_clock()) < 1.0
        assert stamps[-1] <= arrival
