"""The operator's page in a browser: with decoders of made-up outlets, and with a real one behind it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest
from pylsl import local_clock

from rt_decoder.signal import Reason
from rt_decoder.sinks.outlets import data_outlet
from tests.browser import Browser
from tests.fake_decoder import FakeDecoder
from tests.lsl_loopback import wait_for
from tests.small import finish, save_small, small_recording, start

pytest.importorskip("starlette")
pytestmark = [pytest.mark.slow, pytest.mark.lsl]

# whether most pixels of a line beside the newest samples have the colour of flagged ones
SHADED = """() => {
  const canvas = document.querySelector("#chart canvas.traces"), { width } = canvas;
  const pixels = canvas.getContext("2d").getImageData(width - 30, 0, 20, 1).data;
  return pixels.filter((value, k) => k % 4 === 3 && value > 40 && value < 80).length > 10;
}"""
# traces that were drawn bit by bit, and at once: how many pixels differ in sight, and how many there are
MOVED = """() => {
  const [raw, clean] = [new Ring(3), new Ring(4)], end = 30;
  const papers = [1, 2].map(() => new Paper(document.createElement("canvas"), 10));
  for (const paper of papers) paper.resize(701, 240);
  const rows = [0, 1, 2].map((k) => ({ place: 40 + 80 * k, mean: 0.1, scale: 30, reach: 76 }));
  const layers = [{ ring: raw, color: "#a9b1bb", width: 1, rows }, { ring: clean, color: "#0072b2", width: 1.4, rows }];
  const flags = { ring: clean, channel: 3, color: "#e69f0038" };
  const add = (ring, from, to) => {
    const times = [];
    for (let k = Math.ceil(250 * from); k < 250 * to; k++) if (k % 900 > 40) times.push(k / 250); // with gaps
    ring.add(times, ring.data.map((_, c) => times.map((t) => c === 3 ? Number(t % 4 > 0.3) : Math.sin(900 * t * (c + 1)))));
  };
  let at = 0;
  for (let k = 0; at < end; k++) {
    const next = Math.min(end, at + [0.1, 0.004, 0.37, 0.1, 1.1][k % 5]);
    add(raw, at, next);
    add(clean, Math.max(0, at - 0.2), Math.max(0, next - 0.2)); // what is cleaned comes later
    at = next;
    papers[0].draw(raw.newest, layers, flags);
  }
  papers[1].draw(papers[0].end, layers, flags);
  const [one, other] = papers.map((paper) => paper.pen.getImageData(0, 0, 701, 240).data);
  const seen = (pixels, k) => pixels[k] * (k % 4 === 3 ? 1 : pixels[k | 3] / 255);
  return [one.filter((_, k) => Math.abs(seen(one, k) - seen(other, k)) > 24).length, other.filter((value) => value).length];
}"""

HOSTILE = "<img src=x onerror=document.title=1>"


class Page:
    """A page that is open, and the server behind it."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.server: subprocess.Popen[str] = start("dashboard", "--port", "0")
        assert self.server.stdout is not None
        self.url = self.server.stdout.readline().split()[2].rstrip(",")
        browser.look()
        browser.open("about:blank")  # what an earlier page says is not ours
        browser.said.clear()
        browser.asked.clear()
        browser.open(self.url)

    def text(self, selector: str) -> str:
        return str(self.browser.evaluate(f"document.querySelector({selector!r}).textContent"))

    def js(self, script: str) -> Any:
        return self.browser.evaluate(script)

    def watch(self, name: str, decoder: FakeDecoder | None = None) -> None:
        """Choose a decoder by its name, once it is listed and all that it says is heard."""
        wait_for(lambda: decoder is None or decoder.is_heard)
        option = f"[...document.querySelectorAll('#decoder option')].find(one => one.textContent.startsWith({json.dumps(name)}))"
        wait_for(lambda: self.js(f"Boolean({option})"))
        self.js(
            f"(() => {{ const menu = document.querySelector('#decoder'); menu.value = {option}.value;"
            "menu.dispatchEvent(new Event('change')) })()"
        )
        if decoder is not None:  # who hears it may be the server of another test
            wait_for(lambda: self.is_told(decoder))

    def is_told(self, decoder: FakeDecoder) -> bool:
        """Let a decoder say a word; whether the page has one of it within a second."""
        decoder.say(0)
        end = monotonic() + 1.0
        while not (rows := self.js("rt_decoder.words.rows.length")) and monotonic() < end:
            pass
        return bool(rows)

    def has(self, selector: str, text: str) -> None:
        wait_for(lambda: text in self.text(selector))

    def close(self) -> str:
        self.server.send_signal(signal.SIGINT)
        ran = finish(self.server)
        assert (ran.code, ran.err) == (0, "")
        return ran.out


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = Page(browser)
    yield opened
    if opened.server.poll() is None:
        assert opened.close().endswith("page closed\n")


