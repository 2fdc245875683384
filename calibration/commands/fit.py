"""``rt-calibrate fit`` and ``cleaning``: a model from recordings and a recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from calibration.commands.bids import derived_model, make_place, reference_facts
from calibration.commands.encode import with_encoding
from calibration.commands.inputs import FittedModel, Inputs, need_drawing
from calibration.commands.language import LanguageOptions
from calibration.commands.people import (
    SUMS,
    Montage,
    NoSums,
    PriorFrom,
    all_people,
    check_own,
    companion_path,
    load_people,
    write_companion,
)
from calibration.commands.recipe_options import REPEATED, names_of, read_settings, recipe_option
from calibration.commands.study import StudyOptions, check_alone, fit_people
from calibration.commands.written import write_fitted
from rt_decoder.commands.bundles import command_of, options_of
from rt_decoder.commands.compiling import compile_kernels
from rt_decoder.commands.console import progress_bar, show_json, show_lines
from rt_decoder.commands.options import AsJson
from rt_decoder.commands.outputs import HTML, MODEL, Overwrite, claim_outputs
from rt_decoder.commands.progress import busy

if TYPE_CHECKING:
    from calibration.choice import Prior
    from calibration.events import LabelledRecording
    from calibration.transfer import Wanted
    from rt_decoder.files.sums import Companion
    from rt_decoder.model import Model
    from rt_decoder.recipe import Recipe

__all__ = ["COMMANDS", "FitOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions(Inputs):
    """What `fit` and `cleaning` take besides the recipe; each field is an option of both."""

    only_bids = ("task", "run", "datatype")  # person and session are told of any recording
    output: FittedModel = Path()
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", metavar="TOML", help="Recipe file; options override it."),
    ] = None
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="HTML", help="Report with figures to write; private; default none."
        ),
    ] = None
    overwrite: Overwrite = False
    as_json: AsJson = False

    @property
    def written(self) -> list[tuple[str, Path | None, tuple[str, ...]]]:
        """All files that are written."""
        beside = companion_path(self.output)  # that of a model before would belong to no model
        return [("--output", self.output, MODEL), ("--output", beside, (SUMS,)),
                ("--report", self.report, HTML)]  # fmt: skip

    def __post_init__(self) -> None:
        Inputs.__post_init__(self)
        if self.output == Path():
            object.__setattr__(self, "output", derived_model(self.bids, self.recordings))

    def claim(self, settings: Recipe) -> None:
        """Refuse outputs that are wrong, before any work."""
        if self.bids is not None:
            make_place(self.bids, self.output)
        target = settings.target
        named = (target.vocabulary, target.embedding, target.vectors)
        read = [*self.files, self.recipe, *filter(None, named)]
        claim_outputs(self.written, read, self.overwrite)

    @property
    def fif(self) -> Path | None:
        """The first recording that MNE's projections can be read from."""
        return next((path for path in self.recordings if path.suffix == ".fif"), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapOptions(StudyOptions, LanguageOptions, FitOptions):
    """What `fit` alone takes: other people's models, its own companion, many people."""

    instead = ", --bids ROOT or --people TSV"
    prior_from: PriorFrom = None
    montage: Montage = "name"
    no_sums: NoSums = False
    encode: Annotated[
        bool,
        typer.Option(
            "--encode",
            help="Also measure what the network predicts of the brain, and the learning curve.",
        ),
    ] = False

    @property
    def is_study(self) -> bool:
        """With many people, each finds their own."""
        return self.people is not None

    @property
    def files(self) -> list[Path | None]:
        """All files that are read."""
        models = self.prior_from or []
        own = [*FitOptions.files.__get__(self), self.language_text]
        return [*own, *models, *map(companion_path, models)]

    def others(self) -> list[Companion]:
        """Read the companions of other people's models."""
        return load_people(self.prior_from)[1] if self.prior_from else []

    def prior(self, others: Sequence[Companion]) -> Callable[[Wanted], Prior] | None:
        """Return what makes the prior of other people; None without any."""
        from calibration.transfer import prior_of

        names, people = all_people(self.prior_from or [], others)
        if not people:
            return None
        return partial(prior_of, people, montage=self.montage, names=names, say=show_lines)


Options = TypeVar("Options", bound=FitOptions)


def _taking(
    options: type[Options], *sections: str
) -> Callable[[Callable[[Options, Recipe], None]], Any]:
    """Make a command of what takes options and a recipe; the recipe's keys are options, too."""
    names = names_of(sections)
    keys = [
        Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[list[str] if name in REPEATED else Any, recipe_option(name)],
        )
        for name in names
    ]

    def decorate(work: Callable[[Options, Recipe], None]) -> Any:
        def run(**values: Any) -> None:
            given = {name: values.pop(name) for name in names}
            chosen = options(**values)
            work(chosen, read_settings(chosen.recipe, given))

        return command_of(work, [*options_of(options), *keys], run)

    return decorate


@_taking(MapOptions)
def fit(options: MapOptions, settings: Recipe) -> None:
    """Fit a model: design, choose, validate, certify, write.

    Example: rt-calibrate fit run1.fif --events run1.tsv --tmax 0.8 -o me.rtd.safetensors
    """
    if options.people:
        fit_people(options, settings)
    else:
        check_alone(options)
        _fit_one(options, settings)


