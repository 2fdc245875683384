"""Find the item, group and sentence context of each event in each recording.

Events come from a BIDS TSV or, without one, from the recording itself: MNE annotations, XDF marker
streams, marker columns, trigger channels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.event_rows import Event, events_of_rows
from calibration.identity import check_files, check_once, fingerprint
from rt_decoder.recipe import Recipe
from rt_decoder.signal import Marker
from rt_decoder.timing.double_events import check_single, check_stimuli
from rt_decoder.timing.items import CUE
from rt_decoder.timing.markers import MarkerRules, trigger_markers

if TYPE_CHECKING:
    from rt_decoder.files.events import EventRow
    from rt_decoder.files.recording import Recording

__all__ = ["Event", "LabelledRecording", "label_recording", "load_labelled", "load_unlabelled"]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRecording:
    """A recording with the events to learn from.

    Parameters
    ----------
    recording : Recording
    markers : tuple of Marker
        Stimuli and cues, in time order; empty if a trigger channel will supply them.
    events : tuple of Event
        One per marker.
    rules : MarkerRules
        How markers become items.
    source : str
        Where the markers come from.
    left_out : mapping of str to int
        Labels that are no stimuli, with their counts.
    fingerprint : tuple of int
        Of the samples, as `identity.fingerprint`.
    """

    recording: Recording
    markers: tuple[Marker, ...]
    events: tuple[Event, ...]
    rules: MarkerRules
    source: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)
    fingerprint: tuple[int, ...] = ()

    def by_marker(self, items: Iterable[str] = ()) -> dict[tuple[str, float], Event]:
        """Map each marker, named by item and time as the decoder reports it, to its event.

        Parameters
        ----------
        items : iterable of str
            The model's items, for their spelling.

        Returns
        -------
        dict
        """
        rule = self.rules.item_rule(items)
        return {
            (rule.item(m.label) or m.label, m.time + self.rules.offset): event
            for m, event in zip(self.markers, self.events, strict=True)
        }

    def labels(self, items: Iterable[str] = ()) -> Counter[str]:
        """Count the markers of each item, cues aside, before the recording runs through the stages.

        Parameters
        ----------
        items : iterable of str
            The model's items, for their spelling.

        Returns
        -------
        Counter
        """
        rule = self.rules.item_rule(items)
        return Counter(filter(None, map(rule.item, self.written())))

    def written(self) -> list[str]:
        """Return the labels of all markers but cues, as written, trigger channels read as well."""
        return [one.label for one, _ in self.heard() if not one.label.startswith(CUE)]

    def stimuli(self) -> list[tuple[Marker, Event]]:
        """Return the markers of items, cues aside, with their events; trigger channels read as well."""
        item = self.rules.item_rule().item
        return [
            (marker, event)
            for marker, event in self.heard()
            if not marker.label.startswith(CUE) and item(marker.label) is not None
        ]

    def heard(self) -> list[tuple[Marker, Event]]:
        """Return all markers with their events; those of a trigger channel as the live stages read them."""
        names, rules = self.recording.info.ch_names, self.rules
        if rules.trigger not in names:
            return list(zip(self.markers, self.events, strict=True))
        codes = self.recording.data[:, names.index(rules.trigger)]
        found = trigger_markers(codes, self.recording.times, mask=rules.mask)
        return [(marker, Event()) for marker in found]


def label_recording(
    recording: Recording, rows: Sequence[EventRow] | None, recipe: Recipe, rules: MarkerRules
) -> LabelledRecording:
    """Join a recording with the rows of its events table, or with its own markers.

    Parameters
    ----------
    recording : Recording
    rows : sequence of EventRow or None
        Rows of its events table; None takes the markers of the recording.
    recipe : Recipe
        Names the columns of groups and of sentence contexts.
    rules : MarkerRules
        How markers become items; without names, as the recipe has it.

    Returns
    -------
    LabelledRecording

    Raises
    ------
    ValueError
        If there is no stimulus, one is there twice, an event is outside, or a column or the trigger
        channel is missing.
    """
    rules = rules.for_target(recipe.target)
    if rows is None:
        if not recording.markers and not rules.trigger:
            raise ValueError(
                f"{recording.name} has no events; give --events TSV or --markers channel:NAME"
            )
        if rules.trigger:
            source = f"the codes of channel {rules.trigger}"
            if rules.trigger not in recording.info.ch_names:
                raise ValueError(
                    f"need a trigger channel {rules.trigger}, got {', '.join(recording.info.ch_names)}"
                )
            found = LabelledRecording(recording, (), (), rules, source)
            check_stimuli([one for one, _ in found.heard()], rules, recording.name, source)
            return found
        events = [Event() for _ in recording.markers]
        return _stimuli(recording, recording.markers, events, rules, "its own markers")
    from rt_decoder.files.events import markers_from_events

    markers = markers_from_events(rows, recording)
    return _stimuli(
        recording, markers, events_of_rows(rows, recipe), rules, f"column {rows[0].column}"
    )


def _stimuli(
    recording: Recording,
    markers: Sequence[Marker],
    events: Sequence[Event],
    rules: MarkerRules,
    source: str,
) -> LabelledRecording:
    """Keep what is a stimulus or a cue, and count the rest."""
    rule = rules.item_rule()
    are_items = [rule.item(marker.label) is not None for marker in markers]
    left_out = Counter(
        marker.label for marker, is_item in zip(markers, are_items, strict=True) if not is_item
    )
    if markers and not any(are_items):
        raise ValueError(
            f"{recording.name}: need stimuli among the labels of {source}, "
            f"got {', '.join(list(left_out)[:5])}"
        )
    kept = tuple(compress(markers, are_items)), tuple(compress(events, are_items))
    check_single(kept[0], rule.item, recording.name, source)
    return LabelledRecording(recording, *kept, rules, source, left_out)


def load_labelled(
    paths: Sequence[Path],
    tables: Sequence[Path],
    recipe: Recipe,
    rules: MarkerRules,
    **reading: Any,
) -> list[LabelledRecording]:
    """Read recordings and their events tables.

    Parameters
    ----------
    paths : sequence of path
        Recordings.
    tables : sequence of path
        Events tables in the same order, or empty for the markers of the recordings.
    recipe : Recipe
        Names the columns of items, groups and sentence contexts.
    rules : MarkerRules
        How markers become items.
    **reading
        Passed to `read_recording`: channels, units, stream, markers.

    Returns
    -------
    list of LabelledRecording

    Raises
    ------
    ValueError
        If there are tables as well as a trigger channel, or not one table per recording; if a
        recording has no event or a table lacks a column; if two recordings share samples.
    """
    if tables and rules.trigger:
        raise ValueError("need --events or --markers channel:NAME, got both")
    labelled = [
        replace(label_recording(recording, rows, recipe, rules), fingerprint=of)
        for recording, rows, of in _read_all(paths, tables, recipe.target.label or None, reading)
    ]
    check_once([one.fingerprint for one in labelled], paths)
    return labelled


def load_unlabelled(
    paths: Sequence[Path], tables: Sequence[Path], rules: MarkerRules, **reading: Any
) -> list[LabelledRecording]:
    """Read recordings to clean; their events, if any, only mark cues and onsets.

    Parameters
    ----------
    paths : sequence of path
        Recordings.
    tables : sequence of path
        Events tables in the same order, or empty for the markers of the recordings.
    rules : MarkerRules
        How markers become cues and onsets.
    **reading
        Passed to `read_recording`: channels, units, stream, markers.

    Returns
    -------
    list of LabelledRecording
        Their events have neither group nor context.

    Raises
    ------
    ValueError
        If there are tables, but not one per recording; if an event is there twice, or two recordings
        share samples.
    """
    from rt_decoder.files.events import markers_from_events

    loaded = []
    for recording, rows, of in _read_all(paths, tables, None, reading):
        found = () if rules.trigger else recording.markers
        found = found if rows is None else tuple(markers_from_events(rows, recording))
        source = "its own markers" if rows is None else f"column {rows[0].column}"
        check_stimuli(found, rules, recording.name, source)
        events = tuple(Event() for _ in found)
        loaded.append(LabelledRecording(recording, found, events, rules, fingerprint=of))
    check_once([one.fingerprint for one in loaded], paths)
    return loaded


def _read_all(
    paths: Sequence[Path], tables: Sequence[Path], column: str | None, reading: dict[str, Any]
) -> Iterator[tuple[Recording, Sequence[EventRow] | None, tuple[int, ...]]]:
    """Yield each recording with the rows of its events table, or None, and its fingerprint."""
    from rt_decoder.files.events import read_events
    from rt_decoder.files.read import read_recording

    if tables and len(tables) != len(paths):
        raise ValueError(
            f"need one --events for each of {len(paths)} recordings, got {len(tables)}"
        )
    check_files(paths)
    for i, path in enumerate(paths):
        recording = read_recording(path, **reading)
        rows = read_events(tables[i], column=column) if tables else None
        yield recording, rows, fingerprint(recording)
