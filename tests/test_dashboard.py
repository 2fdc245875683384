"""The page's server without a browser: what it makes of messages, and whom it lets in."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from time import monotonic
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")

from rt_decoder.dashboard import client, watched
from rt_decoder.dashboard.server import PAGE, make_app
from rt_decoder.dashboard.traces import CLEAN, KEPT_S, Trace, frame
from rt_decoder.dashboard.view import MAX_EVENTS, MAX_WORDS, View
from rt_decoder.dashboard.watcher import Watcher
from rt_decoder.files import packages
from rt_decoder.signal import Readout
from rt_decoder.sinks.advice import EVENTS, FITS, STATES
from rt_decoder.sinks.log import readout_line
from rt_decoder.web.guard import POLICY
from rt_decoder.web.port import open_port
from tests.fake_decoder import FakeDecoder
from tests.lsl_loopback import wait_for
from tests.small import call

READOUT = Readout(
    1, "event", "house", 0, 9.2, 10.0, ("house", "river"), (0.4, 0.1), (0.7, 0.2), False, 1.0, 1.0, (),
    2.0, False, item=0, fit="fits",
)  # fmt: skip
HOSTILE = "<img src=x onerror=alert(1)>\x1b[2J\u202e"


def readout(**changes: Any) -> str:
    return json.dumps(readout_line(READOUT._replace(**changes)))


def event(name: str, **details: Any) -> str:
    return json.dumps({"type": "event", "event": name, "time": 10.0, "index": 0} | details)


# --- what is shown


def test_a_readout_is_a_row_with_its_truth() -> None:
    view = View(wall=1000.0)
    view.line(readout())
    view.line(readout(seq=2, label="river"))
    view.line(readout(seq=3, label="onset"))
    view.line(readout(seq=4, label="house", abstained=True, reasons=("uncertain",)))
    rows = view.shown()["words"]
    assert [(row["word"], row["truth"], row["hit"]) for row in rows] == [
        ("house", "house", True), ("house", "river", False), ("house", "", None), ("house", "house", True),
    ]  # fmt: skip
    assert rows[0]["others"] == [["river", 0.2]]
    assert rows[0]["at"] == 1010.0
    assert rows[3]["reasons"] == ["uncertain"]
    assert view.shown()["fit"] == "fits"


def test_a_label_that_is_no_item_is_no_truth() -> None:
    view = View()
    view.line(readout(label="go"))
    assert view.shown()["words"][0]["truth"] == "go"
    view.line(event("label_unknown", label="go", reason="r"))
    assert view.shown(1)["words"][0]["truth"] == ""
    view.items = frozenset(("house", "river"))
    view.line(readout(seq=2, label="stop"))
    assert view.shown()["words"][1]["hit"] is None


def test_a_truth_that_is_told_later_changes_its_row() -> None:
    view = View()
    view.line(readout(label="onset"))
    known = view.shown()["n"]
    view.line(event("truth", seq=1, label="river"))
    shown = view.shown(known)
    assert [(row["seq"], row["truth"], row["hit"]) for row in shown["words"]] == [
        (1, "river", False)
    ]
    assert [one["event"] for one in shown["events"]] == ["truth"]
    assert view.shown(shown["n"])["words"] == []


def test_states_follow_events_and_the_status() -> None:
    view = View()
    assert view.shown()["state"] == "ended"
    view.connected()
    seen = [view.shown()["state"]]
    for name in ("live_again", "stale", "lost", "returned"):
        view.line(event(name))
        seen.append(view.shown()["state"])
    view.line(json.dumps({"type": "status", "state": "live", "fit": {"state": "unlike"}}))
    assert [*seen, view.shown()["state"]] == [
        "returned", "live", "stale", "lost", "returned", "live",
    ]  # fmt: skip
    assert view.shown()["fit"] == "unlike"
    view.line(json.dumps({"type": "status", "state": "ended"}))
    assert view.shown()["state"] == "ended"


def test_an_event_comes_with_its_explanation_and_fix() -> None:
    view = View()
    view.line(event("gap", n_lost=12))
    told = view.shown()["events"][0]
    assert told["explanation"] == EVENTS["gap"].explanation
    assert told["fix"] == EVENTS["gap"].fix
    assert told["details"] == {"n_lost": "12"}
    assert {"unchecked", "fits", "doubtful", "unlike"} == set(FITS)
    assert {"live", "stale", "lost", "returned", "ended"} == set(STATES)


def test_artifacts_are_counted_when_they_begin() -> None:
    view = View()
    assert view.shown()["artifacts"] is None  # no cleaned stream tells of them
    view.hears_reasons()
    assert (view.shown()["artifacts"], view.shown()["reasons"]) == ({}, None)
    for text, time in (
        ("eye", 0.0),
        ("eye,muscle", 1.0),
        ("good", 2.0),
        ("eye", 3.0),
        ("eye", 4.0),
    ):
        view.reasons(text, time)
    assert view.shown()["artifacts"] == {"eye": 2, "muscle": 1}
    view.reasons("good", 90.0)
    view.reasons("flat", 91.0)
    assert view.shown()["artifacts"] == {"flat": 1}


def test_readouts_of_every_hop_are_thinned() -> None:
    view = View()
    for k in range(300):
        view.line(readout(seq=k, kind="continuous", label="", time=0.01 * k))
    assert len(view.shown()["words"]) == 3
    assert sum(view.shown()["bins"]["counts"]) == 300
    for k in range(300):  # another word each hop: as many as can be read
        words = (f"w{k}", "river")
        view.line(readout(seq=k, kind="continuous", label="", time=10 + 0.01 * k, words=words))
    assert 8 <= len(view.shown()["words"]) - 3 <= 12


def test_what_is_kept_is_bounded() -> None:
    view = View()
    for k in range(500):
        view.line(readout(seq=k))
        view.line(event("gap", n_lost=k))
        view.reasons("eye" if k % 2 else "good", 0.001 * k)
    shown = view.shown()
    assert len(shown["words"]) == MAX_WORDS
    assert len(shown["events"]) == MAX_EVENTS


@pytest.mark.parametrize("text", [
    "", "[]", "1", "null", "{}", '{"type": 1}', '{"type": "readout"}', '{"type": "event"}',
    '{"type": "event", "event": []}', '{"type": "status"}', '{"type": "readout", "top": 3}', "[" * 9999,
    '{"type": "event", "event": "truth", "seq": {}}', readout().replace("0.7", '"x"'),
    readout().replace('"latency_ms": 2.0', '"latency_ms": [1]'),
])  # fmt: skip
def test_garbled_messages_are_counted(text: str) -> None:
    view = View()
    view.line(text)
    view.line(readout())
    shown = view.shown()
    assert shown["garbled"] == 1
    assert shown["words"][-1]["word"] == "house"
    json.dumps(shown)


def test_texts_from_outside_cannot_move_a_cursor() -> None:
    view = View()
    view.line(readout(label=HOSTILE, words=(HOSTILE, "b")))
    view.line(event(HOSTILE, **{HOSTILE: HOSTILE, "reason": 9000 * "x"}))
    told = json.dumps(view.shown(), ensure_ascii=False)
    assert "\x1b" not in told
    assert "\u202e" not in told
    assert len(told) < 5000


# --- traces


def test_a_thinned_trace_keeps_every_peak() -> None:
    rng = np.random.default_rng(0)
    data, times = rng.normal(size=(4000, 2)).astype(np.float32), np.arange(4000) / 1000
    data[1234, 0] = 99.0
    whole, pieces = Trace(("a", "quality"), 1000.0), Trace(("a", "quality"), 1000.0)
    whole.add(data, times)
    for part in np.array_split(np.arange(4000), rng.integers(0, 4000, 50).tolist() and 57):
        pieces.add(data[part], times[part])
    taken, same = whole.take(0, ["a", "quality"]), pieces.take(0, ["a", "quality"])
    np.testing.assert_array_equal(taken.data, same.data)
    np.testing.assert_array_equal(taken.times, same.times)
    assert taken.data[0].max() == 99.0
    assert taken.data[1].max() < 0.5  # of the quality the least counts
    assert len(taken.times) <= 4 * 250 + 2


def test_a_thinned_trace_takes_samples_one_by_one() -> None:
    data, times = np.random.default_rng(0).normal(size=(500, 2)), np.arange(500) / 1000
    whole, pieces = Trace(("a", "b"), 1000.0), Trace(("a", "b"), 1000.0)
    whole.add(data, times)
    for k in range(500):
        pieces.add(data[k : k + 1], times[k : k + 1])
        pieces.add(data[:0], times[:0])
    np.testing.assert_array_equal(whole.take(0, ["a"]).data, pieces.take(0, ["a"]).data)


def test_a_trace_is_read_on_from_where_one_was() -> None:
    trace = Trace(("a", "b"), 100.0)
    trace.add(np.arange(20.0).reshape(10, 2), np.arange(10.0))
    first = trace.take(0, ["b", "nowhere"])
    assert first.data[0].tolist() == list(range(1, 20, 2))
    assert np.isnan(first.data[1]).all()
    trace.add(np.zeros((1, 2)), np.array([10.0]))
    assert trace.take(first.upto, ["a"]).times.tolist() == [10.0]
    trace.add(np.zeros((5000, 2)), np.arange(5000.0))
    assert len(trace.take(first.upto, ["a"]).times) == 2002  # what is kept


def test_a_frame_is_a_header_times_and_channels() -> None:
    trace = Trace(("a",), 100.0)
    trace.add(np.array([[1.5], [2.5]]), np.array([3.0, 4.0]))
    packed = frame(CLEAN, 7, trace.take(0, ["a"]))
    assert struct.unpack("<BBHIII", packed[:16]) == (CLEAN, 1, 1, 2, 7, 0)
    assert np.frombuffer(packed, "<f8", 2, 16).tolist() == [3.0, 4.0]
    assert np.frombuffer(packed, "<f4", 2, 32).tolist() == [1.5, 2.5]


# --- what a page is told


class Socket:
    """Keeps what a page is sent: messages, or the kind of a frame and how many samples it has."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def send_text(self, text: str) -> None:
        self.sent.append(json.loads(text))

    async def send_bytes(self, data: bytes) -> None:
        self.sent.append(struct.unpack("<BBHIII", data[:16])[0:4:3])


