"""Companions, the prior of other people, and group models, on simulated people."""

from __future__ import annotations

import stat
from dataclasses import replace

import numpy as np
import pytest

from calibration.evaluate import evaluate
from calibration.left_out import draw_trials, permute_items, sign_flip_p
from calibration.pool import pool_models
from calibration.report.text import certificate_lines
from calibration.scores import cosine, rank_accuracy
from calibration.sums import layout_of, moments
from calibration.transfer import Wanted, prior_of, shared_sums
from rt_decoder.decoding.features import robust_scale, scale_features
from rt_decoder.decoding.whitening import whitener
from rt_decoder.files.model_file import ModelCorrupt, model_hash, save_model
from rt_decoder.files.outputs import companion_path
from rt_decoder.files.proof import check_proven, why_unproven
from rt_decoder.files.sums import Companion, unfolded
from rt_decoder.files.sums_file import load_sums, save_sums
from tests.people import ITEMS, N_ITEMS, Person, draft, person, positions, trials
from tests.small import call


@pytest.fixture(scope="module")
def people() -> list[Person]:
    return [person(seed) for seed in range(5)]


@pytest.fixture(scope="module")
def group(people):
    return pool_models([one.model for one in people], [one.companion for one in people])


def wanted(one: Person, **changes) -> Wanted:
    sums = one.companion.people[0]
    made = Wanted(sums.layout, sums.items, sums.counts > 0, sums.positions, sums.recorded)
    return made._replace(**changes)


def test_companion_is_read_as_written(tmp_path, people):
    path = companion_path(tmp_path / "me.rtd.safetensors")
    assert path.name == "me.sums.safetensors"
    written = Companion(people[0].companion.people * 1, "abc")
    save_sums(written, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    read = load_sums(path, "abc").people[0]
    for name in ("sums", "gram", "counts", "center", "scale", "vectors", "positions"):
        assert np.array_equal(getattr(read, name), getattr(written.people[0], name))
    assert read.layout == written.people[0].layout
    assert read.chosen == written.people[0].chosen
    with pytest.raises(ModelCorrupt, match="belongs to another model"):
        load_sums(path, "0123")
    with pytest.raises(FileExistsError):
        save_sums(written, path)


def test_companion_that_was_altered_is_refused_in_one_sentence(tmp_path, people):
    path = tmp_path / "me.sums.safetensors"
    with pytest.raises(FileNotFoundError, match="--no-sums"):
        load_sums(path)
    one = people[0].companion.people[0]
    with pytest.raises(ValueError, match="need scale of shape"):
        save_sums(Companion((replace(one, scale=one.scale[:-1]),), ""), path)
    with pytest.raises(ValueError, match="finite numbers in center"):
        save_sums(Companion((replace(one, center=one.center * np.nan),), ""), path)
    with pytest.raises(ValueError, match="scales above 0"):
        save_sums(Companion((replace(one, scale=-one.scale),), ""), path)
    save_sums(people[0].companion, path)
    content = path.read_bytes()
    for damaged in (content[:-8], b"", bytes([content[0] ^ 1]) + content[1:]):
        path.write_bytes(damaged)
        with pytest.raises(ModelCorrupt, match="no whole companion"):
            load_sums(path)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelCorrupt, match="altered"):
        load_sums(path)
    save_model(people[0].model, path, overwrite=True)
    with pytest.raises(ModelCorrupt, match="no companion of a model"):
        load_sums(path)


def test_companion_tells_no_name_and_no_folder(tmp_path, people):
    path = tmp_path / "secret-name.sums.safetensors"
    save_sums(people[0].companion, path)
    assert b"secret-name" not in path.read_bytes()
    assert (
        b"/"
        not in layout_of(replace(draft(), recipe=draft().recipe))["target"]["embedding"].encode()
    )