@pytest.fixture
def decoders(source_id: str) -> Iterator[Callable[..., FakeDecoder]]:
    """Make decoders that do not exist, which send a signal until the test ends."""
    made: list[FakeDecoder] = []
    ended = threading.Event()

    def send() -> None:
        while not ended.wait(0.05):
            for one in tuple(made):
                one.send()

    thread = threading.Thread(target=send)
    thread.start()

    def make(name: str = "", **more: Any) -> FakeDecoder:
        made.append(FakeDecoder(name or source_id, **more))
        return made[-1]

    make.stop = lambda one: (made.remove(one), one.close())  # type: ignore[attr-defined]
    yield make
    ended.set()
    thread.join()
    for one in made:
        one.close()


def test_states_are_shown_with_what_to_do(page: Page, decoders: Any) -> None:
    one = decoders()
    page.watch(one.name, one)
    page.has("#stream .big", "LIVE")
    one.event("stale", silent_s=0.4)
    one.status["state"] = "stale"
    page.has("#stream .big", "STALE")
    page.has("#stream .fix", "cable")
    one.event("lost", reason="gone")
    one.status["state"] = "lost"
    page.has("#stream .big", "LOST")
    one.event("returned", stream="x")
    one.status["state"] = "returned"
    page.has("#stream .big", "RETURNED")
    one.status["state"] = "live"
    for state in ("unchecked", "fits", "doubtful"):
        one.status["fit"] = {"state": state}
        page.has("#fit .big", state.upper())
    one.event(
        "unlike_calibration", what="inverted", explanation="polarity is inverted", fix="turn it"
    )
    one.status["fit"] = {"state": "unlike"}
    page.has("#fit .big", "UNLIKE")
    page.has("#fit .told", "polarity is inverted")
    page.has("#fit .fix", "turn it")
    page.has("#events", "unlike calibration")
    one.status["bad"] = {"E03": ["flat"]}
    page.has("#bad", "E03: flat")
    page.has("#names .wrong", "E03")


def test_words_score_latency_and_model_are_shown(page: Page, decoders: Any) -> None:
    one = decoders()
    page.watch(one.name, one)
    page.has("#stream .big", "LIVE")
    one.say(2)
    page.has("#word-big", "house")
    page.has("#word-told", "✓ house")
    one.say(1, label="river")
    page.has("#words tbody tr:first-child .truth", "✗ river")
    one.say(1, abstained=True, reasons=("muscle",))
    page.has("#word-big", "abstained")
    page.has("#word-told", "muscle")
    page.has("#words tbody tr:first-child .word", "abstained: muscle")
    one.say(3, late=True, latency_ms=80.0)
    page.has("#words tbody tr:first-child", "late")
    one.status |= {"n_late": 1, "counts": {"lost_samples": 412}, "n_dropped": 2}
    page.has("#losses", "412")
    page.has("#score .verdict", "above chance since event 31")
    page.has("#latency .verdict", "p99 2.80 ms")
    assert page.js("document.querySelectorAll('#latency rect').length") >= 2
    page.has("#model", "0.712")
    page.has("#artifacts", "no change since")


