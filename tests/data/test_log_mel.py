"""Mel bands and pictures of sounds: against torchaudio, against the formula by hand, and by laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.data.audio import band_centers, fourier_points, log_mel, mel_bands
from lthsweep.errors import DataError

RATE, WINDOW, HOP, MELS = 16_000, 400, 160, 64
BANDS = mel_bands(MELS, RATE, WINDOW)
CENTERS = band_centers(MELS, RATE)[1:-1]


def tone(frequency, amplitude=1.0, seconds=0.2):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)


def picture(samples, decibels=80):
    return log_mel(samples, BANDS, window=WINDOW, hop=HOP, decibels=decibels)


def test_bands_are_those_of_torchaudio():
    """Its defaults: HTK's scale, triangles of height one."""
    functional = pytest.importorskip("torchaudio.functional", exc_type=(ImportError, RuntimeError, OSError))

    theirs = functional.melscale_fbanks(257, 0.0, RATE / 2, MELS, RATE)

    np.testing.assert_allclose(BANDS.T, theirs.numpy(), atol=2e-5)


@pytest.mark.parametrize(
    ("mels", "rate", "window"), [(64, 16_000, 400), (40, 8_000, 256), (20, 22_050, 1024)]
)
def test_bands_are_triangles_on_the_mel_scale(mels, rate, window):
    """The definition, one number at a time, in plain Python."""

    def mel(frequency):
        return 2595 * math.log10(1 + frequency / 700)

    def hertz(value):
        return 700 * (10 ** (value / 2595) - 1)

    bands, points = mel_bands(mels, rate, window), fourier_points(window)
    for band in range(0, mels, 7):
        low, tip, high = (hertz(mel(rate / 2) * (band + at) / (mels + 1)) for at in range(3))
        for bin_ in range(points // 2 + 1):
            frequency = bin_ * rate / points
            rises = (frequency - low) / (tip - low)
            falls = (high - frequency) / (high - tip)
            assert bands[band, bin_] == pytest.approx(max(0, min(rises, falls)), abs=1e-9)


def test_a_thousand_hertz_are_a_thousand_mels():
    """The point on which the scale is fixed."""
    assert 2595 * math.log10(1 + 1000 / 700) == pytest.approx(1000, abs=0.1)
    assert band_centers(9, 16_000)[0] == 0
    assert band_centers(9, 16_000)[-1] == pytest.approx(8000)


@given(st.floats(CENTERS[4], CENTERS[-4]))
def test_a_tone_is_brightest_in_the_nearest_band(frequency):
    """The energy is at the pitch, in every frame."""
    brightest = picture(tone(frequency)).argmax(axis=0)

    gap = np.abs(np.log(CENTERS / frequency))
    assert all(gap[band] <= np.sort(gap)[1] + 1e-9 for band in brightest)  # between two tips either may win


@given(st.floats(CENTERS[4], CENTERS[-4]), st.floats(0.01, 1.0))
def test_bands_sum_to_the_power_of_tones(frequency, amplitude):
    """Triangles that overlap by halves lose nothing; a sine at full scale is 0 dB."""
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    spectrum = np.abs(np.fft.rfft(tone(frequency, amplitude)[:WINDOW] * taper, 512)) ** 2
    power = (BANDS @ spectrum).sum() / (512 * (taper**2).sum() / 4)

    assert power == pytest.approx(amplitude**2, rel=0.02)


@given(st.floats(0.02, 0.5))
def test_twice_the_amplitude_is_six_decibels(amplitude):
    """On a scale of 80 dB over 255 steps: 19.2 of them, wherever nothing is cut off."""
    soft, loud = (picture(tone(1000, a)).astype(int) for a in (amplitude, 2 * amplitude))

    inside = (soft > 0) & (loud < 255)
    assert inside.any()
    assert np.abs((loud - soft)[inside] - 20 * math.log10(2) * 255 / 80).max() <= 1


@given(st.integers(WINDOW, 3000))
def test_frames_do_not_reach_over_the_end(samples):
    """So many whole windows fit."""
    assert picture(np.zeros(samples)).shape == (MELS, 1 + (samples - WINDOW) // HOP)


def test_silence_is_zero_and_noise_is_not():
    """The padding of a short sound has the lowest value of the range."""
    assert not picture(np.zeros(1000)).any()
    assert picture(np.random.default_rng(0).normal(0, 0.1, 1000)).min() > 0


def test_too_many_bands_for_the_window_are_refused():
    """An empty band would be a black line that means nothing."""
    with pytest.raises(DataError, match=r"data\.mels = 128 is more than a window of 256 samples"):
        mel_bands(128, 16_000, 256)
