"""Small image files, and two classes of them in one part and in two."""

from __future__ import annotations

import io

from PIL import Image

from tests.data.corpus.case import Files, Used


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def image(value: int, kind: str = "PNG") -> bytes:
    """An image of 8x8 pixels with this red value."""
    return encoded(Image.new("RGB", (8, 8), (value, 7, 7)), kind)


def folder(name: str, *values: int, ending: str = "png", kind: str = "PNG") -> Files:
    return {f"{name}/{value:03}.{ending}": image(value, kind) for value in values}


def under(prefix: str, files: Files) -> Files:
    return {f"{prefix}/{name}": content for name, content in files.items()}


def pairs(train: str = "train", test: str = "test") -> Files:
    """Two classes in two parts."""
    return {
        **folder(f"{train}/cat", 1, 2),
        **folder(f"{train}/dog", 11, 12),
        **folder(f"{test}/cat", 3),
        **folder(f"{test}/dog", 13),
    }


CAT_DOG = {**folder("cat", 1, 2, 3), **folder("dog", 11, 12, 13)}
PARTS = {"train": {"cat": [1, 2], "dog": [11, 12]}, "test": {"cat": [3], "dog": [13]}}
POOL = {"cat": [1, 2, 3], "dog": [11, 12, 13]}
FULL = Used(**PARTS)
POOLED = Used(pool=POOL)


def counted(counts: dict[str, int], base: Used = POOLED) -> Used:
    return Used(base.train, base.test, base.pool, counts, {}, base.layout)


def table(text: str, *, encoding: str = "utf-8") -> bytes:
    return text.replace(";", "\n").encode(encoding)
