"""What an experiment may ask of its session while it runs."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, Unpack

import numpy as np

from rt_decoder.files.decisions import Added
from rt_decoder.signal import Choice

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Changes", "Link", "Steered"]


class Link(Protocol):
    """A session in a thread or a process."""

    pid: int

    def ask(self, what: str, *arguments: Any) -> None:
        """Ask something of the session, among `host.ASKED`."""

    def close(self, timeout: float) -> None:
        """Wait for the session to end, for at most `timeout` s."""


class Changes(TypedDict, total=False):
    """As `Choice`."""

    candidates: Collection[str]
    prior: Mapping[str, float] | None
    threshold: float | None
    top: int | None
    posterior: bool


class Steered:
    """An experiment's hold on a session: marks, choices, pauses and truths.

    Parameters
    ----------
    link : Link
        The session.

    Attributes
    ----------
    pid : int
        Of the session's process.
    """

    def __init__(self, link: Link) -> None:
        self._link, self.pid = link, link.pid
        self._named: tuple[str, ...] = ()
        self._names: Collection[str] = ()

    @property
    def items(self) -> tuple[str, ...]:
        """Items of the model."""
        raise NotImplementedError

    def mark(self, label: str = "", time: float | None = None, **choice: Unpack[Changes]) -> float:
        """Tell the session of an event, as a marker stream would.

        Parameters
        ----------
        label : str
            What was shown. Where the session shall find that out, empty: the readout's label is
            then "onset".
        time : float or None
            When, in s on the LSL clock (`pylsl.local_clock`); None for now.
        **choice
            ``candidates``, ``prior``, ``threshold``, ``top`` and ``posterior`` of this event alone, as
            `choose` takes them. It is not pooled with repeats then.

        Returns
        -------
        float
            The time; `Readout.onset` of the event is this and ``marker_offset``.

        Raises
        ------
        ValueError, TypeError
            As `choose`.
        """
        from pylsl import local_clock

        at = local_clock() if time is None else float(time)
        self._link.ask("mark", label, at, self._checked(choice))
        return at

    def choose(self, **choice: Unpack[Changes]) -> None:
        """Answer otherwise from the next samples on, all changes of a call at once.

        The session record holds the change, so that `decode` of it answers alike. What is not given
        stays as it is.

        Parameters
        ----------
        **choice
            ``candidates``: items to answer among, empty for all; probabilities and bits are those
            among them. ``prior``: weight of items in place of the model's prior, None for the model's.
            ``threshold``: least probability of an answer, else the decoder abstains; above 1 always,
            None for the model's. ``top``: items in a readout, None for as many as the recipe says.
            ``posterior``: whether readouts hold `Readout.posterior` and `Readout.before`.

        Raises
        ------
        ValueError
            If the model does not have an item, or a value is out of range.
        TypeError
            If there is no such choice.
        """
        self._link.ask("choose", self._checked(choice))

    def restrict(self, items: Collection[str] = ()) -> None:
        """Answer among some items only; short for ``choose(candidates=items)``.

        Parameters
        ----------
        items : collection of str
            Of the model; empty for all.

        Raises
        ------
        ValueError
            If the model does not have one of them.
        """
        self.choose(candidates=items)

    def _checked(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        changes = dict(changes)
        if "candidates" in changes and not isinstance(changes["candidates"], str):
            changes["candidates"] = tuple(changes["candidates"])
        choice = Choice(**changes)
        for item in (*choice.candidates, *(choice.prior or ())):
            if item not in self._known():
                raise ValueError(f"need a list of items of the model, got {item!r}")
        return {name: getattr(choice, name) for name in changes}

    def _known(self) -> Collection[str]:
        if self._named is not self.items:
            self._named = self.items
            self._names = frozenset(self._named)
        return self._names

    def swap(self, model: str | os.PathLike[str]) -> None:
        """Go on with another model, without a break: a refit, or one of other items.

        It is made ready beside the loop, and in effect from some sample on, which the session record
        holds; `items` are its items from the event ``swapped`` on. Candidates and prior that it does
        not know are no longer chosen. One that is not proven, or does not clean and window as the one
        that runs, is an event ``refused``, and the session goes on as before.

        Parameters
        ----------
        model : path-like
            Model file.
        """
        self._link.ask("swap", str(Path(model).resolve()))

    def add(self, items: Sequence[str], vectors: ArrayLike | None = None) -> None:
        """Add items to the vocabulary; they are in `items` from the event ``added`` on.

        The session record holds them. Sets are every item from then on. What cannot be added is an
        event ``refused``.

        Parameters
        ----------
        items : sequence of str
            Those that the model lacks.
        vectors : array of shape (n_items, D), or None
            Of the language model that the model was fitted with, as ``rt-calibrate embed`` writes;
            None computes them in a process beside the session, where that model can be found by name
            (a folder only from the folder that it is in).

        Raises
        ------
        ValueError
            If there is not one vector an item, where they are given.
        """
        if isinstance(items, str):
            raise ValueError(f"need a list of items, got {items!r}")
        values = None if vectors is None else np.asarray(vectors, np.float32)
        if values is not None and (values.ndim != 2 or len(values) != len(items)):
            raise ValueError(f"need a vector for each of {len(items)} items, got {values.shape}")
        names = [str(item) for item in items]  # base64: JSON of numbers would hold the session up
        self._link.ask("add", names, None if values is None else Added.of(0, names, values).vectors)

    def pause(self) -> None:
        """Make no readouts from the next samples on; events meanwhile are told, and not answered."""
        self._link.ask("pause", True)

    def resume(self) -> None:
        """Make readouts again."""
        self._link.ask("pause", False)

    def truth(self, seq: int, label: str) -> None:
        """Tell which item an event had, for `score`; the session record holds it.

        With ``learn=True`` the label joins the map, with the first update that is begun after another
        event; of events that have left the newest ones that are kept, only the score knows.

        A readout that is not known, too old (`Scored`) or told of before is an event ``refused``.

        Parameters
        ----------
        seq : int
            Number of the event's readout.
        label : str
            The item.

        Raises
        ------
        ValueError
            If the model does not have it.
        """
        if label not in self._known():
            raise ValueError(f"need an item of the model, got {label!r}")
        self._link.ask("truth", int(seq), label)
