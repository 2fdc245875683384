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
from calibration.report.stretch import Stretch, look
from rt_decoder.files.model_file import model_hash, save_model
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model
from rt_decoder.recipe import STAGES
from tests.cleaned import fitted, labelled, scene
from tests.small import (
    call,
    fake_embedder,
    fit_small,
    random_model,
    small_recipe,
    small_recording,
)


def model_with_report() -> Model:
    model, report = fitted()
    return replace(model, certificate={"cleaning": report, "subject": "S01"})


@pytest.fixture(scope="module")
def stretch() -> Stretch:
    return look(model_with_report(), [labelled(scene())])


@pytest.fixture(scope="module")
def page(stretch: Stretch) -> str:
    return report_page(model_with_report(), stretch)


def text_of(page: str) -> str:
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page)).split())


def pictures(page: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [matplotlib.image.imread(BytesIO(base64.b64decode(one))) for one in found]


def test_every_stage_has_a_row_a_section_and_a_picture(page: str, stretch: Stretch) -> None:
    text = text_of(page)
    _, report = fitted()
    for stage in STAGES:
        for said in FITS[stage].summary(report[stage]):
            assert " ".join(said.split()) in text
    assert f"rank {report['eye']['rank']}" in text
    assert "saccades (cued)" in text
    assert "S01" in text
    assert model_hash(model_with_report())[:12] in text
    made = figures(stretch, report)
    assert {one.stage for one in made} == {"", *STAGES}
    images = pictures(page)
    assert len(images) == len(made)
    for image in images:
        assert image.shape[0] > 200
        assert image[..., :3].std() > 0.02  # not blank


def test_the_stretch_shows_blinks_removed_and_references_unchanged(stretch: Stretch) -> None:
    """Cleaning removes the average blink, and no event."""
    from calibration.cleaning.eye_events import find_eye_events

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
def test_text_is_escaped(stretch: Stretch) -> None:
    """Names of channels and reasons may hold any text."""
    model = model_with_report()
    evil = "<img src=x onerror=alert(1)>"
    report = model.certificate["cleaning"] | {"heartbeat": {"left_out": evil}}
    report["repair"] = report["repair"] | {"bad": {evil: evil}}
    model = replace(model, certificate={"cleaning": report, "subject": evil})
    page = report_page(model, stretch)
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


SCORED = {
    "n": 80, "n_items": 12, "bits_per_word": 0.21, "calibration_error": 0.02, "p": 0.005,
    "null_rank_accuracy": 0.5, "n_unseen": 0, "n_outside": 0,
} | {
    f"{of}{name}": 0.25
    for of in ("", "macro_", "chance_", "prior_")
    for name in ("top1", "top10", "rank_accuracy")
}  # fmt: skip
INNER = SCORED | {"coverage": 0.25, "precision": 0.58, "wanted_precision": 0.5}
POOLED = {"n": 40, "top1": 0.31, "chance_top1": 0.1, "rank_accuracy": 0.625, "bits_per_word": 0.4}
UNSEEN = {"rank_accuracy": 0.512, "null_rank_accuracy": 0.5, "p": 0.2, "n": 90, "n_items": 9}
HOPS = {"never": "", "n_alarms": 3, "hours": 1.25, "asked": 4.0}
PEOPLE = {
    "n": 2, "method": "each person left out", "above": 2, "p_people": 0.25,
    "each": [
        {"n_events": 300, "n": 60, "rank_accuracy": 0.613, "bits_per_word": 0.2, "p": 0.01},
        {"n_events": 280, "n": 50, "rank_accuracy": 0.587, "bits_per_word": 0.1, "p": 0.02},
    ],
}  # fmt: skip


def certified(**certificate: object) -> Model:
    model = random_model(small_recording(seconds=10.0), small_recipe())
    hops = replace(model.posterior, threshold=0.5)
    return replace(
        model,
        certificate=certificate,
        posterior=replace(model.posterior, threshold=0.4),
        continuous=hops if "continuous" in certificate else None,
    )


def page_and_inspect(
    model: Model, stretch: Stretch, folder: Path, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    save_model(model, folder / "m.rtd.safetensors")
    ran = call(capsys, "inspect", folder / "m.rtd.safetensors")
    assert ran.code == 0, ran.err
    return [text_of(report_page(model, stretch)), " ".join(ran.out.split())]


def test_repeats_unseen_words_hops_and_precision_are_told(stretch, tmp_path: Path, capsys) -> None:
    split = {
        "n_events": 400, "n_train": 300, "n_final": 80, "n_dropped": 0, "n_muscle": 0,
        "n_groups": 8, "held_out": "in turn", "purge_s": 1.0,
    }  # fmt: skip
    repeats = {"1": POOLED | {"in_a_row": True}, "4": POOLED | {"in_a_row": False}}
    model = certified(
        split=split, final=SCORED, out_of_fold=INNER, unseen=UNSEEN, continuous=HOPS,
        pooled={"out_of_fold": repeats, "final": repeats},
    )  # fmt: skip
    page, told = page_and_inspect(model, stretch, tmp_path, capsys)
    assert "locked final block 4 40 0.625 0.31 0.1 0.4 no" in page
    assert "words never seen in training: .512 (chance .500, p = 0.2" in page
    assert "3 false alarms in 1.25 h without events (4 an hour asked)" in page
    assert "4: top-1 0.310 (chance 0.100), 0.400 bits (locked block)" in told
    assert "rank accuracy 0.512 among items left out of training (chance 0.500), p = 0.2" in told
    assert "at most 4 false alarms an hour (3 in 1.25 h without events)" in told
    for text in (page, told):
        assert "answers 25 % of events, 0.58 of them right out of fold (0.5 promised)" in text


def test_a_group_is_reported_by_people(stretch, tmp_path: Path, capsys) -> None:
    model = certified(final=SCORED, people=PEOPLE, out_of_fold=INNER)
    page, told = page_and_inspect(model, stretch, tmp_path, capsys)
    assert "No certificate" not in page
    assert "tested on 2 people, each person left out" in page
    assert "2 of 2 people above their null, rank accuracy 0.587 to 0.613" in page
    assert "1 300 60 0.613 0.2 0.01 2 280 50 0.587 0.1 0.02" in page
    assert "needs of a new person: the same words, task and window" in page
    assert "2 people left out, 2 of 2 above their null, 80 trials: top-1 0.250" in told


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
