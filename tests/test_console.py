"""What both programs write while they work."""

from __future__ import annotations

import threading

import pytest

from rt_decoder.commands import console, progress
from tests.lsl_loopback import wait_for


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time in s, as the progress reads it."""
    now = [0.0]
    monkeypatch.setattr(console, "monotonic", lambda: now[0])
    return now


def test_progress_in_a_pipe_is_plain_lines_now_and_then(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with console.progress_bar("encoding") as progress:
        for second in range(61):
            clock[0] = float(second)
            progress(second / 60)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [f"encoding: {share} %" for share in (17, 33, 50, 67, 83, 100)]


def test_short_work_in_a_pipe_says_nothing(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with console.progress_bar("decoding") as progress:
        for share in range(11):
            clock[0] = 0.9 * share
            progress(share / 10)
    assert capsys.readouterr() == ("", "")


def test_work_without_a_known_end_says_how_long_it_has_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PROGRESS_EVERY", 0.01)
    told: list[str] = []
    with progress.busy("fitting the map"):
        wait_for(lambda: told.append(capsys.readouterr().err) or "".join(told).count("\n") > 2)
    n_told = "".join(told).count("fitting the map: 0 s so far\n")
    assert n_told > 2
    threads = [thread.name for thread in threading.enumerate()]
    assert "progress" not in threads


def test_short_work_without_a_known_end_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no further"), progress.busy("reading"):
        raise ValueError("no further")
    assert capsys.readouterr() == ("", "")
