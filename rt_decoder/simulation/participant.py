"""A simulated participant who reads words while being recorded, with all that disturbs it.

The brain answers a word with waves whose sizes are a fixed linear function of the word's vector
in a language model; on top come background, alpha and artifacts. The same participant can be
recorded many times. How the recording is streamed or decoded is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rt_decoder.signal import Marker, SignalInfo
from rt_decoder.simulation.brain import RESPONSE, Brain
from rt_decoder.simulation.disturbance import ARTIFACTS, CLEANING, Disturbance, Scene
from rt_decoder.simulation.head import Cap
from rt_decoder.simulation.helmet import Helmet

__all__ = ["ARTIFACTS", "CLEANING", "Participant", "Scene", "Simulation"]

_TAIL = 0.2  # s recorded after the last response
_BRAIN = ("evoked", "background", "alpha")
_KINDS = {"eeg": Cap, "meg": Helmet}


@dataclass(frozen=True, slots=True, eq=False)
class Simulation:
    """One simulated recording.

    Attributes
    ----------
    data : array of shape (n_samples, n_channels)
        Volts.
    info : SignalInfo
    events : tuple of Marker
        A word each: label, onset in s from the first sample, index of the onset's sample.
    components : dict of str to array of shape (n_samples, n_channels)
        What `data` is the sum of, in this order; empty if not asked for.
    """

    data: np.ndarray
    info: SignalInfo
    events: tuple[Marker, ...]
    components: dict[str, np.ndarray]


class Participant:
    """A head, a brain that answers words, and habits such as blinking.

    Sizes at the electrode where each is strongest on a cap of 64: blinks 160 uV, gaze steps 40
    to 60 uV, heart 12 uV and pulse 8 uV, breathing 15 uV, muscle bursts 30 uV RMS, line 5 uV;
    alpha about 8 uV RMS at the back, at 9 to 11 Hz. The background has 8 uV RMS over channels
    between 0.5 and 20 Hz and a power that falls as 1/f; what the brain answers to any word alike
    has 2 uV RMS.

    Parameters
    ----------
    vectors : array of shape (n_items, n_dimensions)
        What a language model holds of each item.
    items : sequence of str
        The vocabulary, unique.
    n_channels : int
        EEG electrodes; of the 10-10 system up to 64.
    sfreq : float
        Hz.
    snr : float
        RMS of the part of the response that depends on the item, over items, electrodes and the
        0.8 s after an onset, divided by the RMS of the background between 0.5 and 20 Hz. The
        default decodes far better than people do, so that a session of minutes shows something.
    artifacts : float or mapping of str to float
        Severity: a factor on every one of `ARTIFACTS`, or on those named, the others being left
        out. 0 leaves the brain alone: evoked, background and alpha.
    references : bool
        Adds VEOG and HEOG (which see some brain), ECG and RESP, all in V.
    line_freq : float
        Mains frequency in Hz.
    seed : int
        Same seed, same person.
    kind : str
        "eeg", or "meg": magnetometers and planar gradiometers in a helmet, `n_channels` of them
        (a multiple of 3, 306 in a full helmet). 1 V of the sizes above is worth 40 nT there.
    head : int
        Which geometry; 0 is a sphere with the cap set straight.
    brain : float
        Factor on the size of everything the brain does.
    scene : Scene
        How the artifacts behave.

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
        self._brain = Brain(vectors, cap, sfreq, snr, np.random.default_rng(seed), brain)
        self._disturbance = Disturbance(cap, sfreq, line_freq, scene, seed)

    def evoked(self, vector: np.ndarray) -> np.ndarray:
        """Noise-free response to an item of this vector, (n_samples, n_channels) V from onset."""
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
            How many words, or give `duration`.
        duration : float or None
            Length of the recording in s; as many words as fit with their response.
        soa : (float, float)
            Shortest and longest time between onsets in s, drawn uniformly.
        lead_in : float
            Seconds before the first word.
        prior : array of shape (n_items,) or None
            Probability of each item; None draws them evenly.
        seed : int
            Same seed, same recording; artifacts do not change the brain's part of it.
        components : bool
            Keep every component; False needs a tenth of the memory.
        cues : sequence of (str, float, float)
            Instructions "blink", "saccade" or "rest" from one time to another in s. Within those
            times the eyes do this alone, blinking faster than they would by themselves, and each
            instruction is an event "cue/blink" and so on.

        Raises
        ------
        ValueError
            If not exactly one of `n_words` and `duration` is given, or no word fits.
        """
        streams = iter(np.random.SeedSequence([self.seed, seed]).spawn(4 + len(ARTIFACTS)))
        rng = np.random.default_rng(next(streams))
        onsets, n = self._schedule(rng, n_words, duration, soa, lead_in)
        drawn = rng.choice(len(self.items), len(onsets), p=prior)
        events = tuple(
            Marker(self.items[item], onset / self.info.sfreq, onset)
            for item, onset in zip(drawn.tolist(), onsets.tolist(), strict=True)
        )
        events, allowed = self._instructed(events, cues, n)
        data = np.zeros((n, self.info.n_channels))
        kept = {}
        for name, part in self._parts(streams, n, onsets, drawn, allowed):
            part = self._at_references(name, part)
            data += part
            if components:
                kept[name] = part
        return Simulation(data, self.info, events, kept)

    def _schedule(
        self,
        rng: np.random.Generator,
        n_words: int | None,
        duration: float | None,
        soa: tuple[float, float],
        lead_in: float,
    ) -> tuple[np.ndarray, int]:
        """Onsets as sample indices, and the number of samples."""
        if (n_words is None) == (duration is None):
            raise ValueError(f"need n_words or duration, got {n_words} and {duration}")
        if not (0 < soa[0] <= soa[1] and lead_in >= 0):
            raise ValueError(f"need 0 < soa[0] <= soa[1] and lead_in >= 0, got {soa}, {lead_in}")
        sfreq = self.info.sfreq
        after = int(np.ceil((RESPONSE + _TAIL) * sfreq))
        most = n_words or 0
        if duration is not None:
            most = int(max(duration - lead_in, 0.0) / soa[0]) + 1
        gaps = rng.uniform(*soa, max(most, 0))
        gaps[:1] = lead_in
        onsets = np.rint(np.cumsum(gaps) * sfreq).astype(int)
        if duration is not None:
            n = round(duration * sfreq)
            onsets = onsets[onsets + after <= n]
        if len(onsets) == 0:
            raise ValueError(
                f"need time for at least one word ({lead_in + after / sfreq:g} s), "
                f"got n_words={n_words}, duration={duration}"
            )
        return onsets, n if duration is not None else int(onsets[-1]) + after

    def _parts(
        self,
        streams: Iterator[np.random.SeedSequence],
        n: int,
        onsets: np.ndarray,
        drawn: np.ndarray,
        allowed: dict[str, np.ndarray],
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield every component, (n, n_channels), each from a random stream of its own."""
        yield "evoked", self._brain.answers(n, onsets, drawn)
        yield "background", self._brain.background(np.random.default_rng(next(streams)), n)
        yield "alpha", self._brain.alpha(np.random.default_rng(next(streams)), n)
        for name in ARTIFACTS:
            severity, stream = self.artifacts.get(name, 0.0), next(streams)
            if severity:
                yield name, severity * self._disturbance.artifact(name, stream, n, allowed)
        if self._disturbance.scene.pop_every:
            yield "pop", self._disturbance.pops(next(streams), n)

    def _instructed(
        self, events: tuple[Marker, ...], cues: Sequence[tuple[str, float, float]], n: int
    ) -> tuple[tuple[Marker, ...], dict[str, np.ndarray]]:
        """Events with the cues among them; where eyes may not, may, are told to: 0, 1, 2."""
        allowed = {name: np.ones(n, np.int8) for name in ("blink", "saccade") if cues}
        marks = []
        for what, start, stop in cues:
            if what not in ("blink", "saccade", "rest") or not 0 <= start < stop:
                raise ValueError(
                    "need cues (blink, saccade or rest, start, stop) with 0 <= start < stop, "
                    f"got {(what, start, stop)}"
                )
            first, last = (round(time * self.info.sfreq) for time in (start, stop))
            for name, where in allowed.items():
                where[first:last] = 2 if name == what else 0
            marks.append(Marker(f"cue/{what}", first / self.info.sfreq, first))
        return tuple(sorted((*events, *marks), key=lambda marker: marker.index)), allowed

    def _at_references(self, name: str, part: np.ndarray) -> np.ndarray:
        """`part` with the leak and the lag of the scene in its reference channels."""
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
