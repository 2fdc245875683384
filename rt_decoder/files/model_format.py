"""Layout of a model file: the header, the names of tensors, and upgrades from older formats.

Types are checked here, where plain values enter; `model_check` checks that they fit together.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from rt_decoder.model import (
    TENSORS,
    Alignment,
    Language,
    Model,
    Pooling,
    PosteriorParameters,
    WindowMap,
)
from rt_decoder.recipe import MAX_FREQ, Recipe
from rt_decoder.settings import listed, named, number, read, short, table, text
from rt_decoder.signal import FLAGS_VERSION, SignalInfo

__all__ = ["FORMAT_VERSION", "pack", "unpack", "upgrade"]

FORMAT_VERSION = 5
_MAX_ITEMS = 10_000_000
# keys that older formats lack: first format with it -> section -> key -> what programs did before
_ADDED: dict[int, dict[str, dict[str, Any]]] = {
    3: {
        "stream": {"bads": "keep"},
        "target": {"include": [], "exclude": [], "fold": False},
    },
    4: {
        "features": {"whiten": 0.0, "anytime": 0.0},
        "target": {"power": 1.0, "vectors": "", "stimuli": ""},
        "fit": {"unseen": False, "ideas": "", "nulls": True},
        "readout": {"repeats": 1, "false_alarms": 6.0},
    },
    5: {"target": {"language": ""}},
}
_CLEANING = "cleaning."  # tensors of cleaning stages are named cleaning.STAGE.ARGUMENT
_MONITOR = "monitor."  # tensors of its checks are named monitor.CHECK.NAME
_WINDOW = "window."  # tensors of shorter windows are named window.NUMBER.NAME
_OF_WINDOW = ("weights", "offset", "item_bias")
_CHANNELS = listed(text(), "a list of texts, a channel each")
_ITEMS = listed(text(), "a list of texts", most=_MAX_ITEMS)
_END = number(-1e3, 1e3)
_SFREQ = number(0.0, MAX_FREQ, above=True)

Tensors = dict[str, np.ndarray]


def pack(model: Model) -> tuple[str, Tensors]:
    """Return a model's header, as JSON, and its tensors."""
    tensors = {name: getattr(model, name) for name in TENSORS}
    if model.info.positions is not None:
        tensors["positions"] = model.info.positions
    tensors = {name: tensor for name, tensor in tensors.items() if tensor.size}
    for prefix, parts in ((_CLEANING, model.cleaning), (_MONITOR, model.monitor)):
        for part, arguments in parts.items():
            for name, value in arguments.items():
                if isinstance(value, np.ndarray):
                    tensors[f"{prefix}{part}.{name}"] = value
    for place, window in enumerate(model.windows):
        for name in _OF_WINDOW:
            if getattr(window, name).size:
                tensors[f"{_WINDOW}{place}.{name}"] = getattr(window, name)
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return json.dumps(_header(model), sort_keys=True, ensure_ascii=False), tensors


def _header(model: Model) -> dict[str, Any]:
    """Return everything but tensors; `unpack` reads new keys, `upgrade` adds them to old files."""
    info = model.info
    windows = [{"end": one.end, "posterior": asdict(one.posterior)} for one in model.windows]
    more: dict[str, Any] = {"windows": windows} if windows else {}
    if model.language is not None:
        more["language"] = asdict(model.language)
    if model.monitor:
        more["monitor"] = _plain(model.monitor)
    return more | {
        "format_version": FORMAT_VERSION,
        "flags_version": FLAGS_VERSION,
        "info": {
            "sfreq": info.sfreq,
            "ch_names": info.ch_names,
            "ch_types": info.ch_types,
            "units": info.units,
        },
        "references": model.references,
        "recipe": model.recipe.to_dict(),
        "items": model.items,
        "posterior": asdict(model.posterior) if model.has_map else {},
        "continuous": asdict(model.continuous) if model.continuous else {},
        "pooling": asdict(model.pooling) if model.pooling else {},
        "alignment": asdict(model.alignment) if model.alignment else {},
        "certificate": dict(model.certificate),
        "versions": dict(model.versions),
        "cleaning": _plain(model.cleaning),
    }


