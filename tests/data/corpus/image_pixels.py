"""Pixels of unusual images."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tests.data.corpus.case import Case, Files, Used, refused
from tests.data.corpus.image_files import (
    CAT_DOG,
    encoded,
)

DEEP = encoded(Image.fromarray(np.full((8, 8), 40_000, np.uint16)))
CLEAR = np.zeros((8, 8, 4), np.uint8)
CLEAR[4:, 4:, 3] = 255
HIDDEN = np.dstack([np.arange(192, dtype=np.uint8).reshape(8, 8, 3), np.zeros((8, 8), np.uint8)])
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
SIDEWAYS = Image.Exif()
SIDEWAYS[274] = 6
CORNER = np.full((8, 8, 3), 9, np.uint8)
CORNER[0, 0] = 200  # lands top right when it is turned upright
PALETTE = Image.new("P", (8, 8), 1)
PALETTE.putpalette([0, 0, 0, 5, 5, 5] + [0] * 762)
TWO_FRAMES = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in (0, 200)]


def same_pixel(content: bytes, ending: str, value: int) -> tuple[Files, Used]:
    """Four files of one image: two classes, whose samples must have this first pixel."""
    files = {f"{part}/{name}/1.{ending}": content for part in ("train", "test") for name in "ab"}
    values = {"a": [value], "b": [value]}
    return files, Used(
        values, values, remarks={"same content as a training sample": 2, "of another class": 4}
    )


PIXELS = tuple(
    Case(name, *same_pixel(content, ending, value))
    for name, content, ending, value in (
        ("gray of 16 bits", DEEP, "png", 40_000 >> 8),
        (
            "gray of 16 bits in a TIFF",
            encoded(Image.fromarray(np.full((8, 8), 40_000, np.uint16)), "TIFF"),
            "tif",
            156,
        ),
        (
            "gray of 16 bits in a PGM",
            encoded(Image.fromarray(np.full((8, 8), 40_000, np.uint16)), "PPM"),
            "pgm",
            156,
        ),
        ("black drawing on a transparent ground", encoded(Image.fromarray(CLEAR)), "png", 255),
        ("transparent palette", encoded(PALETTE, transparency=1), "png", 255),
        ("a photo that lies on its side", encoded(Image.fromarray(CORNER), exif=SIDEWAYS), "png", 9),
        ("gray of one bit", encoded(Image.new("1", (8, 8), 1)), "png", 255),
        ("CMYK", encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"), "tiff", 255),
        (
            "a wide image",
            encoded(Image.fromarray(np.repeat(np.array([[0] * 8 + [77] * 8 + [0] * 8], np.uint8), 8, 0))),
            "png",
            77,
        ),
    )
) + tuple(
    Case(name, {**CAT_DOG, f"dog/odd.{ending}": content}, refused(f"dog/odd.{ending}", *words))
    for name, content, ending, words in (
        (
            "an animation",
            encoded(TWO_FRAMES[0], "GIF", save_all=True, append_images=TWO_FRAMES[1:]),
            "gif",
            ("2 frames", "save one"),
        ),
        (
            "pages",
            encoded(TWO_FRAMES[0], "TIFF", save_all=True, append_images=TWO_FRAMES[1:]),
            "tiff",
            ("2 frames or pages",),
        ),
        (
            "floating-point pixels",
            encoded(Image.new("F", (8, 8), 0.5), "TIFF"),
            "tif",
            ("floating-point", "8 or 16 bits"),
        ),
        ("32-bit pixels", encoded(Image.new("I", (8, 8), 70_000), "TIFF"), "tif", ("32-bit", "8 or 16 bits")),
        (
            "colors that are transparent everywhere",
            encoded(Image.fromarray(HIDDEN)),
            "png",
            ("transparent everywhere",),
        ),
        (
            "a HEIC file that is called jpg",
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            "jpg",
            ("HEIC", "PNG or JPEG"),
        ),
        ("HTML that is called jpg", b"<html>404</html>", "jpg", ("not a readable image", "remove it")),
        ("an empty file", b"", "png", ("not a readable image",)),
        ("a file that was cut", encoded(NOISE)[:400], "png", ("not a readable image",)),
        ("a gigapixel", encoded(Image.new("1", (9000, 9000))), "png", ("9000x9000", "smaller")),
    )
)