def test_sums_are_those_of_the_events(people):
    one = people[0]
    sums = one.companion.people[0]
    X = scale_features(one.X, sums.center, sums.scale, _clamp()).astype(float)
    np.testing.assert_allclose(sums.gram, X.T @ X, rtol=1e-12)
    np.testing.assert_allclose(sums.sums[3], X[one.truth == 3].sum(axis=0), rtol=1e-10, atol=1e-10)
    found = moments(sums)
    np.testing.assert_allclose(found.covariance, np.cov(X.T, bias=True), atol=1e-12)
    within = X.copy()
    for item in range(N_ITEMS):
        within[one.truth == item] -= X[one.truth == item].mean(axis=0)
    np.testing.assert_allclose(found.within, within.T @ within / (len(X) - N_ITEMS), atol=1e-12)


def _clamp() -> float:
    return draft().recipe.features.clamp


def test_prior_is_what_whitened_events_give(people):
    prior = prior_of([people[1].companion.people[0]], wanted(people[0]))
    sums = people[1].companion.people[0]
    X = scale_features(people[1].X, sums.center, sums.scale, _clamp()).astype(float)
    white = (X - X.mean(axis=0)) @ whitener(np.cov(X.T, bias=True), 1.0)
    np.testing.assert_allclose(prior.gram, white.T @ white, rtol=1e-4, atol=1e-3)
    mine = white[people[1].truth == 5].sum(axis=0)
    np.testing.assert_allclose(prior.sums[5], mine, rtol=1e-4, atol=1e-3)
    assert prior.counts.sum() == len(X)
    twice = prior_of([one.companion.people[0] for one in people[1:3]], wanted(people[0]))
    second = prior_of([people[2].companion.people[0]], wanted(people[0]))
    np.testing.assert_allclose(twice.gram, prior.gram + second.gram)


def test_items_are_matched_by_text_and_the_rest_taken_out(people):
    items = (*reversed(ITEMS[:12]), "another")
    said: list[str] = []
    heard = np.array([True] * 12 + [False])
    prior = prior_of(
        [people[1].companion.people[0]], wanted(people[0], items=items, heard=heard),
        say=said.append,
    )  # fmt: skip
    assert "12 of 12 items shared" in said[0]
    sums = people[1].companion.people[0]
    X = scale_features(people[1].X, sums.center, sums.scale, _clamp()).astype(float)
    kept = X[people[1].truth < 12]
    white = (kept - kept.mean(axis=0)) @ whitener(np.cov(X.T, bias=True), 1.0)
    np.testing.assert_allclose(prior.sums.sum(axis=0), 0, atol=1e-8)
    mine = white[people[1].truth[people[1].truth < 12] == 11].sum(axis=0)
    np.testing.assert_allclose(prior.sums[0], mine, rtol=1e-4, atol=1e-3)
    assert prior.counts[-1] == 0
    # pooled within items, so near but not the same
    gram = white.T @ white
    assert np.linalg.norm(prior.gram - gram) < 0.3 * np.linalg.norm(gram)
    assert np.trace(prior.gram) == pytest.approx(np.trace(gram), rel=0.05)


def test_prior_refuses_what_does_not_fit(people):
    other = people[1].companion.people[0]
    window = dict(other.layout["window"]) | {"tmax": 0.6}
    with pytest.raises(ValueError, match=r"same window, got tmax 0\.6 against 0\.5"):
        prior_of(
            [replace(other, layout=dict(other.layout) | {"window": window})], wanted(people[0])
        )
    strange = tuple(f"x{i}" for i in range(N_ITEMS))
    with pytest.raises(ValueError, match="one vocabulary, got 0 of"):
        prior_of([replace(other, items=strange)], wanted(people[0]))
    with pytest.raises(ValueError, match=r"got one's own in me\.rtd"):
        prior_of([people[0].companion.people[0]], wanted(people[0]), names=["me.rtd"])
    layout = dict(other.layout) | {"channels": [f"X{i}" for i in range(8)]}
    with pytest.raises(ValueError, match="half of 8 channels"):
        prior_of([replace(other, layout=layout)], wanted(people[0]))