def _fit_one(options: MapOptions, settings: Recipe) -> None:
    """Fit a model on the recordings of one person."""
    from calibration.ahead import check_settings
    from calibration.artifacts import with_artifacts
    from calibration.cleaning.seen import unlocked_share
    from calibration.continuous import fit_continuous
    from calibration.design import build_design
    from calibration.events import load_labelled
    from calibration.fit import fit_model
    from calibration.monitor import fit_monitor
    from calibration.report.text import certificate_lines, cleaning_lines
    from rt_decoder.files.sums import Companion, PersonSums

    options.claim(settings)
    check_settings(settings, options.report)
    others, sums, language = options.others(), list[PersonSums](), options.language()
    rules, how = options.rules(settings.target), options.reading
    with busy("reading"):
        labelled = load_labelled(options.recordings, options.tables, settings, rules, **how)
    hashes = check_own(options.recordings, labelled, options.prior_from or [], others)
    draft = _checked(labelled, settings)
    share = unlocked_share(labelled, settings.fit)
    draft, found = _cleaned(draft, labelled, share, options)
    with progress_bar("running the live stages") as progress:
        design = build_design(draft, labelled, progress)
    with busy("fitting and testing the map"):
        model = fit_model(
            draft, with_artifacts(design, draft, labelled), others=options.prior(others),
            keep=sums.append, data_hash=hashes, say=show_lines, language=language,
        )  # fmt: skip
    with progress_bar("looking at every hop") as progress:
        model = fit_continuous(model, design, labelled, progress=progress)
    with busy("fitting what tells another person, cap or timing"):
        model = _signed(fit_monitor(model, design, labelled, say=show_lines), found, options)
    show_lines(*cleaning_lines(found), *certificate_lines(model))
    if options.encode:
        model = with_encoding(model, labelled)
    digest = write_fitted(
        model, labelled, share, options.output, options.report, overwrite=options.overwrite
    )
    companion = None if options.no_sums else Companion(tuple(sums), digest)
    write_companion(companion, options.output, overwrite=options.overwrite)
    if options.as_json:
        told = dict(model.certificate)
        show_json({"model": options.output.name, "hash": digest, "certificate": told})


def _checked(labelled: Sequence[LabelledRecording], settings: Recipe) -> Model:
    """Draft a model; say which items were found, and refuse what cannot be fitted."""
    from calibration.ahead import check_events
    from calibration.design import draft_model
    from calibration.items import check_items, item_lines, piece_lines

    show_lines(*item_lines(labelled, settings))
    check_items(labelled, settings.target)
    draft = draft_model([one.recording for one in labelled], settings)
    check_events(labelled, settings)
    with busy("reading the language model"):
        show_lines(*piece_lines(labelled, settings.target))
    return draft


def _cleaned(draft: Model, sessions: Any, share: float, options: FitOptions) -> Any:
    """Fit the cleaning stages on the first `share` of the recordings."""
    from calibration.cleaning.chain import fit_cleaning

    compile_kernels()
    with busy("fitting the cleaning"):
        return fit_cleaning(draft, sessions, share=share, mne_info=options.fif, say=show_lines)


def _signed(model: Model, cleaning: dict[str, Any], options: FitOptions) -> Model:
    """Return the model with its cleaning, codes and date in the certificate."""
    from calibration.persons import bids_code
    from calibration.report.shown import today

    certificate = {
        **model.certificate,
        "cleaning": cleaning,
        "subject": options.subject or bids_code(options.recordings),
        "session": options.session,
        "marker_offset_ms": options.marker_offset,
        "fitted": today(),
        **reference_facts(options.recordings),
    }
    return replace(model, certificate=certificate)


@_taking(FitOptions, "stream", "filter", "clean")
def cleaning(options: FitOptions, settings: Recipe) -> None:
    """Fit the cleaning chain alone: a model that cleans and names no words.

    Example: rt-calibrate cleaning run1.fif -o cleaning.rtd.safetensors
    """
    from calibration.design import draft_model
    from calibration.events import load_unlabelled
    from calibration.identity import hash_files
    from calibration.items import bad_lines
    from calibration.report.text import cleaning_lines
    from rt_decoder.model import versions

    options.claim(settings)
    need_drawing(options.report)
    rules = options.rules(settings.target)
    with busy("reading"):
        loaded = load_unlabelled(options.recordings, options.tables, rules, **options.reading)
    show_lines(*bad_lines(loaded, settings))
    draft = draft_model([one.recording for one in loaded], settings)
    model, found = _cleaned(draft, loaded, 1.0, options)
    model = replace(model, certificate={"data_hash": hash_files(options.recordings)})
    model = replace(_signed(model, found, options), versions=versions())
    show_lines(*cleaning_lines(found))
    digest = write_fitted(
        model, loaded, 1.0, options.output, options.report, overwrite=options.overwrite
    )
    write_companion(None, options.output, overwrite=options.overwrite)
    if options.as_json:
        show_json({"model": options.output.name, "hash": digest, "cleaning": found})


COMMANDS = (fit, cleaning)
