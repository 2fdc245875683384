"""Find and read the images and sounds that items name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from rt_decoder.files.damage import first_line
from rt_decoder.files.packages import need_packages
from rt_decoder.timing.items import fold_key, some
from rt_decoder.timing.stems import stem

__all__ = ["IMAGES", "SOUNDS", "find_stimuli", "read_image", "read_sound", "sense_of"]

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
SOUNDS = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")
_ONE_BY_SCIPY = (".wav",)  # what can be read without soundfile


def find_stimuli(folder: str | Path, items: Sequence[str]) -> list[Path]:
    """Find the file of each item: its stem is the item, in the folder or in one below.

    Parameters
    ----------
    folder : path
    items : sequence of str
        Stems of files; they may differ from those in case alone.

    Returns
    -------
    list of Path

    Raises
    ------
    ValueError
        If an item has no file or several, or the items are images as well as sounds.
    OSError
        If there is no such folder.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise OSError(f"need a folder of images or sounds, got no folder {folder.name!r}")
    exact: dict[str, list[Path]] = {}
    folded: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in IMAGES + SOUNDS and path.is_file():
            exact.setdefault(stem(path.name), []).append(path)
            folded.setdefault(fold_key(stem(path.name)), []).append(path)
    found, missing = [], []
    for item in items:
        near = exact.get(item) or folded.get(fold_key(item), [])
        if len(near) > 1:
            names = " and ".join(path.relative_to(folder).as_posix() for path in near[:3])
            raise ValueError(f"need one image or sound named {item!r}, got {names}")
        found += near
        missing += [] if near else [item]
    if missing:
        there = some([path.name for paths in exact.values() for path in paths]) or "no such file"
        raise ValueError(
            f"need an image or sound for every item, got none for {some(missing)}; the folder has "
            f"{there}"
        )
    sense_of(found)
    return found


def sense_of(paths: Sequence[Path]) -> str:
    """Tell whether files are images or sounds, by their endings.

    Parameters
    ----------
    paths : sequence of Path

    Returns
    -------
    str
        "image" or "sound".

    Raises
    ------
    ValueError
        If they are both.
    """
    sounds = [path for path in paths if path.suffix.lower() in SOUNDS]
    if sounds and len(sounds) < len(paths):
        image = next(path for path in paths if path not in sounds)
        raise ValueError(f"need images or sounds, got both: {image.name} and {sounds[0].name}")
    return "sound" if sounds else "image"


def read_image(path: Path) -> np.ndarray:
    """Read an image; what is transparent is laid on white.

    Parameters
    ----------
    path : Path

    Returns
    -------
    array of shape (height, width, 3), uint8

    Raises
    ------
    OSError
        If it cannot be read.
    """
    need_packages("PIL", what=f"to read {path.name}")
    from PIL import Image

    try:
        with Image.open(path) as opened:
            if opened.mode not in ("RGBA", "LA", "P"):
                return np.asarray(opened.convert("RGB"))
            image = opened.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return np.asarray(Image.alpha_composite(white, image).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise OSError(f"need an image in {path.name}: {first_line(error)}") from None


def read_sound(path: Path, sfreq: int) -> np.ndarray:
    """Read a sound, mean over its channels, at another sampling rate.

    Parameters
    ----------
    path : Path
        WAV by scipy; other kinds need soundfile.
    sfreq : int
        Sampling rate wanted, in Hz.

    Returns
    -------
    array of shape (n_samples,), float32
        1 is full scale.

    Raises
    ------
    OSError
        If it cannot be read, or has no sample.
    """
    from scipy.signal import resample_poly

    try:
        rate, wave = _read_wave(path)
    except (ValueError, RuntimeError, EOFError, OSError) as error:
        raise OSError(f"need a sound in {path.name}: {first_line(error)}") from None
    wave = wave.mean(axis=1) if wave.ndim == 2 else wave
    if not wave.size or not np.isfinite(wave).all() or rate < 1:
        raise OSError(f"need a sound of finite samples in {path.name}, got {wave.size} samples")
    if rate != sfreq:
        wave = resample_poly(wave, sfreq, rate)
    return wave.astype(np.float32)


def _read_wave(path: Path) -> tuple[int, np.ndarray]:
    """Sampling rate, and samples (n,) or (n, n_channels), 1 being full scale."""
    if find_spec("soundfile"):
        import soundfile

        wave, rate = soundfile.read(path, dtype="float64")
        return int(rate), wave
    if path.suffix.lower() not in _ONE_BY_SCIPY:
        need_packages("soundfile", what=f"to read {path.name}")
    from scipy.io import wavfile

    rate, wave = wavfile.read(path)
    if wave.dtype.kind == "f":
        return int(rate), wave.astype(float)
    if wave.dtype == np.uint8:  # the only unsigned kind of WAV
        return int(rate), (wave.astype(float) - 128) / 128
    return int(rate), wave.astype(float) / -float(np.iinfo(wave.dtype).min)