def test_montage_by_name_and_by_position(people):
    mine, other = wanted(people[0]), people[1].companion.people[0]
    plain = prior_of([other], mine)
    # the same electrodes in another order are the same person
    order = [3, 1, 0, 2, 7, 6, 5, 4]
    features = np.concatenate([8 * block + np.array(order) for block in range(5)])
    gram = unfolded(other.recordings[0].triangle, 40)[np.ix_(features, features)]
    first = replace(
        other.recordings[0],
        sums=other.recordings[0].sums[:, features],
        triangle=gram[np.triu_indices(40)],
    )
    alone = prior_of([other.with_recordings(other.recordings[:1])], mine)
    layout = dict(other.layout) | {"channels": [other.layout["channels"][i] for i in order]}
    shuffled = replace(
        other, layout=layout, recordings=(first,), center=other.center[features],
        scale=other.scale[features], positions=positions()[order],
    )  # fmt: skip
    np.testing.assert_allclose(prior_of([shuffled], mine).gram, alone.gram, atol=1e-4)
    renamed = replace(shuffled, layout=layout | {"channels": [f"X{i}" for i in range(8)]})
    near = prior_of([renamed], mine, montage="position")
    # the simulated noise is white over channels: the hardest to interpolate
    assert np.linalg.norm(near.gram - alone.gram) < 0.15 * np.linalg.norm(alone.gram)
    with pytest.raises(ValueError, match="position of every channel"):
        prior_of([replace(renamed, positions=None)], mine, montage="position")
    assert plain.gram.shape == near.gram.shape


def decoded(model, X, truth, *, aligned: bool):
    """Rank accuracy of a new person, with or without whitening by their own covariance."""
    if aligned:
        center, scale = robust_scale(X)
        scaled = scale_features(X, center, scale, _clamp())
        A = np.linalg.solve(whitener(model.covariance, 1.0), model.weights.astype(float))
        weights = whitener(np.cov(scaled.T, bias=True), 1.0) @ A
        offset = -scaled.mean(axis=0) @ weights
        model = replace(model, weights=weights.astype(np.float32), offset=offset.astype(np.float32))
    else:
        scaled = scale_features(X, model.center, model.scale, _clamp())
    return evaluate(model, scaled, [ITEMS[i] for i in truth])["rank_accuracy"]


def test_group_decodes_a_new_person_as_its_certificate_says(group):
    model, _ = group
    X, truth = trials(40, 480)
    new = decoded(model, X, truth, aligned=True)
    final = model.certificate["final"]
    assert new == pytest.approx(final["rank_accuracy"], abs=0.04)
    assert final["bits_per_word"] > 0.5
    assert final["p"] <= 0.05
    assert model.certificate["people"]["above"] == 5
    ceiling = model.certificate["people"]["ceiling"]
    assert 0.1 < ceiling["low"][0] < ceiling["high"][0] < 1
    as_is = decoded(model, X, truth, aligned=False)
    assert 0.65 < as_is < new


@pytest.mark.parametrize("heavy", [False, True])
def test_simulated_trials_score_as_real_ones(people, group, heavy):
    """Within .02 of rank accuracy, the error of 480 trials; also with Student's t of 3."""
    model, _ = group
    A = np.linalg.solve(whitener(model.covariance, 1.0), model.weights.astype(float))
    for seed in (50, 51):
        one = person(seed, heavy=heavy)
        sums = one.companion.people[0]
        shared = shared_sums(sums, ITEMS, 1.0)
        scaled = scale_features(one.X, sums.center, sums.scale, _clamp())
        real = (scaled - scaled.mean(axis=0)) @ shared.whitener @ A
        drawn = draw_trials(shared, 5000, np.random.default_rng(0))
        vectors = model.vectors @ model.basis.T
        scores = [
            float(rank_accuracy(cosine(y, vectors), truth).mean())
            for y, truth in ((real, one.truth), (drawn.X @ A, drawn.truth))
        ]
        assert scores[0] == pytest.approx(scores[1], abs=0.02)


