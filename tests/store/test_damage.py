"""Damaged and hostile files are refused by name; nothing is ever read wrong without a word."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lthsweep.errors import CorruptRecordError
from lthsweep.store import hdf5
from lthsweep.store.packing import unpack_masks
from lthsweep.store.record import decode, encode, read_summary
from lthsweep.store.seal import SEAL_LENGTH, seal
from tests.store.factory import make_record

RECORD = make_record(1, layers=3, epochs=2)
DATA = encode(RECORD)


def facts(summary):
    """All values of a summary, comparable."""
    return {
        field.name: value.tobytes() if isinstance(value, np.ndarray) else repr(value)
        for field in dataclasses.fields(summary)
        if field.name != "masks"
        for value in [getattr(summary, field.name)]
    }


GOOD = facts(decode(DATA))


@given(st.integers(0, len(DATA) * 8 - 1))
@settings(max_examples=300, deadline=None)
def test_one_flipped_bit_anywhere_is_noticed(bit):
    """Of 150 such files, HDF5 with its own defaults read 127 wrong in silence."""
    data = bytearray(DATA)
    data[bit // 8] ^= 1 << bit % 8

    with pytest.raises(CorruptRecordError):
        decode(bytes(data))


@pytest.mark.slow
def test_a_damaged_summary_is_never_read_wrongly(tmp_path):
    """`read_summary` hands unchecked bytes to libhdf5; the checksums inside must catch all of them."""
    path = tmp_path / "r.h5"
    for position in range(0, len(DATA), 3):
        data = bytearray(DATA)
        data[position] ^= 0xFF
        path.write_bytes(data)
        try:
            summary = read_summary(path)
        except CorruptRecordError:
            continue
        found = facts(summary)
        if position < len(DATA) - 65:  # a flip inside the last hash changes `sha256`, which is not content
            assert found == GOOD, position
        found["sha256"] = GOOD["sha256"]
        assert found == GOOD, position


@given(st.integers(0, len(DATA) - 1))
@settings(max_examples=150, deadline=None)
def test_a_file_cut_short_is_noticed(tmp_path_factory, length):
    """The remains after a full disk or a lost connection."""
    path = tmp_path_factory.mktemp("cut") / "r.h5"
    path.write_bytes(DATA[:length])

    with pytest.raises(CorruptRecordError, match="doctor"):
        decode(path)
    with pytest.raises(CorruptRecordError, match="doctor"):
        read_summary(path)


@pytest.mark.parametrize("data", [b"", b"\0" * 5000, DATA + b"\0", b"PK" + DATA, DATA[:-SEAL_LENGTH]])
def test_other_files_than_records_are_refused(tmp_path, data):
    """Foreign, doubled, empty: `opens` is not `complete`."""
    path = tmp_path / "r.h5"
    path.write_bytes(data)

    with pytest.raises(CorruptRecordError, match=r"r\.h5"):
        decode(path)
    with pytest.raises(CorruptRecordError, match=r"r\.h5"):
        read_summary(path)


def test_a_doubled_file_is_refused():
    """Its tail is sealed well, so only the hash over all of it can tell."""
    with pytest.raises(CorruptRecordError, match="sha256"):
        decode(DATA + DATA)


def test_the_error_names_another_version(tmp_path):
    """A newer record is not damaged; the remedy is another one."""
    path = tmp_path / "r.h5"
    head = DATA[:-65].replace(b"lthsweep-record 0001", b"lthsweep-record 0002")
    path.write_bytes(head + hashlib.sha256(head).hexdigest().encode() + b"\n")

    for read in (decode, read_summary):
        with pytest.raises(CorruptRecordError, match=r"r\.h5.*version 2.*install"):
            read(path)


def hostile(change):
    """A record, well sealed, whose HDF5 part `change` was let loose on."""
    buffer = io.BytesIO(DATA[:-SEAL_LENGTH])
    with h5py.File(buffer, "r+", libver=("v110", "v110")) as file:
        change(file)
    return seal(buffer.getvalue(), hashlib.sha256(b"").hexdigest())


def external_link(file):
    del file["curves"]
    file["curves"] = h5py.ExternalLink("/etc/passwd", "/x")


def soft_link(file):
    del file["curves"]
    file["curves"] = h5py.SoftLink("/layers")


def external_storage(file):
    del file["mask_bits"], file["curves"]
    file.create_dataset("curves", (2,), hdf5.CURVE_DTYPE, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def virtual_dataset(file):
    del file["curves"]
    layout = h5py.VirtualLayout((2,), hdf5.CURVE_DTYPE)
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (2,))
    file.create_virtual_dataset("curves", layout)


def a_tebibyte(file):
    del file["curves"]
    file.create_dataset(
        "curves", (2**40 // 60,), hdf5.CURVE_DTYPE, chunks=(1000,), compression="gzip", fletcher32=True
    )


def a_bomb(file):
    del file["curves"]
    rows = 1_000_000
    file.create_dataset(
        "curves", (rows,), hdf5.CURVE_DTYPE, chunks=(rows,), compression="gzip", fletcher32=True
    )


def another_type(file):
    del file["curves"]
    file["curves"] = np.zeros(2)


def variable_text(file):
    del file["about"]
    file.create_dataset("about", data=["{}"], dtype=h5py.string_dtype())


def a_group(file):
    del file["curves"]
    file.create_group("curves")


def two_dimensions(file):
    del file["curves"]
    file["curves"] = np.zeros((2, 2), hdf5.CURVE_DTYPE)


def no_checksum(file):
    del file["curves"]
    file["curves"] = RECORD.curves


def nothing_there(file):
    del file["curves"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (external_link, "link"),
        (soft_link, "link"),
        (external_storage, "another file"),
        (virtual_dataset, "another file"),
        (a_tebibyte, "believed"),
        (a_bomb, "stored"),
        (another_type, "type"),
        (variable_text, "fixed-length"),
        (a_group, "HDF5"),
        (two_dimensions, "dimensions"),
        (no_checksum, "checksum"),
        (nothing_there, "missing"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_hostile_files_are_refused_before_reading(tmp_path, change, word):
    """A 2 KB file can name the password file as its storage, or declare 1 TiB; its hash proves nothing."""
    path = tmp_path / "r.h5"
    path.write_bytes(hostile(change))

    for read in (decode, read_summary):
        with pytest.raises(CorruptRecordError, match=rf"r\.h5.*{word}"):
            read(path)


def resealed(text):
    """A record, well sealed inside and out, whose description is `text`."""
    empty = np.zeros(0, "u1")
    image = hdf5.build_image(
        {
            "about": np.array([text]),
            "curves": RECORD.curves,
            "layers": RECORD.layers,
            "mask_index": np.zeros(0, hdf5.MASK_DTYPE),
            "mask_bits": empty,
        }
    )
    digest = hashlib.sha256(f"{len(text)} {len(RECORD.curves)} {len(RECORD.layers)}\n".encode())
    for part in (text, RECORD.curves.tobytes(), RECORD.layers.tobytes()):
        digest.update(part)
    return seal(image, digest.hexdigest())


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b"[1]",
        b"{",
        b"{}",
        b"\xff\xfe",
        json.dumps({"key": 3, "kind": "dense"}).encode(),
    ],
    ids=["deep", "list", "open", "empty", "bytes", "fields"],
)
def test_an_invalid_description_is_refused(text):
    """The JSON inside is as foreign as the file around it."""
    with pytest.raises(CorruptRecordError, match="not a whole record"):
        decode(resealed(text))


@pytest.mark.parametrize(
    ("rank", "shape", "bits"),
    [
        (7, (1,) * 6, 1),
        (-1, (1,) * 6, 1),
        (1, (-8, 0, 0, 0, 0, 0), 1),
        (2, (2**40, 2**40, 0, 0, 0, 0), 1),
        (1, (9, 0, 0, 0, 0, 0), 1),
        (1, (8, 0, 0, 0, 0, 0), 2),
    ],
)
def test_masks_of_the_wrong_size_are_refused(rank, shape, bits):
    """A wrong index must not cause a large allocation."""
    index = np.array([(b"w", rank, shape)], hdf5.MASK_DTYPE)

    with pytest.raises(CorruptRecordError, match="mask"):
        unpack_masks(index, np.zeros(bits, np.uint8), "here")
