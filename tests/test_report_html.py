"""The HTML report: it shows every result, and reveals or fetches nothing."""

from __future__ import annotations

import re
import stat
from dataclasses import replace
from functools import partial
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from calibration import fit
from calibration.cleaning.stages import FITS
from calibration.demo import save_recording
from calibration.report.cleaned import cleaned
from calibration.report.figures import figures
from calibration.report.head_maps import heads_of
from calibration.report.html import report_of, report_page, write_report
from calibration.report.sections.brain import decoder_strength
from calibration.report.shown import Shown
from calibration.report.stretch import Stretch, look
from calibration.report.verdict import limits, verdict
from rt_decoder.files.model_file import load_model, model_hash, save_model
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model
from rt_decoder.recipe import STAGES
from rt_decoder.signal import SignalInfo
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
    page = re.sub(r"<style>.*?</style>|<svg.*?</svg>", " ", page, flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def pictures(page: str) -> list[str]:
    return re.findall(r"<svg.*?</svg>", page, flags=re.S)


class Structure(HTMLParser):
    """Every element is closed by its own tag, every id is the only one, and links have a place."""

    VOID = ("meta", "img", "br")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open, self.open
        assert len(self.ids) == len(set(self.ids))
        assert {link for link in self.links if link.startswith("#")} <= {f"#{i}" for i in self.ids}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self._note(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]


def test_every_stage_has_a_row_a_section_and_a_picture(page: str, stretch: Stretch) -> None:
    text = text_of(page)
    _, report = fitted()
    for stage in STAGES:
        for said in FITS[stage].summary(report[stage]):
            assert " ".join(said.split()) in text
    assert f"{report['eye']['rank']} pattern" in text
    assert "gaze shifts, found by cues" in text
    assert "S01" in text
    assert model_hash(model_with_report())[:12] in text
    made = figures(stretch, report)
    assert {one.stage for one in made} == {"", *STAGES}
    assert len(pictures(page)) >= len(made)
    for one in made:
        assert one.svg.count("<path") + one.svg.count("<image") > 3  # not blank
        assert "currentColor" in one.svg  # in dark, too


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
    structure = Structure(page)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in structure.links)
    shown = re.sub(r"base64,[^\"]+", "", page, flags=re.S)
    assert not re.search(r"https?:|//|<script|<link|@import|url\((?!#)|<!--", shown)
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
    Structure(page)
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
    Structure(page)
    assert "No cleaning was asked for" in page
    assert "No certificate" in page
    assert len(pictures(page)) >= 2


@pytest.mark.slow
def test_scores_stand_beside_chance_and_prior() -> None:
    model = fit_small(small_recording(), small_recipe())
    page = report_page(model, look(model, [labelled(small_recording())], share=0.4))
    text = text_of(page)
    final = model.certificate["final"]
    low, high = final["detail"]["intervals"]["top1"]
    assert f"top-1 {final['top1']:.3f} {low:.3f} to {high:.3f} {final['macro_top1']:.3f}" in text
    assert f"{final['chance_top1']:.3f} {final['prior_top1']:.3f} top-5" in text
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
    assert "locked final block 4 40 0.625 0.310 0.100 0.400 no" in page
    assert "Words never seen in training: .512 (chance .500, p = 0.2" in page
    assert "3 false alarms in 1.25 h without events (4 an hour asked)" in page
    assert "4: top-1 0.310 (chance 0.100), 0.400 bits (locked block)" in told
    assert "rank accuracy 0.512 among items left out of training (chance 0.500), p = 0.2" in told
    assert "at most 4 false alarms an hour (3 in 1.25 h without events)" in told
    for text in (page, told):
        assert (
            "answers 25 % of events out of fold; 58 % of these answers are right (50 % promised)"
            in text
        )


def test_a_group_is_reported_by_people(stretch, tmp_path: Path, capsys) -> None:
    model = certified(final=SCORED, people=PEOPLE, out_of_fold=INNER)
    page, told = page_and_inspect(model, stretch, tmp_path, capsys)
    assert "No certificate" not in page
    assert "tested on 2 people, each person left out" in page
    assert "2 of 2 people above their null, rank accuracy 0.587 to 0.613" in page
    assert "1 300 60 0.613 0.200 0.01 2 280 50 0.587 0.100 0.02" in page
    assert "needs of a new person: the same words, task and window" in page
    assert "2 people left out, 2 of 2 above their null, 80 trials: top-1 0.250" in told


# --- sections