def test_an_item_that_came_once_gives_its_trial_back(people):
    sums = person(60, n=N_ITEMS).companion.people[0]
    shared = shared_sums(sums, ITEMS, 1.0)
    drawn = draw_trials(shared, 1000, np.random.default_rng(0))
    np.testing.assert_allclose(drawn.X, shared.sums[drawn.truth], atol=1e-12)


@pytest.mark.slow
def test_people_who_share_nothing_are_not_certified():
    rng = np.random.default_rng(3)
    strangers = [person(seed, common=rng.standard_normal((12, 40)) / 3.5) for seed in range(70, 74)]
    model, _ = pool_models([s.model for s in strangers], [s.companion for s in strangers])
    final = model.certificate["final"]
    assert final["rank_accuracy"] < 0.56
    assert final["bits_per_word"] < 0.05
    assert why_unproven(model)


@pytest.mark.slow
def test_pools_pool_again_and_a_person_counts_once(people):
    models, companions = [p.model for p in people], [p.companion for p in people]
    first = pool_models(models[:3], companions[:3])
    again, companion = pool_models([first[0], *models[2:]], [first[1], *companions[2:]])
    at_once, _ = pool_models(models, companions)
    assert model_hash(again) == model_hash(at_once)
    assert len(companion.people) == 5


def test_pool_refuses_what_does_not_fit(people):
    models, companions = [p.model for p in people], [p.companion for p in people]
    with pytest.raises(ValueError, match="at least 2 people, got 1"):
        pool_models(models[:1] * 2, companions[:1] * 2)
    other = companions[1].people[0]
    turned = replace(other, vectors=other.vectors[:, ::-1].copy())
    with pytest.raises(ValueError, match="same vectors of items"):
        pool_models(models[:2], [companions[0], Companion((turned,), "")])
    strange = replace(other, items=tuple(f"x{i}" for i in range(N_ITEMS)))
    with pytest.raises(ValueError, match="of one vocabulary"):
        pool_models(models[:2], [companions[0], Companion((strange,), "")])
    half = other.with_recordings(other.recordings[:1])
    with pytest.raises(
        ValueError, match=r"each recording with one person, got one in a\.rtd and in b"
    ):
        pool_models(models[:2], [companions[1], Companion((half,), "")], names=["a.rtd", "b.rtd"])
    window = dict(other.layout["window"]) | {"tmax": 0.6}
    apart = replace(other, layout=dict(other.layout) | {"window": window})
    with pytest.raises(
        ValueError, match=r"need b\.rtd fitted with the same window as a\.rtd, got tmax"
    ):
        pool_models(models[:2], [companions[0], Companion((apart,), "")], names=["a.rtd", "b.rtd"])


def test_pool_keeps_the_channels_that_all_have(people):
    said: list[str] = []
    names = (*(f"C{i}" for i in range(7)), "other")
    stranger = person(80, names=names)
    model, _ = pool_models(
        [people[0].model, people[1].model, stranger.model],
        [people[0].companion, people[1].companion, stranger.companion],
        say=said.append,
    )
    assert "channels that not all have are left out: C7, other" in said
    assert model.info.ch_names == names[:7]
    assert model.weights.shape[0] == 35
    assert model.certificate["final"]["rank_accuracy"] > 0.6


def test_permuted_items_and_flipped_signs():
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(10), 8)
    noise = rng.standard_normal((80, 10))
    p = [permute_items(rng.permutation(noise), truth, 99, rng).p for _ in range(40)]
    assert 0.3 < np.mean(p) < 0.7
    noise[np.arange(80), truth] += 2
    test = permute_items(noise, truth, 199, rng)
    assert test.p == 1 / 200
    assert test.observed == pytest.approx(rank_accuracy(noise, truth).mean())
    assert sign_flip_p(np.ones(5), rng) == 2.0**-5
    assert sign_flip_p(np.array([1.0, -1.0]), rng) >= 0.5
    assert sign_flip_p(np.ones(20), rng) == pytest.approx(1e-4)


