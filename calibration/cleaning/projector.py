"""Make the projector of a FIF recording: signal-space projection (SSP) and separation (SSS).

MNE computes the matrix for `rt_decoder.cleaning.projector.Projector`. Magnetometers (T) and
gradiometers (T/m) keep their units; MNE scales them apart internally.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from calibration.cleaning.seen import Seen
from calibration.cleaning.stage_fit import LeftOut, StageFit
from calibration.cleaning.words import Summary
from rt_decoder.cleaning.projector import compose
from rt_decoder.signal import DATA_TYPES, SignalInfo

__all__ = ["asked", "fit", "projector_from_info", "ssp_matrix", "sss_matrix", "summary"]


def asked(seen: Seen) -> bool:
    """Check that the recipe asks for a projector, and the recording holds what makes one."""
    kinds = seen.model.recipe.clean.projections
    if seen.mne_info is None or not kinds:
        return False
    return "sss" in kinds or bool(_usable(_read(seen.mne_info), _data_names(seen.model.info))[0])


def fit(seen: Seen) -> StageFit | LeftOut:
    """Make the projector from the projections and sensors in the FIF file."""
    kinds = seen.model.recipe.clean.projections
    return projector_from_info(
        seen.mne_info, seen.model.info, ssp="ssp" in kinds, sss="sss" in kinds
    )


def projector_from_info(
    source: Any, info: SignalInfo, *, ssp: bool = True, sss: bool = False, **maxwell: Any
) -> StageFit | LeftOut:
    """Compute one matrix from the projections of a recording and, on request, its sensors.

    Parameters
    ----------
    source : mne.Info or path
        Of the recording; a path names a FIF file.
    info : SignalInfo
        Of the signal to be projected; channels are matched by name.
    ssp : bool
        Use the projections in ``Info["projs"]``, active or not (projecting twice changes nothing).
        The average reference is left to the rereference stage. With `sss`, projections of MEG
        channels are left out, because they were made for the signal before separation.
    sss : bool
        Keep what comes from inside the helmet, and remove what comes from outside.
    **maxwell : Any
        Passed to `mne.preprocessing.maxwell_filter`: `calibration`, `cross_talk`, `origin`, ...

    Returns
    -------
    StageFit or LeftOut
        Left out if there is nothing to project. The report: `ssp` (names of the projections),
        `sss`, `left` (name of each projection not used: reason) and `rank` of the matrix.
    """
    mne_info = _read(source) if isinstance(source, str | Path) else source
    names = _data_names(info)
    if sss and not {"mag", "grad"} & set(info.ch_types):
        return LeftOut("signal-space separation needs MEG channels, got none")
    projs, left = _usable(mne_info, names, separated=sss) if ssp else ([], {})
    if not sss and not projs:
        reasons = "".join(f"; {name}: {why}" for name, why in left.items())
        return LeftOut(f"the recording has no projections that apply{reasons}")
    matrix = sss_matrix(mne_info, names, **maxwell) if sss else np.eye(len(names))
    if projs:
        matrix = compose(matrix, ssp_matrix(mne_info, names, projs))
    report = {
        "ssp": [proj["desc"] for proj in projs],
        "sss": sss,
        "left": left,
        "rank": int(np.linalg.matrix_rank(matrix)),
    }
    return StageFit({"matrix": matrix}, report)


def summary(report: dict[str, Any]) -> Summary:
    """Summarise what was found and kept."""
    separation = ["signal-space separation"] if report["sss"] else []
    return Summary(", ".join([*report["ssp"], *separation]), "", f"rank {report['rank']}")


def ssp_matrix(mne_info: Any, names: list[str], projs: list[Any]) -> np.ndarray:
    """Compute the signal-space projection of some channels.

    Parameters
    ----------
    mne_info : mne.Info
        Bad channels take no part.
    names : list of str
        The n channels, in the order of the matrix.
    projs : list of mne.Projection
        Active or not.

    Returns
    -------
    array of shape (n, n), float64
    """
    impulses = _impulses(mne_info, names, _inactive(projs))
    return np.asarray(impulses.apply_proj(verbose="error").get_data())


def sss_matrix(mne_info: Any, names: list[str], **maxwell: Any) -> np.ndarray:
    """Compute the signal-space separation of MEG channels; other channels pass unchanged.

    Separation without movement or temporal extension is linear and has no memory. So its matrix is
    the response of MNE's `maxwell_filter` to an impulse on each channel, one per sample. Channels
    that are bad in the recording are not used, and rebuilt from the rest.

    Parameters
    ----------
    mne_info : mne.Info
    names : list of str
        The n channels, in the order of the matrix.
    **maxwell : Any
        Passed to `mne.preprocessing.maxwell_filter`.

    Returns
    -------
    array of shape (n, n), float64

    Raises
    ------
    ValueError
        If there is no MEG channel, or an option makes the separation depend on time.
    """
    import mne

    timed = {"st_duration", "head_pos", "st_fixed", "st_only"} & set(maxwell)
    if timed:
        raise ValueError(f"need a separation without memory, got {min(timed)}; leave it out")
    picks = mne.pick_types(mne_info, meg=True, ref_meg=False, exclude=[])
    meg = [mne_info["ch_names"][i] for i in picks]
    rows = [i for i, name in enumerate(names) if name in set(meg)]
    if not rows:
        raise ValueError("need MEG channels for signal-space separation, got none")
    impulses = _impulses(mne_info, [names[i] for i in rows], [])
    answer = mne.preprocessing.maxwell_filter(impulses, **({"verbose": "error"} | maxwell))
    matrix = np.eye(len(names))
    matrix[np.ix_(rows, rows)] = answer.get_data()
    return matrix


def _impulses(mne_info: Any, names: list[str], projs: list[Any]) -> Any:
    """Make a recording with an impulse of 1 on each channel in turn, and these projections."""
    import mne

    sensors = mne.pick_info(mne_info, [mne_info["ch_names"].index(name) for name in names])
    with sensors._unlock():
        sensors["projs"] = projs
    return mne.io.RawArray(np.eye(len(names)), sensors, verbose="error")


def _inactive(projs: list[Any]) -> list[Any]:
    copies = deepcopy(projs)
    for proj in copies:
        proj["active"] = False
    return copies


def _read(path: str | Path) -> Any:
    import mne

    return mne.io.read_info(path, verbose="error")


def _data_names(info: SignalInfo) -> list[str]:
    return [
        name for name, kind in zip(info.ch_names, info.ch_types, strict=True) if kind in DATA_TYPES
    ]


def _usable(
    mne_info: Any, names: list[str], *, separated: bool = False
) -> tuple[list[Any], dict[str, str]]:
    """Select the projections that apply; return them, and why each other one does not."""
    kinds = dict(zip(mne_info["ch_names"], mne_info.get_channel_types(), strict=True))
    usable, left = [], {}
    for proj in mne_info["projs"]:
        channels = [name for name in proj["data"]["col_names"] if name in names]
        if "average eeg reference" in proj["desc"].lower():
            left[proj["desc"]] = "the reference stage does it"
        elif not channels:
            left[proj["desc"]] = "none of its channels is picked"
        elif separated and kinds.get(channels[0]) in ("mag", "grad"):
            left[proj["desc"]] = "made for the signal before separation"
        else:
            usable.append(proj)
    return usable, left