def detailed() -> dict[str, object]:
    rng = np.random.default_rng(0)
    pair = [0.5, 0.7]
    word = {"n": 8, "rank_accuracy": 0.6, "interval": pair, "top1": 0.2}
    return {
        "unit": 4, "n_units": 20, "null": rng.normal(0.5, 0.02, 99).round(4).tolist(),
        "intervals": {"rank_accuracy": pair, "top1": [0.1, 0.3], "bits_per_word": None},
        "reliability": [
            {"n": 8, "confidence": p, "right": p, "interval": [p / 2, p]} for p in (0.1, 0.4)
        ],
        "risk_coverage": [
            {"coverage": c, "precision": 0.5, "interval": None if c < 0.2 else pair}
            for c in (0.1, 0.5, 1.0)
        ],
        "words": {f"word{i}": word for i in range(12)},
        "blocks": [word | {"interval": None}, word], "blocks_are": "stretches",
    }  # fmt: skip


SPLIT = {
    "n_events": 400, "n_train": 300, "n_final": 80, "n_dropped": 0, "n_muscle": 0, "n_groups": 8,
    "held_out": "in turn", "purge_s": 1.0,
}  # fmt: skip


def test_a_verdict_says_all_in_one_sentence() -> None:
    final = SCORED | {"rank_accuracy": 0.613, "p_smallest": 0.005, "null_unit": 4}
    cleaning = {"eye": {"left_out": "no blinks"}}
    model = certified(
        split=SPLIT, final=final | {"detail": detailed()}, out_of_fold=INNER, cleaning=cleaning
    )
    page = report_page(model)
    Structure(page)
    text = text_of(page)
    said = verdict(Shown(model))
    assert said in text
    assert said.startswith(
        "Weakly above chance, as the interval of its rank accuracy reaches chance: on 80 events of the "
        "locked final block, without any cleaning, the true word "
        "ranked above 61.3 % of the others among 12 (95 % interval 50.0 to 70.0 %; chance 50.0 %, of "
        "permuted labels; p = 0.005); what limits it, too: "
    )
    assert said.count(". ") == 0
    assert "blinks and gaze (no blinks)" in text.partition("What could not be?")[2][:40]
    for found in (
        "Left, reliability",
        "99 permutations of units of 4 events",
        "By word",
        "By block",
        "by drawing from 20 units of neighbouring events, each of at least 4",
        "0.500 to 0.700",
        "What the words mean",
    ):
        assert found in text
    assert "Not in this model" in text  # encoding
    assert "Not measured (`rt-calibrate fit --encode` does it)" in text  # learning curve
    assert "Ideas" not in text  # events that name none


@pytest.mark.parametrize(
    ("changed", "limit"),
    [
        ({"p": 0.4}, "no evidence that brain and words are related was found"),
        ({"p": 0.2, "p_smallest": 0.2}, "so few units that nothing can be shown"),
        ({"n": 12}, "it is tested on 12 events only"),
        ({"bits_per_word": -0.1}, "it tells nothing beyond the prior"),
        ({"calibration_error": 0.12}, "its probabilities are 0.12 from the share that is right"),
    ],
)
def test_what_limits_a_model_is_told(changed: dict[str, float], limit: str) -> None:
    final = SCORED | {"rank_accuracy": 0.6} | changed
    shown = Shown(certified(split=SPLIT, final=final, out_of_fold=INNER))
    assert any(limit in one for one in limits(shown))
    if "p" in changed:
        assert verdict(shown).startswith("Not shown to be above chance")


def test_controls_that_do_as_well_weaken_the_verdict() -> None:
    scored = {"split": SPLIT, "final": SCORED | {"rank_accuracy": 0.6}, "out_of_fold": INNER}
    assert verdict(Shown(certified(**scored))).startswith("Above chance: ")
    nulls = {
        "phases": {"p": 0.01, "p_smallest": 0.01},
        "circular_shift": {"p": 0.1, "p_smallest": 0.1},
        "prior": {"p": 0.058, "p_smallest": 0.001},
    }
    shown = Shown(certified(**scored, nulls=nulls))
    clause = (
        "it is not told apart from labels shifted in time (p = 0.1, the smallest that so few events "
        "allow) and the prior alone (p = 0.058)"
    )
    assert verdict(shown).startswith(f"Weakly above chance, as {clause}: on 80 events")
    assert clause in limits(shown)
    assert verdict(shown).count(clause) == 1
    tested = Shown(shown.model, scores=scored["final"])  # nulls are of the fit
    assert verdict(tested).startswith("Above chance: ")


def test_what_words_look_like_is_a_limit_with_what_remains() -> None:
    alone, beyond = {"rank_accuracy": 0.588, "p": 0.001}, {"rank_accuracy": 0.57, "p": 0.002}
    nuisance = {"covariates": ["length", "frequency"], "alone": alone, "beyond": beyond}
    scored = {"split": SPLIT, "final": SCORED | {"rank_accuracy": 0.6}, "out_of_fold": INNER}
    told = limits(Shown(certified(**scored, nuisance=nuisance)))
    said = "length and frequency alone tell words apart, too (rank accuracy 0.588, p = 0.001)"
    assert any(one == f"{said}, and without them 0.570 remains (p = 0.002)" for one in told)


