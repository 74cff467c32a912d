"""Pixels of every kind of image file, compared with the values that the file means."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from lthsweep.data.images import decode_image
from lthsweep.errors import DataError

RAMP = np.tile(np.linspace(0, 65535, 32).astype(np.uint16), (32, 1))
RANDOM = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png(width, height, depth, color, rows, transparent=b""):
    """A PNG by hand: Pillow writes no 16-bit RGB and no 4-bit gray with a transparent color."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"tRNS", transparent) if transparent else b""]
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(tags, data):
    """A little-endian TIFF by hand: (tag, type, value) entries, sorted, with one strip of `data`."""
    entries = sorted([*tags, (273, 4, 8 + 2 + 12 * (len(tags) + 2) + 4), (279, 4, len(data))])
    body = b"".join(
        struct.pack("<HHIHH", tag, kind, 1, value, 0)
        if kind == 3
        else struct.pack("<HHII", tag, kind, 1, value)
        for tag, kind, value in entries
    )
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", 0) + data


def gray_tiff(bits, data, *, side=32, zero_is_white=False):
    tags = [(256, 3, side), (257, 3, side), (258, 3, bits), (259, 3, 1), (262, 3, 0 if zero_is_white else 1)]
    return tiff([*tags, (277, 3, 1), (278, 3, side)], data)


DEEP = {
    "PNG": (encoded(Image.fromarray(RAMP)), RAMP >> 8),
    "TIFF": (encoded(Image.fromarray(RAMP), "TIFF"), RAMP >> 8),
    "TIFF, big-endian": (encoded(Image.fromarray(RAMP.astype(">u2")), "TIFF"), RAMP >> 8),
    "TIFF, zero is white": (
        gray_tiff(16, RAMP.astype("<u2").tobytes(), zero_is_white=True),
        255 - (RAMP >> 8),
    ),
    "TIFF, 12 bits": (gray_tiff(12, bytes([0xFF, 0xF8, 0x00] * 512)), np.tile([255, 128], (32, 16))),
    "PGM": (encoded(Image.fromarray(RAMP), "PPM"), RAMP >> 8),
    "PGM, 10 bits": (b"P5 32 32 1023\n" + (RAMP >> 6).astype(">u2").tobytes(), RAMP >> 8),
    "PGM, 4 bits": (b"P5 32 32 15\n" + (RAMP >> 12).astype(np.uint8).tobytes(), (RAMP >> 12) * 17),
    "PNG, 12 bits in 16": (encoded(Image.fromarray(RAMP >> 4)), RAMP >> 12),
    "PNG, RGB of 16 bits": (
        png(32, 32, 16, 2, [np.repeat(RAMP[0].astype(">u2"), 3).tobytes()] * 32),
        RAMP >> 8,
    ),
    "PNG, 4 bits": (png(32, 32, 4, 0, [bytes([0x0F] * 16)] * 32), np.tile([0, 255], (32, 16))),
}


@pytest.mark.parametrize("form", DEEP)
def test_gray_depths_span_the_full_range(form):
    """Clipping at 255 would turn a 16-bit image white."""
    content, expected = DEEP[form]

    pixels = decode_image(content, 32, "deep")

    assert (np.abs(pixels - expected[..., None].astype(int)) <= (1 if "10" in form else 0)).all()


TRANSPARENT = np.zeros((8, 8, 4), np.uint8)
TRANSPARENT[2:6, 2:6, 3] = 255
TRANSPARENT[0, :, 3] = 51
ON_WHITE = 255 - TRANSPARENT[..., 3]
GRAY_SQUARE = np.where(TRANSPARENT[..., 3] == 255, 0, 15)


def palette_with_transparency():
    image = Image.fromarray(np.where(TRANSPARENT[..., 3] == 255, 0, 1).astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 10, 20, 30] + [0] * 762)
    return image


