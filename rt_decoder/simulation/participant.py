"""A simulated participant who reads words while being recorded, artifacts included.

The brain responds to a word with waves whose amplitudes are a fixed linear function of the word's
vector in a language model; background, alpha and artifacts are added. One participant can be
recorded many times. This module does not know how a recording is streamed or decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rt_decoder.signal import Marker, SignalInfo
from rt_decoder.simulation.brain import Brain
from rt_decoder.simulation.disturbance import ARTIFACTS, CLEANING, Disturbance, Scene
from rt_decoder.simulation.head import Cap
from rt_decoder.simulation.helmet import Helmet
from rt_decoder.simulation.schedule import add_cues, draw_onsets

__all__ = ["ARTIFACTS", "CLEANING", "Participant", "Scene", "Simulation"]

_BRAIN = ("evoked", "background", "alpha")
_KINDS = {"eeg": Cap, "meg": Helmet}


@dataclass(frozen=True, slots=True, eq=False)
class Simulation:
    """One simulated recording.

    Attributes
    ----------
    data : array of shape (n_samples, n_channels), float64
        In the units of `info`.
    info : SignalInfo
        Rate and channels.
    events : tuple of Marker
        One per word, and one per cue: label, onset in s from the first sample, sample of the onset.
    components : dict of str to array of shape (n_samples, n_channels)
        The summands of `data`, in this order; empty if they were not kept.
    """

    data: np.ndarray
    info: SignalInfo
    events: tuple[Marker, ...]
    components: dict[str, np.ndarray]


class Participant:
    """A head, a brain that responds to words, and habits such as blinking.

    Sizes at the electrode where each is strongest on a cap of 64:

    ============================  =========================================
    blinks                        160 uV
    gaze steps                    40 to 60 uV
    heart, pulse                  12 uV, 8 uV
    breathing                     15 uV
    muscle bursts                 30 uV RMS
    mains                         5 uV
    alpha, 9 to 11 Hz             8 uV RMS, at the back
    background, power as 1/f      8 uV RMS over channels, 0.5 to 20 Hz
    response common to all words  2 uV RMS
    ============================  =========================================

    Parameters
    ----------
    vectors : array of shape (n_items, n_dimensions)
        Vector of each item in a language model.
    items : sequence of str
        The vocabulary, without repetitions.
    n_channels : int
        Number of EEG electrodes; up to 64 those of the 10-10 system.
    sfreq : float
        Sampling rate in Hz.
    snr : float
        RMS of the part of the response that depends on the item, over items, electrodes and the
        0.8 s after an onset, divided by the RMS of the background between 0.5 and 20 Hz. The
        default decodes far better than real people, so that a session of minutes has a result.
    artifacts : float or mapping of str to float
        Severity: a factor on all `ARTIFACTS`, or on those named, without the others. 0 leaves the
        brain alone: evoked, background and alpha.
    references : bool
        Add VEOG and HEOG (with some brain in them), ECG and RESP, all in V.
    line_freq : float
        Mains frequency in Hz.
    seed : int
        Same seed, same person.
    responses : int or None
        Seed of what items evoke, which people with the same one share; by default `seed` alone.
    kind : str
        "eeg", or "meg": `n_channels` magnetometers and planar gradiometers in a helmet (a multiple
        of 3; a full helmet has 306), where 1 V of the sizes above corresponds to 40 nT.
    head : int
        Number of the head's geometry; 0 is a sphere with a straight cap.
    brain : float
        Factor on all activity of the brain.
    scene : Scene
        How the artifacts behave.

    Raises
    ------
    ValueError
        If `vectors` and `items` do not match, items repeat, vectors are not finite or all equal,
        or another parameter is out of its range.

    Examples
    --------
    >>> vectors = np.random.default_rng(0).standard_normal((3, 8))
    >>> recording = Participant(vectors, ["axe", "bee", "cup"]).simulate(n_words=5, seed=1)
    >>> recording.data.shape[1], len(recording.events)
    (32, 5)
    """

    def __init__(
        self,
        vectors: np.ndarray,
        items: Sequence[str],
        *,
        n_channels: int = 32,
        sfreq: float = 250.0,
        snr: float = 0.35,
        artifacts: float | Mapping[str, float] = 1.0,
        references: bool = False,
        line_freq: float = 50.0,
        seed: int = 0,
        responses: int | None = None,
        kind: str = "eeg",
        head: int = 0,
        brain: float = 1.0,
        scene: Scene = Scene(),  # noqa: B008  (immutable)
    ) -> None:
        self.items = tuple(items)
        vectors = np.asarray(vectors, np.float64)
        _check_vocabulary(vectors, self.items)
        if not (np.isfinite(snr) and snr >= 0):
            raise ValueError(f"need an snr of at least 0, got {snr}")
        self.artifacts = _severities(artifacts)
        self.line_freq, self.seed = line_freq, seed
        if kind not in _KINDS or not (np.isfinite(brain) and brain > 0):
            raise ValueError(f"need kind 'eeg' or 'meg' and brain above 0, got {kind!r}, {brain}")
        self._cap = cap = _KINDS[kind](n_channels, references, head)
        self.info = SignalInfo(sfreq, cap.ch_names, cap.ch_types, cap.units, cap.positions)
        shared = None if responses is None else np.random.default_rng([responses, 1])
        self._brain = Brain(vectors, cap, sfreq, snr, np.random.default_rng(seed), brain, shared)
        self._disturbance = Disturbance(cap, sfreq, line_freq, scene, seed)

    def evoked(self, vector: np.ndarray) -> np.ndarray:
        """Return the noise-free response to this vector, (n_samples, n_channels) V from onset."""
        return self._brain.evoked(vector)

    def simulate(
        self,
        n_words: int | None = None,
        *,
        duration: float | None = None,
        soa: tuple[float, float] = (0.6, 0.8),
        lead_in: float = 2.0,
        prior: np.ndarray | None = None,
        seed: int = 0,
        components: bool = True,
        cues: Sequence[tuple[str, float, float]] = (),
    ) -> Simulation:
        """Record the participant reading words drawn at random.

        Parameters
        ----------
        n_words : int or None
            Number of words; None to set `duration` instead.
        duration : float or None
            Length of the recording in s, with as many words as fit including their responses.
        soa : (float, float)
            Shortest and longest time between onsets in s, drawn uniformly.
        lead_in : float
            Time before the first word in s.
        prior : array of shape (n_items,) or None
            Probability of each item; None draws them evenly.
        seed : int
            Same seed, same recording; artifacts do not change the brain's part of it.
        components : bool
            Keep every component; False needs a tenth of the memory.
        cues : sequence of (str, float, float)
            Instructions "blink", "saccade" or "rest", each from one time to another in s. The eyes
            then do only that; instructed blinks come faster than spontaneous ones. Each
            instruction is an event: "cue/blink", "cue/saccade" or "cue/rest".

        Returns
        -------
        Simulation
            The recording and its events.

        Raises
        ------
        ValueError
            If not exactly one of `n_words` and `duration` is given, no word fits, or a time or a
            cue is invalid.
        """
        streams = iter(np.random.SeedSequence([self.seed, seed]).spawn(4 + len(ARTIFACTS)))
        rng = np.random.default_rng(next(streams))
        onsets, n = draw_onsets(rng, self.info.sfreq, n_words, duration, soa, lead_in)
        drawn = rng.choice(len(self.items), len(onsets), p=prior)
        events = tuple(
            Marker(self.items[item], onset / self.info.sfreq, onset)
            for item, onset in zip(drawn.tolist(), onsets.tolist(), strict=True)
        )
        events, allowed = add_cues(events, cues, n, self.info.sfreq)
        data = np.zeros((n, self.info.n_channels))
        kept = {}
        for name, part in self._parts(streams, n, onsets, drawn, allowed):
            part = self._at_references(name, part)
            data += part
            if components:
                kept[name] = part
        return Simulation(data, self.info, events, kept)

    def _parts(
        self,
        streams: Iterator[np.random.SeedSequence],
        n: int,
        onsets: np.ndarray,
        drawn: np.ndarray,
        allowed: dict[str, np.ndarray],
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield every component, (n, n_channels), each from its own random stream."""
        yield "evoked", self._brain.answers(n, onsets, drawn)
        yield "background", self._brain.background(np.random.default_rng(next(streams)), n)
        yield "alpha", self._brain.alpha(np.random.default_rng(next(streams)), n)
        for name in ARTIFACTS:
            severity, stream = self.artifacts.get(name, 0.0), next(streams)
            if severity:
                yield name, severity * self._disturbance.artifact(name, stream, n, allowed)
        if self._disturbance.scene.pop_every:
            yield "pop", self._disturbance.pops(next(streams), n)

    def _at_references(self, name: str, part: np.ndarray) -> np.ndarray:
        """Apply the leak and the lag of the scene to the reference channels of `part`."""
        scene, first = self._disturbance.scene, self._cap.n_data
        if not self._cap.references or (scene.leak is None and not scene.lag):
            return part
        if scene.leak is not None and name in _BRAIN:
            scale = self._cap.scale[:first]
            usual = np.sqrt(np.mean((part[:, :first] / scale) ** 2))
            eyes = part[:, first : first + 2]
            eyes *= scene.leak * usual / np.sqrt(np.mean(eyes**2, 0)).clip(1e-30)
        if scene.lag:
            t = np.arange(len(part)) / self.info.sfreq
            for column in range(first, part.shape[1]):
                part[:, column] = np.interp(t - scene.lag, t, part[:, column])
        return part


def _check_vocabulary(vectors: np.ndarray, items: tuple[str, ...]) -> None:
    if vectors.ndim != 2 or len(vectors) != len(items):
        raise ValueError(
            f"need vectors of shape ({len(items)}, n_dimensions), one an item, "
            f"got shape {vectors.shape}"
        )
    if len(set(items)) != len(items):
        raise ValueError("need unique items, got some more than once")
    if not np.isfinite(vectors).all() or len(items) < 2 or not np.ptp(vectors, axis=0).any():
        raise ValueError("need finite vectors of at least two different items")


def _severities(artifacts: float | Mapping[str, float]) -> dict[str, float]:
    if not isinstance(artifacts, Mapping):
        artifacts = dict.fromkeys(ARTIFACTS, artifacts)
    unknown = set(artifacts) - set(ARTIFACTS)
    if unknown:
        raise ValueError(f"need artifacts among {', '.join(ARTIFACTS)}, got {min(unknown)!r}")
    if not all(np.isfinite(size) and size >= 0 for size in artifacts.values()):
        raise ValueError(f"need severities of at least 0, got {dict(artifacts)}")
    return dict(artifacts)