def _plain(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return arguments by part, less the arrays."""
    return {
        part: {k: v for k, v in arguments.items() if not isinstance(v, np.ndarray)}
        for part, arguments in parts.items()
    }


def unpack(head: Mapping[str, Any], tensors: Tensors) -> Model:
    """Build a model from a header of the present format and tensors.

    Parameters
    ----------
    head : mapping
        The parsed header.
    tensors : dict of str to array
        By the names that `pack` uses.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        If a value is missing or of the wrong type.
    """
    json.dumps(head, ensure_ascii=False).encode()  # refuses text that cannot be written again
    info = _table(head, "info", ("sfreq", "ch_names", "ch_types", "units"))
    of_posterior = [f.name for f in fields(PosteriorParameters)]
    posterior = _table(head, "posterior", of_posterior if "weights" in tensors else ())
    continuous = _table(head, "continuous", of_posterior if head.get("continuous") else ())
    of_pooling = [f.name for f in fields(Pooling)] if head.get("pooling") else ()
    pooling = _table(head, "pooling", of_pooling)
    of_alignment = [f.name for f in fields(Alignment)] if head.get("alignment") else ()
    alignment = _table(head, "alignment", of_alignment)
    return Model(
        info=SignalInfo(
            read("the sampling rate", info["sfreq"], _SFREQ),
            read("ch_names", info["ch_names"], _CHANNELS),
            read("ch_types", info["ch_types"], _CHANNELS),
            read("units", info["units"], _CHANNELS),
            tensors.get("positions"),
        ),
        references=read("references", head.get("references"), _CHANNELS),
        recipe=_whole_recipe(_table(head, "recipe")),
        items=read("items", head.get("items"), _ITEMS),
        posterior=PosteriorParameters(**posterior),
        continuous=PosteriorParameters(**continuous) if continuous else None,
        pooling=Pooling(**pooling) if pooling else None,
        language=_language(head),
        alignment=Alignment(**alignment) if alignment else None,
        windows=_windows(head.get("windows", []), tensors),
        certificate=_table(head, "certificate"),
        versions=read("versions", head.get("versions"), table(text(), "a table of texts")),
        cleaning=_parts(_table(head, "cleaning"), tensors, _CLEANING, "cleaning stage"),
        monitor=_parts(_table({"monitor": {}} | dict(head), "monitor"), tensors, _MONITOR, "check"),
        **{name: tensors[name] for name in TENSORS if name in tensors},
    )


def _language(head: Mapping[str, Any]) -> Language | None:
    """Read how much a language says; most models do not have it."""
    if "language" not in head:
        return None
    return Language(**_table(head, "language", [f.name for f in fields(Language)]))


def _windows(rows: object, tensors: Tensors) -> tuple[WindowMap, ...]:
    """Read the maps of shorter windows; most models have none."""
    if not isinstance(rows, list):
        raise ValueError(f"need a list as windows, got {short(rows)}")
    windows = []
    for place, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != {"end", "posterior"}:
            raise ValueError(f"need end and posterior of each window, got {short(row)}")
        posterior = _table(row, "posterior", [f.name for f in fields(PosteriorParameters)])
        named_so = {name: tensors.get(f"{_WINDOW}{place}.{name}") for name in _OF_WINDOW}
        arrays = {
            name: np.zeros((0, 0) if name == "weights" else 0) if one is None else one
            for name, one in named_so.items()
        }
        end = read("the end of a window", row["end"], _END)
        windows.append(WindowMap(end=end, posterior=PosteriorParameters(**posterior), **arrays))
    return tuple(windows)


def _table(
    head: Mapping[str, Any], name: str, keys: Collection[str] | None = None
) -> dict[str, Any]:
    """Return a table of the header; with `keys`, it must have exactly these."""
    found = head.get(name)
    if not isinstance(found, dict):
        raise ValueError(f"need a table as {named(name)}, got {short(found)}")
    if keys is not None and found.keys() != set(keys):
        wrong = ", ".join(named(key) for key in sorted(found.keys() ^ set(keys))[:5])
        need = ", ".join(keys) or "nothing"
        raise ValueError(f"need {need} in {name}, got others or too few: {wrong}")
    return found


def _whole_recipe(sections: Mapping[str, Any]) -> Recipe:
    """Read a recipe that has every key: a default might not be what this model was fitted with."""
    recipe = Recipe.from_dict(sections)
    for section, keys in recipe.to_dict().items():
        for key in keys:
            if key not in sections.get(section, {}):
                raise ValueError(f"need {key} in [{section}] of the recipe, got none")
    return recipe


def _parts(
    plain: Mapping[str, Any], tensors: Tensors, prefix: str, what: str
) -> dict[str, dict[str, Any]]:
    """Collect the arguments of each part from the header and the tensors."""
    parts = {part: dict(_table(plain, part)) for part in plain}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            part, _, argument = name.removeprefix(prefix).partition(".")
            if part not in parts:
                raise ValueError(f"need {what} {named(part)} in the header, got none")
            if argument in parts[part]:
                raise ValueError(f"need {named(argument)} of {what} {part} once, got two")
            parts[part][argument] = tensor
    return parts


def upgrade(
    head: Mapping[str, Any], tensors: Tensors, version: int
) -> tuple[Mapping[str, Any], Tensors]:
    """Convert header and tensors of an older format to the present one.

    Format 1 named the mains `line`: as a key of ``[clean]``, as a cleaning stage and in its
    report. Formats 1 and 2 took every label for another item, and used channels marked as bad.
    Format 3 knows neither whitening nor the length of a prediction, format 4 no language but
    English.

    Parameters
    ----------
    head : mapping
        The parsed header.
    tensors : dict of str to array
        By name.
    version : int
        Format version of the file.

    Returns
    -------
    head : mapping
    tensors : dict of str to array
    """
    if version == 1:
        recipe, certificate = dict(head["recipe"]), dict(head["certificate"])
        recipe["clean"] = _line_to_mains(recipe["clean"])
        if "cleaning" in certificate:
            certificate["cleaning"] = _line_to_mains(certificate["cleaning"])
        head = dict(head) | {
            "recipe": recipe,
            "certificate": certificate,
            "cleaning": _line_to_mains(head["cleaning"]),
        }
        line, mains = f"{_CLEANING}line.", f"{_CLEANING}mains."
        tensors = {name.replace(line, mains, 1): tensor for name, tensor in tensors.items()}
    recipe = {name: dict(keys) for name, keys in head["recipe"].items()}
    for first, sections in _ADDED.items():
        for section, added in sections.items() if version < first else ():
            recipe[section] = added | recipe[section]
    head = dict(head) | {"recipe": recipe}
    if version < 4:
        posterior = dict(head["posterior"])
        if posterior:
            posterior = {"length": 0.0, "floor": 0.0, "nothing": 0.0} | posterior
        head = {"continuous": {}, "alignment": {}, "pooling": {}} | head | {"posterior": posterior}
    return head, tensors


def _line_to_mains(old: Mapping[str, Any]) -> dict[str, Any]:
    if "line" in old and "mains" in old:
        raise ValueError("need line or mains, got both")
    return {"mains" if name == "line" else name: value for name, value in old.items()}
