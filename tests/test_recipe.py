"""Every setting from TOML and from options; nothing unknown gets by."""

from __future__ import annotations

import json
import tomllib
from dataclasses import fields

import pytest

from rt_decoder.recipe import Recipe, parse_option, read_recipe, recipe_options


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
        ({"filter": {"order": 2.5}}, r"need int for order in \[filter\], got 2.5"),
        ({"filter": {"order": True}}, "need int for order"),
        ({"filter": {"l_freq": "1"}}, "need float for l_freq"),
        ({"filter": {"notch": 1}}, "need bool for notch"),
        ({"stream": {"picks": 3}}, "need tuple for picks"),
        ({"stream": {"picks": []}}, r"\[stream\] need picks"),
        ({"stream": {"hop_ms": 0}}, "need a hop_ms in"),
        ({"stream": {"line_freq": -50.0}}, "need a line_freq"),
        ({"filter": {"l_freq": 30.0, "h_freq": 20.0}}, "need h_freq above l_freq"),
        ({"filter": {"order": 0}}, "need an order from 1 to 10"),
        ({"features": {"kind": "wavelet"}}, "need kind amplitude or bandpower"),
        ({"features": {"tmin": 1.0, "tmax": 0.5}}, "need tmax above tmin"),
        ({"features": {"baseline": [0.0]}}, "need a baseline of two times"),
        ({"features": {"bands": [[10]]}}, "need bands"),
        ({"features": {"bands": [[10, 8]]}}, "need bands"),
        ({"features": {"bands": [8, 13]}}, r"\[features\]"),
        ({"features": {"clamp": 0.0}}, "need a clamp above 0"),
        ({"target": {"pooling": "max"}}, "need pooling mean or last"),
        ({"fit": {"n_blocks": 1}}, "need n_blocks of 2"),
        ({"fit": {"final_block": 1.0}}, "need final_block"),
        ({"fit": {"alphas": [0.0]}}, "need alphas above 0"),
        ({"fit": {"alphas": ["a"]}}, r"\[fit\]"),
        ({"readout": {"prior": "hunch"}}, "need prior uniform"),
        ({"readout": {"precision": 1.0}}, "need precision"),
        ({"readout": {"min_quality": 2.0}}, "need min_quality"),
        ({"readout": {"top": 0}}, "need top"),
        ({"filter": {"l_freq": float("nan")}}, "need l_freq"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(sections: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Recipe.from_dict(sections)


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
        ("Fz,Cz", "Fz,Cz"), ('{ 1 = "axe" }', {"1": "axe"}), ("", ""),
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
    path.write_text("[filter]\nl_freq = 2\n")
    assert read_recipe(path) == tomllib.loads(path.read_text())
    assert Recipe.from_dict(read_recipe(path)).filter.l_freq == 2.0
