"""Write what `fit` and `cleaning` have made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rt_decoder.commands.console import show_lines
from rt_decoder.commands.progress import busy

if TYPE_CHECKING:
    from calibration.events import LabelledRecording
    from rt_decoder.model import Model

__all__ = ["write_fitted"]


def write_fitted(
    model: Model,
    sessions: Sequence[LabelledRecording],
    share: float,
    output: Path,
    report: Path | None,
    *,
    overwrite: bool,
) -> str:
    """Write model and report, one even where the other fails.

    Parameters
    ----------
    model : Model
    sessions : sequence of LabelledRecording
        That it was fitted on, for the report.
    share : float
        Share of them that is not locked away.
    output, report : path
        Of the model, and of the report, which may be None.
    overwrite : bool
        Whether files of these names may be replaced.

    Returns
    -------
    str
        The model's hash.

    Raises
    ------
    OSError
        If one cannot be written; it is named.
    KeyboardInterrupt
        If a signal came while the report was drawn; says that the model is written.
    """
    from rt_decoder.files.model_file import save_model

    digest, failed = "", []
    try:
        digest = save_model(model, output, overwrite=overwrite)
        show_lines(f"wrote {output.name} ({digest[:12]})")
    except OSError as error:
        failed.append(str(error))
    if report is not None:
        from calibration.report.html import write_report

        try:
            with busy("drawing the report"):
                write_report(report, model, sessions, share=share, overwrite=overwrite)
            show_lines(f"wrote {report.name}")
        except OSError as error:
            failed.append(str(error))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"{output.name} is written, the report is not") from None
    if failed:
        raise OSError("; ".join(failed))
    return digest
