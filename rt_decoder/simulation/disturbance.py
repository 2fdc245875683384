"""Artifacts of a simulated participant: their topographies and sizes.

Sizes are in V at the electrode where an artifact is strongest on the full cap; a helmet turns them
into fields. Time courses come from `waves`. This module does not know what brain they are added to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rt_decoder.simulation import waves as waves
from rt_decoder.simulation.head import EYES, HEAD_RADIUS, Cap

__all__ = ["ARTIFACTS", "CLEANING", "Disturbance", "Scene"]

ARTIFACTS = ("blink", "saccade", "heart", "breath", "muscle", "mains")
_UV = 1e-6
_BLINK, _SACCADE, _HEART, _PULSE, _BREATH, _MUSCLE, _LINE, _POP = (
    size * _UV for size in (160, 50, 12, 8, 15, 30, 5, 500)
)
# positions (n, 3) in m and moments (n, 3) of the artifacts' sources
_CHEST = np.array([[0.02, 0.0, -0.30]]), np.array([[-0.5, 0.2, -1.0]])
_RECOVERY = _CHEST[0], np.array([[-0.9, -0.3, -0.5]])  # where the T wave points
_NECK = np.array([[0.0, -0.05, -0.20]]), np.array([[0.0, 0.3, 1.0]])
_JAWS = HEAD_RADIUS * np.array([[-0.55, 0.2, -0.3], [0.55, 0.2, -0.3]])  # pointing outwards
_UP = np.tile([0.0, 0.5, 1.0], (2, 1))
_RIGHT = np.tile([1.0, 0.0, 0.0], (2, 1))
_REFERENCE = 1e-3  # V of an R wave at ECG and of a breath at RESP
_ASKED_EVERY = 1.8  # s between blinks on request
_SHARES = 0.8, 0.18**0.5, 0.18**0.5  # of a drift: common gain, turned source, single channels
_SWING = 180.0, 360.0  # s, shortest and longest period of a drift


@dataclass(frozen=True, slots=True)
class Scene:
    """How artifacts behave. The defaults are easy to clean; cleaning is judged on `CLEANING`.

    Attributes
    ----------
    drift : float
        RMS of the change of the topography over minutes, relative to its norm. The change swings
        to and fro. Its largest part (0.8) is a gain common to all channels; the other two parts
        (0.42 each) turn the source and change single channels. Blinks, gaze, heart and breath
        drift in the data channels; reference channels do not drift.
    own_lead : bool
        Make the ECG channel a lead on the chest: P, Q, R, S and T have other proportions there
        than in the data channels, and the T wave has another topography than the QRS complex.
        Otherwise the data channels hold multiples of the ECG channel.
    blink_every, clench_every, chew_every : float
        Mean time between them in s.
    eye_depth : float
        Move the equivalent dipoles of the eyes towards the centre by this share of their distance.
        This imitates skull and scalp, which smear a blink over the head.
    breath_sharpness : float
        0 is a sine; 1 is a fast breath in, a slow breath out and a pause.
    pop_every : float
        Mean time in s between jumps of single electrodes by 300 to 800 uV; 0 for no jumps.
    leak : float or None
        RMS of the brain in each EOG channel over that in the EEG; None leaves it to the head.
    lag : float
        Delay of the reference channels in s.

    Raises
    ------
    ValueError
        If a value is out of its range.
    """

    drift: float = 0.0
    own_lead: bool = False
    blink_every: float = 4.0
    clench_every: float = 20.0
    chew_every: float = 60.0
    eye_depth: float = 0.0
    breath_sharpness: float = 0.0
    pop_every: float = 0.0
    leak: float | None = None
    lag: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.drift < 1:
            raise ValueError(f"need a drift in [0, 1), got {self.drift}")
        if not (self.blink_every > 1 and self.clench_every > 0 and self.chew_every > 0):
            raise ValueError(
                "need blink_every above 1 s, clench_every and chew_every above 0 s, got "
                f"{self.blink_every}, {self.clench_every}, {self.chew_every}"
            )
        if not 0 <= self.eye_depth < 1 or not 0 <= self.breath_sharpness <= 1:
            raise ValueError(
                "need eye_depth in [0, 1) and breath_sharpness in [0, 1], got "
                f"{self.eye_depth}, {self.breath_sharpness}"
            )
        if not (self.pop_every == 0 or self.pop_every > 2):
            raise ValueError(f"need pop_every of 0 or above 2 s, got {self.pop_every}")
        if not (self.leak is None or self.leak >= 0) or self.lag < 0:
            raise ValueError(f"need leak and lag of at least 0, got {self.leak}, {self.lag}")


CLEANING = Scene(
    drift=0.15,
    own_lead=True,
    blink_every=5.0,
    clench_every=20.0,
    chew_every=25.0,
    eye_depth=0.35,
    breath_sharpness=1.0,
)


class Disturbance:
    """Renders the artifacts of one person at one set of sensors.

    Parameters
    ----------
    cap : Cap or Helmet
        The sensors.
    sfreq, line_freq : float
        Sampling rate and mains frequency in Hz.
    scene : Scene
        How the artifacts behave.
    seed : int
        Of the person: fixes the topography of mains and the directions of drifts.
    """

    def __init__(self, cap: Cap, sfreq: float, line_freq: float, scene: Scene, seed: int) -> None:
        self._cap, self._sfreq, self._line_freq, self.scene = cap, sfreq, line_freq, scene
        n_channels = len(cap.ch_names)
        mains = np.random.default_rng([seed, 1]).normal(0.0, 0.5**0.5, (n_channels, 2)).T
        self._mains = mains * cap.scale
        self._outwards = np.array([cap.seen(jaw) for jaw in _JAWS])
        self._seed = seed

    def artifact(
        self,
        name: str,
        stream: np.random.SeedSequence,
        n: int,
        cues: dict[str, np.ndarray] | None = None,
    ) -> np.ndarray:
        """Render one artifact at its usual size.

        Parameters
        ----------
        name : str
            One of `ARTIFACTS`.
        stream : numpy.random.SeedSequence
            Of this artifact in this recording.
        n : int
            Length of the recording in samples.
        cues : dict of str to array of shape (n,), int8, or None
            For "blink" and "saccade": 0 where it is forbidden, 1 where it is allowed, 2 where it
            is instructed. None allows both everywhere.

        Returns
        -------
        array of shape (n, n_channels), float64
            In V (T, T/m).
        """
        rng, sfreq, scene = np.random.default_rng(stream), self._sfreq, self.scene
        allowed = (cues or {}).get(name)
        drift = _Drift(self, name, stream, n)
        eyes = (1.0 - scene.eye_depth) * EYES
        if name == "blink":
            free = None if allowed is None else allowed == 1
            course = waves.blinks(rng, n, sfreq, scene.blink_every, free)
            if allowed is not None:
                course += waves.blinks(rng, n, sfreq, _ASKED_EVERY, allowed == 2)
            return drift.spread(course, _BLINK, eyes, _UP)
        if name == "saccade":
            return drift.spread(
                waves.gaze(rng, n, sfreq, None if allowed is None else allowed > 0),
                _SACCADE,
                eyes,
                _RIGHT,
            )
        if name == "heart":
            return self._heart(rng, n, drift)
        if name == "breath":
            course = waves.breathing(rng, n, sfreq, scene.breath_sharpness)
            return drift.spread(course, _BREATH, *_NECK) + np.outer(course, self._wire("RESP"))
        if name == "muscle":
            jaws = np.stack(
                [self._cap.joint_map(jaw[None], self._cap.seen(jaw)[None]) for jaw in _JAWS]
            )
            bursts = waves.muscle(rng, n, sfreq, (scene.clench_every, scene.chew_every))
            return bursts @ (_MUSCLE * jaws)
        return waves.mains(rng, n, sfreq, self._line_freq) @ (_LINE * self._mains)

    def pops(self, stream: np.random.SeedSequence, n: int) -> np.ndarray:
        """Render the jumps of single data channels, (n, n_channels)."""
        rng = np.random.default_rng(stream)
        out = np.zeros((n, len(self._cap.ch_names)))
        placed = waves.pops(rng, n, self._sfreq, self._cap.n_data, self.scene.pop_every)
        for start, channel, wave in zip(*placed, strict=True):
            part = out[start : start + len(wave), channel]
            part += _POP * self._cap.scale[channel] * wave[: len(part)]
        return out

    def _heart(self, rng: np.random.Generator, n: int, drift: _Drift) -> np.ndarray:
        wire = self._wire("ECG")
        if not self.scene.own_lead:
            ecg, pulse = waves.heart(rng, n, self._sfreq)
            out = drift.spread(ecg, _HEART, *_CHEST) + np.outer(ecg, wire)
        else:
            ecg, recovery, pulse, lead = waves.heart_vector(rng, n, self._sfreq)
            out = drift.spread(ecg, _HEART, *_CHEST) + drift.spread(recovery, _HEART, *_RECOVERY)
            out += np.outer(lead, wire)
        return out + drift.spread(pulse, _PULSE, _JAWS, self._outwards)

    def _wire(self, ch_name: str) -> np.ndarray:
        """Map (n_channels,) of the sensor that records this artifact directly; 0 if it is absent."""
        return _REFERENCE * np.array([name == ch_name for name in self._cap.ch_names])


class _Drift:
    """Spreads time courses of one artifact over the channels, by slowly changing maps."""

    def __init__(self, of: Disturbance, name: str, stream: np.random.SeedSequence, n: int) -> None:
        self._cap, self._size = of._cap, of.scene.drift
        self._person = np.random.default_rng([of._seed, 2, ARTIFACTS.index(name)])
        session = np.random.default_rng(stream.spawn(1)[0])
        self._curves = [_curve(session, n, of._sfreq) for _ in _SHARES] if self._size else []

    def spread(
        self, course: np.ndarray, size: float, where: np.ndarray, moments: np.ndarray
    ) -> np.ndarray:
        """Spread the course (n,) of sources that act together over the channels, (n, n_channels)."""
        usual = size * self._cap.joint_map(where, moments)
        out = np.outer(course, usual)
        if not self._size:
            return out
        n, scale = self._cap.n_data, self._cap.scale[: self._cap.n_data]
        a = usual[:n] / scale
        turned = self._cap.joint_map(where, np.cross(self._person.standard_normal(3), moments))
        single = usual * self._person.standard_normal(len(usual))
        changes = [a, *(_across(change[:n] / scale, a) for change in (turned, single))]
        for change, share, curve in zip(changes, _SHARES, self._curves, strict=True):
            most = 2**0.5 * share * self._size * np.linalg.norm(a) / np.linalg.norm(change)
            out[:, :n] += np.outer(course * curve, most * change * scale)
        return out


def _across(change: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Return `change` (n,) without its part along `usual` (n,)."""
    return change - usual * (usual @ change) / (usual @ usual)


def _curve(rng: np.random.Generator, n: int, sfreq: float) -> np.ndarray:
    """Slow sine of shape (n,) between -1 and 1."""
    period = rng.uniform(*_SWING)
    return np.sin(2 * np.pi * (np.arange(n) / (sfreq * period) + rng.random()))
