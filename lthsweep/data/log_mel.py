"""Sound as a picture: power in mel bands over time, in decibels, as bytes.

The bands are those of HTK's mel scale, mel = 2595 log10(1 + f / 700), triangles of height 1 between half the rate and
0 Hz: the ones that `torchaudio.functional.melscale_fbanks` makes by default.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lthsweep.errors import DataError

__all__ = ["band_centers", "fourier_points", "log_mel", "mel_bands"]

_LEVELS = 255
_SILENCE = 1e-20  # far below any range, and above the logarithm's zero


def fourier_points(window: int) -> int:
    """Length of the Fourier transform of a window: the next power of two."""
    return 1 << (window - 1).bit_length()


def band_centers(mels: int, rate: int) -> NDArray[np.float64]:
    """Frequencies in Hz where the triangles have their tips, and the two ends before and behind; float64 [mels + 2]."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    return np.asarray(700 * (10 ** (np.linspace(0, top, mels + 2) / 2595) - 1), np.float64)


def mel_bands(mels: int, rate: int, window: int) -> NDArray[np.float64]:
    """How much each frequency of the transform counts in each band.

    Args:
        mels: number of bands.
        rate: samples per second.
        window: samples of a frame.

    Returns:
        float64 [mels, points // 2 + 1], in 0..1. Between the first and the last tip the bands add up to 1.

    Raises:
        DataError: if a band is so narrow that it holds no frequency.
    """
    frequencies = np.linspace(0, rate / 2, fourier_points(window) // 2 + 1)
    edges = band_centers(mels, rate)
    low, tip, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bands = np.maximum(0, np.minimum((frequencies - low) / (tip - low), (high - frequencies) / (high - tip)))
    if (bands.max(axis=1) == 0).any():
        raise DataError(
            f"data.mels = {mels} is more than a window of {window} samples at {rate} per second can tell apart; lower "
            f"it or raise data.window"
        )
    return np.asarray(bands, np.float64)


def log_mel(
    samples: NDArray[np.float64], bands: NDArray[np.float64], *, window: int, hop: int, decibels: int
) -> NDArray[np.uint8]:
    """The picture of a sound.

    Frames are weighted by a Hann window, none reaches over the ends. A sine at full scale has 0 dB, and the `decibels`
    below that are spread over 0..255, rounded; what is quieter is 0, as silence is.

    Args:
        samples: float64 [N], full scale at ±1, N >= window.
        bands: as `mel_bands` gives them.
        window: samples of a frame.
        hop: samples from one frame to the next.
        decibels: the range.

    Returns:
        uint8 [mels, 1 + (N - window) // hop], the lowest band in row 0.
    """
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
    points = fourier_points(window)
    spectrum = np.fft.rfft(frames * taper, points)
    # By Parseval's theorem a sine of amplitude 1 leaves this much in the positive frequencies.
    power = (spectrum.real**2 + spectrum.imag**2) / (points * (taper**2).sum() / 4)
    level = 1 + 10 * np.log10(np.maximum(bands @ power.T, _SILENCE)) / decibels
    picture: NDArray[np.uint8] = np.floor(np.clip(level, 0, 1) * _LEVELS + 0.5).astype(np.uint8)
    return picture