@pytest.fixture
def told(monkeypatch) -> Any:
    """Return a page, what it is told of a decoder in so many s, and the decoder."""
    now = [100.0]
    monkeypatch.setattr(client, "monotonic", lambda: now[0])
    one = SimpleNamespace(
        id="x", name="x", view=View(), clean=Trace(("a", "quality"), 100.0), raw=None,
        channels=dict, summary=dict, look=lambda: None,
    )  # fmt: skip
    watcher = SimpleNamespace(decoders=[one], get=lambda uid: one)
    page = client.Client(Socket(), watcher)  # type: ignore[arg-type]

    def tick(seconds: float = 0.1) -> list[Any]:
        now[0] += seconds
        page._socket.sent.clear()  # type: ignore[attr-defined]
        asyncio.run(page._tick())
        sent = page._socket.sent  # type: ignore[attr-defined]
        return [message["type"] if isinstance(message, dict) else message for message in sent]

    return SimpleNamespace(page=page, tick=tick, one=one, watcher=watcher)


def test_a_page_is_told_what_has_changed(told: Any) -> None:
    assert told.tick() == ["decoders", "watching", "channels", "view"]
    assert told.tick() == []
    told.one.view.line(readout())
    assert told.tick() == ["view"]
    assert told.tick() == []
    told.one.view.line(readout(seq=2, kind="continuous", label="", abstained=True))  # latency alone
    assert told.tick() == []
    assert told.tick(1.0) == ["view"]
    told.one.view.line(event("stale"))
    assert told.tick() == ["view"]