def saved(folder, people) -> list:
    paths = []
    for number, one in enumerate(people):
        path = folder / f"p{number}.rtd.safetensors"
        digest = save_model(one.model, path)
        save_sums(Companion(one.companion.people, digest), companion_path(path))
        paths.append(path)
    return paths


def test_pool_command(tmp_path, capsys, people):
    from rt_decoder.files.model_file import load_model

    paths = saved(tmp_path, people)
    out = tmp_path / "group.rtd.safetensors"
    ran = call(capsys, "pool", *paths, "-o", out, "--json", program="calibration")
    assert ran.code == 0, ran.err
    assert '"p_people"' in ran.out.splitlines()[-1]
    assert "one map for all explains at best r = " in ran.out
    model = load_model(out)
    assert model.alignment is not None
    final = model.certificate["final"]
    assert final["p_smallest"] <= final["p"] <= 0.05
    assert why_unproven(model) == ""
    assert "units of" not in ran.out
    assert len(load_sums(companion_path(out), model_hash(model)).people) == 5
    few = tmp_path / "few.rtd.safetensors"
    call(capsys, "pool", *paths[:4], "-o", few, program="calibration")
    with pytest.raises(ValueError, match=r"smallest p that they can give is 0\.062.*pool more"):
        check_proven(load_model(few), few.name)
    again = call(capsys, "pool", *paths, "-o", out, program="calibration")
    assert again.code == 2
    assert "--overwrite" in again.err
    over = call(capsys, "pool", out, paths[0], "-o", paths[0], "--overwrite", program="calibration")
    assert over.code == 2
    assert "one that is read" in over.err
    twice = call(
        capsys,
        "pool",
        paths[0],
        paths[1],
        paths[0],
        "-o",
        out,
        "--overwrite",
        program="calibration",
    )
    assert twice.code == 1
    assert "need each model once, got p0.rtd.safetensors, the same as p0" in twice.err
    companion_path(paths[0]).unlink()
    lost = call(capsys, "pool", *paths, "-o", out, "--overwrite", program="calibration")
    assert lost.code == 1
    assert "need the companion p0.sums.safetensors" in lost.err


def test_sharpness_is_raised_to_what_everybody_gives(people):
    """Three people: the others' maps see two, the model's three, so that it may be surer."""
    from calibration.group_map import choose_settings, fewer_people, item_space, total

    shared = [shared_sums(one.companion.people[0], ITEMS, 1.0) for one in people[:3]]
    rng = np.random.default_rng(0)
    drawn = [draw_trials(one, 480, rng) for one in shared]
    vectors = people[0].companion.people[0].vectors.astype(float)
    space = item_space(vectors, total(shared).counts)
    _, of_others, predictions = choose_settings(shared, drawn, space, powers=(1.0,))
    fewer = fewer_people(shared, drawn, space, of_others)
    assert all(one.share == pytest.approx(1 / 3) for one in fewer)
    for one, two, trial in zip(fewer, predictions, drawn, strict=True):
        cosines = cosine(two, space.vectors(1.0))
        of_two = rank_accuracy(cosines, trial.truth).mean()
        assert rank_accuracy(one.cosines, trial.truth).mean() < of_two


def sessions(one: Person, code: str) -> list[Person]:
    """A model for each of the two recordings of a person."""
    (sums,) = one.companion.people
    parts = [replace(sums.with_recordings((part,)), code=code) for part in sums.recordings]
    return [one._replace(companion=Companion((part,), "")) for part in parts]


def test_sessions_of_one_person_count_as_one_person(people):
    """Ten models of five people: left out person by person, with p of five people."""
    every = [part for i, one in enumerate(people) for part in sessions(one, f"p{i}")]
    names = [f"p{i}s{j}" for i in range(5) for j in (1, 2)]
    said: list[str] = []
    model, companion = pool_models(
        [one.model for one in every], [one.companion for one in every], names=names, say=said.append
    )
    certificate = model.certificate["people"]
    assert (certificate["n"], certificate["n_models"], len(certificate["each"])) == (5, 10, 5)
    assert model.certificate["final"]["p_smallest"] == 2.0**-5
    assert sum("sessions of one person" in line for line in said) == 5
    assert any(line.startswith("5 people (10 models)") for line in said)
    assert any("tested on 5 people (10 models)" in line for line in certificate_lines(model))
    again, _ = pool_models([model, every[0].model], [companion, person(90).companion])
    assert again.certificate["people"]["n"] == 6  # a group keeps the codes of its people


