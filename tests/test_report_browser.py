"""Reports as a browser shows them: in light and dark, on a phone, on paper; nothing is asked for."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration import fit as fitting
from calibration.cleaning.chain import fit_cleaning
from calibration.cleaning.seen import unlocked_share
from calibration.design import build_design, draft_model
from calibration.encode import brief
from calibration.events import LabelledRecording, label_recording
from calibration.report.encoding import encoding_page
from calibration.report.html import write_report
from calibration.report.shown import Shown
from calibration.report.verdict import verdict
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model
from rt_decoder.simulation.participant import Participant
from rt_decoder.timing.markers import MarkerRules
from tests.browser import Browser
from tests.small import VECTORS, WORDS, fake_embedder, small_recipe

pytestmark = pytest.mark.slow
PHONE, DESK = 390, 1100


def heard(n_channels: int, kind: str, seconds: float, artifacts: float) -> LabelledRecording:
    """A recording of one person who hears twelve words."""
    person = Participant(
        VECTORS, WORDS, n_channels=n_channels, sfreq=125.0, references=True, kind=kind,
        artifacts=artifacts, snr=0.8,
    )  # fmt: skip
    made = person.simulate(duration=seconds, seed=1, components=False)
    recording = Recording(
        made.data, np.arange(len(made.data)) / 125.0, made.info, made.events, name="simulated"
    )
    return label_recording(recording, None, small_recipe(), MarkerRules())


def fitted(one: LabelledRecording, *stages: str, **settings: Any) -> Model:
    recipe = small_recipe(
        stream={"picks": ["data"], "reference": "none"}, clean={"stages": list(stages)},
        features={"tmax": 0.6} | settings,
    )  # fmt: skip
    draft = draft_model([one.recording], recipe)
    share = unlocked_share([one], recipe.fit)
    draft, found = fit_cleaning(draft, [one], share=share)
    model = fitting.fit_model(draft, build_design(draft, [one]), embedder=fake_embedder)
    certificate = {**model.certificate, "cleaning": found, "subject": "S01", "fitted": "2026-01-31"}
    return replace(model, certificate=certificate)


def facts(model: Model) -> dict[str, Any]:
    """An encoding of no meaning, of all channels."""
    rng, names = np.random.default_rng(0), list(model.info.ch_names[: model.n_picks])
    shape = (len(names), 14)
    table = {
        name: rng.uniform(0, 0.3, shape).tolist() for name in ("r", "low", "high", "p", "tested")
    }
    return table | {
        "ch_names": names, "times": np.linspace(-0.05, 0.6, 14).tolist(), "network": "a network",
        "strength": (1e-6 * rng.uniform(size=shape)).tolist(), "null": rng.normal(0.1, 0.02, 99).tolist(),
        "p_smallest": 0.01, "null_unit": 2, "n_channels_above_chance": 3,
        "best": {"channel": names[0], "time": 0.3, "r": 0.3, "low": 0.2, "high": 0.4, "p": 0.01},
        "split": {"n_events": 300, "n_items": 12, "n_folds": 8, "purge_s": 0.6, "memory_s": 0.0},
        "unique": {"nuisance": ["length"], "p": table["p"], "unique": table["r"], "p_smallest": 0.01,
                   "alone": table["low"],
                   "total": {"mean": 0.01, "low": 0.0, "high": 0.02, "p": 0.03}},
    }  # fmt: skip


def page_64(folder: Path) -> tuple[Path, Model]:
    one = heard(64, "eeg", 90.0, 1.0)
    model = fitted(one, "muscle", "repair", "eye", "regressors", "heartbeat", anytime=[0.2, 0.4])
    model = replace(model, certificate={**model.certificate, "encoding": brief(facts(model))})
    write_report(folder / "64.html", model, [one], share=0.8)
    return folder / "64.html", model


def page_306(folder: Path) -> tuple[Path, Model]:
    one = heard(306, "meg", 60.0, 1.0)
    model = fitted(one, "muscle", "eye")
    write_report(folder / "306.html", model, [one], share=0.8)
    return folder / "306.html", model


def page_2(folder: Path) -> tuple[Path, Model]:
    """Two channels without positions, few events, nothing to decode."""
    one = heard(2, "eeg", 40.0, 0.0)
    info = replace(one.recording.info, ch_names=("A1x", "B2x", "V", "H", "E", "R"), positions=None)
    noise = 1e-5 * np.random.default_rng(0).standard_normal(one.recording.data.shape)
    one = replace(one, recording=replace(one.recording, info=info, data=noise))
    model = fitted(one)
    write_report(folder / "2.html", model, [one], share=0.8)
    return folder / "2.html", model


def page_encoding(folder: Path) -> tuple[Path, Model]:
    _, model = page_64(folder)
    (folder / "encoding.html").write_text(encoding_page(model, facts(model)), encoding="utf-8")
    return folder / "encoding.html", model


@pytest.fixture(scope="module", params=[page_64, page_306, page_2, page_encoding])
def page(request: pytest.FixtureRequest, tmp_path_factory: Any) -> tuple[Path, Model]:
    made: tuple[Path, Model] = request.param(tmp_path_factory.mktemp("report"))
    return made


def luminance(color: str) -> float:
    return float(np.dot([int(part) for part in re.findall(r"\d+", color)[:3]], (0.3, 0.59, 0.11)))


def test_a_report_says_no_error_and_asks_for_nothing(browser: Browser, page: Any) -> None:
    path, _ = page
    browser.said.clear()
    browser.asked.clear()
    for look in ({}, {"dark": True}, {"width": PHONE}, {"media": "print"}):
        browser.look(**look)
        browser.open(path)
    assert browser.said == []
    own = path.resolve().as_uri()
    assert [one[:90] for one in browser.asked if one != own and not one.startswith("data:")] == []
    assert browser.asked.count(own) == 4


def test_a_report_is_legible_in_light_and_dark(browser: Browser, page: Any) -> None:
    path, model = page
    style = "getComputedStyle(document.querySelector({!r})).{}".format
    seen = {}
    for dark in (False, True):
        browser.look(dark=dark)
        browser.open(path)
        paper, ink, drawn = (
            luminance(browser.evaluate(style(*what)))
            for what in (("body", "backgroundColor"), ("body", "color"), ("svg", "color"))
        )
        assert (paper < 60) == dark
        assert abs(paper - ink) > 180
        assert abs(paper - drawn) > 180
        seen[dark] = browser.screenshot("figure")
        assert seen[dark].startswith(b"\x89PNG")
    assert seen[False] != seen[True]
    if path.name != "encoding.html":
        said = browser.evaluate("document.querySelector('.verdict').textContent")
        assert said.split() == verdict(Shown(model)).split()


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_report_fits_its_window(browser: Browser, page: Any, width: int) -> None:
    browser.look(width=width)
    browser.open(page[0])
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    heights = browser.evaluate(NAMES_HEIGHTS)
    assert min(heights) >= 4.5  # CSS pixels: letters of the smallest names, on a phone as well
    assert browser.evaluate(OVERLAPS) == 0


# heights of the names of channels and words beside or under the axes
NAMES_HEIGHTS = """[...document.querySelectorAll('svg [id*="ytick_"] [id*="text_"]')]
    .map(name => name.getBoundingClientRect()).filter(box => box.height > 0).map(box => box.height)"""
# names of neighbouring rows that cover each other by more than a pixel
OVERLAPS = """[...document.querySelectorAll('svg [id*="matplotlib.axis_2"]')].map(axis => {
    const boxes = [...axis.querySelectorAll('[id*="ytick_"] [id*="text_"]')]
        .map(name => name.getBoundingClientRect()).sort((a, b) => a.top - b.top)
    return boxes.slice(1).filter((box, k) => boxes[k].bottom > box.top + 1).length
}).reduce((a, b) => a + b, 0)"""


def test_a_report_prints_on_a4(browser: Browser, page: Any) -> None:
    browser.look()
    browser.open(page[0])
    printed = browser.pdf()
    assert printed.startswith(b"%PDF")
    boxes = re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)", printed)
    assert 3 <= len(boxes) <= 24
    for width, height in boxes:
        assert float(width) == pytest.approx(595, abs=1)
        assert float(height) == pytest.approx(842, abs=1)
    browser.look(media="print")
    assert browser.evaluate("document.documentElement.scrollWidth") <= DESK
    assert browser.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"


def test_a_page_that_does_wrong_is_noticed(browser: Browser, tmp_path: Path) -> None:
    """What the tests above look for is found where it is."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<img src='http://127.0.0.1:9/x.png'><script>console.error('no')</script>"
        "<svg width='900'></svg>"
    )
    browser.said.clear()
    browser.asked.clear()
    browser.look(width=PHONE)
    browser.open(bad)
    assert browser.said
    assert "http://127.0.0.1:9/x.png" in browser.asked
    assert browser.evaluate("document.documentElement.scrollWidth") > PHONE