def test_every_element_is_driven(page: Page, decoders: Any, browser: Browser) -> None:
    one = decoders()
    page.watch(one.name, one)
    wait_for(lambda: page.js("rt_decoder.signal.drawn > 3 && rt_decoder.signal.rings[1] != null"))
    assert page.js("rt_decoder.signal.names.length") == 8
    browser.press(" ")
    assert page.js("!document.querySelector('#paused').hidden")
    drawn = page.js("rt_decoder.signal.drawn")
    frames = page.js("rt_decoder.signal.frames")
    wait_for(lambda: page.js("rt_decoder.signal.frames") > frames + 5)
    assert page.js("rt_decoder.signal.drawn") == drawn
    browser.click("#pause")
    wait_for(lambda: page.js("rt_decoder.signal.drawn") > drawn + 2)
    browser.press("]")
    wait_for(lambda: page.text("#names").startswith("E09"))
    browser.press("[")
    wait_for(lambda: page.text("#names").startswith("E01"))
    browser.press("c")
    assert page.js("document.querySelector('#chooser').open")
    browser.click("#boxes label:nth-child(2) input")
    wait_for(lambda: page.js("rt_decoder.signal.names.length") == 7)
    browser.press("Escape")
    wait_for(lambda: not page.js("document.querySelector('#chooser').open"))
    wait_for(lambda: page.js("rt_decoder.signal.rings[0] != null && rt_decoder.signal.n !== 0"))
    before = page.text("#scale")
    browser.press("+")
    wait_for(lambda: page.text("#scale") != before)
    browser.press("0")
    themes = [page.js("document.documentElement.dataset.theme")]
    for how in (
        lambda: browser.press("t"),
        lambda: browser.press("t"),
        lambda: browser.click("#theme"),
    ):
        how()
        themes.append(page.js("document.documentElement.dataset.theme"))
    assert themes == ["light", "light", "dark", "light"]  # auto, light, dark, auto
    browser.press("?")
    assert page.js("document.querySelector('#keys').open")
    browser.press("Escape")
    browser.click("#help")
    assert page.js("document.querySelector('#keys').open")
    browser.click("#keys button")
    wait_for(lambda: not page.js("document.querySelector('#keys').open"))
    browser.click("#pick-channels")
    assert page.js("document.querySelector('#chooser').open")
    browser.click("#chooser button")


def test_names_and_words_never_become_html(page: Page, decoders: Any, source_id: str) -> None:
    names = (HOSTILE, "<script>1</script>", "a&b", "E04")
    one = decoders(
        f"{HOSTILE}{source_id[-6:]}", names=names, words=(HOSTILE, "<b>bold</b>", "x", "y")
    )
    wait_for(lambda: one.is_heard)
    page.watch(HOSTILE)
    wait_for(lambda: page.is_told(one))  # not only another server, which may see it, too
    one.say(0, reasons=("<i>why</i>",), abstained=False)
    one.event(HOSTILE, reason=HOSTILE)
    one.status |= {"errors": [HOSTILE], "bad": {HOSTILE: [HOSTILE]}}
    page.has("#word-big", HOSTILE)
    page.has("#events", HOSTILE)
    page.has("#bad", HOSTILE)
    page.has("#losses", HOSTILE)
    wait_for(lambda: HOSTILE in page.text("#names"))
    assert page.js("document.querySelectorAll('img, main script, main b b, main i i').length") == 0
    assert page.js("document.title") != "1"


def test_nothing_is_asked_of_the_network(page: Page, decoders: Any, browser: Browser) -> None:
    one = decoders()
    page.watch(one.name, one)
    page.has("#stream .big", "LIVE")
    assert browser.said == []
    assert len(browser.asked) > 5
    assert {url for url in browser.asked if not url.startswith(page.url)} == set()
    browser.call(
        "Runtime.evaluate", expression="const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'"
    )
    wait_for(lambda: page.js("1") and any("Content Security Policy" in one for one in browser.said))


@pytest.mark.parametrize("width", [390, 820, 1100, 1600])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_its_window(
    page: Page, decoders: Any, browser: Browser, width: int, dark: bool
) -> None:
    one = decoders()
    page.watch(one.name, one)
    one.say(2)
    page.has("#word-big", "house")
    browser.look(width=width, dark=dark)
    wait_for(lambda: page.js("document.documentElement.scrollWidth") <= width, 20.0)
    size = "parseFloat(getComputedStyle(document.querySelector('{}')).fontSize)".format
    assert page.js(size("#stream .big")) >= 32
    assert page.js(size("#word-big")) >= 36
    one.status |= {"n_late": 58980, "counts": {"lost_samples": 123456}}
    page.has("#losses", "123456")
    heights = "[...document.querySelectorAll('#losses dd')].map((one) => one.offsetHeight)"
    assert max(page.js(heights)) < 36  # each number in one line
    theme = "dark" if dark else "light"
    wait_for(lambda: page.js("document.documentElement.dataset.theme") == theme)


