"""Words on a page: seen at the frame that is said, whatever happens to the window."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pylsl
import pytest
from pylsl.util import LostError

from rt_decoder.commands.console import PROGRAMS
from rt_decoder.present.schedule import CATCH, Step
from rt_decoder.present.show import END, PAUSED, RESUMED
from tests.browser import Browser, browsing, find_browser
from tests.lsl_loopback import wait_for
from tests.small import REPO, call

pytest.importorskip("uvicorn", reason="need the extra dashboard")
from rt_decoder.present.browser import BrowserScreen
from rt_decoder.present.server import PageServer, Said, serve_page

WORDS = (
    "axe", "ice cream", "\u05e9\u05dc\u05d5\u05dd (a)", "\u4f60\u597d", "<b>bold</b>&amp;",
    "a phrase that is so long that no screen can show it in one line, and is set smaller until it fits",
    "Donaudampfschifffahrtselektrizit\u00e4tenhauptbetriebswerkbauunterbeamtengesellschaft",
)  # fmt: skip
FIRST, NEXT = Step("gap", "+", "", 0.5, 1), Step("word", "axe", "axe", 0.5, 1)
ASKED = Step("catch", "Was it axe? (y/n)", CATCH, 0.0, 1, "y")


# --- the screen, without a browser


class Page(PageServer):
    """A page that says what it is told to."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0, "http://here")
        self.sent: list[tuple[int, str]] = []

    def show(self, n: int, text: str, kind: str, timed: bool, due: float | None) -> None:
        self.sent.append((n, text))

    def say(self, kind: str, **more: Any) -> None:
        self.heard.put(Said(kind, **more))


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.fixture
def screen(page: Page) -> BrowserScreen:
    """A screen that shows `FIRST` and has `NEXT` prepared."""
    made = BrowserScreen(page, lambda: False, lambda line: None)
    page.say("here")
    assert made.key(0.0) == ""
    page.say("shown", n=1, at=1.0)
    assert made.show(FIRST) == 1.0
    made.prepare([(NEXT, 1.5), (ASKED, 2.0)])
    return made


def test_a_step_that_was_prepared_is_not_sent_again(page: Page, screen: BrowserScreen) -> None:
    page.say("shown", n=2, at=1.49)
    page.say("key", key=" ")
    assert screen.key(0.0) == ""  # the step comes first
    assert screen.show(NEXT) == 1.49
    assert screen.key(0.0) == " "
    assert page.sent == [(1, "+"), (2, "axe"), (3, ASKED.text)]


@pytest.mark.parametrize("said", [{"kind": "key", "key": " "}, {"kind": "gone"}])
def test_what_comes_before_a_step_is_dealt_with_first(
    page: Page, screen: BrowserScreen, said: dict[str, str]
) -> None:
    """The page has dropped the step: to wait for it would be for ever."""
    page.say(**said)
    assert screen.show(NEXT) is None
    assert screen.key(0.0) == " "
    page.say("here")
    assert screen.key(0.0) == ""
    page.say("shown", n=4, at=2.0)
    assert screen.show(NEXT) == 2.0
    assert page.sent[3:] == [(4, "axe")]


def test_a_question_that_a_pause_came_before_is_asked_after_it(
    page: Page, screen: BrowserScreen
) -> None:
    page.say("shown", n=2, at=1.5)
    assert screen.show(NEXT) == 1.5
    page.say("key", key=" ")
    assert screen.show(ASKED) is None
    assert screen.key(0.0) == " "
    page.say("key", key=" ")  # of the pause: before the question is there, it is nothing
    page.say("shown", n=4, at=2.0)
    assert screen.show(ASKED) == 2.0


def test_a_key_pressed_too_early_answers_nothing(page: Page, screen: BrowserScreen) -> None:
    page.say("key", key="y")
    page.say("shown", n=4, at=2.0)
    assert screen.show(ASKED) == 2.0
    assert screen.key(0.0) == ""
    page.say("key", key="n")
    assert screen.key(0.0) == "n"


def test_a_question_is_asked_again_when_the_page_is_back(page: Page, screen: BrowserScreen) -> None:
    page.say("shown", n=4, at=2.0)
    assert screen.show(ASKED) == 2.0
    for kind in ("gone", "here"):
        page.say(kind)
        assert screen.key(0.0) == ""
    assert page.sent[-2:] == [(4, ASKED.text), (6, ASKED.text)]
    page.say("shown", n=6, at=9.0)
    page.say("key", key="y")
    assert [screen.key(0.0), screen.key(0.0)] == ["", "y"]


