"""Every setting from TOML and from options; nothing unknown gets by."""

from __future__ import annotations

import json
import tomllib
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import pytest

from calibration.design import draft_model
from rt_decoder.files.model_file import ModelCorrupt, load_model
from rt_decoder.files.model_format import pack
from rt_decoder.recipe import Recipe, parse_option, read_recipe, recipe_options
from tests.hand_written import write_model
from tests.small import call, small_recipe, small_recording

SECTIONS = {f.name: f.default_factory for f in fields(Recipe)}


def test_a_recipe_goes_into_a_model_and_comes_back() -> None:
    recipe = Recipe.from_dict(
        {
            "stream": {"picks": ["Cz", "mag"], "reference": ["M1", "M2"]},
            "features": {"kind": "bandpower", "bands": [[19, 21], [29, 31]], "baseline": [-0.2, 0]},
            "target": {"names": {"1": "thirty"}},
            "fit": {"alphas": [1, 10.0]},
        }
    )
    plain = json.loads(json.dumps(recipe.to_dict()))
    assert Recipe.from_dict(plain) == recipe
    assert plain["features"]["bands"] == [[19, 21], [29, 31]]
    assert recipe.features.bands == ((19, 21), (29, 31))
    assert Recipe.from_dict({}) == Recipe()


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({"filter": {"l_frq": 1.0}}, r"unknown key l_frq in \[filter\]; did you mean l_freq\?"),
        ({"filtre": {}}, r"unknown section \[filtre\]; did you mean filter\?"),
        ({"xyz": {}}, "known are stream, filter, clean, features, target, fit, readout"),
        ({"fit": {"zzz": 1}}, "known are groups, n_blocks"),
        ({"filter": 3}, r"need a section \[filter\]"),
        ({"clean": {"mains": "notch", "line": "notch"}}, "need mains .* once"),
        ({"x\ny": {}}, r"unknown section \['x\\ny'\]"),
        ({"fit": {"x" * 5000: 1}}, r"unknown key 'xx.*\.\.\..* in \[fit\]"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(sections: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Recipe.from_dict(sections)


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({"filter": {"order": True}}, "need order .* whole number"),
        ({"filter": {"l_freq": "1"}}, "need l_freq .* a number"),
        ({"filter": {"notch": 1}}, "need notch .* true or false"),
        ({"stream": {"picks": 3}}, "need picks"),
        ({"stream": {"picks": []}}, "need picks .* one name or more"),
        ({"stream": {"hop_ms": 0}}, "need hop_ms .* from 0.001 to 1000"),
        ({"stream": {"line_freq": -50.0}}, "need line_freq"),
        ({"filter": {"l_freq": 30.0, "h_freq": 20.0}}, "need h_freq above l_freq"),
        ({"filter": {"order": 0}}, "need order .* from 1 to 10"),
        ({"features": {"kind": "wavelet"}}, "need kind .* amplitude or bandpower"),
        ({"features": {"tmin": 1.0, "tmax": 0.5}}, "need tmax above tmin"),
        ({"features": {"baseline": [0.0]}}, "need baseline .* two rising times"),
        ({"features": {"bands": [[10]]}}, "need bands"),
        ({"features": {"bands": [[10, 8]]}}, "need bands"),
        ({"features": {"bands": [8, 13]}}, "need bands"),
        ({"features": {"clamp": 0.0}}, "need clamp .* above 0"),
        ({"target": {"pooling": "max"}}, "need pooling .* mean or last"),
        ({"fit": {"n_blocks": 1}}, "need n_blocks .* from 2"),
        ({"fit": {"final_block": 1.0}}, "need final_block"),
        ({"fit": {"alphas": [0.0]}}, "need alphas .* above 0"),
        ({"fit": {"alphas": ["a"]}}, "need alphas"),
        ({"readout": {"prior": "hunch"}}, "need prior .* uniform, training or wordfreq"),
        ({"readout": {"precision": 1.0}}, "need precision"),
        ({"readout": {"min_quality": 2.0}}, "need min_quality"),
        ({"readout": {"top": 0}}, "need top"),
        ({"filter": {"l_freq": float("nan")}}, "need l_freq"),
        ({"stream": {"hop_ms": 3e10}}, "need hop_ms"),
        ({"stream": {"line_freq": float("inf")}}, "need line_freq"),
        ({"stream": {"reference": 3}}, "need reference"),
        ({"stream": {"reference": []}}, "need reference"),
        ({"stream": {"reference": ["M1", 2]}}, "need reference"),
        ({"stream": {"picks": ["x" * 10_000]}}, "need picks"),
        ({"filter": {"h_freq": 10**400}}, r"need h_freq .* got 1000*\.\.\.0*$"),
        ({"filter": {"h_freq": 10**5000}}, "need h_freq .* got a number of many digits"),
        ({"clean": {"stages": ["eyes"]}}, "need stages .* muscle, repair, eye"),
        ({"clean": {"projections": ["pca"]}}, "need projections .* ssp, sss"),
        ({"clean": {"mains": "comb"}}, "need mains .* notch or adaptive"),
        ({"features": {"tmax": 3e7}}, "need tmax .* from -600 to 600"),
        ({"features": {"tmin": True}}, "need tmin"),
        ({"features": {"decim": -1}}, "need decim"),
        ({"features": {"decim": 10_000_000}}, "need decim"),
        ({"features": {"band_order": 20}}, "need band_order"),
        ({"features": {"bands": [[4.0, 8.0]] * 101}}, "need bands"),
        ({"features": {"baseline": [0.2, -0.2]}}, "need baseline .* rising"),
        ({"features": {"baseline": ["a", "b"]}}, "need baseline"),
        ({"target": {"names": {"1": 2}}}, "need names .* a table of texts"),
        ({"target": {"names": ["1"]}}, "need names"),
        ({"target": {"label": "\ud800"}}, "need label"),
        ({"target": {"layer": 1 << 40}}, "need layer"),
        ({"fit": {"purge": -2}}, "need purge"),
        ({"fit": {"seed": -1}}, "need seed"),
        ({"fit": {"n_permutations": 0}}, "need n_permutations"),
        ({"readout": {"budget_ms": True}}, "need budget_ms"),
        ({"readout": {"top": 1 << 40}}, "need top"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(sections: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Recipe.from_dict(sections)
    for name, values in sections.items():
        with pytest.raises(ValueError, match=why):  # in Python, too
            SECTIONS[name](**values)


def test_one_sentence_for_toml_options_and_model_files(tmp_path: Path, capsys) -> None:
    said = "need order in [filter] to be a whole number from 1 to 10, got 11"
    (tmp_path / "r.toml").write_text("[filter]\norder = 11\n")
    for arguments in (("--recipe", tmp_path / "r.toml"), ("--order", "11")):
        ran = call(
            capsys, "fit", "absent.xdf", "-o", tmp_path / "m", *arguments, program="calibration"
        )
        assert ran.code == 2
        assert ran.err.endswith(f": {said}\n")
        assert "Invalid value:" not in ran.err
    text, tensors = pack(draft_model([small_recording(seconds=4.0)], small_recipe()))
    head = json.loads(text)
    head["recipe"]["filter"]["order"] = 11
    with pytest.raises(ModelCorrupt) as refused:
        load_model(write_model(tmp_path / "m", head, tensors))
    assert str(refused.value) == f"m is incomplete or inconsistent: {said}"


def test_the_old_name_of_a_key_is_read() -> None:
    old = Recipe.from_dict({"clean": {"line": "adaptive"}})
    assert old == Recipe.from_dict({"clean": {"mains": "adaptive"}})
    assert "line" not in old.to_dict()["clean"]


def test_a_recipe_does_not_change() -> None:
    names = {"1": "axe"}
    recipe = Recipe.from_dict({"target": {"names": names}})
    names["1"] = "bee"
    assert recipe.target.names == {"1": "axe"}
    with pytest.raises(TypeError):
        recipe.target.names["1"] = "bee"
    with pytest.raises(FrozenInstanceError):
        recipe.filter.order = 3
    assert replace(recipe.filter, order=3).order == 3
    with pytest.raises(ValueError, match="need order"):
        replace(recipe.filter, order=0)


def test_every_key_is_an_option_of_one_name() -> None:
    options = recipe_options()
    recipe = Recipe()
    n_keys = sum(len(fields(getattr(recipe, section.name))) for section in fields(recipe))
    assert len(options) == n_keys  # a name used in two sections would be lost
    for name, (section, default, about) in options.items():
        assert getattr(getattr(recipe, section), name) == default
        assert about


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("0.5", 0.5), ("true", True), ("average", "average"), ("[1, 2]", [1, 2]),
        ("9" * 5000, "9" * 5000), ("Fz,Cz", "Fz,Cz"), ('{ 1 = "axe" }', {"1": "axe"}), ("", ""),
    ],
)  # fmt: skip
def test_options_are_toml_where_they_can_be(text: str, value: object) -> None:
    assert parse_option(text) == value


def test_lists_may_be_written_with_commas() -> None:
    assert Recipe.from_dict({"stream": {"picks": "Fz, Cz"}}).stream.picks == ("Fz", "Cz")


def test_a_file_says_where_it_is_wrong(tmp_path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("[filter]\nl_freq = \n")
    with pytest.raises(ValueError, match=r"r\.toml is not TOML: .*line 2"):
        read_recipe(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"r\.toml is not TOML"):
        read_recipe(path)
    path.write_text("[filter]\nl_freq = " + "9" * 5000)
    with pytest.raises(ValueError, match=r"r\.toml is not TOML"):
        read_recipe(path)
    path.write_text("[filter]\nl_freq = 2\n")
    assert read_recipe(path) == tomllib.loads(path.read_text())
    assert Recipe.from_dict(read_recipe(path)).filter.l_freq == 2.0