def test_a_decoder_that_restarts_is_followed(page: Page, decoders: Any) -> None:
    one = decoders()
    page.watch(one.name, one)
    page.has("#stream .big", "LIVE")
    one.say(2)
    page.has("#word-big", "house")
    decoders.stop(one)
    page.has("#stream .big", "ENDED")
    page.has("#word-big", "house")  # what was last stays in sight
    again = decoders()
    page.has("#stream .big", "LIVE")
    wait_for(lambda: page.is_told(again))  # not only another server, which may see it, too
    again.say(4)
    page.has("#word-big", "winter")
    assert page.js("document.querySelectorAll('#decoder option').length") >= 1


def test_several_decoders_can_be_watched(
    page: Page, decoders: Any, source_id: str, browser: Browser
) -> None:
    first, second = decoders(f"{source_id}-1"), decoders(f"{source_id}-2")
    page.watch(first.name, first)
    first.say(0)
    page.has("#word-big", "river")
    first_id = page.js("document.querySelector('#decoder').value")
    page.watch(second.name, second)
    second.say(1)
    page.has("#word-big", "mother")

    chosen = "document.querySelector('#decoder').value"
    while (now := page.js(chosen)) != first_id:  # past decoders of other tests, which are seen too
        browser.press("d")
        wait_for(lambda: page.js(chosen) != now)
    page.has("#word-big", "river")


def test_a_page_tells_that_its_server_is_gone(page: Page) -> None:
    assert page.js("document.querySelector('#warning').hidden")
    page.close()
    page.has("#warning", "lost its server")
    assert page.js("document.body.classList.contains('offline')")


def test_the_memory_of_the_page_is_bounded(page: Page, decoders: Any) -> None:
    one = decoders()
    page.watch(one.name, one)
    page.has("#stream .big", "LIVE")
    for k in range(300):
        one.say(k % 8)
        one.event("gap", n_lost=k)
    page.has("#events", "n_lost 299")
    assert page.js("rt_decoder.words.rows.length") == 40
    assert page.js("rt_decoder.events.rows.length") == 60
    ring = page.js(
        "Object.values(rt_decoder.signal.rings).map(ring => [ring.times.length, ring.data.length])"
    )
    assert ring == [[6000, 8], [6000, 9]]
    page.js(
        "(() => { const ring = rt_decoder.signal.rings[0], one = new Float64Array(1000), c = Array(8).fill(new Float32Array(1000));"
        "for (let k = 0; k < 50; k++) ring.add(one, c) })()"
    )
    assert page.js("rt_decoder.signal.rings[0].times.length") == 6000


# --- a real decoder


class Amplifier(threading.Thread):
    """Sends a recording in real time, again and again."""

    def __init__(self, name: str) -> None:
        super().__init__(daemon=True)
        self.recording = small_recording(session=2, seconds=30.0)
        self.outlet: Any = data_outlet(name, self.recording.info, name)
        self.ended = threading.Event()
        self.start()

    def run(self) -> None:
        begun, row, sfreq = local_clock(), 0, self.recording.info.sfreq
        data = np.ascontiguousarray(self.recording.data)
        while not self.ended.wait(0.01):
            if (n := int((local_clock() - begun) * sfreq) - row) > 0:
                rows = np.arange(row, row + n)
                self.outlet.push_chunk(data[rows % len(data)], list(begun + rows / sfreq))
                row += n

    def stop(self) -> None:
        self.ended.set()
        self.join()
        self.outlet = None


