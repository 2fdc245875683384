"""A headless Chromium, driven over a pipe: no package, no port, nothing is downloaded.

Commands and events are those of the DevTools protocol, JSON that ends in a NUL.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = (
    "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--disable-gpu", "--disable-extensions", "--hide-scrollbars",
    "--force-color-profile=srgb",
)  # fmt: skip


def find_browser() -> str | None:
    """Path of a Chromium: that of `RT_DECODER_CHROMIUM`, else one on the path; None without.

    None on Windows, where a process cannot be given pipes by number.
    """
    if os.name == "nt":
        return None
    named = os.environ.get("RT_DECODER_CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One tab; `said` holds errors and warnings of its console, `asked` every address it asked for."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, back: int) -> None:
        self._process, self._to, self._back = process, to, back
        self._left, self._number, self._events = b"", 0, list[dict[str, Any]]()
        self._session = ""
        self.said: list[str] = []
        self.asked: list[str] = []
        tab = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=tab, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command, and wait for its result."""
        self._number += 1
        sent: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            sent["sessionId"] = self._session
        rest = json.dumps(sent).encode() + b"\0"
        while rest:
            rest = rest[os.write(self._to, rest) :]
        while True:
            came = self._receive()
            if came.get("id") == self._number:
                assert "error" not in came, (method, came["error"])
                return came["result"]

    def open(self, path: Path | str) -> None:
        """Load a file or an address, and wait until all of it has loaded."""
        self._events.clear()
        url = path if isinstance(path, str) else path.resolve().as_uri()
        self.call("Page.navigate", url=url)
        while not any(one["method"] == "Page.loadEventFired" for one in self._events):
            self._receive()
        self.evaluate("1")  # what the page has said by now is heard

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page; our call is not bound by the page's policy."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def press(self, key: str, code: str = "", **more: Any) -> None:
        """Press and release a key, as the page's `event.key` and `event.code` name it."""
        number = {"Escape": 27, "Tab": 9, "Enter": 13}.get(key, 0)
        named = {"key": key, "code": code, "windowsVirtualKeyCode": number, **more}
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **named, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def look(self, *, dark: bool = False, media: str = "", width: int = 1100) -> None:
        """Choose colours, medium and width in CSS pixels."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)

    def click(self, selector: str) -> None:
        """Click into the middle of an element."""
        x, y = self.evaluate(
            f"(() => {{ const one = document.querySelector({selector!r}); one.scrollIntoView();"
            "const b = one.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, selector: str = "body") -> bytes:
        """PNG of an element, also where it is longer than the window."""
        box = self.evaluate(
            f"(() => {{ const b = document.querySelector({selector!r}).getBoundingClientRect();"
            "return [b.x + scrollX, b.y + scrollY, b.width, b.height] })()"
        )
        clip = dict(zip(("x", "y", "width", "height"), box, strict=True)) | {"scale": 1}
        found = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(found["data"])

    def pdf(self) -> bytes:
        """The page as it prints on paper, of the size that its own style asks for."""
        found = self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(found["data"])

    def _receive(self, deadline: float = 60.0) -> dict[str, Any]:
        end = time.monotonic() + deadline
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._back], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser has not answered"
            part = os.read(self._back, 1 << 16)
            assert part, "the browser has ended"
            self._left += part
        one, _, self._left = self._left.partition(b"\0")
        came: dict[str, Any] = json.loads(one)
        if "method" in came:
            self._note(came["method"], came["params"])
            self._events.append(came)
        return came

    def _note(self, method: str, found: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.asked.append(found["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.said.append(found["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled" and found["type"] in (
            "error",
            "warning",
            "assert",
        ):
            self.said.append(str(found["args"]))
        elif method == "Log.entryAdded":
            self.said.append(found["entry"]["text"])


@contextmanager
def browsing(
    program: str, profile: Path, first: Callable[[], object] = lambda: None
) -> Iterator[Browser]:
    """Start a browser with a new profile in a folder, after `first` in its process, and end it."""
    theirs, to = os.pipe()
    back, ours = os.pipe()

    def pipes() -> None:
        first()
        os.dup2(theirs, 13), os.dup2(ours, 14)  # out of the way of 3 and 4
        os.dup2(13, 3), os.dup2(14, 4)

    arguments = [program, *ARGUMENTS, f"--user-data-dir={profile}"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium refuses to run as root with it
    process = subprocess.Popen(
        arguments, preexec_fn=pipes, pass_fds=(3, 4), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs)
    os.close(ours)
    try:
        yield Browser(process, to, back)
    finally:
        process.kill()
        process.wait()
        os.close(to)
        os.close(back)
