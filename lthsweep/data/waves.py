"""Reading sound files: one channel at one rate, cut or filled to one length.

WAV files are read by SciPy. FLAC, Ogg and MP3 files are read by the package `soundfile`, where it is installed.
"""

from __future__ import annotations

import io
import math
import warnings

import numpy as np
from numpy.typing import NDArray

from lthsweep.errors import DataError

__all__ = ["SUFFIXES", "fitted", "read_sound", "resampled"]

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg")
_RATES = (1_000, 768_000)


def read_sound(content: bytes, where: str) -> tuple[NDArray[np.float64], int]:
    """Decode a sound file; several channels become their mean.

    Args:
        content: the file's bytes: WAV with PCM of 8, 16, 24 or 32 bits or floats of 32 or 64; others by `soundfile`.
        where: the file, as an error should name it; its ending says its format.

    Returns:
        float64 [samples], full scale at ±1, and samples per second.

    Raises:
        DataError: if it is unreadable, empty, not finite or of an unlikely rate; or `soundfile` is needed and not
            installed.
    """
    samples, rate = _wave(content, where) if where.lower().endswith(".wav") else _other(content, where)
    if not _RATES[0] <= rate <= _RATES[1]:
        raise DataError(f"{where} states {rate} samples per second; that is hardly true: make the file again")
    mono = samples.mean(axis=1) if samples.ndim == 2 else samples
    if not len(mono):
        raise DataError(f"{where} holds no sound; remove it")
    if not np.isfinite(mono).all():
        raise DataError(f"{where} holds samples that are not finite; make it again or remove it")
    return mono, rate


def resampled(samples: NDArray[np.float64], rate: int, wanted: int) -> NDArray[np.float64]:
    """The same sound at another rate, by SciPy's polyphase filter, which lets nothing alias."""
    if rate == wanted:
        return samples
    from scipy.signal import resample_poly

    common = math.gcd(rate, wanted)
    result: NDArray[np.float64] = resample_poly(samples, wanted // common, rate // common)
    return result


def fitted(samples: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The `count` samples in the middle; a shorter sound gets as much silence before as behind."""
    spare = len(samples) - count
    if spare >= 0:
        return samples[spare // 2 : spare // 2 + count]
    before = -spare // 2
    return np.pad(samples, (before, -spare - before))


def _wave(content: bytes, where: str) -> tuple[NDArray[np.float64], int]:
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # notes and pictures among the chunks
            warnings.filterwarnings("error", "Reached EOF prematurely", wavfile.WavFileWarning)  # cut short
            rate, samples = wavfile.read(io.BytesIO(content))
    except Exception as error:  # the reader raises anything at all on a damaged file
        raise DataError(
            f"{where} is no readable WAV file ({error}); repair it (`ffmpeg -i FILE -c:a pcm_s16le NEW.wav`) or "
            f"remove it"
        ) from None
    scaled = samples.astype(np.float64)
    if samples.dtype == np.uint8:
        scaled = (scaled - 128) / 128
    elif np.issubdtype(samples.dtype, np.integer):
        scaled /= float(1 << (8 * samples.dtype.itemsize - 1))  # 24 bits come in the upper part of 32
    return scaled, int(rate)


def _other(content: bytes, where: str) -> tuple[NDArray[np.float64], int]:
    try:
        import soundfile
    except ImportError:
        raise DataError(
            f"{where} is no WAV file, and the package that reads others is not installed; run `pip install soundfile`, "
            f"or convert it: `ffmpeg -i FILE NEW.wav`"
        ) from None
    try:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float64")
    except Exception as error:
        raise DataError(f"{where} is no readable sound file ({error}); repair or remove it") from None
    return samples, int(rate)
