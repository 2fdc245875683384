"""Choose the channels that a model will require of a stream.

Data channels come first, as the stages need them; channels marked as bad are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rt_decoder.counted import counted
from rt_decoder.recipe import Recipe
from rt_decoder.signal import CH_TYPES, DATA_TYPES, SignalInfo, has_unit, unit_gain

if TYPE_CHECKING:
    from rt_decoder.files.recording import Recording

__all__ = ["bad_channels", "contract", "reference_names"]


def contract(recording: Recording, recipe: Recipe, bads: Collection[str] = ()) -> SignalInfo:
    """Select the channels that the model will require of a stream, in SI units.

    Parameters
    ----------
    recording : Recording
    recipe : Recipe
        Names or types of channels (`stream.picks`) and of references (`clean.references`).
    bads : collection of str
        Channels to leave out, unless they are picked by name.

    Returns
    -------
    SignalInfo
        Data channels first, then other picks, then references.

    Raises
    ------
    ValueError
        If a pick or reference names neither a channel nor a type of channel, if no channel has a
        picked type, or if a unit is unknown.
    """
    info = recording.info
    picks: list[int] = []
    for pick in recipe.stream.picks:
        types = DATA_TYPES if pick == "data" else (pick,)
        found = _named(info, pick) or _typed(info, types, bads)
        if not found and (pick in CH_TYPES or pick == "data"):
            raise ValueError(
                f"need channels of type {', '.join(types)}, got {', '.join(set(info.ch_types))}"
                + (f" (--bads keep takes {counted(len(bads), 'bad channel')}, too)" if bads else "")
            )
        if not found:
            raise ValueError(f"need a channel {pick}, got {', '.join(info.ch_names)}")
        picks.extend(i for i in found if i not in picks)
    picks.sort(key=lambda i: info.ch_types[i] not in DATA_TYPES)  # stages need data first
    for pick in recipe.clean.references if recipe.clean.stages else ():
        found = _named(info, pick) or _typed(info, (pick,), bads)
        if not found and pick not in CH_TYPES:
            raise ValueError(f"need a reference {pick}, got {', '.join(info.ch_names)}")
        found = [i for i in found if info.ch_names[i] == pick or has_unit(info.units[i])]
        picks.extend(i for i in found if i not in picks)
    picked = info.pick(picks)
    units = []
    for name, unit in zip(picked.ch_names, picked.units, strict=True):
        try:
            units.append(unit_gain(unit)[0])
        except ValueError as error:
            raise ValueError(f"channel {name}: {error}") from None
    return replace(picked, units=tuple(units))


def _named(info: SignalInfo, name: str) -> list[int]:
    return [i for i, ch_name in enumerate(info.ch_names) if ch_name == name]


def _typed(info: SignalInfo, types: Sequence[str], bads: Collection[str]) -> list[int]:
    pairs = zip(info.ch_names, info.ch_types, strict=True)
    return [i for i, (name, kind) in enumerate(pairs) if kind in types and name not in bads]


def bad_channels(recordings: Sequence[Recording], recipe: Recipe) -> tuple[str, ...]:
    """List the channels that any of the recordings marks as bad; none with ``bads = "keep"``."""
    if recipe.stream.bads == "keep":
        return ()
    return tuple(dict.fromkeys(name for recording in recordings for name in recording.bads))


def reference_names(info: SignalInfo, recipe: Recipe) -> tuple[str, ...]:
    """Names of the contract's channels that no pick selects."""
    picks = recipe.stream.picks
    types = {*picks, *(DATA_TYPES if "data" in picks else ())}
    return tuple(
        name
        for name, ch_type in zip(info.ch_names, info.ch_types, strict=True)
        if name not in picks and ch_type not in types
    )
