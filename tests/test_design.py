"""Designs from recordings and events: each row is what the live stages see, with its own label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.design import build_design, draft_model
from calibration.events import Event, label_recording
from rt_decoder.decoding.features import scale_features
from rt_decoder.files.events import EventRow
from rt_decoder.model import Model
from rt_decoder.pipeline import Pipeline
from rt_decoder.recorded import features_of_recording
from rt_decoder.signal import FLAGS, Chunk, Marker, Reason
from rt_decoder.timing.markers import MarkerRules
from tests.small import CODES, fit_small, small_recipe, small_recording

ONE, TWO = small_recording(seconds=10.0), small_recording(seconds=8.0, session=2)
RULES = MarkerRules()


def design(*recordings, recipe=None, rules=RULES):
    recipe = recipe or small_recipe()
    draft = draft_model(recordings, recipe)
    return build_design(draft, [label_recording(r, None, recipe, rules) for r in recordings])


def test_rows_equal_the_features_of_the_live_pipeline() -> None:
    found = design(ONE)
    draft = draft_model([ONE], small_recipe())
    pipeline = Pipeline(draft)
    for marker in ONE.markers:
        pipeline.mark(marker)
    n, c = len(ONE.data), 8
    chunk = Chunk(ONE.data[:, :c], ONE.stamps, 0, np.zeros(n, FLAGS), np.zeros((n, c), FLAGS))
    rows = [f.values.copy() for _, _, f in pipeline.push_features(chunk)]
    assert found.X.tobytes() == np.stack(rows).tobytes()
    assert found.labels == tuple(marker.label for marker in ONE.markers)
    np.testing.assert_allclose(found.onsets, [m.time for m in ONE.markers], atol=1e-9)
    assert found.n_dropped == 0


def test_a_fitted_model_makes_the_rows_that_its_draft_made() -> None:
    recipe = small_recipe(fit={"final_block": 0.0, "n_blocks": 2})
    model = fit_small(small_recording(), recipe)
    labelled = [label_recording(TWO, None, recipe, RULES)]
    draft = build_design(draft_model([ONE], recipe), labelled)
    assert build_design(model, labelled).X.tobytes() == draft.X.tobytes()
    features = model.recipe.features
    scaled = scale_features(draft.X, model.center, model.scale, features.clamp)
    np.testing.assert_allclose(
        build_design(model, labelled, scaled=True).X, scaled, rtol=1e-5, atol=1e-5
    )


def test_what_is_not_scaled_is_not_clamped() -> None:
    """The log power of microvolts is below -10 in SI units."""
    features = {"kind": "bandpower", "bands": [[8.0, 13.0]], "clamp": 3.0}
    found = design(ONE, recipe=small_recipe(features=features))
    assert found.X.max() < -3
    assert (found.X.std(axis=0) > 0).all()


def test_recordings_lie_far_apart_on_one_axis() -> None:
    both = design(ONE, TWO)
    n = len(ONE.markers)
    assert both.run.tolist() == [0] * n + [1] * len(TWO.markers)
    assert (np.diff(both.onsets) > 0).all()
    assert both.onsets[n] - both.onsets[n - 1] > 3600
    assert both.X[:n].tobytes() == design(ONE).X.tobytes()  # no state carries over
    moved = tuple(m._replace(time=m.time - 1e5) for m in TWO.markers)  # another machine's clock
    apart = design(ONE, replace(TWO, correction=-1e5, markers=moved))
    np.testing.assert_allclose(apart.onsets, both.onsets, atol=1e-6)


def test_events_without_a_whole_window_are_dropped_and_counted() -> None:
    outside = (Marker("first", 0.0, 0), *ONE.markers, Marker("last", 9.9, 2475))
    recipe = small_recipe(features={"tmin": -0.1, "tmax": 0.7})
    found = design(replace(ONE, markers=outside), recipe=recipe)
    assert found.n_dropped == 2
    assert found.labels == tuple(marker.label for marker in ONE.markers)


def test_bad_windows_are_dropped() -> None:
    data = ONE.data.copy()
    at = ONE.markers[3].index
    data[at : at + 150, 2] = np.inf
    found = design(replace(ONE, data=data))
    assert found.n_dropped >= 1
    assert len(found.labels) + found.n_dropped == len(ONE.markers)


def test_windows_that_are_bad_for_muscle_alone_train_and_are_not_answered(monkeypatch) -> None:
    plain = design(ONE)
    assert plain.answered.all()
    real = features_of_recording

    def with_muscle(*arguments, **keywords):
        for number, (marker, features) in enumerate(real(*arguments, **keywords)):
            bits = {1: Reason.MUSCLE, 3: Reason.MUSCLE | Reason.RAIL}.get(number, 0)
            yield marker, features._replace(good=0.5, reasons=int(bits)) if bits else features

    monkeypatch.setattr("calibration.design.features_of_recording", with_muscle)
    found = design(ONE)
    assert found.n_dropped == plain.n_dropped + 1  # the one at its rail
    assert np.flatnonzero(~found.answered).tolist() == [1]
    np.testing.assert_array_equal(found.X[1], plain.X[1])
    live = found.answered_only()
    assert live.answered.all()
    assert live.n_dropped == found.n_dropped + 1
    assert live.labels == (*plain.labels[:1], *plain.labels[2:3], *plain.labels[4:])
    np.testing.assert_array_equal(live.X, np.delete(plain.X, [1, 3], axis=0))


def test_triggers_give_the_same_rows() -> None:
    rules = MarkerRules(trigger="TRIG", names=CODES)
    by_trigger, by_marker = design(ONE, rules=rules), design(ONE)
    assert by_trigger.X.tobytes() == by_marker.X.tobytes()
    assert by_trigger.labels == by_marker.labels


def test_ideas_come_from_the_column_named_else_from_the_first_that_is_known() -> None:
    cells = {"sentence": "s", "category": "n/a", "theme": "t"}
    rows = [EventRow(m.time, m.label, cells) for m in ONE.markers]
    by_default = label_recording(ONE, rows, small_recipe(), RULES)
    assert {event.idea for event in by_default.events} == {""}  # n/a: of no category
    by_name = label_recording(ONE, rows, small_recipe(fit={"ideas": "theme"}), RULES)
    assert {event.idea for event in by_name.events} == {"t"}
    with pytest.raises(ValueError, match="need a column topic"):
        label_recording(ONE, rows, small_recipe(fit={"ideas": "topic"}), RULES)
    assert design(ONE).ideas is None


def test_groups_and_contexts_follow_their_event() -> None:
    recipe = small_recipe(fit={"groups": "sentence"}, target={"context": "text", "names": {}})
    rows = [
        EventRow(m.time, m.label, {"sentence": str(i // 4), "text": f"text {i // 4}"})
        for i, m in enumerate(ONE.markers)
    ]
    labelled = label_recording(ONE, rows, recipe, RULES)
    assert labelled.events[5] == Event("1", ("text 1", 1), idea="1")
    found = build_design(draft_model([ONE], recipe), [labelled])
    assert found.groups == tuple(f"0/{i // 4}" for i in range(len(rows)))
    assert found.contexts == tuple((f"text {i // 4}", i % 4) for i in range(len(rows)))
    assert found.ideas == tuple(str(i // 4) for i in range(len(rows)))


def test_the_contract_holds_the_picks() -> None:
    draft = draft_model(
        [ONE], small_recipe(stream={"picks": ["Cz", "eog", "Cz"], "reference": "none"})
    )
    assert draft.info.ch_names == ("Cz", "VEOG", "HEOG")
    data = ONE.data[:, [ONE.info.ch_names.index(n) for n in draft.info.ch_names]]
    np.testing.assert_allclose(draft.channel_scale, np.abs(np.diff(data, axis=0)).mean(axis=0))
    with pytest.raises(ValueError, match="need a channel C7, got Fz"):
        draft_model([ONE], small_recipe(stream={"picks": ["C7"]}))


def test_units_are_converted_to_si() -> None:
    micro = replace(ONE, data=ONE.data * 1e6, info=replace(ONE.info, units=("uV",) * 12 + ("n/a",)))
    one, other = draft_model([ONE], small_recipe()), draft_model([micro], small_recipe())
    assert other.info.units == ("V",) * 8
    np.testing.assert_allclose(other.channel_scale, one.channel_scale)


def test_features_have_a_usable_default_width() -> None:
    draft = draft_model([ONE], small_recipe())
    assert draft.recipe.features.decim == 12  # 50 ms
    power = draft_model([ONE], small_recipe(features={"kind": "bandpower", "tmax": 1.0}))
    assert power.recipe.features.decim == 250  # the whole window


def one_channel(reference: str) -> Model:
    picks = {"stream": {"picks": [ONE.info.ch_names[0]], "reference": reference}}
    return draft_model([ONE], small_recipe(**picks))


def test_an_average_of_one_channel_is_refused() -> None:
    assert one_channel("none").n_picks == 1
    with pytest.raises(
        ValueError, match=r"need two eeg channels or more .* set reference = 'none'"
    ):
        one_channel("average")


def test_mains_are_those_that_the_recordings_state() -> None:
    in_60, in_50 = (replace(ONE, line_freq=freq, name=f"{freq:g}") for freq in (60.0, 50.0))
    open_, set_ = small_recipe(), small_recipe(stream={"line_freq": 50.0})
    line = lambda runs, recipe: draft_model(runs, recipe).recipe.stream.line_freq  # noqa: E731
    assert line([ONE], open_) == line([in_50, ONE], open_) == line([in_50], set_) == 50
    assert line([ONE, in_60], open_) == 60
    with pytest.raises(ValueError, match="need one mains frequency, got 60 60 Hz, 50 50 Hz"):
        line([in_60, in_50], open_)
    with pytest.warns(RuntimeWarning, match=r"mains of 50 Hz, the recordings state others \(60 60"):
        assert line([in_60], set_) == 50


def test_eeg_that_is_none_by_its_name_is_said() -> None:
    info = ONE.info
    names = ("VEOGR", *info.ch_names[1:])
    other = replace(ONE, info=replace(info, ch_names=names))
    with pytest.warns(
        RuntimeWarning, match="VEOGR are EEG by their file, though not by their names"
    ):
        draft_model([other], small_recipe())
