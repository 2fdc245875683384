"""The fit of the cleaning chain: from recordings to the stages of a model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.cleaning.chain import fit_cleaning
from calibration.cleaning.seen import Seen, cues, onsets, unlocked_share
from calibration.cleaning.stages import FITS
from calibration.design import build_design
from calibration.events import Event
from rt_decoder.files.decisions import Restart
from rt_decoder.files.model_file import load_model, model_hash, save_model
from rt_decoder.files.recording import Recording
from rt_decoder.model import Model
from rt_decoder.pipeline import Pipeline
from rt_decoder.recipe import STAGES, Fit
from rt_decoder.recorded import decode_recording
from rt_decoder.signal import Marker, ModelMismatch
from tests.cleaned import drafted, fitted, labelled, scene, without_channels
from tests.small import WORDS, random_model, small_recipe, small_recording, timeless


def decoded(model: Model, recording: Recording, **kwargs: Any) -> list[tuple[Any, ...]]:
    return timeless(list(decode_recording(model, recording, recording.markers, **kwargs)))


@pytest.fixture(scope="module")
def test_scene() -> Recording:
    return scene(session=2, seconds=12.0, cued=False)


def test_every_stage_is_fitted_and_reported() -> None:
    model, report = fitted()
    assert tuple(model.cleaning) == STAGES
    assert tuple(report) == STAGES
    for stage, found in report.items():
        assert "left_out" not in found, stage
        assert found["fitted_on_s"] == 60.0
    json.dumps(report, allow_nan=False)  # a certificate is stored as JSON
    assert set(Pipeline(model).stages) == {"guard", "filter", "rereference", *STAGES}


def test_a_saved_model_gives_the_same_answers(tmp_path: Path, test_scene) -> None:
    model, report = fitted()
    model = replace(model, certificate={"cleaning": report})
    path = tmp_path / "m.rtd.safetensors"
    digest = save_model(model, path)
    loaded = load_model(path)
    assert digest == model_hash(model) == model_hash(loaded)
    assert loaded.certificate["cleaning"] == json.loads(json.dumps(report))
    answers = decoded(model, test_scene)
    assert len(answers) > 10
    assert decoded(loaded, test_scene) == answers
    assert decoded(loaded, test_scene) != decoded(replace(loaded, cleaning={}), test_scene)


def test_a_reference_that_no_stage_uses_may_be_missing(test_scene) -> None:
    """The eye stage uses EOG channels in calibration, but not live."""
    model, _ = fitted()
    assert model.optional == {"VEOG", "HEOG"}
    lacking = without_channels(test_scene, "VEOG", "HEOG")
    with pytest.warns(RuntimeWarning, match="reference HEOG is left out: it is missing"):
        of_lacking = decoded(model, lacking)
    assert of_lacking == decoded(model, test_scene)
    with pytest.raises(ModelMismatch, match="need channel ECG"):
        decoded(model, without_channels(test_scene, "ECG"))


def test_a_stage_left_out_has_a_reason() -> None:
    short = scene(session=3, seconds=6.0, cued=False)
    model, report = fit_cleaning(drafted(short), [labelled(short)])
    left_out = {name: found["left_out"] for name, found in report.items() if "left_out" in found}
    assert set(model.cleaning) == set(STAGES) - set(left_out)
    assert {"eye", "regressors", "heartbeat"} <= set(left_out)
    assert "need" in left_out["eye"]
    assert "s of good samples" in left_out["regressors"]
    assert all(left_out.values())


def test_without_references_the_other_stages_are_fitted() -> None:
    bare = without_channels(scene(), "VEOG", "HEOG", "ECG", "RESP")
    model, report = fit_cleaning(drafted(bare), [labelled(bare)])
    assert model.references == ()
    assert "no reference" in report["regressors"]["left_out"]
    assert {"muscle", "repair", "eye"} <= set(model.cleaning)


def test_only_stages_in_the_recipe_are_fitted() -> None:
    draft = drafted(scene(), ["repair"])
    model, report = fit_cleaning(draft, [labelled(scene())])
    assert list(model.cleaning) == list(report) == ["repair"]
    same, nothing = fit_cleaning(drafted(scene(), []), [labelled(scene())])
    assert same.cleaning == nothing == {}


@pytest.mark.slow
def test_samples_after_the_share_do_not_matter() -> None:
    """No bit of the model depends on them."""
    recording = scene()
    draft = drafted(recording)
    changed = recording.data.copy()
    n_seen = round(0.6 * len(changed))
    changed[n_seen:] = 1e-4 * np.random.default_rng(0).standard_normal(changed[n_seen:].shape)
    kept = []
    early = tuple(marker for marker in recording.markers if marker.index < n_seen)
    for data, markers in ((recording.data, recording.markers), (changed, early)):
        session = labelled(replace(recording, data=data, markers=markers))
        kept.append(fit_cleaning(draft, [session], share=0.6))
    assert model_hash(kept[0][0]) == model_hash(kept[1][0])
    assert kept[0][1] == kept[1][1]
    assert len(kept[0][0].cleaning) >= 4


def test_cues_serve_the_eye_stage_and_are_not_words() -> None:
    model, report = fitted()
    recording = scene()
    assert any(marker.label.startswith("cue/") for marker in recording.markers)
    assert report["eye"]["way"] == "cued"
    uncued = tuple(m for m in recording.markers if not m.label.startswith("cue/"))
    session = labelled(replace(recording, markers=uncued))
    _, without = fit_cleaning(drafted(recording, ["eye"]), [session])
    assert without["eye"]["way"] != "cued"
    design = build_design(model, [labelled(recording)])
    assert set(design.labels) <= set(WORDS)
    assert len(design.labels) + design.n_dropped == len(uncued)


def test_cues_last_until_the_next_cue() -> None:
    recording = scene()
    marks = [("cue/blink", 5.0), ("cue/rest", 9.0), ("word1", 12.0), ("cue/saccade", 20.0)]
    marks += [("cue/unknown", 55.0)]
    markers = tuple(Marker(label, time, round(250 * time)) for label, time in marks)
    model = drafted(recording)
    seen = Seen(model, [labelled(replace(recording, markers=markers))], "muscle")
    found = [(span.kind, span.start / 250, span.stop / 250) for span in cues(seen)]
    assert found == [("blink", 5.0, 9.0), ("rest", 9.0, 20.0), ("saccade", 20.0, 40.0)]
    np.testing.assert_array_equal(onsets(seen), [3000])


def pulsed(sfreq: float, *, lost: slice = slice(0, 0), at: int = 0) -> Recording:
    """Make a spike at each marker; some rows are lost, or the stream is back from row `at` on."""
    recording = scene(sfreq=sfreq)
    rows = np.setdiff1d(np.arange(round(6 * sfreq), len(recording.data), round(1.7 * sfreq)), lost)
    data = np.zeros(recording.data.shape)
    data[:, :12] = 1e-6 * np.random.default_rng(0).standard_normal((len(data), 12))
    data[rows, 0] = 5e-5
    kept = np.delete(np.arange(len(data)), lost)
    rows = rows[np.isin(rows, kept)]
    markers = tuple(Marker("word1", row / sfreq) for row in rows.tolist())
    decisions = (Restart(at),) if at else ()
    return replace(
        recording, data=data[kept], stamps=recording.stamps[kept], markers=markers,
        decisions=decisions,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("recording", "late"),
    [
        (pulsed(250.0), 0),
        (pulsed(250.0, lost=slice(5000, 5300)), 0),
        (pulsed(250.0, at=6321), 0),
        (pulsed(500.0), 1),
    ],
    ids=["plain", "gap", "stream lost and back", "twice the rate"],
)
def test_event_rows_match_their_samples(recording, late) -> None:
    """In the samples that a stage is fitted on, whatever happened to the index."""
    model = drafted(scene())
    seen = Seen(model, [labelled(recording)] * 2, "muscle")
    rows = onsets(seen)
    assert len(rows) >= 2 * len(recording.markers) - 4  # a hop or two are lost at each seam
    near = seen.samples.data[rows[:, None] + np.arange(-6, 7), 0]
    peak = np.argmax(np.abs(near), axis=1) - 6
    assert np.abs(peak).max() <= late


def test_samples_before_settling_are_bad() -> None:
    recording = pulsed(250.0, lost=slice(5000, 5300))
    model = drafted(scene())
    seen = Seen(model, [labelled(recording)], "repair").samples
    n_settle = round(250 * sum(s.settling for s in Pipeline(model).stages.values()))
    indices = np.array([index for _, index in seen.rows])
    # the index jumps half a second after the loss, when the loss was certain
    (jump,) = np.flatnonzero(np.diff(indices) > 100)
    ((back, _),) = seen.rows[0, indices[jump + 1]]
    assert 0 < back - 5000 < 150
    for start, stop in ((0, n_settle), (5000, back + n_settle)):
        assert seen.bad[start + 2 : stop].all()
        assert not seen.bad[stop + 5 :][:200].any()
    assert not seen.bad[4700:5000].any()


def test_the_share_ends_before_the_first_locked_event() -> None:
    """If events end early, a plain share of the samples would include locked ones."""
    recording = scene()
    markers = tuple(Marker("word1", float(t), round(250 * t)) for t in np.arange(5, 25))
    session = labelled(replace(recording, markers=markers))
    fit = Fit(final_block=0.25, n_blocks=4, purge=2.0)
    assert unlocked_share([session], fit) == pytest.approx((20.0 - 2.0) / 60.0)
    assert unlocked_share([session], replace(fit, final_block=0.0)) == 1.0
    assert unlocked_share([session, session], replace(fit, n_blocks=2)) == pytest.approx(
        (60.0 + 15.0 - 2.0) / 120.0
    )
    grouped = replace(session, events=tuple(Event(str(k // 8)) for k in range(20)))
    by_group = replace(fit, groups="sentence", purge=0.0)
    assert unlocked_share([grouped], by_group) == pytest.approx((5.0 + 16.0) / 60.0)
    trigger = replace(session, markers=(), events=())
    for offset in (-1e4, 1e4):  # markers are on the clock of the machine that recorded
        moved = tuple(marker._replace(time=marker.time + offset) for marker in markers)
        apart = labelled(replace(recording, markers=moved, correction=offset))
        assert unlocked_share([apart], fit) == pytest.approx((20.0 - 2.0) / 60.0)
    assert unlocked_share([trigger], fit) == 0.75


def test_a_share_without_samples_is_refused() -> None:
    recording = scene()
    with pytest.raises(ValueError, match="at least one hop"):
        fit_cleaning(drafted(recording), [labelled(recording)], share=0.0)


def test_the_eye_stage_needs_no_events() -> None:
    silent = replace(scene(), markers=())
    model, report = fit_cleaning(drafted(silent), [labelled(silent)])
    assert "eye" in model.cleaning, report["eye"]


def test_a_readout_names_what_was_wrong_with_the_channels(test_scene) -> None:
    """A pop in one channel is repaired; rails in all spoil the sample, and are named."""
    model, info = fitted()[0], test_scene.info
    data = test_scene.data.copy()
    eeg = [k for k, kind in enumerate(info.ch_types) if kind == "eeg"]
    data[1000:1100, eeg[3]] = data[2000:2250, eeg] = 0.1
    recording = replace(test_scene, data=data)
    onsets = [Marker("word", row / info.sfreq, row) for row in (950, 1950)]
    one, every = decode_recording(model, recording, onsets)
    assert one.corrected[0] > 0.3
    assert one.reasons == ()
    assert every.abstained
    assert {"rail", "bad_channel"} <= set(every.reasons)


@pytest.mark.parametrize("size", [60e-6, 0.0])
def test_the_adaptive_canceller_is_measured(size: float) -> None:
    """Mains are taken out, activity beside them is kept; absent mains are reported as absent."""
    recording = small_recording()
    data = 1e-5 * np.random.default_rng(0).standard_normal(recording.data.shape)
    seconds = np.arange(len(data)) / recording.info.sfreq
    data += size * np.sin(2 * np.pi * 50.03 * seconds)[:, None]
    recipe = small_recipe(
        stream={"line_freq": 50.0},
        filter={"h_freq": 60.0},
        clean={"stages": [], "mains": "adaptive"},
    )
    recording = replace(recording, data=data)
    _, report = fit_cleaning(random_model(recording, recipe), [labelled(recording)])
    found = report["mains"]
    freqs, taken, kept = FITS["mains"].summary(found)
    assert freqs == "50 Hz, 100 Hz"
    assert "100 Hz absent" in taken
    assert kept.count("%") == 2
    np.testing.assert_allclose(found["preserved"], 1.0, atol=0.1)
    first, second = found["attenuation_db"]
    assert second is None
    if size:
        assert first > 20.0
        assert f"50 Hz at least {first:.1f} dB" in taken
    else:
        assert first is None


@pytest.mark.parametrize("n", [2, 4, 7])
def test_what_is_fitted_on_few_channels_can_be_used(n: int, tmp_path: Path) -> None:
    """A headband has four electrodes, fewer than a channel has neighbors in a cap."""
    whole = scene()
    eeg = [name for name, kind in zip(whole.info.ch_names, whole.info.ch_types, strict=True)
           if kind == "eeg"]  # fmt: skip
    few = without_channels(whole, *eeg[n:])
    model, _ = fit_cleaning(drafted(few), [labelled(few)])
    save_model(model, tmp_path / "m.rtd.safetensors")
    assert set(Pipeline(load_model(tmp_path / "m.rtd.safetensors")).stages) >= {"guard", "muscle"}