SHAPES = {
    "RGBA": (encoded(Image.fromarray(TRANSPARENT)), ON_WHITE),
    "LA": (encoded(Image.fromarray(TRANSPARENT[..., 2:], "LA")), ON_WHITE),
    "WebP": (encoded(Image.fromarray(TRANSPARENT), "WEBP", lossless=True, exact=True), ON_WHITE),
    "TIFF": (encoded(Image.fromarray(TRANSPARENT), "TIFF"), ON_WHITE),
    "palette": (encoded(palette_with_transparency(), transparency=1), np.where(GRAY_SQUARE, 255, 0)),
    "palette, alpha per entry": (
        encoded(palette_with_transparency(), transparency=b"\xff\x00"),
        np.where(GRAY_SQUARE, 255, 0),
    ),
    "GIF": (encoded(palette_with_transparency(), "GIF", transparency=1), np.where(GRAY_SQUARE, 255, 0)),
    "transparent color": (
        encoded(
            Image.fromarray(np.where(GRAY_SQUARE, 9, 0).astype(np.uint8)).convert("RGB"),
            transparency=(9, 9, 9),
        ),
        np.where(GRAY_SQUARE, 255, 0),
    ),
    "transparent gray": (
        encoded(Image.fromarray(np.where(GRAY_SQUARE, 9, 0).astype(np.uint8)), transparency=9),
        np.where(GRAY_SQUARE, 255, 0),
    ),
    "transparent gray of 16 bits": (
        png(8, 8, 16, 0, [np.where(row, 300, 256).astype(">u2").tobytes() for row in GRAY_SQUARE], b"\1\x2c"),
        np.where(GRAY_SQUARE, 255, 1),
    ),
    "transparent gray of 4 bits": (
        png(8, 8, 4, 0, [bytes((row[::2] // 5 * 16 + row[1::2] // 5).tolist()) for row in GRAY_SQUARE], b"\0\3"),
        np.where(GRAY_SQUARE, 255, 0),
    ),
    "transparent bit": (
        png(8, 8, 1, 0, [np.packbits(row > 0).tobytes() for row in GRAY_SQUARE], b"\0\0"),
        np.full((8, 8), 255),
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", SHAPES)
def test_transparency_becomes_white(form):
    """A black drawing on a transparent ground must not become a black square."""
    content, expected = SHAPES[form]

    assert (decode_image(content, 8, "shape") == expected[..., None]).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(kind, orientation):
    """Phones store photos lying down; the four corners show where each went."""
    corners = np.full((16, 16), 128, np.uint8)
    corners[:8, :8], corners[:8, 8:], corners[8:, :8], corners[8:, 8:] = 0, 80, 160, 240
    exif = Image.Exif()
    exif[274] = orientation
    turned = {
        1: corners,
        2: corners[:, ::-1],
        3: corners[::-1, ::-1],
        4: corners[::-1],
        5: corners.T,
        6: np.rot90(corners, 1),
        7: corners[::-1, ::-1].T,
        8: np.rot90(corners, -1),
    }[orientation]
    content = encoded(Image.fromarray(np.ascontiguousarray(turned)).convert("RGB"), kind, exif=exif)

    pixels = decode_image(content, 16, "photo")[..., 0].astype(int)

    found = [pixels[y, x] for y in (4, 12) for x in (4, 12)]
    assert np.abs(np.array(found) - [0, 80, 160, 240]).max() <= 4


def test_an_upright_photo_keeps_its_width():
    """The centered square is cut from the upright image."""
    exif = Image.Exif()
    exif[274] = 6
    lying = np.zeros((8, 24, 3), np.uint8)
    lying[:, 8:16] = 255
    pixels = decode_image(encoded(Image.fromarray(lying), exif=exif), 8, "tall")

    assert (pixels == 255).all()


ORDINARY = {
    "PNG": ("RGB", "L", "1", "P", "RGBA"),
    "BMP": ("RGB", "L", "1", "P"),
    "JPEG": ("RGB", "L", "1", "CMYK", "YCbCr"),
    "WEBP": ("RGB", "L", "RGBA"),
    "TIFF": ("RGB", "L", "1", "P", "CMYK", "YCbCr", "RGBA"),
    "PPM": ("RGB", "L", "1"),
    "GIF": ("RGB", "L", "1", "P"),
}


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind in ORDINARY for mode in ORDINARY[kind]])
def test_opaque_8_bit_images_are_converted_by_pillow(kind, mode):
    """The pixels of ordinary images are those of `convert("RGB")`, bit for bit."""
    content = encoded(Image.fromarray(RANDOM).convert(mode), kind)

    with Image.open(io.BytesIO(content)) as plain:
        expected = np.asarray(plain.convert("RGB"))
    assert (decode_image(content, 32, "plain") == expected).all()


FLOATS = Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8))
FRAMES = [Image.new("RGB", (8, 8), (n, 0, 0)) for n in (0, 99)]
HIDDEN = np.dstack([RANDOM, np.zeros((32, 32), np.uint8)])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (encoded(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), "2 frames or pages; save one"),
        (encoded(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]), "2 frames"),
        (encoded(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]), "2 frames"),
        (encoded(FRAMES[0], "TIFF", save_all=True, append_images=FRAMES[1:]), "2 frames or pages"),
        (encoded(FLOATS, "TIFF"), "floating-point numbers.* save it with 8 or 16 bits"),
        (encoded(Image.new("I", (8, 8), 70_000), "TIFF"), "32-bit integers.* save it with 8 or 16 bits"),
        (encoded(Image.new("LAB", (8, 8)), "TIFF"), "CIELAB.* save it with 8 or 16 bits"),
        (encoded(Image.fromarray(HIDDEN)), "transparent everywhere.* remove its alpha channel"),
        (png(2, 1, 16, 2, [bytes(12)], bytes(6)), "transparent color of 16 bits"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC or AVIF.* save it as PNG or JPEG"),
        (b"<html>404</html>", "not a readable image"),
        (encoded(Image.fromarray(RANDOM))[:500], "not a readable image"),
        (b"", "not a readable image"),
    ],
)  # fmt: skip
def test_images_without_a_form_in_bytes_are_refused(content, message):
    """The message names the file and the remedy."""
    with pytest.raises(DataError, match=message) as caught:
        decode_image(content, 8, "cat/odd.png")
    assert "cat/odd.png" in str(caught.value)


