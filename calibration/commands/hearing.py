"""A simulated participant who hears what an experiment says: `rt-decoder simulate --hear`."""

from __future__ import annotations

import numpy as np

from calibration.language.embeddings import embed
from calibration.language.words import frequent_words
from rt_decoder.files.recording import Recording
from rt_decoder.simulation.participant import Participant

__all__ = ["simulate_hearer"]

_NEVER = 1e9  # s between words: the first alone falls into the recording


def simulate_hearer(
    *,
    seconds: float,
    n_vocabulary: int,
    n_channels: int = 32,
    sfreq: float = 250.0,
    seed: int = 0,
    session: int = 1,
    responses: int | None = None,
) -> tuple[Recording, dict[str, np.ndarray]]:
    """Record a simulated participant who hears nothing, and what each word would evoke.

    Parameters
    ----------
    seconds : float
        Length in s.
    n_vocabulary : int
        Size of the vocabulary: frequent English words.
    n_channels : int
        Number of EEG channels.
    sfreq : float
        Sampling rate in Hz.
    seed : int
        Random seed of the participant, who is the one that `simulate_recording` records.
    session : int
        Random seed of the noise.
    responses : int or None
        Random seed of what words evoke.

    Returns
    -------
    recording : Recording
        Without events.
    evoked : dict of str to array of shape (n_samples, n_channels)
        Response to each word, in V from its onset.
    """
    words = frequent_words(n_vocabulary)
    vectors = embed(words)
    participant = Participant(
        vectors, words, n_channels=n_channels, sfreq=sfreq, references=True, seed=seed,
        responses=responses,
    )  # fmt: skip
    evoked = {word: participant.evoked(one) for word, one in zip(words, vectors, strict=True)}
    heard = participant.simulate(
        duration=seconds, soa=(_NEVER, _NEVER), lead_in=0.0, seed=session, components=False
    )
    data = heard.data.copy()
    for event in heard.events:
        response = evoked[event.label][: len(data) - event.index]
        data[event.index : event.index + len(response)] -= response
    stamps = np.arange(len(data)) / sfreq
    return Recording(data, stamps, heard.info, (), name=f"simulated-{seed}-{session}"), evoked
