"""The most frequent words of a language, and how frequent words are.

Frequencies are those of `wordfreq` (R. Speer, doi:10.5281/zenodo.7199437; data CC-BY-SA 4.0).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

__all__ = ["check_language", "frequent_words", "word_log_prior"]

# below the rarest word that wordfreq lists (1e-8), but not 0: unknown words stay possible
_MINIMUM = 1e-9
# words of letters that stand for syllables or more are shorter than three
_LEAST = {"zh": 1, "ja": 1, "ko": 1}


def check_language(language: str) -> None:
    """Refuse a language whose frequencies are not known.

    Parameters
    ----------
    language : str
        Code such as ``"en"``.

    Raises
    ------
    ValueError
        With the languages that are known.
    """
    from wordfreq import available_languages

    known = available_languages()
    if language.split("-")[0] not in known:
        raise ValueError(
            f"need a language that wordfreq knows, {', '.join(sorted(known))}, got {language!r}"
        )


def frequent_words(n: int, language: str = "en") -> list[str]:
    """Return the `n` most frequent words of at least three letters, or one in Chinese, Japanese, Korean.

    Parameters
    ----------
    n : int
        1 or more.
    language : str
        Code such as ``"en"``.

    Returns
    -------
    list of str
        Lower case, letters only, most frequent first.

    Raises
    ------
    ValueError
        If `n` is below 1 or above what the language has, or the language is unknown.

    Examples
    --------
    >>> frequent_words(3)
    ['the', 'and', 'for']
    """
    from wordfreq import iter_wordlist

    if n < 1:
        raise ValueError(f"need at least one word, got {n}")
    try:
        listed = iter_wordlist(language)
    except (LookupError, ValueError) as error:  # unknown, or no code at all
        raise ValueError(f"need a language that wordfreq knows, got {language!r}") from error
    words: dict[str, None] = {}
    for word in listed:
        if len(word) >= _LEAST.get(language, 3) and all(map(_is_of_word, word)):
            words[word.lower()] = None
            if len(words) == n:
                return list(words)
    raise ValueError(f"need at most {len(words)} words of language {language!r}, got {n}")


def _is_of_word(character: str) -> bool:
    """Whether it is a letter, or a mark that belongs to one, such as a vowel of Hindi."""
    return character.isalpha() or unicodedata.category(character).startswith("M")


def word_log_prior(words: Sequence[str], language: str = "en") -> np.ndarray:
    """Log probability of each of `words` in writing and speech, normalised over them.

    Parameters
    ----------
    words : sequence of str
        Words or phrases; unknown ones count as 1e-9 before normalising. Without wordfreq's
        extra packages, phrases of Chinese, Japanese and Korean are unknown.
    language : str
        Code such as ``"en"``.

    Returns
    -------
    array of shape (n_words,), float64
        Natural logarithms; the exponentials sum to 1.

    Raises
    ------
    ValueError
        If `words` is empty or a single string, or the language is unknown.
    """
    from wordfreq import get_frequency_dict, word_frequency

    if isinstance(words, str) or len(words) == 0:
        raise ValueError(f"need a sequence of at least one word, got {words!r}")
    try:
        frequency = np.array([word_frequency(word, language, minimum=_MINIMUM) for word in words])
    except ImportError:  # what cuts phrases of Chinese, Japanese, Korean into words; ours are words
        table = get_frequency_dict(language)
        frequency = np.array([max(table.get(word.lower(), 0.0), _MINIMUM) for word in words])
    except (LookupError, ValueError) as error:
        raise ValueError(f"need a language that wordfreq knows, got {language!r}") from error
    return np.log(frequency / frequency.sum())
