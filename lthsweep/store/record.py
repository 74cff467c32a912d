"""The record of a finished run as a value and as bytes.

A record is made once, at the end of a run, and never edited. `encode` and `decode` are pure;
`lthsweep.store.publish` writes the bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from h5py import h5f
from numpy.typing import NDArray

from lthsweep.errors import StoreError
from lthsweep.plan.run import RunKind
from lthsweep.store import hdf5, plainjson
from lthsweep.store.commit import read_whole
from lthsweep.store.hdf5 import CURVE_DTYPE, LAYER_DTYPE, NAME_LENGTH
from lthsweep.store.metrics import Metrics
from lthsweep.store.packing import pack_masks, unpack_masks
from lthsweep.store.seal import SEAL_LENGTH, check_seal, damaged, read_seal, seal

__all__ = [
    "CURVE_DTYPE",
    "LAYER_DTYPE",
    "Record",
    "RunOutcome",
    "Summary",
    "curve_table",
    "decode",
    "encode",
    "layer_table",
    "read_checked",
    "read_summary",
]

RunOutcome = Literal["finished", "diverged"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Summary:
    """Contents of a record without its masks.

    Attributes:
        key: name of the run, the hash of `manifest`.
        kind: "dense" or "ticket".
        manifest: the settings that the key hashes.
        resolved: the configuration, every default written out.
        outcome: "finished", or "diverged" if training became non-finite.
        metrics: name → number, as stored; see `measured`. A metric that was not measured is absent or NaN.
        curves: one row per epoch trained, dtype `CURVE_DTYPE`.
        layers: one row per prunable weight in the model's order, dtype `LAYER_DTYPE`.
        provenance: versions, commit, host, device, threads, precision, attempts.
        audit: results of the run's checks of itself; `ok` is the verdict. Empty if it had nothing to
            check.
        weights: bare file name in the run's folder of weights → sha256 of that file, in hexadecimal.
        sha256: hash of the record file up to the position of the hash; identifies a known
            record.
    """

    key: str
    kind: RunKind
    manifest: Mapping[str, object]
    resolved: Mapping[str, object] = field(default_factory=dict)
    outcome: RunOutcome = "finished"
    metrics: Mapping[str, float | int]
    curves: NDArray[np.void]
    layers: NDArray[np.void]
    provenance: Mapping[str, object] = field(default_factory=dict)
    audit: Mapping[str, object] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""

    @property
    def measured(self) -> Metrics:
        """The metrics by their fields; absent ones are NaN."""
        return Metrics.from_dict(self.metrics)


@dataclass(frozen=True, kw_only=True, eq=False)
class Record(Summary):
    """A whole record: a summary and its masks. `sha256` is empty until it was read from disk.

    Attributes:
        masks: name of a weight → boolean array of that weight's shape, True = kept. Empty for dense runs.
    """

    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


_ABOUT = ("key", "kind", "manifest", "resolved", "outcome", "metrics", "provenance", "audit", "weights")


def encode(record: Record) -> bytes:
    """Return the record as the bytes of an HDF5 file and its seal; equal bytes for equal records.

    Raises:
        StoreError: if a field has a value that a record cannot hold: another dtype, a mask that is not boolean, a name
            longer than 128 bytes, a value that is not JSON.
    """
    problem = _problem(record)
    if problem:
        raise StoreError(f"record {record.key} cannot be written: {problem}; this is an error of the caller")
    try:
        text = plainjson.dump({name: getattr(record, name) for name in _ABOUT})
    except (TypeError, ValueError) as error:
        raise StoreError(f"record {record.key} cannot be written: {error}; use plain values") from error
    about = np.array([text])
    index, bits = pack_masks(record.masks)
    image = hdf5.build_image(
        {
            hdf5.ABOUT: about,
            hdf5.CURVES: record.curves,
            hdf5.LAYERS: record.layers,
            hdf5.MASK_INDEX: index,
            hdf5.MASK_BITS: bits,
        }
    )
    return seal(image, _content_hash(text, record.curves, record.layers))


def decode(source: bytes | Path) -> Record:
    """Read a whole record. The sha256 of all bytes is verified before libhdf5 sees them.

    Raises:
        FileNotFoundError: if the file does not exist.
        CorruptRecordError: if it is damaged, hostile, or of another version.
    """
    data = source if isinstance(source, bytes) else read_whole(source)
    where: object = "record in memory" if isinstance(source, bytes) else source
    sealed = check_seal(data, where)
    with hdf5.opened_image(data[:-SEAL_LENGTH], where) as file:
        content = _read_content(file, sealed.summary, where)
        index = hdf5.fetch(file, hdf5.MASK_INDEX, hdf5.MASK_DTYPE, where)
        bits = hdf5.fetch(file, hdf5.MASK_BITS, np.dtype("u1"), where)
    return Record(**content, sha256=sealed.whole, masks=unpack_masks(index, bits, where))


def read_summary(path: Path) -> Summary:
    """Read a record without its masks, in about a third of a millisecond, and verify the sha256 of this part.

    Raises:
        FileNotFoundError: if the file does not exist.
        CorruptRecordError: if it is damaged, hostile, or of another version.
    """
    sealed = read_seal(path)
    with hdf5.opened(path) as file:
        content = _read_content(file, sealed.summary, path)
    return Summary(**content, sha256=sealed.whole)


def read_checked(path: Path) -> Summary:
    """Read a record without its masks, after the sha256 of all bytes, masks included, is verified.

    Raises:
        FileNotFoundError: if the file does not exist.
        CorruptRecordError: if it is damaged, hostile, or of another version.
    """
    data = read_whole(path)
    sealed = check_seal(data, path)
    with hdf5.opened_image(data[:-SEAL_LENGTH], path) as file:
        content = _read_content(file, sealed.summary, path)
    return Summary(**content, sha256=sealed.whole)


def curve_table(rows: Iterable[Mapping[str, float]]) -> NDArray[np.void]:
    """Return a learning curve as a record holds it; values that a row lacks are NaN (0 for epoch, step)."""
    given = list(rows)
    table = np.zeros(len(given), CURVE_DTYPE)
    for name in CURVE_DTYPE.names or ():
        missing = np.nan if CURVE_DTYPE[name].kind == "f" else 0
        table[name] = [row.get(name, missing) for row in given]
    return table


def layer_table(
    names: Sequence[str],
    sizes: Sequence[int],
    remaining: Sequence[int],
    dead: Iterable[str] = (),
) -> NDArray[np.void]:
    """Return layers as a record holds them.

    Args:
        names: of the weights, in the model's order; at most 128 bytes each.
        sizes: weights per layer, > 0.
        remaining: weights kept per layer.
        dead: names of layers without output; a layer without weights is always dead.

    Raises:
        StoreError: if a name is too long: NumPy would cut it silently.
    """
    encoded = [name.encode() for name in names]
    if any(len(name) > NAME_LENGTH for name in encoded):
        raise StoreError(
            f"a layer's name is longer than {NAME_LENGTH} bytes: {max(names, key=len)}; rename the module"
        )
    table = np.zeros(len(encoded), LAYER_DTYPE)
    table["name"] = encoded
    table["size"] = sizes
    table["remaining"] = remaining
    table["sparsity"] = 1.0 - table["remaining"] / np.maximum(table["size"], 1)
    gone = set(dead)
    table["dead"] = [name in gone or kept == 0 for name, kept in zip(names, remaining, strict=True)]
    return table


def _read_content(file: h5f.FileID, digest: str, where: object) -> dict[str, Any]:
    about = hdf5.fetch(file, hdf5.ABOUT, None, where)
    curves = hdf5.fetch(file, hdf5.CURVES, CURVE_DTYPE, where)
    layers = hdf5.fetch(file, hdf5.LAYERS, LAYER_DTYPE, where)
    text = about.tobytes()
    if _content_hash(text, curves, layers) != digest:
        raise damaged(where, "the sha256 of its summary is not the one it was sealed with")
    try:
        content = plainjson.load(text)
    except ValueError as error:
        raise damaged(where, f"its description is not JSON ({error})") from error
    if not isinstance(content, dict) or set(content) != set(_ABOUT):
        raise damaged(where, "its description has other fields than a record")
    content.update(curves=curves, layers=layers)
    problem = _problem(Record(**content))
    if problem:
        raise damaged(where, problem)
    return content


def _content_hash(text: bytes, curves: NDArray[np.void], layers: NDArray[np.void]) -> str:
    digest = hashlib.sha256(f"{len(text)} {len(curves)} {len(layers)}\n".encode())
    digest.update(text)
    digest.update(curves.tobytes())
    digest.update(layers.tobytes())
    return digest.hexdigest()


def _problem(record: Record) -> str | None:
    """Return the reason why this is not a valid record, or None."""
    if not isinstance(record.key, str) or not record.key:
        return "it has no key"
    if record.kind not in get_args(RunKind):
        return f"its kind is {record.kind!r}"
    if record.outcome not in get_args(RunOutcome):
        return f"its outcome is {record.outcome!r}"
    for name in ("manifest", "resolved", "metrics", "provenance", "audit", "weights"):
        if not isinstance(getattr(record, name), Mapping):
            return f"its {name} is not a mapping"
    if not set(map(type, record.metrics.values())) <= {int, float}:
        for name, number in record.metrics.items():
            if isinstance(number, bool) or not isinstance(number, int | float | np.integer | np.floating):
                return f"metric {name} is {number!r}, not a number"
    if not all(isinstance(name, str) and isinstance(digest, str) for name, digest in record.weights.items()):
        return "its weights are not file names with hashes"
    for name, dtype in (("curves", CURVE_DTYPE), ("layers", LAYER_DTYPE)):
        table = getattr(record, name)
        if table.dtype != dtype or table.ndim != 1:
            return f"its {name} have dtype {table.dtype} in {table.ndim} dimensions"
    return None
