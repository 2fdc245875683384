"""What else a certificate holds, so that nothing in it stays silent."""

from __future__ import annotations

from calibration.report.page import Fold, Section
from calibration.report.shown import Shown
from calibration.report.values import values_table

__all__ = ["section"]

_TOLD = {
    "split", "map", "out_of_fold", "pooled", "data_hash", "seed", "same_vector", "final", "anytime",
    "null_memory", "nuisance", "nulls", "trained", "unseen", "continuous", "cleaning", "subject",
    "session", "marker_offset_ms", "people", "encoding", "learning", "ideas", "ceiling", "fitted",
    "fingerprints",
}  # fmt: skip


def section(shown: Shown) -> Section | None:
    """List the tables that no other section shows."""
    others = {
        key: value
        for key, value in shown.certificate.items()
        if key not in _TOLD and value not in (None, {}, [], "")
    }
    if not others:
        return None
    folds = [
        Fold(key.replace("_", " "), [values_table(value)]) for key, value in sorted(others.items())
    ]
    return Section("More figures", folds)
