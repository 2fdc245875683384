"""A recording added to a model, or taken out, against fitting again."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from calibration.design import build_design, draft_model
from calibration.events import label_recording
from calibration.fit import fit_model
from calibration.refit import add_recording, map_of_sums, only_person, remove_recording
from rt_decoder.decoding.features import scale_features
from rt_decoder.files.sums import Companion
from rt_decoder.timing.markers import MarkerRules
from tests.people import person
from tests.small import fake_embedder, small_recipe, small_recording


@pytest.fixture(scope="module", params=[(0.0, 1.0, 0), (1.0, 0.25, 0), (1.0, 1.0, 3)])
def fitted(request):
    whiten, power, rank = request.param
    recipe = small_recipe(
        features={"whiten": whiten}, target={"power": power}, fit={"final_block": 0.0, "rank": rank}
    )
    recordings = [small_recording(session=one, seconds=50) for one in (1, 2, 3)]
    draft = draft_model(recordings[:2], recipe)
    labelled = [label_recording(one, None, draft.recipe, MarkerRules()) for one in recordings]
    kept: list = []
    model = fit_model(
        draft, build_design(draft, labelled[:2]), data_hash=["a", "b"],
        embedder=fake_embedder, keep=kept.append,
    )  # fmt: skip
    return model, kept[0], build_design(draft, labelled[2:])


def same_map(one, other, tolerance: float) -> None:
    """The maps from features to embeddings agree; a basis may be turned."""
    for a, b in (
        (one.weights @ one.basis, other.weights @ other.basis),
        (one.offset @ one.basis, other.offset @ other.basis),
        (one.vectors, other.vectors),
        (one.target_mean, other.target_mean),
    ):
        np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max())


def test_sums_give_the_map_that_was_fitted(fitted):
    model, person, _ = fitted
    again = map_of_sums(model, person)
    same_map(again, model, 1e-5)
    size = np.linalg.norm(model.weights, axis=0)
    shown = size > 1e-3 * size.max()  # others are rounding
    for a, b in ((again.weights.T, model.weights.T), (again.basis, model.basis)):
        # signs are a convention, not an accident
        np.testing.assert_allclose(a[shown], b[shown], atol=1e-2 * np.abs(b).max())


def test_added_recording_equals_a_fit_on_all(fitted):
    model, person, third = fitted
    added, sums = add_recording(model, person, third, "c")
    X = scale_features(third.X, model.center, model.scale, model.recipe.features.clamp)
    np.testing.assert_allclose(
        sums.gram, person.gram + X.astype(float).T @ X.astype(float), rtol=1e-12
    )
    # ridge by the normal equations of all events, written anew
    chosen, n = sums.chosen, sums.counts.sum()
    assert n == person.counts.sum() + len(third.labels)
    step = added.certificate["refit"][-1]
    assert step["before"]["n"] <= len(third.labels)
    assert step["before"]["rank_accuracy"] > 0.5
    assert added.posterior == model.posterior
    assert chosen == person.chosen
    back, restored = remove_recording(added, sums, "c")
    assert restored.hashes == ("a", "b")
    again = map_of_sums(model, person)
    for name in ("weights", "offset", "basis", "vectors", "target_mean", "covariance"):
        assert np.array_equal(getattr(back, name), getattr(again, name))


def test_an_item_counts_as_trained_once_a_recording_has_it(fitted):
    """A model that never heard the first item, then does, then forgets it again."""
    from calibration.unseen import seen_items

    model, person, third = fitted
    without = tuple(
        replace(
            one,
            counts=np.where(np.arange(len(one.counts)) == 0, 0.0, one.counts),
            sums=one.sums[int(one.counts[0] > 0) :],
        )
        for one in person.recordings
    )
    deaf = person.with_recordings(without)
    before = replace(model, certificate={**model.certificate, "trained": list(range(1, 12))})
    assert not seen_items(before)[0]
    added, sums = add_recording(before, deaf, third, "c")
    assert seen_items(added).all()
    back, _ = remove_recording(added, sums, "c")
    assert np.flatnonzero(~seen_items(back)).tolist() == [0]


def test_map_of_sums_equals_refitting_every_event():
    """Against `fit_map` on the events themselves, alpha fixed."""
    from calibration.mapping import fit_map
    from calibration.targets import Targets
    from tests.people import ITEMS, VECTORS, draft

    one = person(3, n=480)
    sums = one.companion.people[0]
    base = draft()
    recipe = replace(base.recipe, fit=replace(base.recipe.fit, alphas=(100.0,), purge=0.0))
    vectors = VECTORS.astype(np.float32).astype(float)
    targets = Targets(ITEMS, vectors, vectors[one.truth], one.truth)
    X = scale_features(one.X, sums.center, sums.scale, recipe.features.clamp)
    groups, onsets = np.arange(480) // 24, np.arange(480) * 10.0
    refitted, _ = fit_map(
        replace(base, center=sums.center, scale=sums.scale), X, targets, groups, onsets,
        recipe, lambda _: None,
    )  # fmt: skip
    same_map(map_of_sums(one.model, sums), refitted, 1e-6)


def test_refusals(fitted):
    model, person, third = fitted
    with pytest.raises(ValueError, match="not in the model yet"):
        add_recording(model, person, third, "a")
    with pytest.raises(ValueError, match="that is in the model"):
        remove_recording(model, person, "c")
    with pytest.raises(ValueError, match="the only one"):
        remove_recording(model, person.with_recordings(person.recordings[:1]), "a")
    with pytest.raises(ValueError, match="items are in the vocabulary"):
        add_recording(model, person, replace(third, labels=("x",) * len(third.labels)), "c")
    with pytest.raises(ValueError, match="a group of 2"):
        only_person(Companion((person, person), "").people)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model fitted on one XDF session by the command, and two sessions."""
    from rt_decoder.files.model_file import model_hash, save_model
    from rt_decoder.files.outputs import companion_path
    from rt_decoder.files.sums_file import save_sums

    folder = tmp_path_factory.mktemp("refit")
    recipe = small_recipe(
        stream={"picks": ["eeg"]}, features={"whiten": 1.0}, fit={"final_block": 0.0}
    )
    paths = [write_csv(folder, one) for one in (1, 2, 3)]
    from calibration.events import load_labelled
    from calibration.identity import hash_files

    labelled = load_labelled(
        [paths[0][0]], [paths[0][1]], recipe, MarkerRules().for_target(recipe.target), units="uV"
    )
    draft = draft_model([labelled[0].recording], recipe)
    kept: list = []
    model = fit_model(
        draft, build_design(draft, labelled), data_hash=hash_files([paths[0][0]]),
        embedder=fake_embedder, keep=kept.append,
    )  # fmt: skip
    path = folder / "me.rtd.safetensors"
    save_model(model, path)
    save_sums(Companion(tuple(kept), model_hash(model)), companion_path(path))
    return folder, path, paths