def test_which_events_are_answered_is_said() -> None:
    intervals = {"answered": [0.2, 0.4]}
    locked = SCORED | {"answered": 0.3, "detail": {"intervals": intervals}}
    told = limits(Shown(certified(split=SPLIT, final=locked, out_of_fold=INNER)))
    of_locked = (
        "it answers 30 % (95 % interval 20 to 40 %) of the 80 events of the locked final block"
    )
    assert any(one.startswith(of_locked) for one in told)
    told = limits(Shown(certified(split=SPLIT, final=SCORED, out_of_fold=INNER)))
    assert any("25 % of the training events, out of fold" in one for one in told)


def test_only_cleaning_that_was_fitted_is_named() -> None:
    eye = {"rank": 1, "held_out": [{"blink_db": None, "eye_db": 12.0}]}
    references = {"RESP": {"kept": True}, "ECG": {"kept": False}}
    cleaning = {
        "eye": eye, "repair": {"bad": {}}, "regressors": {"references": references},
        "heartbeat": {"left_out": "no beats"},
    }  # fmt: skip
    done, left = cleaned(Shown(certified(cleaning=cleaning)))
    assert done == (
        "removing eye activity (blinks not measured) and what RESP records and repairing bad "
        "channels (none was)"
    )
    assert left == ["heartbeat"]


def test_an_old_reason_does_not_contradict_the_nulls() -> None:
    """Older models said that no reference explains anything also where none was recorded."""
    old = {"regressors": {"left_out": "no reference explains anything of the data"}}
    nulls = {"artifacts": {"note": "none recorded"}}
    scored = {"split": SPLIT, "final": SCORED, "out_of_fold": INNER, "cleaning": old}
    assert "no reference explains anything" in text_of(report_page(certified(**scored)))
    text = text_of(report_page(certified(**scored, nulls=nulls)))
    assert "no reference explains anything" not in text
    assert text.count("no reference channel was recorded, or none varies") == 3
    assert "this page was made from the model file alone" in text
    assert "here it is uniform: chance" in text


def test_the_top_says_of_whom_and_how_much() -> None:
    model = certified(data_hash=["a" * 64, "b" * 64])
    text = text_of(report_page(model))
    assert "subject not given" in text
    assert "2 recordings (a model file does not keep how long)" in text
    told = text_of(report_of(Shown(model, minutes=(7.25,))))
    assert "1 recording, 7.2 min" in told
    named = text_of(report_page(certified(subject="S07", people=PEOPLE, final=SCORED)))
    assert "subject S07" in named
    assert "2 people · " in text_of(report_page(certified(people=PEOPLE, final=SCORED)))


LEARNING = {
    "n_events": [40.0, 160.0, 400.0], "recorded": 8.0,
    "rank_accuracy": [[0.52, 0.5, 0.55], [0.57, 0.55, 0.6], [0.61, 0.59, 0.64]],
    "power_law": {"top": 0.7, "gain": 0.8, "rate": 0.4}, "minutes": {"0.6": [7.0, 5.0, 9.0]},
}  # fmt: skip
IDEAS = {
    "n": 30, "n_ideas": 5, "events": 4.0, "rank_accuracy": 0.57, "low": 0.53, "high": 0.61,
    "top1": 0.3, "chance_top1": 0.2, "p": 0.01, "p_smallest": 0.001, "single": 0.53, "items": 0.52,
    "permuted": 0.5, "permuted_spread": 0.02, "pooled": 0.56, "p_beyond": 0.3,
}  # fmt: skip
ANYTIME = [
    {"end": 0.2, "rank": 0.5, "bits": 0.0, "p": 0.5, "low": 0.4, "high": 0.6},
    {"end": 0.4, "rank": 0.6, "bits": 0.1, "p": 0.01, "low": 0.5, "high": 0.7},
]