def test_a_page_that_nobody_sees_is_told_the_states_alone(told: Any) -> None:
    told.page._asked('{"choice": 1, "channels": ["a"]}')
    told.tick()
    told.one.clean.add(np.zeros((10, 2)), np.arange(10.0))
    assert told.tick() == [(CLEAN, 10)]
    told.page._asked('{"seen": false}')
    told.one.clean.add(np.zeros((20, 2)), np.arange(20.0))
    told.one.view.line(event("stale"))
    assert told.tick() == []
    assert told.tick(1.0) == ["view"]
    told.page._asked('{"seen": true}')
    assert told.tick() == [(CLEAN, 20)]  # what it missed


def test_a_page_without_decoders_hears_its_server(told: Any) -> None:
    told.watcher.decoders, told.watcher.get = [], lambda uid: None
    assert told.tick() == ["decoders", "alive"]
    assert told.tick() == []
    assert told.tick(1.0) == ["alive"]


# --- who is let in


class NoDecoders:
    decoders: tuple[()] = ()

    def get(self, uid: str) -> None:
        return None


def ask(
    path: str, token: str = "", kind: str = "http", query: str = "", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a request; of a WebSocket the code of its refusal, or 0."""
    app, sent = make_app(NoDecoders(), token), []  # type: ignore[arg-type]
    told = {"host": "127.0.0.1:8765"} | headers
    scope = {
        "type": kind, "path": path, "raw_path": path.encode(), "query_string": query.encode(), "method": "GET",
        "headers": [(key.encode(), value.encode()) for key, value in told.items()], "root_path": "",
        "scheme": "http", "http_version": "1.1", "server": ("127.0.0.1", 8765), "client": ("127.0.0.1", 1),
        "subprotocols": [], "asgi": {"version": "3.0", "spec_version": "2.4"},
    }  # fmt: skip
    opening = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}]

    async def receive() -> dict[str, Any]:
        return opening.pop(0) if kind == "websocket" else {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    if kind == "websocket":
        return (0 if sent[0]["type"] == "websocket.accept" else sent[0]["code"]), {}, b""
    got = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return sent[0]["status"], got, b"".join(one.get("body", b"") for one in sent[1:])


def test_the_page_loads_nothing_from_elsewhere() -> None:
    for path in ("/", "/page/page.js", "/page/uplot/uPlot.iife.min.js", "/page/nothing"):
        _, headers, _ = ask(path)
        assert headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY
    for file in PAGE.glob("*.*"):
        text = file.read_text(encoding="utf-8")
        found = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[\w./]*", text))
        assert found <= {"http://www.w3.org/2000/svg"}, file
        assert "innerHTML" not in text
        assert "insertAdjacentHTML" not in text


def test_uplot_comes_with_its_licence() -> None:
    assert "MIT License" in (PAGE / "uplot" / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "localhost", "[::1]:8765"])
def test_a_loopback_name_is_let_in(host: str) -> None:
    assert ask("/", host=host)[0] == 200
    assert ask("/live", kind="websocket", host=host, origin=f"http://{host}")[0] == 0


@pytest.mark.parametrize(
    "host", ["evil.example:8765", "192.168.0.7:8765", "127.0.0.1.evil.example", ""]
)
def test_a_name_that_was_pointed_here_is_refused(host: str) -> None:
    assert ask("/", host=host)[0] == 403
    assert ask("/live", kind="websocket", host=host, origin=f"http://{host}")[0] == 1008


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:99", "null", ""])
def test_a_page_of_another_site_hears_nothing(origin: str) -> None:
    assert ask("/live", kind="websocket", origin=origin)[0] == 1008


def test_the_network_needs_the_token() -> None:
    secret = "s3cret"
    for kind in ("http", "websocket"):
        for query, cookie in (
            ("", ""),
            ("token=wrong", ""),
            ("", "rt_decoder_token=wrong"),
            ("token=", "x"),
        ):
            wrong = ask(
                "/live", secret, kind, query, cookie=cookie, host="lab:1", origin="http://lab:1"
            )
            assert wrong[0] in (403, 1008)
            assert secret not in str(wrong)
    code, headers, _ = ask("/", secret, query="token=s3cret", host="lab:1")
    assert (code, headers["location"]) == (303, "/")  # out of the address
    assert "HttpOnly" in headers["set-cookie"]
    assert "samesite=strict" in headers["set-cookie"].lower()
    cookie = headers["set-cookie"].partition(";")[0]
    assert ask("/", secret, cookie=cookie, host="lab:1")[0] == 200
    assert (
        ask("/live", secret, "websocket", cookie=cookie, host="lab:1", origin="http://lab:1")[0]
        == 0
    )


def test_files_beside_the_page_are_not_served() -> None:
    for path in (
        "/page/../server.py",
        "/page/%2e%2e/server.py",
        "/server.py",
        "/page/uplot/../../view.py",
    ):
        assert ask(path)[0] == 404, path


# --- the command


def test_only_this_machine_can_connect_unless_asked() -> None:
    with open_port(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
    with open_port(0, network=True) as listener:
        assert listener.getsockname()[0] != "127.0.0.1"


def test_a_taken_port_is_told(capsys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ran = call(capsys, "dashboard", "--port", str(port))
    assert (ran.code, ran.out) == (1, "")
    assert f"need a free port, got {port}" in ran.err
    assert "--port 0" in ran.err


def test_a_missing_extra_is_told(monkeypatch, capsys) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    ran = call(capsys, "dashboard")
    assert (ran.code, ran.out) == (1, "")
    assert "pip install 'rt-decoder[dashboard]'" in ran.err


@pytest.mark.lsl
def test_the_amplifier_is_read_once_the_decoder_gets_samples(source_id: str) -> None:
    """A replay begins with whoever connects: it must not be we."""
    decoder, watcher = FakeDecoder(source_id), Watcher()
    decoder.status["n_samples"] = 0
    try:
        heard = wait_for(lambda: [one for one in watcher.decoders if one.name == source_id])[0]
        wait_for(lambda: heard.view.status)
        heard.look()
        decoder.status["n_late"] = 7  # told a second later, after many looks at the streams
        wait_for(lambda: heard.view.status["n_late"] == 7)
        assert not decoder.amplifier.have_consumers()
        decoder.status["n_samples"] = 250
        wait_for(lambda: heard.look() or decoder.amplifier.have_consumers())
    finally:
        watcher.close()
        decoder.close()


@pytest.mark.lsl
def test_signals_are_read_while_a_page_looks(source_id: str, monkeypatch) -> None:
    """Nobody takes samples that nobody sees; they come again with the next page."""
    now = [monotonic()]
    monkeypatch.setattr(watched, "monotonic", lambda: now[0])
    decoder, watcher = FakeDecoder(source_id), Watcher()
    signals = decoder.amplifier, decoder.clean._outlet
    decoder.status["n_samples"] = 250
    try:
        heard = wait_for(lambda: [one for one in watcher.decoders if one.name == source_id])[0]
        wait_for(lambda: heard.view.has_samples)
        decoder.status["n_late"] = 7  # told a second later, after many looks at the streams
        wait_for(lambda: heard.view.status["n_late"] == 7)
        assert not any(one.have_consumers() for one in signals)
        for _ in range(2):
            heard.look()
            assert heard.raw_problem == ""  # it has not been tried yet
            wait_for(lambda: all(one.have_consumers() for one in signals))
            now[0] += KEPT_S + 1.0
            wait_for(lambda: not any(one.have_consumers() for one in signals))
        assert decoder.is_heard
    finally:
        watcher.close()
        decoder.close()
