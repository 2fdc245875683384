"""The HTML report: it shows every result, and reveals or fetches nothing."""

from __future__ import annotations

import base64
import re
import stat
from dataclasses import replace
from functools import partial
from html import unescape
from io import BytesIO
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from calibration import fit
from calibration.cleaning.stages import FITS
from calibration.demo import save_recording
from calibration.report.figures import figures
from calibration.report.html import report_page, write_report
from calibration.report.stretch import look
from rt_decoder.files.model_file import model_hash
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model
from rt_decoder.recipe import STAGES
from tests.cleaned import fitted, labelled, scene
from tests.small import call, fake_embedder, fit_small, small_recipe, small_recording


def model_with_report() -> Model:
    model, report = fitted()
    return replace(model, certificate={"cleaning": report, "subject": "S01"})


@pytest.fixture(scope="module")
def page() -> str:
    return report_page(model_with_report(), look(model_with_report(), [labelled(scene())]))


def text_of(page: str) -> str:
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page)).split())


def pictures(page: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [matplotlib.image.imread(BytesIO(base64.b64decode(one))) for one in found]


def test_every_stage_has_a_row_a_section_and_a_picture(page: str) -> None:
    text = text_of(page)
    _, report = fitted()
    for stage in STAGES:
        for said in FITS[stage].summary(report[stage]):
            assert " ".join(said.split()) in text
    assert f"rank {report['eye']['rank']}" in text
    assert "saccades (cued)" in text
    assert "S01" in text
    assert model_hash(model_with_report())[:12] in text
    stretch = look(model_with_report(), [labelled(scene())])
    made = figures(stretch, report)
    assert {one.stage for one in made} == {"", *STAGES}
    images = pictures(page)
    assert len(images) == len(made)
    for image in images:
        assert image.shape[0] > 200
        assert image[..., :3].std() > 0.02  # not blank


def test_the_stretch_shows_blinks_removed_and_references_unchanged() -> None:
    """Cleaning removes the average blink, and no event."""
    from calibration.cleaning.eye_events import find_eye_events

    stretch = look(model_with_report(), [labelled(scene())])
    assert stretch.seen
    assert len(stretch.before) == len(stretch.after) == len(stretch.flags)
    assert len(stretch.before) / 250 == pytest.approx(20.0, abs=4.0)
    blinks = find_eye_events(stretch.before, stretch.info, stretch.bad).blinks
    front = stretch.info.ch_names.index("Fp1")
    rows = blinks[blinks < len(stretch.before) - 100][:, None] + np.arange(75)
    size = [np.ptp(data[rows, front].mean(0)) for data in (stretch.before, stretch.after)]
    assert size[1] < 0.3 * size[0]
    assert len(stretch.events) > 15
    references = slice(12, None)
    np.testing.assert_array_equal(stretch.before[:, references], stretch.after[:, references])


def test_a_stretch_that_was_not_fitted_on_is_preferred() -> None:
    sessions = [labelled(scene()), labelled(scene(session=2, seconds=40.0, cued=False))]
    unseen = look(model_with_report(), sessions, share=0.6)
    assert not unseen.seen
    assert len(unseen.before) / 250 == pytest.approx(40.0, abs=4.0)
    assert look(model_with_report(), sessions, share=0.9).seen
    words = "that the cleaning was not fitted on"
    assert words in text_of(report_page(model_with_report(), unseen))


def test_the_page_fetches_runs_and_reveals_nothing(page: str, tmp_path: Path) -> None:
    assert not re.search(
        r"https?:|//|<script|<link|@import|url\(", re.sub(r"base64,[^\"]+", "", page)
    )
    assert "default-src 'none'" in page
    out = tmp_path / "secret-name.html"
    write_report(out, model_with_report(), [labelled(scene())])
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    written = out.read_text(encoding="utf-8")
    for secret in (str(tmp_path), str(Path.home()), "secret-name", scene().name):
        assert secret not in written
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.slow
def test_text_is_escaped() -> None:
    """Names of channels and reasons may hold any text."""
    model = model_with_report()
    evil = "<img src=x onerror=alert(1)>"
    report = model.certificate["cleaning"] | {"heartbeat": {"left_out": evil}}
    report["repair"] = report["repair"] | {"bad": {evil: evil}}
    model = replace(model, certificate={"cleaning": report, "subject": evil})
    page = report_page(model, look(model_with_report(), [labelled(scene())]))
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert f"left out: {evil}" in text_of(page)


def without_positions(recording: Recording) -> Recording:
    return replace(recording, info=replace(recording.info, positions=None))


def test_report_without_cleaning_and_positions() -> None:
    model = replace(fitted()[0], cleaning={}, certificate={})
    model = replace(model, info=replace(model.info, positions=None))
    stretch = look(model, [labelled(without_positions(scene()))])
    np.testing.assert_array_equal(stretch.before, stretch.after)
    page = report_page(model, stretch)
    assert "No cleaning was asked for" in page
    assert "No certificate" in page
    assert len(pictures(page)) >= 2


@pytest.mark.slow
def test_scores_stand_beside_chance_and_prior() -> None:
    model = fit_small(small_recording(), small_recipe())
    page = report_page(model, look(model, [labelled(small_recording())], share=0.4))
    text = text_of(page)
    final = model.certificate["final"]
    row = f"top1 {final['top1']:.4g} {final['macro_top1']:.4g} {final['chance_top1']:.4g}"
    assert f"{row} {final['prior_top1']:.4g}" in text
    assert f"p = {final['p']:.2g}" in text
    assert "Locked final block" in text
    assert f"{model.certificate['split']['n_final']} locked" in text
    unlocked = {k: v for k, v in model.certificate.items() if k != "final"}
    optimistic = report_page(replace(model, certificate=unlocked), look(model, [labelled(scene())]))
    assert "these figures are optimistic" in optimistic


# --- the command lines


def test_cleaning_writes_a_report(tmp_path: Path, capsys) -> None:
    save_recording(scene(), tmp_path / "rec.xdf")
    out = tmp_path / "report.html"
    ran = call(
        capsys, "cleaning", tmp_path / "rec.xdf", "-o", tmp_path / "m.rtd.safetensors",
        "--stages", "eye,repair", "--report", out, program="calibration",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    assert "wrote report.html" in ran.out
    page = out.read_text(encoding="utf-8")
    assert "Blinks and gaze" in page
    assert str(tmp_path) not in page
    ran = call(
        capsys, "cleaning", tmp_path / "rec.xdf", "-o", tmp_path / "m2.rtd.safetensors",
        "--report", tmp_path / "nowhere" / "r.html", program="calibration",
    )  # fmt: skip
    assert ran.code == 2
    assert "need a folder nowhere" in " ".join(ran.err.split())
    assert not (tmp_path / "m2.rtd.safetensors").exists()


def test_fit_writes_a_report(tmp_path: Path, capsys, monkeypatch) -> None:
    recording = small_recording()
    save_recording(recording, tmp_path / "rec.xdf")
    monkeypatch.setattr(fit, "fit_model", partial(fit.fit_model, embedder=fake_embedder))
    out = tmp_path / "report.html"
    ran = call(
        capsys, "fit", tmp_path / "rec.xdf", "--events", tmp_path / "rec.tsv", "-o",
        tmp_path / "m.rtd.safetensors", "--stages", "eye", "--picks", "eeg", "--n-blocks", "4",
        "--n-permutations", "19", "--subject", "S07", "--report", out, program="calibration",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    text = text_of(out.read_text(encoding="utf-8"))
    for said in ("S07", "Locked final block", "prior alone", "Blinks and gaze", "two vs two"):
        assert said in text
