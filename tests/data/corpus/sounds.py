"""Sounds: bits, channels, rates, lengths."""

from __future__ import annotations

import io

import numpy as np
import soundfile

from lthsweep.data.audio import band_centers
from tests.data.corpus.case import Case, Files, Used, refused

RATE = 8000
SOUND_OPTIONS = {"rate": RATE, "seconds": 0.1, "mels": 16, "window": 256, "hop": 128}
LOW, HIGH = (int(np.abs(band_centers(16, RATE)[1:-1] - pitch).argmin()) for pitch in (500, 3000))
"""Bands of the two tones."""


def tone(frequency: float, seconds: float = 0.1, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def wav(samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16", form: str = "WAV") -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=form, subtype=subtype)
    return stream.getvalue()


def sounds(ending: str = "wav", **how: object) -> Files:
    """Two classes in two parts, all different."""
    return {
        f"{part}/{label}/1.{ending}": wav(tone(pitch + number), **how)  # type: ignore[arg-type]
        for label, pitch in (("low", 500), ("high", 3000))
        for number, part in enumerate(("train", "test"))
    }


FULL = Used({"high": [HIGH], "low": [LOW]}, {"high": [HIGH], "low": [LOW]})


def counted(unused: dict[str, int] | None = None, remarks: dict[str, int] | None = None) -> Used:
    return Used(FULL.train, FULL.test, {}, unused or {}, remarks or {})


def with_low(content: bytes) -> Files:
    return {**sounds(), "train/low/1.wav": content}


TONE = tone(500)
SOUNDS = (
    *(
        Case(f"WAV of {subtype}", sounds(subtype=subtype), FULL)
        for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
    ),
    Case("FLAC", sounds("flac", subtype="PCM_24", form="FLAC"), FULL),
    Case("a tar.gz of sounds", sounds(), FULL, "data.tar.gz"),
    Case("two channels", with_low(wav(np.stack([1.5 * TONE, 0.5 * TONE], axis=1))), FULL),
    Case("another rate", with_low(wav(tone(500, rate=44_100), 44_100)), FULL),
    Case("a short sound", with_low(wav(TONE[:600])), FULL),
    Case(
        "a list of sounds",
        {
            "list.csv": b"path,label,split\n1.wav,low,train\n2.wav,high,train\n3.wav,low,test\n4.wav,high,test\n",
            **{f"{n}.wav": wav(tone(3000 + n if n % 2 == 0 else 500 + n)) for n in (1, 2, 3, 4)},
        },
        FULL,
        "list.csv",
    ),
    Case(
        "a long sound", with_low(wav(tone(500, 0.3))), counted(remarks={"longer than data.seconds = 0.1": 1})
    ),
    Case(
        "a silent sound",
        {**sounds(), "train/low/2.wav": wav(np.zeros(800))},
        Used({"high": [HIGH], "low": [LOW, 0]}, FULL.test, remarks={"silent": 1}),
    ),
    Case(
        "two channels that cancel each other",
        {**sounds(), "train/low/2.wav": wav(np.stack([TONE, -TONE], axis=1))},
        Used({"high": [HIGH], "low": [LOW, 0]}, FULL.test, remarks={"silent": 1}),
    ),
    Case(
        "a test sound that is a training sound",
        {**sounds(), "test/low/1.wav": wav(TONE)},
        counted(remarks={"same content as a training sample": 1}),
    ),
    Case(
        "other files next to the sounds",
        {**sounds(), "train/low/1.m4a": b"x", "train/low/._1.wav": b"x"},
        counted({"the ending .m4a, which are not read": 1, "hidden files": 1}),
    ),
    Case("an empty sound", with_low(wav(np.zeros(0))), refused("train/low/1.wav", "no sound", "remove it")),
    Case("an empty file", with_low(b""), refused("train/low/1.wav", "not a readable sound")),
    Case(
        "a sound that was cut", with_low(wav(TONE)[:-700]), refused("train/low/1.wav", "cut short", "repair")
    ),
    Case(
        "a sound with NaN",
        with_low(wav(np.full(800, np.nan), subtype="FLOAT")),
        refused("1.wav", "not finite"),
    ),
    Case(
        "a class of another ending",
        {**sounds(), "train/hum/1.m4a": b"x"},
        refused("train/hum", "1 with the ending .m4a"),
    ),
    Case(
        "a class without test sounds",
        {**sounds(), "train/hum/1.wav": wav(TONE)},
        refused("'hum'", "no test sounds"),
    ),
    Case(
        "a class of one sound",
        {"a/1.wav": wav(TONE), "a/2.wav": wav(tone(600)), "b/1.wav": wav(tone(700))},
        refused("'b'", "only one of the sounds"),
    ),
)