def test_sessions_of_few_people_prove_nothing(people):
    """Eight models, but four people: p over models would be .004, p over people is .0625."""
    every = [part for i, one in enumerate(people[:4]) for part in sessions(one, f"p{i}")]
    model, _ = pool_models([one.model for one in every], [one.companion for one in every])
    assert model.certificate["people"]["p_people"] == pytest.approx(1 / 16)
    assert "too few to show anything" in why_unproven(model)
    unknown = [Companion((replace(one.companion.people[0], code=""),), "") for one in every]
    said: list[str] = []
    taken, _ = pool_models([one.model for one in every], unknown, say=said.append)
    assert taken.certificate["people"]["n"] == taken.certificate["people"]["n_unknown"] == 8
    assert any("the person is not known of all models" in line for line in said)
    assert any("without a code of its person" in line for line in certificate_lines(taken))


def test_the_command_knows_people_by_code_or_table(tmp_path, capsys, people):
    coded = [
        one._replace(model=replace(one.model, certificate={"subject": "07"})) for one in people[:2]
    ]
    paths = saved(tmp_path, [*coded, people[2]])
    out = tmp_path / "g.rtd.safetensors"
    ran = call(capsys, "pool", *paths[:2], "-o", out, program="calibration")
    assert ran.code == 1
    assert "need at least 2 people, got 1 (2 models)" in ran.err
    ran = call(capsys, "pool", *paths, "-o", out, program="calibration")
    assert ran.code == 0, ran.err
    assert "p0.rtd.safetensors and p1.rtd.safetensors are sessions of one person, 07" in ran.out
    assert "the person is not known of p2.rtd.safetensors" in ran.out
    table = tmp_path / "whose.tsv"
    table.write_text("model\tperson\np1.rtd.safetensors\t08\np2.rtd.safetensors\t07\n")
    ran = call(
        capsys, "pool", *paths, "--people", table, "-o", out, "--overwrite", program="calibration"
    )
    assert "p0.rtd.safetensors and p2.rtd.safetensors are sessions of one person, 07" in ran.out
    assert "not known" not in ran.out
    for text, why in (
        ("model\tcode\n", "no person"),
        ("model\tperson\nx\t1\n", "got another: x"),
        ("model\tperson\np1.rtd.safetensors\t1\np1.rtd.safetensors\t2\n", "got it again"),
    ):
        table.write_text(text)
        ran = call(
            capsys, "pool", *paths, "--people", table, "-o", out, "--overwrite",
            program="calibration",
        )  # fmt: skip
        assert ran.code == 1
        assert why in ran.err


def test_a_person_in_two_models_counts_once(people):
    said: list[str] = []
    models, companions = [p.model for p in people[:3]], [p.companion for p in people[:3]]
    pool_models(
        [*models, models[0]], [*companions, companions[0]], names=["a", "b", "c", "d"],
        say=said.append,
    )  # fmt: skip
    assert said[0] == "d has the recordings of a: counts once"


def test_items_that_only_some_heard_are_told(people):
    one, two = (each.companion.people[0] for each in people[:2])
    fewer = tuple(
        replace(
            part, counts=np.where(np.arange(N_ITEMS) < 20, part.counts, 0.0), sums=part.sums[:20]
        )
        for part in two.recordings
    )
    said: list[str] = []
    pool_models(
        [each.model for each in people[:2]],
        [Companion((one,), ""), Companion((two.with_recordings(fewer),), "")],
        say=said.append,
    )
    assert any(line.startswith(f"everybody heard 20 of {N_ITEMS} items") for line in said)
