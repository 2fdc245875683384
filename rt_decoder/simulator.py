"""A simulated participant who reads words while being recorded, with all that disturbs it.

The brain answers a word with waves whose sizes are a fixed linear function of the word's vector
in a language model; on top come background, alpha and artifacts. The same participant can be
recorded many times. How the recording is streamed or decoded is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rt_decoder import simulated_waves as waves
from rt_decoder.head import EYES, HEAD_RADIUS, Cap
from rt_decoder.signal import Marker, SignalInfo
from rt_decoder.simulated_brain import RESPONSE, Brain

__all__ = ["ARTIFACTS", "Participant", "Simulation"]

ARTIFACTS = ("blink", "saccade", "heart", "breath", "muscle", "line")
_TAIL = 0.2  # s recorded after the last response
_UV = 1e-6
_BLINK, _SACCADE, _HEART, _PULSE, _BREATH, _MUSCLE, _LINE = (
    size * _UV for size in (160, 50, 12, 8, 15, 30, 5)
)
# places (n, 3) and moments (n, 3) of what disturbs, in m
_CHEST = np.array([[0.02, 0.0, -0.30]]), np.array([[-0.5, 0.2, -1.0]])
_NECK = np.array([[0.0, -0.05, -0.20]]), np.array([[0.0, 0.3, 1.0]])
_JAWS = HEAD_RADIUS * np.array([[-0.55, 0.2, -0.3], [0.55, 0.2, -0.3]])  # pointing outwards
_ARTERIES = _JAWS, _JAWS
_REFERENCE = 1e-3  # V of an R wave at ECG and of a breath at RESP


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
    ) -> None:
        self.items = tuple(items)
        vectors = np.asarray(vectors, np.float64)
        _check_vocabulary(vectors, self.items)
        if not (np.isfinite(snr) and snr >= 0):
            raise ValueError(f"need an snr of at least 0, got {snr}")
        self.artifacts = _severities(artifacts)
        self.line_freq, self.seed = line_freq, seed
        self._cap = Cap(n_channels, references)
        names = self._cap.ch_names
        self.info = SignalInfo(
            sfreq, names, self._cap.ch_types, ("V",) * len(names), self._cap.positions
        )
        self._brain = Brain(vectors, self._cap, sfreq, snr, np.random.default_rng(seed))
        mains = np.random.default_rng([seed, 1])
        self._mains = mains.normal(0.0, 0.5**0.5, (self.info.n_channels, 2)).T

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

        Raises
        ------
        ValueError
            If not exactly one of `n_words` and `duration` is given, or no word fits.
        """
        streams = iter(np.random.SeedSequence([self.seed, seed]).spawn(3 + len(ARTIFACTS)))
        rng = np.random.default_rng(next(streams))
        onsets, n = self._schedule(rng, n_words, duration, soa, lead_in)
        drawn = rng.choice(len(self.items), len(onsets), p=prior)
        events = tuple(
            Marker(self.items[item], onset / self.info.sfreq, onset)
            for item, onset in zip(drawn.tolist(), onsets.tolist(), strict=True)
        )
        data = np.zeros((n, self.info.n_channels))
        kept = {}
        for name, part in self._parts(streams, n, onsets, drawn):
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
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield every component, (n, n_channels), each from a random stream of its own."""
        yield "evoked", self._brain.answers(n, onsets, drawn)
        yield "background", self._brain.background(np.random.default_rng(next(streams)), n)
        yield "alpha", self._brain.alpha(np.random.default_rng(next(streams)), n)
        for name, stream in zip(ARTIFACTS, streams, strict=True):
            severity = self.artifacts.get(name, 0.0)
            if severity:
                yield name, severity * self._artifact(name, np.random.default_rng(stream), n)

    def _artifact(self, name: str, rng: np.random.Generator, n: int) -> np.ndarray:
        """One artifact at its usual size, (n, n_channels) V."""
        sfreq, at = self.info.sfreq, self._cap.joint_map
        if name == "blink":
            up = np.tile([0.0, 0.5, 1.0], (2, 1))
            return np.outer(waves.blinks(rng, n, sfreq), _BLINK * at(EYES, up))
        if name == "saccade":
            right = np.tile([1.0, 0.0, 0.0], (2, 1))
            return np.outer(waves.gaze(rng, n, sfreq), _SACCADE * at(EYES, right))
        if name == "heart":
            ecg, pulse = waves.heart(rng, n, sfreq)
            ecg_map = _HEART * at(*_CHEST) + self._wire("ECG")
            return np.outer(ecg, ecg_map) + np.outer(pulse, _PULSE * at(*_ARTERIES))
        if name == "breath":
            breath_map = _BREATH * at(*_NECK) + self._wire("RESP")
            return np.outer(waves.breathing(rng, n, sfreq), breath_map)
        if name == "muscle":
            jaws = np.stack([at(jaw[None], jaw[None]) for jaw in _JAWS])
            return waves.muscle(rng, n, sfreq) @ (_MUSCLE * jaws)
        return waves.line(rng, n, sfreq, self.line_freq) @ (_LINE * self._mains)

    def _wire(self, ch_name: str) -> np.ndarray:
        """Map of the sensor that picks this artifact up directly, if it is recorded."""
        return _REFERENCE * np.array([name == ch_name for name in self.info.ch_names])


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