def test_a_real_decoder_is_shown(page: Page, source_id: str, tmp_path: Path) -> None:
    """Found, shown raw and cleaned, followed when it is started again; it ends as if nobody looked."""
    model, name = tmp_path / "m.rtd.safetensors", source_id[-12:]
    save_small(model)
    amplifier = Amplifier(source_id)
    command = (
        "run", "--model", model, "--name", source_id, "--markers", "channel:TRIG", "--outlet", name,
        "--clean-outlet", f"{name}-clean", "--quiet", "--force",
    )  # fmt: skip
    decoder = start(*command)
    try:
        page.watch(name)
        page.has("#stream .big", "LIVE")
        page.has("#word-told", "word")  # a truth, told by the markers
        wait_for(lambda: page.js("rt_decoder.signal.drawn > 5"))
        wait_for(lambda: page.js("Object.keys(rt_decoder.signal.rings).length") == 2)
        assert page.js("rt_decoder.signal.names.length") == 8
        page.has("#score .verdict", "chance")
        page.has("#latency .verdict", "p50")
        page.has("#model", "rank accuracy")
        amplifier.stop()
        wait_for(lambda: page.text("#stream .big") in ("STALE", "LOST"))
        page.has("#stream .big", "LOST")
        amplifier = Amplifier(source_id)
        page.has("#stream .big", "LIVE")
        decoder.send_signal(signal.SIGINT)
        assert finish(decoder).code == 0
        page.has("#stream .big", "ENDED")
        decoder = start(*command)
        page.has("#stream .big", "LIVE")
        wait_for(lambda: page.js("rt_decoder.words.rows.length > 0"))
    finally:
        decoder.send_signal(signal.SIGINT)
        finish(decoder)
        amplifier.stop()


def test_paper_that_moved_shows_what_new_paper_shows(page: Page) -> None:
    page.js("import('/page/ring.js').then((found) => { globalThis.Ring = found.Ring })")
    page.js("import('/page/paper.js').then((found) => { globalThis.Paper = found.Paper })")
    wait_for(lambda: page.js("Boolean(globalThis.Ring && globalThis.Paper)"))
    n_other, n_drawn = page.js(f"({MOVED})()")
    assert n_drawn > 50_000
    assert n_other == 0


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_the_server_lets_a_decoder_go_first(page: Page) -> None:
    ours, its = (os.getpriority(os.PRIO_PROCESS, pid) for pid in (0, page.server.pid))
    assert its == min(19, ours + 10)
    assert os.sched_getscheduler(page.server.pid) == os.SCHED_BATCH


def test_a_page_that_waits_has_not_lost_its_server(page: Page) -> None:
    page.has("#stream .big", "WAITING")  # a decoder of another test is there for a while, at most
    while page.js("performance.now()") < 6000.0:  # longer than a server may be silent
        assert page.js("document.querySelector('#warning').hidden")


def test_a_page_that_nobody_sees_gets_no_signal(page: Page, decoders: Any) -> None:
    one = decoders()
    page.watch(one.name, one)
    wait_for(lambda: page.js("rt_decoder.signal.frames > 3"))
    see = "Object.defineProperty(document, 'hidden', {{ value: {}, configurable: true }}); document.dispatchEvent(new Event('visibilitychange'))"
    page.js(see.format("true"))
    one.say(2)
    page.has("#word-big", "house")  # the server knows by now
    frames, drawn = page.js("[rt_decoder.signal.frames, rt_decoder.signal.drawn]")
    one.say(4)
    page.has("#word-big", "winter")
    assert page.js("[rt_decoder.signal.frames, rt_decoder.signal.drawn]") == [frames, drawn]
    page.js(see.format("false"))
    wait_for(lambda: page.js("rt_decoder.signal.drawn") > drawn + 2)


def test_flagged_samples_are_shaded(page: Page, source_id: str) -> None:
    one = FakeDecoder(source_id)
    page.watch(one.name, one)
    ended, flagged = threading.Event(), threading.Event()

    def send() -> None:
        while not ended.wait(0.05):
            one.send(reason=int(Reason.MUSCLE) if flagged.is_set() else 0)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        page.has("#artifacts", "no change since")  # all outlets are read
        flagged.set()
        wait_for(lambda: page.js(f"({SHADED})()"))
        page.has("#artifacts", "now: muscle")
    finally:
        ended.set()
        thread.join()
        one.close()
