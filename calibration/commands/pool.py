"""``rt-calibrate pool``: a group model of several people, for one who has no calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calibration.commands.people import SUMS, Models, Montage, companion_path, load_people
from rt_decoder.commands.console import progress_bar, show_json, show_lines
from rt_decoder.commands.options import AsJson
from rt_decoder.commands.outputs import MODEL, Overwrite, claim_outputs

if TYPE_CHECKING:
    from rt_decoder.model import Model

__all__ = ["COMMANDS"]


def pool(
    models: Models,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Group model to write.")
    ],
    montage: Montage = "name",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Make a group model of several people's, certified by leaving people out.

    It decodes a person who has no calibration: the same words, task and window are needed. A group's
    model may be pooled again; a person who is in two groups counts once. Each other model counts as
    a person: sessions of one person belong in one model (refit). It takes five people
    to show that the next one can be decoded.

    Example: rt-calibrate pool anna.rtd.safetensors ben.rtd.safetensors -o group.rtd.safetensors
    """
    sums = companion_path(output)
    read = [*models, *map(companion_path, models)]
    claim_outputs([("--output", output, MODEL), ("--output", sums, (SUMS,))], read, overwrite)
    from calibration.pool import pool_models
    from calibration.report.text import certificate_lines
    from rt_decoder.files.model_file import save_model
    from rt_decoder.files.sums import Companion
    from rt_decoder.files.sums_file import save_sums

    loaded, companions = load_people(models)
    _tell_sessions(models, loaded)
    with progress_bar("leaving people out") as progress:
        group, companion = pool_models(
            loaded,
            companions,
            montage=montage,
            names=[path.name for path in models],
            say=show_lines,
            progress=progress,
        )
    show_lines(*certificate_lines(group))
    digest = save_model(group, output, overwrite=overwrite)
    save_sums(Companion(companion.people, digest), sums, overwrite=overwrite)
    show_lines(f"wrote {output.name} ({digest[:12]}) and {sums.name}")
    if as_json:
        show_json({"model": output.name, "hash": digest, "certificate": dict(group.certificate)})


def _tell_sessions(paths: Sequence[Path], models: Sequence[Model]) -> None:
    """Tell models with one code of a person: they would count as people."""
    by_code: dict[str, str] = {}
    for path, model in zip(paths, models, strict=True):
        code = str(model.certificate.get("subject", ""))
        if code and code in by_code:
            show_lines(
                f"WARNING: {by_code[code]} and {path.name} are of one person, by --subject {code}, and "
                "count as two: refit adds a session to the model of its person"
            )
        by_code.setdefault(code, path.name)


COMMANDS = (pool,)
