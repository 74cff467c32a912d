"""Decoding image files to squares of RGB bytes.

No pixel is reinterpreted in silence: 16 bits are scaled over their full range, transparency is composited over white,
the EXIF orientation is applied, and an image with no faithful form in RGB bytes is refused by name. docs/data.md has
the rules for users.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lthsweep.data.file_tree import FileTree, decode_files
from lthsweep.errors import DataError

__all__ = ["SUFFIXES", "centered_square", "decode_all", "decode_image"]

# The plain formats, which Pillow reads without optional parts: fewer decoders for a hostile file to attack.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = (
    *(".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm"),
    *(".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
"""Lower-case endings of the image files that are read."""

_PIXEL_LIMIT = 64_000_000
_PLAIN = (
    "1",
    "L",
    "P",
    "RGB",
    "CMYK",
    "YCbCr",
)  # at most 8 bits, and Pillow's conversion to RGB loses no shape
_PHONE_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"avif")
_WIDTH, _ORIENTATION, _PHOTOMETRIC, _SAMPLES = 258, 274, 262, 277  # TIFF tags; _WIDTH is bits per sample
_UPRIGHT = {  # EXIF orientation → the transposition that undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_image(content: bytes, size: int, where: str) -> NDArray[np.uint8]:
    """Decode to RGB, cut the largest centered square, and resize it, bilinear with antialiasing.

    An image of that size keeps its exact pixels.

    Args:
        content: the file's bytes.
        size: edge in pixels.
        where: the file, for messages.

    Returns:
        uint8 [size, size, 3].

    Raises:
        DataError: if it is not a readable image of a known format, declares more than 64 million pixels, has several
            frames, or holds values that RGB bytes cannot represent.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own limit only warns; the limit below refuses
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                _check(image, where)
                image.load()
                rgb = _to_rgb(image, content, where)
                transposition = _UPRIGHT.get(_orientation(image))
    except DataError:
        raise
    except Exception as error:  # decoders raise any exception on a damaged file
        # The text of UnidentifiedImageError is the address of an object.
        reason = "of no format that is read" if isinstance(error, UnidentifiedImageError) else str(error)
        if content[8:12] in _PHONE_BRANDS:
            reason = "a HEIC or AVIF image"
        raise DataError(
            f"{where} is not a readable image ({reason}); save it as PNG or JPEG, or remove it"
        ) from None
    if transposition is not None:
        rgb = rgb.transpose(transposition)
    return np.asarray(centered_square(rgb, size), dtype=np.uint8)


def centered_square(image: Image.Image, size: int) -> Image.Image:
    """Return the largest centered square of an image, resized to `size` pixels, bilinear with antialiasing."""
    if image.size == (size, size):
        return image
    width, height = image.size
    edge = min(width, height)
    left, top = (width - edge) // 2, (height - edge) // 2
    # Cut first: `resize(box=…)` would mix pixels outside of the square into its edges.
    square = image.crop((left, top, left + edge, top + edge))
    return square.resize((size, size), Image.Resampling.BILINEAR)


def decode_all(tree: FileTree, names: Sequence[str], size: int) -> NDArray[np.uint8]:
    """Decode the files of a tree, in the order of `names`, to uint8 [N, size, size, 3].

    Raises:
        DataError: as `decode_image`, or if the array would need more than 32 GiB.
    """
    return decode_files(
        tree,
        names,
        (size, size, 3),
        lambda content, where: decode_image(content, size, where),
        "set a smaller data.size",
    )


def _check(image: Image.Image, where: str) -> None:
    """Refuse an image by its header, before any pixel is decoded."""
    width, height = image.size
    if width * height > _PIXEL_LIMIT:
        raise DataError(f"{where} declares {width}x{height} pixels; make it smaller or remove it")
    frames = getattr(image, "n_frames", 1)
    # The further frames of an MPO file, which many cameras write as .jpg, are previews of its first.
    if frames > 1 and image.format != "MPO":
        raise DataError(f"{where} holds {frames} frames or pages; save one as an image, or remove the file")
    channels = image.tag_v2.get(_SAMPLES, 1) if image.format == "TIFF" else 0  # type: ignore[attr-defined]
    if channels > len(image.getbands()):
        raise DataError(
            f"{where} holds {channels} channels, of which {len(image.getbands())} would be read; save it as RGB"
        )


def _to_rgb(image: Image.Image, content: bytes, where: str) -> Image.Image:
    if image.format == "PNG":
        depth, color = content[24], content[25]  # of the header, which is always the first chunk
        key = image.info.get("transparency")
        if depth == 16 and color == 2 and key is not None:
            raise DataError(
                f"{where} names a transparent color of 16 bits per channel; save it with an alpha channel"
            )
        if depth in (2, 4) and color == 0 and key is not None:
            image.info["transparency"] = key * 255 // (2**depth - 1)  # Pillow scales the pixels only
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = _eight_bits(image, where)
    elif image.mode not in _PLAIN and not image.has_transparency_data:
        kind = {"F": "floating-point numbers", "LAB": "CIELAB colors"}.get(
            image.mode, f"values of type {image.mode}"
        )
        raise DataError(f"{where} holds {kind}, whose range in RGB is unknown; save it with 8 or 16 bits")
    return _over_white(image, where) if image.has_transparency_data else image.convert("RGB")


def _eight_bits(image: Image.Image, where: str) -> Image.Image:
    """The 8 high bits of each gray value, as Pillow does for 16-bit RGB; with an alpha channel for a transparent gray.

    So 0 stays 0, the greatest value becomes 255, and an 8-bit image that was saved with 16 bits keeps its values.
    """
    if image.mode == "I" and image.format not in ("PNG", "PPM"):
        raise DataError(
            f"{where} holds signed or 32-bit integers, whose range is unknown; save it with 8 or 16 bits"
        )
    values = np.asarray(image).astype(np.int64)
    bits = 16
    if image.format == "TIFF":
        bits = image.tag_v2.get(_WIDTH, (16,))[0]  # type: ignore[attr-defined]
        if image.tag_v2.get(_PHOTOMETRIC) == 0:  # type: ignore[attr-defined]
            values = (1 << bits) - 1 - values  # white is zero, which Pillow heeds up to 8 bits only
    gray = (values >> (bits - 8)).astype(np.uint8)
    key = image.info.get("transparency")
    if key is None:
        return Image.fromarray(gray)
    return Image.fromarray(np.stack([gray, np.where(values == key, 0, 255).astype(np.uint8)], axis=-1))


def _over_white(image: Image.Image, where: str) -> Image.Image:
    pixels = np.asarray(image.convert("RGBA")).astype(np.uint16)
    color, alpha = pixels[..., :3], pixels[..., 3:]
    if not alpha.any() and (color != color[0, 0]).any():
        raise DataError(
            f"{where} is transparent everywhere, but has colors; remove its alpha channel, or the file"
        )
    return Image.fromarray(((color * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8))


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 for none, and for EXIF data that is damaged."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # EXIF data comes from any program
        return 1