def test_windows_nulls_and_what_nobody_foresaw_are_told() -> None:
    model = certified(
        split=SPLIT, final=SCORED, out_of_fold=INNER, anytime={"windows": ANYTIME, "earliest": 0.4},
        learning=LEARNING, ideas={"column": "category", "final": IDEAS, "out_of_fold": {}},
        nulls={"prior_alone": {"rank_accuracy": 0.51, "p": 0.4}}, odd={"key": [1, {"a": 2.5}]},
    )  # fmt: skip
    text = text_of(report_page(model))
    assert "Windows that end 0.4 s after the onset or later are above chance" in text
    assert "0.2 0.500 0.400 to 0.600 0.000 0.5 0.4 0.600" in text
    assert "after 40 events, 0.610 (0.590 to 0.640) after 400" in text
    assert "minutes of recording that it takes: for 0.6: 7.0 (5.0 to 9.0)" in text
    assert "prior alone 0.510 0.4" in text
    assert "5 of them. In the locked final block, ideas are above chance, but no more than" in text
    assert "locked final block 30 4.0 0.570 0.530 to 0.610 0.01" in text
    assert "odd key 1 1 key 2 a 2.5" in text


def test_patterns_and_encoding_are_drawn_on_the_head() -> None:
    model = certified(split=SPLIT, final=SCORED, out_of_fold=INNER)
    rng, p = np.random.default_rng(0), len(model.center)
    root = rng.standard_normal((p, p))
    model = replace(model, covariance=root @ root.T / p)
    table = decoder_strength(model)
    assert table.shape == (model.n_picks, p // model.n_picks)
    turn = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    turned = replace(model, weights=model.weights @ turn)
    np.testing.assert_allclose(decoder_strength(turned), table, rtol=1e-4)
    shape = (model.n_picks, 4)
    encoding = {
        "ch_names": list(model.info.ch_names[: model.n_picks]), "times": [0.1, 0.2, 0.3, 0.4],
        "r": rng.random(shape).tolist(), "p": rng.random(shape).tolist(),
        "strength": (1e-6 * rng.random(shape)).tolist(), "n_channels_above_chance": 2,
        "best": {"channel": "Cz", "time": 0.2, "r": 0.2, "low": 0.1, "high": 0.3, "p": 0.01},
    }  # fmt: skip
    model = replace(model, certificate={**model.certificate, "encoding": encoding})
    page = report_page(model)
    Structure(page)
    assert "positions of the channel names, 10-05 system" in page
    assert "Largest held-out r 0.200 (95 % interval 0.100 to 0.300; p = 0.01)" in text_of(page)
    names = ("Fp1", "EEG Cz", "Pz", "O2-REF", "odd")
    info = SignalInfo(100.0, names, ("eeg",) * 5, ("V",) * 5)
    (head,) = heads_of(info, 5)
    assert head.picks.tolist() == [0, 1, 2, 3]
    assert head.flat[0, 1] > head.flat[2, 1] > head.flat[3, 1]  # the nose is up
    assert heads_of(replace(info, ch_names=("a", "b", "c", "d", "e")), 5) == []


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
    Structure(out.read_text(encoding="utf-8"))
    text = text_of(out.read_text(encoding="utf-8"))
    for said in ("S07", "Locked final block", "prior alone", "Blinks and gaze", "two vs two"):
        assert said in text
    other = small_recording(session=2, seconds=40.0)
    save_recording(other, tmp_path / "new.xdf")
    ran = call(
        capsys, "evaluate", tmp_path / "new.xdf", "--events", tmp_path / "new.tsv", "--model",
        tmp_path / "m.rtd.safetensors", "--report", tmp_path / "test.html", program="calibration",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    assert "wrote test.html" in ran.out
    Structure((tmp_path / "test.html").read_text(encoding="utf-8"))
    text = text_of((tmp_path / "test.html").read_text(encoding="utf-8"))
    for said in (
        "Test of a model",
        "These recordings",
        "of the recordings that it was tested on",
    ):
        assert said in text


@pytest.mark.slow
def test_fit_keeps_an_encoding_where_it_is_asked_for(tmp_path: Path, capsys, monkeypatch) -> None:
    save_recording(small_recording(), tmp_path / "rec.xdf")
    monkeypatch.setattr(fit, "fit_model", partial(fit.fit_model, embedder=fake_embedder))
    out, model = tmp_path / "report.html", tmp_path / "m.rtd.safetensors"
    ran = call(
        capsys, "fit", tmp_path / "rec.xdf", "--events", tmp_path / "rec.tsv", "-o", model,
        "--stages", "[]", "--picks", "eeg", "--n-blocks", "4", "--n-permutations", "19",
        "--report", out, "--encode", program="calibration",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    assert "encoding: " in ran.out
    kept = load_model(model).certificate
    assert kept["encoding"]["best"]["r"] > 0.2
    assert np.shape(kept["encoding"]["r"]) == np.shape(kept["encoding"]["strength"])
    assert kept["learning"]["n_events"]
    text = text_of(out.read_text(encoding="utf-8"))
    for said in ("Largest held-out r", ", the network explains", "power law"):
        assert said in text
    assert "Not measured (`rt-calibrate fit --encode`" not in text
