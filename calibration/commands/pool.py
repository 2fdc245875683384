"""``rt-calibrate pool``: a group model of several people, for one who has no calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calibration.commands.people import SUMS, Models, Montage, companion_path, load_people
from rt_decoder.commands.console import progress_bar, show_json, show_lines
from rt_decoder.commands.options import AsJson
from rt_decoder.commands.outputs import MODEL, Overwrite, claim_outputs

__all__ = ["COMMANDS"]

Whose = Annotated[
    Path | None,
    typer.Option(
        "--people",
        metavar="TSV",
        help="Whose models these are: columns model, person (a code); default the codes that they "
        "were fitted with (--subject).",
    ),
]


def pool(
    models: Models,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Group model to write.")
    ],
    people: Whose = None,
    montage: Montage = "name",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Make a group model of several people's, certified by leaving people out.

    It decodes a person who has no calibration: the same words, task and window are needed. A group's
    model may be pooled again; a person who is in two groups counts once. Models with one code of a
    person are left out together and count as one person; a model without a code counts as a person of
    its own. It takes five people to show that the next one can be decoded.

    Example: rt-calibrate pool anna.rtd.safetensors ben.rtd.safetensors -o group.rtd.safetensors
    """
    sums = companion_path(output)
    read = [*models, *map(companion_path, models), people]
    claim_outputs([("--output", output, MODEL), ("--output", sums, (SUMS,))], read, overwrite)
    from calibration.persons import coded, codes_of_table
    from calibration.pool import pool_models
    from calibration.report.text import certificate_lines
    from rt_decoder.files.model_file import save_model
    from rt_decoder.files.sums import Companion
    from rt_decoder.files.sums_file import save_sums

    codes = codes_of_table(people, models) if people else []
    loaded, companions = load_people(models)
    companions = coded(companions, loaded, codes)
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


COMMANDS = (pool,)
