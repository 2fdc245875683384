"""Declare a BIDS data set as input, and find the recordings that a call names in it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from rt_decoder.commands.bids_options import BIDS, Run, Session, Subject, Task
from rt_decoder.commands.options import one_of

if TYPE_CHECKING:
    from calibration.people.person import FindRuns
    from rt_decoder.files.bids import BidsChoice, BidsRun

__all__ = ["BidsOptions", "derived_model", "make_place", "reference_facts", "runs_of"]


@dataclass(frozen=True, kw_only=True)
class BidsOptions:
    """A data set in place of recordings and events tables; each field is an option."""

    only_bids: ClassVar[tuple[str, ...]] = ("subject", "session", "task", "run", "datatype")
    bids: Annotated[
        Path | None,
        typer.Option(
            "--bids",
            metavar="ROOT",
            help="BIDS data set, in place of recordings and --events.",
            rich_help_panel=BIDS,
        ),
    ] = None
    subject: Subject = ""
    session: Session = ""
    task: Task = ""
    run: Run = ""
    datatype: Annotated[
        str | None,
        typer.Option(
            help="Kind of data; default the only one.",
            show_default=False,
            rich_help_panel=BIDS,
            **one_of("eeg", "meg", "ieeg"),
        ),
    ] = None

    def choice(self) -> BidsChoice:
        """What is wanted of the data set."""
        from rt_decoder.files.bids import BidsChoice

        return BidsChoice(self.subject, self.session, self.task, self.run, self.datatype or "")

    def find(self, row: Mapping[str, str]) -> tuple[list[Path], list[Path] | None]:
        """Find recordings and events tables of a row of a table of people, as `runs_of` does."""
        named = {name: row.get(name, "") for name in ("session", "task", "run")}
        told = {name: cell for name, cell in named.items() if cell not in ("", "n/a")}
        choice = self.choice()._replace(subject=row["person"], **told)
        return runs_of(self.bids or Path(), choice, with_events=self.reads_tables)

    @property
    def reads_tables(self) -> bool:
        """Whether events are those of the data set."""
        return True

    def finder(self) -> FindRuns | None:
        """Return what finds the recordings of each of many people; None without a data set."""
        return None if self.bids is None else self.find

    def check_no_bids(self) -> None:
        """Refuse options that only a data set has.

        Raises
        ------
        typer.BadParameter
            With the option.
        """
        for name in self.only_bids:
            if getattr(self, name):
                raise typer.BadParameter(f"need --bids ROOT with --{name}, got none")


def derived_model(root: Path | None, recordings: Sequence[Path]) -> Path:
    """Name a model of recordings of a data set, among its derivatives.

    Parameters
    ----------
    root : path or None
    recordings : sequence of path
        Of one person.

    Returns
    -------
    path
        Named by what all of them have in common: person, and session and task if they are of one.

    Raises
    ------
    typer.BadParameter
        If there is no data set, or no one person: the output must be named.
    """
    if root is None or not recordings:
        raise typer.BadParameter("need --output FILE, got none")
    from rt_decoder.files.derivatives import derivative_path

    names = [dict(part.split("-", 1) for part in one.name.split("_")[:-1]) for one in recordings]
    short = {"subject": "sub", "session": "ses", "task": "task"}
    found = {key: {one.get(entity, "") for one in names} for key, entity in short.items()}
    codes = {key: texts.pop() for key, texts in found.items() if len(texts) == 1}
    return derivative_path(root, codes, "model.rtd.safetensors")


def reference_facts(recordings: Sequence[Path]) -> dict[str, str]:
    """Tell what EEG was recorded against, where BIDS says so beside the recordings.

    A RuntimeWarning says where they differ: an average reference hides it, a channel's does not.

    Parameters
    ----------
    recordings : sequence of path

    Returns
    -------
    dict
        `recorded_reference`, for the certificate; empty where it is not known, or not the same.
    """
    from rt_decoder.files.sidecar import recorded_reference

    found = sorted({recorded_reference(path) for path in recordings} - {""})
    if len(found) > 1:
        warnings.warn(
            f"need recordings against one reference, got {' and '.join(found)} by their sidecars",
            RuntimeWarning,
            stacklevel=2,
        )
    return {"recorded_reference": found[0]} if len(found) == 1 else {}


def make_place(root: Path, output: Path) -> None:
    """Make the folder of a model among the derivatives of a data set, if it is to go there.

    Parameters
    ----------
    root : path
    output : path

    Raises
    ------
    OSError
        If it cannot be made.
    """
    from rt_decoder.files.derivatives import derivative_path, describe_derivatives

    if output.is_relative_to(derivative_path(root, {}, "").parent):
        describe_derivatives(root)
        output.parent.mkdir(parents=True, exist_ok=True)


def runs_of(
    root: Path, choice: BidsChoice, *, with_events: bool
) -> tuple[list[Path], list[Path] | None]:
    """Find recordings and their events tables in a data set.

    Parameters
    ----------
    root : path
    choice : BidsChoice
    with_events : bool
        Whether events tables are wanted, not the markers in the recordings.

    Returns
    -------
    recordings : list of path
    tables : list of path or None
        One a recording; None where no recording has one, or none are wanted.

    Raises
    ------
    ValueError
        As `files.bids.find_runs`, or if some of the recordings have no events table.
    """
    from rt_decoder.files.bids import find_runs

    runs = find_runs(root, choice)
    recordings = [one.recording for one in runs]
    tables = [one.events for one in runs if one.events is not None]
    if not with_events or not tables:
        return recordings, None
    if without := [one for one in runs if one.events is None]:
        raise ValueError(_without_events(without, runs))
    return recordings, tables


def _without_events(without: Sequence[BidsRun], runs: Sequence[BidsRun]) -> str:
    names = ", ".join(one.recording.name for one in without[:3])
    others = [one.entities["run"] for one in runs if one.events and "run" in one.entities]
    fix = f"; --run {','.join(others)} takes the others" if others else ""
    return f"need an events.tsv beside each recording, got none beside {names}{fix}"
