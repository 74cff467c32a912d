"""Random but reproducible changes of a file, as by a bad disk, a killed copy, or a mistake of a user."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

_BLOCK = 512


def _flip_bit(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _flip_byte(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= rng.randrange(1, 256)


def _truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def _empty(data: bytearray, rng: random.Random) -> None:
    data.clear()


def _insert(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data) + 1)
    data[place:place] = rng.randbytes(rng.randrange(1, 64))


def _delete(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.randrange(1, _BLOCK)]


def _zero_block(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.randrange(1, _BLOCK))
    data[start:stop] = bytes(stop - start)


def _duplicate_block(data: bytearray, rng: random.Random) -> None:
    start, place = rng.randrange(len(data)), rng.randrange(len(data) + 1)
    data[place:place] = data[start : start + rng.randrange(1, _BLOCK)]


def _overwrite_block(data: bytearray, rng: random.Random) -> None:
    start, place = rng.randrange(len(data)), rng.randrange(len(data))
    block = data[start : start + min(rng.randrange(1, _BLOCK), len(data) - place)]
    data[place : place + len(block)] = block


def _double(data: bytearray, rng: random.Random) -> None:
    data += bytes(data)


MUTATIONS: Mapping[str, Callable[[bytearray, random.Random], None]] = {
    "flip a bit": _flip_bit,
    "flip a byte": _flip_byte,
    "cut": _truncate,
    "empty": _empty,
    "insert": _insert,
    "delete": _delete,
    "zero a block": _zero_block,
    "repeat a block": _duplicate_block,
    "copy a block over another": _overwrite_block,
    "double": _double,
}


def mutated(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Return the name of a random mutation, and the changed bytes, which differ from `data`."""
    while True:
        name = rng.choice(sorted(MUTATIONS))
        changed = bytearray(data)
        MUTATIONS[name](changed, rng)
        if changed != data:
            return name, bytes(changed)
