"""Reading sounds: formats, rates and lengths, and every way in which files can be wrong."""

from __future__ import annotations

import io
import sys
import wave

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import wavfile

from lthsweep.data import file_tree
from lthsweep.data.audio import fit, read_sound, resample
from lthsweep.data.cache import decode, open_packed, prepare
from lthsweep.data.lookup import pack_folder
from lthsweep.errors import DataError, MissingDataError

RATE = 8000
SMALL = {"rate": RATE, "seconds": 0.1, "mels": 16, "window": 256, "hop": 128}


def wav(samples, rate=RATE):
    stream = io.BytesIO()
    wavfile.write(stream, rate, samples)
    return stream.getvalue()


def tone(frequency=500.0, seconds=0.1, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def wav24(samples, rate=RATE):
    """24 bits by the standard library: SciPy writes none."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 3, rate, 0, "NONE", ""))
        file.writeframes(b"".join(int(x * (1 << 23)).to_bytes(3, "little", signed=True) for x in samples))
    return stream.getvalue()


TONE = tone()
FORMS = {
    "8 bits": (wav(np.uint8(np.round(TONE * 128 + 128))), 1 / 128),
    "16 bits": (wav(np.int16(TONE * (1 << 15))), 1 / (1 << 15)),
    "24 bits": (wav24(TONE), 1 / (1 << 23)),
    "32 bits": (wav(np.int32(TONE * (1 << 31))), 1e-9),
    "float": (wav(TONE.astype(np.float32)), 1e-7),
    "double": (wav(TONE), 1e-15),
    "stereo": (wav(np.stack([1.5 * TONE, 0.5 * TONE], axis=1)), 1e-15),
}


@pytest.fixture
def sounds():
    """Two classes, low and high, in two parts."""
    return {
        f"{part}/{label}/{n}.wav": wav(np.int16(tone(pitch + 10 * n) * 32767))
        for part in ("train", "test")
        for label, pitch in (("low", 300), ("high", 2000))
        for n in range(3)
    }


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_wav_is_the_same_sound(form):
    """Full scale is one for any number of bits; channels become their mean."""
    content, step = FORMS[form]

    samples, rate = read_sound(content, "tone.wav")

    assert rate == RATE
    np.testing.assert_allclose(samples, TONE, atol=step)


def test_other_rates_are_converted_without_aliases():
    """A tone stays where it is, and one that the new rate cannot hold is gone."""
    low, high = (resample(tone(pitch, 0.5, 44_100), 44_100, RATE) for pitch in (1000, 6000))

    inner = slice(400, -400)  # the filter rings at both ends
    assert len(low) == RATE // 2
    np.testing.assert_allclose(low[inner], tone(1000, 0.5)[inner], atol=0.01)
    assert np.abs(high[inner]).max() < 0.01
    assert resample(TONE, RATE, RATE) is TONE


@given(st.integers(1, 50), st.integers(1, 50))
def test_sounds_are_cut_or_padded_at_both_ends(length, count):
    """Equal silence before and after, except an odd sample."""
    sound = np.arange(1.0, length + 1)

    out = fit(sound, count)

    assert len(out) == count
    kept = out[out > 0]
    assert len(kept) == min(length, count)
    assert (np.diff(kept) == 1).all()
    before, behind = int(np.argmax(out > 0)), int(np.argmax(out[::-1] > 0))
    assert abs(before - behind) <= 1
    assert abs((kept[0] - 1) - (length - kept[-1])) <= 1


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "a.wav", "not a readable sound"),
        (b"RIFF1234WAVEjunk", "a.wav", "not a readable sound"),
        (wav(np.int16(TONE * 999))[:-700], "a.wav", "not a readable sound file .* repair it"),
        (wav(np.zeros(0, np.int16)), "a.wav", "holds no sound"),
        (wav(np.array([0.0, np.nan, 1.0])), "a.wav", "not finite"),
        (wav(np.int16(TONE), rate=7), "a.wav", "declares 7 samples per second"),
    ],
)
def test_sounds_that_cannot_be_read_are_named(content, name, message):
    """The message has the remedy; a truncated file is not a shorter sound."""
    with pytest.raises(DataError, match=message) as caught:
        read_sound(content, f"/somewhere/{name}")
    assert f"/somewhere/{name}" in str(caught.value)


def test_a_missing_soundfile_is_named(monkeypatch):
    """The message has the command that installs it."""
    monkeypatch.setitem(sys.modules, "soundfile", None)

    with pytest.raises(DataError, match=r"a\.wav needs the package soundfile.*pip install"):
        read_sound(FORMS["16 bits"][0], "a.wav")


def test_flac_is_read_without_loss():
    """The same samples as WAV."""
    stream = io.BytesIO()
    soundfile.write(stream, TONE, RATE, format="FLAC", subtype="PCM_24")

    samples, rate = read_sound(stream.getvalue(), "tone.flac")

    assert rate == RATE
    np.testing.assert_allclose(samples, TONE, atol=1 / (1 << 23))
    with pytest.raises(DataError, match="not a readable sound file"):
        read_sound(b"fLaC", "bad.flac")


@pytest.mark.parametrize("bits", [8, 16, 24, 32, "float", "double"])
def test_wav_samples_equal_those_of_scipy(bits):
    """Images of sounds must not depend on the decoder: the samples are equal bit for bit."""
    values = np.random.default_rng(3).uniform(-1, 1, (500, 2))
    content = {
        8: lambda: wav(np.uint8(np.round(values * 127 + 128))),
        16: lambda: wav(np.int16(values * 32767)),
        24: lambda: wav24(values[:, 0]),
        32: lambda: wav(np.int32(values * 2147483647)),
        "float": lambda: wav(values.astype(np.float32)),
        "double": lambda: wav(values),
    }[bits]()
    rate, samples = wavfile.read(io.BytesIO(content))
    scaled = samples.astype(np.float64)
    if samples.dtype == np.uint8:
        scaled = (scaled - 128) / 128
    elif samples.dtype.kind == "i":
        scaled /= float(1 << (8 * samples.dtype.itemsize - 1))
    expected = scaled.mean(axis=1) if scaled.ndim == 2 else scaled

    found, found_rate = read_sound(content, "a.wav")

    assert found_rate == rate
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("target", ["sounds", "sounds.zip"])
def test_folders_of_sounds_become_pictures(tmp_path, write_tree, sounds, target):
    """One channel, mels × frames, the lowest band first: low tones are bright above high ones."""
    path = write_tree(tmp_path / target, sounds)

    pictures = decode({"name": "audio_folder", "path": str(path), **SMALL}, tmp_path)

    assert pictures.class_names == ("high", "low")
    assert pictures.train_images.shape == (6, 16, 1 + (800 - 256) // 128, 1)
    assert pictures.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    brightest = pictures.train_images[..., 0].mean(axis=2).argmax(axis=1)
    assert brightest[:3].min() > brightest[3:].max()


def test_unsplit_files_give_one_in_five_as_test(tmp_path, write_tree):
    """As for images."""
    path = write_tree(tmp_path / "s", {f"{c}/{n}.wav": wav(np.int16(TONE)) for c in "ab" for n in range(10)})

    assert np.bincount(
        decode({"name": "audio_folder", "path": str(path), **SMALL}, tmp_path).test_labels
    ).tolist() == [2, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"test/low/0.wav": None, "test/low/1.wav": None, "test/low/2.wav": None},
            "'low' has training sounds but no",
        ),
        ({"test/odd/0.wav": wav(np.int16(TONE))}, "'odd' has test sounds but no training"),
        ({"train/low/1.wav": b"RIFF"}, "train/low/1.wav is not a readable sound"),
        ({"9.wav": b""}, "9.wav lies in no class folder|no readable|has test"),
    ],
)
def test_what_is_wrong_in_a_folder_is_named(tmp_path, write_tree, sounds, changes, message):
    """The message has the class or file, and the remedy."""
    files = {name: content for name, content in (sounds | changes).items() if content is not None}
    if "9.wav" in changes:
        files = {
            name.removeprefix("train/"): content for name, content in files.items() if "test/" not in name
        }

    with pytest.raises(DataError, match=message):
        decode({"name": "audio_folder", "path": str(write_tree(tmp_path / "s", files)), **SMALL}, tmp_path)


def test_empty_and_missing_folders_have_different_errors(tmp_path):
    """The message names the file that is missing."""
    (tmp_path / "empty").mkdir()

    with pytest.raises(DataError, match=r"holds no sounds \(\.wav"):
        decode({"name": "audio_folder", "path": str(tmp_path / "empty")}, tmp_path)
    with pytest.raises(MissingDataError, match="nowhere"):
        decode({"name": "audio_folder", "path": "nowhere"}, tmp_path)


def test_one_class_is_refused(tmp_path, write_tree):
    """There is nothing to learn."""
    path = write_tree(tmp_path / "s", {f"a/{n}.wav": wav(np.int16(TONE)) for n in range(5)})

    with pytest.raises(DataError, match="only one class"):
        prepare({"name": "audio_folder", "path": str(path), **SMALL}, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 0.02}, r"data\.seconds = 0.02 are 320 samples, fewer than data\.window = 400"),
        ({"mels": 4}, r"data\.mels = 4: must be"),
        ({"rate": 10}, r"data\.rate = 10"),
        ({"mels": 200}, r"data\.mels = 200 is more than"),
    ],
)
def test_conflicting_options_are_reported_before_reading_files(tmp_path, options, message):
    """A path that is not there is not even looked at."""
    with pytest.raises(DataError, match=message):
        decode({"name": "audio_folder", "path": "nowhere", **options}, tmp_path)


def test_too_much_for_the_memory_is_refused(tmp_path, write_tree, sounds, monkeypatch):
    """Before it is read."""
    monkeypatch.setattr(file_tree, "_TOTAL_LIMIT", 100)

    with pytest.raises(DataError, match=r"raise data\.hop"):
        decode({"name": "audio_folder", "path": str(write_tree(tmp_path / "s", sounds)), **SMALL}, tmp_path)


def test_options_name_packs_and_packs_are_pictures(tmp_path, write_tree, sounds):
    """The same pack as images have; augmentation and validation share it."""
    path = write_tree(tmp_path / "s", sounds)
    options = {"name": "audio_folder", "path": str(path), **SMALL}
    prepare(options, cache=tmp_path / "cache")

    packed = open_packed({**options, "augment": "shift", "validation": 1}, cache=tmp_path / "cache")

    assert packed.shape == (1, 16, 5)
    assert 0 < packed.mean[0] < 1
    folders = {
        pack_folder({**options, **more}, "", cache=tmp_path) for more in ({}, {"hop": 64}, {"decibels": 60})
    }
    assert len(folders) == 3