def test_what_is_shown_to_nobody_is_sent_once_somebody_is_here(page: Page) -> None:
    screen = BrowserScreen(page, lambda: False, lambda line: None)
    page.say("key", key="x")  # of a page that is not ready
    page.say("here")
    page.say("shown", n=2, at=3.0)
    assert screen.show(ASKED) == 3.0
    assert page.sent == [(2, ASKED.text)]


def test_nothing_waits_for_a_page_when_asked_to_end(page: Page) -> None:
    screen = BrowserScreen(page, lambda: True, lambda line: None)
    assert screen.show(ASKED) is None
    assert screen.key(9.0) == END


# --- the server, without a browser


def test_only_this_page_is_let_in() -> None:
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.sync.client import connect

    with serve_page(0, pylsl.local_clock) as page:
        at = page.url.replace("http", "ws") + "/socket"
        for origin in ("http://example.org", None):
            with pytest.raises(InvalidStatus), connect(at, origin=origin):  # type: ignore[arg-type]
                pass
        other = urllib.request.Request(page.url, headers={"Host": "example.org"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(other)
        for path in ("/../server.py", "/page.py", "/socket"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(page.url + path)
        with urllib.request.urlopen(page.url) as answer:
            policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        for wrong in ("{", "[]", '{"shown": 1}', '{"shown": "a", "at": 1, "frames": [1]}', "1"):
            with connect(at, origin=page.url) as socket:  # type: ignore[arg-type]
                socket.send(wrong)
                with pytest.raises(ConnectionClosed):
                    list(iter(socket.recv, b""))
    assert page.heard.empty()


def test_a_page_is_here_once_its_clock_is_known() -> None:
    from websockets.sync.client import connect

    with serve_page(0, pylsl.local_clock) as page:
        at = page.url.replace("http", "ws") + "/socket"
        with connect(at, origin=page.url) as socket:  # type: ignore[arg-type]
            socket.send('{"here": true}')
            for _ in range(5):
                assert page.heard.empty()
                asked = json.loads(socket.recv())
                answer = {"pong": asked["ping"], "at": 1e3 * (pylsl.local_clock() + 77.0)}
                socket.send(json.dumps(answer))
            assert page.heard.get(timeout=60.0).kind == "here"
            before = pylsl.local_clock()
            shown = {"shown": 3, "at": 1e3 * (before + 77.0), "frames": [9, 1, 33.0, 16.7]}
            socket.send(json.dumps(shown))
            said = page.heard.get(timeout=60.0)
            assert abs(said.at - before) <= said.error + 1e-6
            assert (said.n, said.frames.dropped) == (3, 1)
        assert page.heard.get(timeout=60.0).kind == "gone"


def test_a_port_that_is_taken_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "words.txt").write_text("axe\n")
    with serve_page(0, pylsl.local_clock) as page:
        port = page.url.rpartition(":")[2]
        ran = call(capsys, "present", tmp_path / "words.txt", "--browser", "--port", port)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert f"need a free port, got {port}" in ran.err
    assert "--port 0" in ran.err


def test_the_missing_extra_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "present" in PROGRAMS["rt-decoder"]
    monkeypatch.setattr("rt_decoder.files.packages.find_spec", lambda name: None)
    (tmp_path / "words.txt").write_text("axe\n")
    ran = call(capsys, "present", tmp_path / "words.txt", "--browser")
    assert ran.code == 1
    assert "pip install 'rt-decoder[dashboard]'" in ran.err


# --- the page, in a browser


class Presentation:
    """`rt-decoder present --browser` in a process of its own, and a reader of its markers."""

    def __init__(self, folder: Path, source_id: str, *options: str) -> None:
        self.table, self.source_id = folder / "run.tsv", source_id
        (folder / "words.txt").write_text("\n".join(WORDS), encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rt_decoder", "present", str(folder / "words.txt"), "--browser",
             "--port", "0", "--markers", source_id, "--save", str(self.table), "--no-cues",
             "--jitter", "0", "--json", *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPO,
            env=os.environ | {"BROWSER": "true"},
        )  # fmt: skip
        self.said: list[str] = []
        self.markers: list[tuple[str, float]] = []

    def line(self, start: str) -> str:
        """The next line that starts so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith(start):
                return line.strip()
        raise AssertionError(self.said)

    def url(self) -> str:
        found = wait_for(lambda: pylsl.resolve_byprop("name", self.source_id, 1, 1.0))
        self._inlet = pylsl.StreamInlet(found[0], recover=False)
        self._inlet.open_stream(timeout=60.0)
        return self.line("page ").split()[1]

    def pull(self) -> list[str]:
        """Labels of all markers so far."""
        with contextlib.suppress(LostError):  # it has ended
            sample, at = self._inlet.pull_sample(timeout=0.01)
            if sample:
                self.markers.append((sample[0], at))
        return [label for label, _ in self.markers]

    def rows(self) -> list[dict[str, str]]:
        text = self.table.read_text(encoding="utf-8")
        return list(csv.DictReader(io.StringIO(text), delimiter="\t"))

    def figures(self) -> dict[str, Any]:
        line = self.line("{")
        assert self.process.wait(60) == 0, self.said
        return json.loads(line)


@contextmanager
def presenting(folder: Path, source_id: str, *options: str) -> Iterator[Presentation]:
    one = Presentation(folder, source_id, *options)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.communicate()


def on(browser: Browser, kind: str, text: str = "") -> bool:
    """Whether something of a kind is seen, and what."""
    shown = browser.evaluate(
        "typeof current == 'undefined' ? ['', ''] : [current.kind, faces[seen].innerText]"
    )
    return shown[0] == kind and text in shown[1]


# what each step looks like, from now on: text, kind, the square, whether it fits
LOOKS = """var looks = [], own = swap; swap = (step) => {
    own(step);
    const line = faces[seen].firstElementChild;
    looks.push([line.innerText, step.kind, getComputedStyle(square).backgroundColor,
        document.documentElement.scrollWidth <= innerWidth && line.scrollWidth <= line.clientWidth + 1
        && line.clientHeight <= innerHeight]);
};"""


def begin(browser: Browser, one: Presentation, script: str = "0") -> None:
    browser.open(one.url())
    wait_for(lambda: on(browser, "rest", "Press a key"))
    browser.evaluate(script)
    browser.press("a")


@pytest.mark.lsl
@pytest.mark.slow
def test_markers_are_stamped_as_the_page_saw_it(
    browser: Browser, source_id: str, tmp_path: Path
) -> None:
    browser.said.clear()
    browser.asked.clear()
    options = ("--catch", ".5", "--shown", ".5", "--gap", ".2", "--block", "4", "--seed", "2")
    with presenting(tmp_path, source_id, *options) as one:
        begin(browser, one, LOOKS)
        url = browser.evaluate("location.origin")
        paused = False
        while not browser.evaluate("over"):
            if on(browser, "catch"):
                browser.press("\u043d", "KeyY")  # on a Russian keyboard
            elif on(browser, "rest"):
                browser.press("Enter")
            elif not paused and on(browser, "word"):
                browser.press(" ", "Space")
                paused = True
            one.pull()
        figures = one.figures()
        one.pull()
    looks = {text: rest for text, *rest in browser.evaluate("looks")}
    for text in WORDS:  # as text, never as HTML
        assert looks[text] == ["word", "rgb(255, 255, 255)", True], text
    assert looks["+"] == ["gap", "rgba(0, 0, 0, 0)", True]
    assert browser.evaluate("document.querySelector('b')") is None
    assert browser.said == []
    assert {asked.removeprefix(url) for asked in browser.asked} == {"/", "/page.css", "/page.js"}

    rows, labels = one.rows(), [label for label, _ in one.markers]
    assert sorted(label for label in labels if not label.startswith("cue/")) == sorted(WORDS)
    assert (labels.count(PAUSED), labels.count(RESUMED)) == (1, 1)
    record = browser.evaluate("record")  # the page's own
    seen = [at for at in record if at["kind"] in ("word", "catch")]
    stamps = [at for label, at in one.markers if label not in (PAUSED, RESUMED)]
    assert len(seen) == len(stamps) == len(rows)
    before = pylsl.local_clock()
    theirs = 1e-3 * browser.evaluate("performance.now()")
    after = pylsl.local_clock()
    slack = 1e-3 * figures["clock_error_ms"] + 1e-4 * 60.0
    for at, stamp, row in zip(seen, stamps, rows, strict=True):
        assert before - slack <= stamp - 1e-3 * at["at"] + theirs <= after + slack
        assert float(row["lsl_time"]) == pytest.approx(stamp, abs=1e-5)
    assert figures["n_words"] == len(WORDS)
    assert figures["n_asked"] == labels.count(CATCH) > 0
    assert {row["response"] for row in rows if row["trial_type"] == "catch"} == {"y"}
    assert figures["frames"]["n"] > 100
    assert 20 < figures["frames"]["hz"] < 500
    assert figures["clock_error_ms"] > 0


@pytest.mark.lsl
@pytest.mark.slow
def test_a_window_that_is_closed_or_hidden_is_a_pause(
    browser: Browser, source_id: str, tmp_path: Path
) -> None:
    """Told, and gone on with; of two windows the last one shows the words; Ctrl-C keeps the table."""
    hide = (
        "Object.defineProperty(document, 'hidden', {{value: {}, configurable: true}});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    ).format
    with presenting(tmp_path, source_id, "--catch", "0", "--times", "1000", "--block", "9000",
                    "--shown", ".3", "--gap", ".1") as one:  # fmt: skip
        begin(browser, one)
        url = browser.evaluate("location.href")
        wait_for(one.pull)
        browser.call("Page.navigate", url="about:blank")
        assert url.rstrip("/") in one.line("the page was closed or hidden")
        browser.open(url)
        wait_for(lambda: on(browser, "rest", "Paused"))
        one.line("the page is back")
        browser.press("x")
        wait_for(lambda: on(browser, "word"))
        browser.evaluate(hide("true"))
        one.line("the page was closed or hidden")
        browser.evaluate(hide("false"))
        wait_for(lambda: on(browser, "rest", "Paused"))
        browser.press("x")
        wait_for(lambda: on(browser, "word"))
        with browsing(find_browser() or "", tmp_path / "second") as second:
            second.open(url)
            wait_for(lambda: on(browser, "status", "Another window"))
            wait_for(lambda: on(second, "rest", "Paused"))
            second.press("x")
            wait_for(lambda: on(second, "word"))
            wait_for(lambda: one.pull().count(RESUMED) == 3)
            one.process.send_signal(signal.SIGINT)
            wait_for(lambda: on(second, "status", "has ended"))
        figures = one.figures()
    labels = [label for label, _ in one.markers]
    assert (labels.count(PAUSED), labels.count(RESUMED)) == (3, 3)
    words = [label for label in labels if not label.startswith("cue/")]
    shown = [row["word"] for row in one.rows()]
    assert shown[: len(words)] == words
    assert figures["n_words"] == len(shown)


@pytest.mark.lsl
@pytest.mark.slow
def test_a_program_that_is_held_up_delays_no_word(
    browser: Browser, source_id: str, tmp_path: Path
) -> None:
    """The page has what comes next; each marker is sent later, with the time of its word."""
    words = "record.filter((one) => one.kind == 'word')"
    with presenting(tmp_path, source_id, "--catch", "0", "--times", "1000", "--block", "9000",
                    "--shown", ".4", "--gap", ".2") as one:  # fmt: skip
        begin(browser, one)
        wait_for(lambda: browser.evaluate(f"{words}.length > 1 && current.kind == 'word'"))
        n = browser.evaluate(f"{words}.length")
        one.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: browser.evaluate(f"{words}.length") > n)
        one.process.send_signal(signal.SIGCONT)
        wait_for(lambda: len(one.pull()) > n + 1)
        seen = browser.evaluate(words)
        browser.press("q")
        figures = one.figures()
    assert one.pull()[: n + 2] == [at["text"] for at in seen[: n + 2]]
    apart = [stamp - 1e-3 * at["at"] for at, (_, stamp) in zip(seen, one.markers, strict=False)]
    assert max(apart) - min(apart) < 2e-3 * figures["clock_error_ms"] + 1e-4 * 60.0


@pytest.mark.lsl
@pytest.mark.slow
@pytest.mark.parametrize("key", ["q", "Escape"])
def test_a_key_ends_and_the_page_says_so(
    browser: Browser, source_id: str, tmp_path: Path, key: str
) -> None:
    with presenting(tmp_path, source_id, "--times", "1000", "--catch", "0") as one:
        begin(browser, one)
        wait_for(one.pull)
        if browser.evaluate("!!document.fullscreenElement"):
            browser.evaluate("document.exitFullscreen()")
            wait_for(lambda: on(browser, "rest", "Paused"))  # left the full screen
        browser.press(key)
        wait_for(lambda: on(browser, "status", "has ended"))
        assert one.figures()["n_words"] == len(one.rows()) >= 1