def write_csv(folder, session: int):
    """A session as CSV with its events table."""
    recording = small_recording(session=session, seconds=40)
    keep = [i for i, kind in enumerate(recording.info.ch_types) if kind == "eeg"]
    path = folder / f"s{session}.csv"
    names = ["timestamps", *(recording.info.ch_names[i] for i in keep)]
    table = np.column_stack((recording.times, recording.data[:, keep] * 1e6))
    np.savetxt(path, table, delimiter=",", header=",".join(names), comments="", fmt="%.9g")
    events = folder / f"s{session}.tsv"
    rows = [f"{m.time:.6f}\t0\t{m.label}" for m in recording.markers if m.label.startswith("word")]
    events.write_text("\n".join(["onset\tduration\ttrial_type", *rows]) + "\n")
    return path, events


def scores_of(capsys, model, files):
    """Scores of a model on a recording, by the command."""
    from tests.small import call

    recording, table = files
    ran = call(
        capsys, "evaluate", recording, "--events", table, "--model", model, "--json", "--units",
        "uV", program="calibration",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    return json.loads(ran.out.splitlines()[-1])["scores"]


def test_refit_command_adds_and_takes_out(files, capsys):
    from rt_decoder.files.model_file import load_model
    from tests.small import call

    folder, path, paths = files
    second, table = paths[1]
    out, back = folder / "two.rtd.safetensors", folder / "back.rtd.safetensors"
    reading = ("--units", "uV")
    ran = call(
        capsys, "refit", path, second, "--events", table, "-o", out, "--json", *reading,
        program="calibration",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "like calibration: " in ran.out
    before = json.loads(ran.out.splitlines()[-1])["refit"]["before"]
    evaluated = scores_of(capsys, path, paths[1])
    for name in ("n", "rank_accuracy", "bits_per_word", "calibration_error"):
        assert before[name] == pytest.approx(evaluated[name], abs=1e-4)
    alone, both = (scores_of(capsys, one, paths[2])["rank_accuracy"] for one in (path, out))
    assert both > alone  # the same person's second session
    twice = call(
        capsys, "refit", out, second, "--events", table, "-o", folder / "x.rtd.safetensors",
        *reading, program="calibration",
    )  # fmt: skip
    assert twice.code == 1
    assert "already; --remove takes it out" in twice.err
    gone = call(capsys, "refit", out, second, "--remove", "-o", back, program="calibration")
    assert gone.code == 0, gone.err
    same_map(load_model(back), load_model(path), 1e-5)
    missing = call(
        capsys, "refit", back, second, "--remove", "-o", out, "--overwrite", program="calibration"
    )
    assert missing.code == 1
    assert "got one that is not" in missing.err


def test_a_recording_with_other_labels_is_refused_unless_forced(files, capsys):
    from rt_decoder.files.model_file import load_model
    from tests.small import call

    folder, path, paths = files
    second, table = paths[1]
    head, *rows = table.read_text().splitlines()
    onsets, words = [row.split("\t")[0] for row in rows], [row.split("\t")[2] for row in rows]
    others = np.random.default_rng(0).permutation(words)
    lines = [f"{onset}\t0\t{word}" for onset, word in zip(onsets, others, strict=True)]
    wrong = folder / "wrong.tsv"
    wrong.write_text("\n".join([head, *lines]) + "\n")
    out = folder / "harmed.rtd.safetensors"
    common = (path, second, "--events", wrong, "-o", out, "--units", "uV")
    ran = call(capsys, "refit", *common, program="calibration")
    assert ran.code == 1
    assert not out.exists()
    for told in ("need a recording of the same person", path.name, second.name, "guessing"):
        assert told in ran.err
    forced = call(capsys, "refit", *common, "--force", program="calibration")
    assert forced.code == 0, forced.err
    assert load_model(out).certificate["refit"][-1]["forced"] is True
    told = call(capsys, "inspect", out).out
    assert "forced though it only guesses" in told
    assert "the certificate is of the model before" in told


def test_recording_without_the_column_of_groups_is_added(files, capsys):
    """The fit held groups out; a refit holds nothing out, and gives the same map."""
    from rt_decoder.files.model_file import load_model, save_model
    from rt_decoder.files.outputs import companion_path
    from rt_decoder.files.sums_file import load_sums, save_sums
    from tests.small import call

    folder, path, (_, (second, table), _) = files
    plain = load_model(path)
    recipe = replace(plain.recipe, fit=replace(plain.recipe.fit, groups="block"))
    grouped, paths = folder / "grouped.rtd.safetensors", [folder / "a.rtd.safetensors"]
    digest = save_model(replace(plain, recipe=recipe), grouped)
    people = load_sums(companion_path(path)).people
    save_sums(Companion(people, digest), companion_path(grouped))
    paths.append(folder / "b.rtd.safetensors")
    for model, out in zip((path, grouped), paths, strict=True):
        ran = call(
            capsys, "refit", model, second, "--events", table, "-o", out, "--units", "uV",
            program="calibration",
        )  # fmt: skip
        assert ran.code == 0, ran.err
    one, other = (load_model(out) for out in paths)
    same_map(one, other, 0.0)
    assert other.recipe.fit.groups == "block"


def test_targets_in_context_are_refused_with_the_reason(fitted):
    _, person, _ = fitted
    target = dict(person.layout["target"]) | {"context": "sentence"}
    contextual = replace(person, layout=dict(person.layout) | {"target": target})
    with pytest.raises(ValueError, match="a companion keeps no sums; fit again"):
        only_person(Companion((contextual,), "").people)
