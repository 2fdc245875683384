"""Describe this machine and what is installed, for `info`."""

from __future__ import annotations

import locale
import os
import platform
import sys
from pathlib import Path
from typing import Any

from rt_decoder.files.packages import has_package, packages_of
from rt_decoder.model import versions
from rt_decoder.sinks.loopback import lsl_config

__all__ = ["system_summary"]


def system_summary() -> dict[str, Any]:
    """Versions, extras, processor, memory, LSL configuration: what a report of a bug needs.

    Returns
    -------
    dict
        Texts and numbers by what they are of; no name of a person, machine or folder.
    """
    import pylsl
    from numba.core.codegen import get_host_cpu_features

    from rt_decoder.kernels.cache import cache_folder

    features = get_host_cpu_features().split(",")
    wide = [name for name in ("avx2", "avx512f", "avx512vnni", "neon") if f"+{name}" in features]
    threads = [name for name in os.environ if name.endswith("_NUM_THREADS")]
    return (
        versions()
        | _extras()
        | {
            "liblsl": pylsl.library_version() / 100,
            "lsl_config": lsl_config(),
            "system": platform.platform(),
            "cpus": os.cpu_count(),
            "cpu_features": " ".join(wide),
            "memory_gb": _memory_gb(),
            "threads": ", ".join(f"{name}={os.environ[name]}" for name in sorted(threads)) or "all",
            "kernel_cache": _at_home(cache_folder()) or "none: compiled in memory at each start",
            "encoding": f"{locale.getencoding()}, output {sys.stdout.encoding}",
            "prefix": "virtual environment" if sys.prefix != sys.base_prefix else "system",
        }
    )


def _extras() -> dict[str, str]:
    """Say of each extra whether it is whole, or which of its packages are missing."""
    told = {}
    for extra, names in packages_of().items():
        missing = [name for name in names if not has_package(name)]
        told[f"[{extra}]"] = f"without {', '.join(missing)}" if missing else "complete"
    return told


def _memory_gb() -> float | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)


def _at_home(folder: Path | None) -> str:
    """Write a folder without the name of its user."""
    text = str(folder or "")
    home = str(Path.home())
    return f"~{text[len(home) :]}" if home != "/" and text.startswith(home + os.sep) else text
