"""Sounds of the user in class folders, packed as log-mel images that any convolutional network reads.

soundfile decodes. The mel bands and the spectrum are computed here in float64 with NumPy: torchaudio's transforms
work in float32, so their images would differ in some pixels, and torchaudio's releases are tied to one version of
torch each.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.decoded import Decoded
from lthsweep.data.file_tree import FileTree, decode_files, open_tree
from lthsweep.data.files import Files
from lthsweep.data.layouts import decode_classes
from lthsweep.data.source import Notice
from lthsweep.errors import DataError

__all__ = ["band_centers", "fit", "fourier_points", "log_mel", "mel_bands", "read", "read_sound", "resample"]

_READER = "audio_folder 2"
"""Name and version of the rules that choose, order and decode the files; part of every run's key."""

_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg")
_RATES = (1_000, 768_000)
_LEVELS = 255
_SILENCE = 1e-20  # far below any dynamic range, and above the logarithm's zero


def read(
    files: Files,
    *,
    path: str,
    rate: int,
    seconds: float,
    mels: int,
    window: int,
    hop: int,
    decibels: int,
) -> Decoded:
    """Return the sounds of a folder of class folders, or of a zip of it, as images.

    Args:
        files: gives the data root, in which a relative path is searched after the working directory.
        path: the folder or zip.
        rate: samples per second; other rates are resampled.
        seconds: length; longer sounds are cut to their middle, shorter ones are padded with silence.
        mels: bands, the height of the image.
        window: samples of a frame.
        hop: samples from one frame to the next.
        decibels: dynamic range below full scale.

    Returns:
        Images of one channel, mels × frames; classes in sorted order of the training folders' names, sounds in sorted
        order of (class, name).

    Raises:
        MissingDataError: if nothing exists at `path`.
        DataError: if the layout is not understood, a file is unreadable, or the options do not fit together.
    """
    count = round(seconds * rate)
    if count < window:
        raise DataError(
            f"data.seconds = {seconds} are {count} samples, fewer than data.window = {window}; raise data.seconds or "
            f"lower data.window"
        )
    bands = mel_bands(mels, rate, window)
    shape = (mels, 1 + (count - window) // hop, 1)

    cut: list[str] = []
    silent: list[str] = []

    def image_of(content: bytes, where: str) -> NDArray[np.uint8]:
        samples, own_rate = read_sound(content, where)
        sound = resample(samples, own_rate, rate)
        image = log_mel(fit(sound, count), bands, window=window, hop=hop, decibels=decibels)[..., None]
        if len(sound) > count:
            cut.append(where)
        if not image.any():
            silent.append(where)
        return image

    def images_of(tree: FileTree, names: Sequence[str]) -> NDArray[np.uint8]:
        return decode_files(
            tree, names, shape, image_of, "lower data.seconds or data.mels, or raise data.hop"
        )

    def remarks() -> tuple[Notice, ...]:
        return (
            *Notice.of(f"sounds longer than data.seconds = {seconds}, cut to their middle", cut),
            *Notice.of(f"sounds that are silent: {decibels} dB or more below full scale", silent),
        )

    with open_tree(files.at_path(path, "a folder of class folders of sound files")) as tree:
        return decode_classes(tree, _SUFFIXES, "sounds", images_of, reader=_READER, remarks=remarks)


def read_sound(content: bytes, where: str) -> tuple[NDArray[np.float64], int]:
    """Decode a sound file; several channels become their mean.

    Args:
        content: the file's bytes: WAV, FLAC, Ogg or MP3.
        where: the file, for messages.

    Returns:
        float64 [samples], full scale at ±1, and samples per second.

    Raises:
        DataError: if the file is unreadable, cut short, empty, not finite or of an unlikely rate; or if soundfile is
            not installed.
    """
    try:
        import soundfile
    except ImportError:
        raise DataError(
            f"{where} needs the package soundfile, which is not installed; run `pip install 'lthsweep[audio]'`"
        ) from None
    repair = "repair it (`ffmpeg -i FILE NEW.wav`) or remove it"
    # libsndfile reads a WAV file that was cut short as a shorter sound; its header holds the true length.
    if content[:4] == b"RIFF" and int.from_bytes(content[4:8], "little") + 8 > len(content):
        raise DataError(f"{where} is not a readable sound file (it is cut short); {repair}")
    try:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float64")
    except Exception as error:  # the decoder raises any exception on a damaged file
        raise DataError(f"{where} is not a readable sound file ({error}); {repair}") from None
    if not _RATES[0] <= rate <= _RATES[1]:
        raise DataError(f"{where} declares {rate} samples per second, which is unlikely; {repair}")
    mono = samples.mean(axis=1) if samples.ndim == 2 else samples
    if not len(mono):
        raise DataError(f"{where} holds no sound; remove it")
    if not np.isfinite(mono).all():
        raise DataError(f"{where} holds samples that are not finite; {repair}")
    return mono, int(rate)


def resample(samples: NDArray[np.float64], rate: int, wanted: int) -> NDArray[np.float64]:
    """Return the sound at another rate, through SciPy's polyphase filter, which prevents aliases."""
    if rate == wanted:
        return samples
    from scipy.signal import resample_poly

    common = math.gcd(rate, wanted)
    result: NDArray[np.float64] = resample_poly(samples, wanted // common, rate // common)
    return result


def fit(samples: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the `count` samples in the middle; a shorter sound gets equal silence before and after."""
    spare = len(samples) - count
    if spare >= 0:
        return samples[spare // 2 : spare // 2 + count]
    before = -spare // 2
    return np.pad(samples, (before, -spare - before))


def fourier_points(window: int) -> int:
    """Return the length of the Fourier transform of a window: the next power of two."""
    return 1 << (window - 1).bit_length()


def band_centers(mels: int, rate: int) -> NDArray[np.float64]:
    """Return the center frequencies of the bands in Hz, with one edge before and one after; float64 [mels + 2]."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    return np.asarray(700 * (10 ** (np.linspace(0, top, mels + 2) / 2595) - 1), np.float64)


def mel_bands(mels: int, rate: int, window: int) -> NDArray[np.float64]:
    """Return the weight of each frequency of the transform in each band.

    HTK's mel scale, mel = 2595 log10(1 + f / 700), with triangles of height 1 between 0 Hz and half the rate: the
    default of `torchaudio.functional.melscale_fbanks`.

    Args:
        mels: number of bands.
        rate: samples per second.
        window: samples of a frame.

    Returns:
        float64 [mels, points // 2 + 1], in 0..1. Between the first and the last center the bands add up to 1.

    Raises:
        DataError: if a band is so narrow that it contains no frequency of the transform.
    """
    frequencies = np.linspace(0, rate / 2, fourier_points(window) // 2 + 1)
    edges = band_centers(mels, rate)
    low, tip, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bands = np.maximum(0, np.minimum((frequencies - low) / (tip - low), (high - frequencies) / (high - tip)))
    if (bands.max(axis=1) == 0).any():
        raise DataError(
            f"data.mels = {mels} is more than a window of {window} samples at {rate} per second can resolve; lower it "
            f"or raise data.window"
        )
    return np.asarray(bands, np.float64)


def log_mel(
    samples: NDArray[np.float64], bands: NDArray[np.float64], *, window: int, hop: int, decibels: int
) -> NDArray[np.uint8]:
    """Return the image of a sound: power in mel bands over time, in decibels, as bytes.

    Frames are weighted by a Hann window; no frame extends beyond the ends. A sine at full scale has 0 dB, and the
    `decibels` below that are mapped to 0..255, rounded; lower power is 0, like silence.

    Args:
        samples: float64 [N], full scale at ±1, N >= window.
        bands: from `mel_bands`.
        window: samples of a frame.
        hop: samples from one frame to the next.
        decibels: the dynamic range.

    Returns:
        uint8 [mels, 1 + (N - window) // hop], the lowest band in row 0.
    """
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
    points = fourier_points(window)
    spectrum = np.fft.rfft(frames * taper, points)
    # By Parseval's theorem, a sine of amplitude 1 has this much power in the positive frequencies.
    power = (spectrum.real**2 + spectrum.imag**2) / (points * (taper**2).sum() / 4)
    level = 1 + 10 * np.log10(np.maximum(bands @ power.T, _SILENCE)) / decibels
    image: NDArray[np.uint8] = np.floor(np.clip(level, 0, 1) * _LEVELS + 0.5).astype(np.uint8)
    return image