def test_a_fourth_channel_is_not_dropped():
    """Satellite images have near infrared there; alpha would be marked as such."""
    content = encoded(Image.fromarray(TRANSPARENT), "TIFF")
    at = content.index(struct.pack("<HHI", 338, 3, 1)) + 8
    unmarked = content[:at] + b"\0\0" + content[at + 2 :]

    with pytest.raises(DataError, match="4 channels, of which 3 would be read; save it as RGB"):
        decode_image(unmarked, 8, "field.tif")


def test_a_camera_preview_is_not_a_second_image():
    """Cameras write MPO files as .jpg; the first frame is the photo."""
    content = encoded(FRAMES[1], "MPO", save_all=True, append_images=FRAMES[:1])

    assert np.abs(decode_image(content, 8, "photo.jpg")[..., 0].astype(int) - 99).max() <= 2


def test_damaged_exif_data_is_no_orientation():
    """EXIF blocks of old programs are often broken, and the pixels are good."""
    image = Image.fromarray(RANDOM)

    assert (decode_image(encoded(image, exif=b"Exif\0\0II*\0\xff\xff"), 32, "x") == RANDOM).all()


def test_picture_is_cut_to_its_center():
    """The largest centered square is what remains of a wide image."""
    wide = Image.new("RGB", (30, 10), (255, 0, 0))
    wide.paste((0, 255, 0), (10, 0, 20, 10))

    pixels = decode_image(encoded(wide), 5, "wide.png")

    assert (pixels == [0, 255, 0]).all()
    assert pixels.shape == (5, 5, 3)


def test_picture_of_the_right_size_keeps_its_pixels():
    """CIFAR as images stays CIFAR."""
    assert (decode_image(encoded(Image.fromarray(RANDOM)), 32, "same.png") == RANDOM).all()


def test_grey_picture_becomes_rgb():
    """Some images of most collections are gray."""
    assert (decode_image(encoded(Image.new("L", (8, 8), 77), "JPEG"), 8, "gray.jpg") == 77).all()


def test_picture_that_declares_too_many_pixels_is_refused():
    """A few hundred bytes can declare a gigapixel; they are refused before any of them is decoded."""
    with pytest.raises(DataError, match="9000x9000"):
        decode_image(encoded(Image.new("1", (9000, 9000))), 8, "big.png")
