"""Records are read back bit for bit, and by other programs too."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import math
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst

from lthsweep.errors import StoreError
from lthsweep.store.record import (
    CURVE_DTYPE,
    LAYER_DTYPE,
    Record,
    Summary,
    curve_table,
    decode,
    encode,
    layer_table,
    read_summary,
)
from lthsweep.store.seal import read_seal
from tests.store.factory import make_record

TEXT = st.text(max_size=20)
NUMBERS = st.one_of(st.integers(-(2**53), 2**53), st.floats())
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
MASKS = st.dictionaries(
    NAMES, nst.arrays(np.bool_, nst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)), max_size=4
)


@st.composite
def records(draw):
    """Any record, plausible or not."""
    curves = draw(nst.arrays(CURVE_DTYPE, st.integers(0, 12)))
    sizes = draw(st.dictionaries(NAMES, st.tuples(st.integers(1, 2**40), st.integers(0, 2**40)), max_size=6))
    return Record(
        key=draw(st.text("0123456789abcdef", min_size=1, max_size=20)),
        kind=draw(st.sampled_from(["dense", "ticket"])),
        outcome=draw(st.sampled_from(["finished", "diverged"])),
        manifest=draw(st.dictionaries(TEXT, PLAIN, max_size=4)),
        resolved=draw(st.dictionaries(TEXT, PLAIN, max_size=4)),
        metrics=draw(st.dictionaries(TEXT, NUMBERS, max_size=6)),
        provenance=draw(st.dictionaries(TEXT, PLAIN, max_size=4)),
        audit=draw(st.dictionaries(TEXT, PLAIN, max_size=4)),
        weights=draw(st.dictionaries(TEXT, TEXT, max_size=3)),
        curves=curves,
        layers=layer_table(list(sizes), [n for n, _ in sizes.values()], [k for _, k in sizes.values()]),
        masks=draw(MASKS),
    )


def same(left, right):
    """Equal, where NaN equals NaN and -0.0 is not 0.0."""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return isinstance(right, float) and (
            (math.isnan(left) and math.isnan(right))
            or (left == right and math.copysign(1, left) == math.copysign(1, right))
        )
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    return type(left) is type(right) and left == right


@pytest.mark.slow
@given(records())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_record_is_read_back_bit_for_bit(record):
    """A record is evidence: no value must be rounded, dropped or converted."""
    data = encode(record)
    found = decode(data)

    for field in dataclasses.fields(Record):
        if field.name != "sha256":
            assert same(getattr(found, field.name), getattr(record, field.name)), field.name
    assert encode(found) == data


def test_a_summary_agrees_with_its_record(tmp_path):
    """The reducer reads summaries only, so they must not be a second truth."""
    record = make_record(7, metrics={"threshold": math.nan, "best_epoch": 3})
    path = tmp_path / "r.h5"
    path.write_bytes(encode(record))

    summary, whole = read_summary(path), decode(path)

    assert type(summary) is Summary
    for field in dataclasses.fields(Summary):
        assert same(getattr(summary, field.name), getattr(whole, field.name)), field.name
    assert summary.sha256 == whole.sha256 == read_seal(path).whole


@pytest.mark.slow
def test_equal_records_give_equal_bytes():
    """A record built later, elsewhere, is the same file; HDF5 writes the time by default."""
    script = (
        "from tests.store.factory import make_record\n"
        "from lthsweep.store.record import encode\n"
        "import hashlib; print(hashlib.sha256(encode(make_record(3))).hexdigest())\n"
    )

    def digest(seed):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin", "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    assert digest("1") == digest("2") == hashlib.sha256(encode(make_record(3))).hexdigest() + "\n"


def test_no_object_in_a_record_carries_a_time():
    """Times would make equal records unequal, a second later."""
    with h5py.File(io.BytesIO(encode(make_record(1))), "r") as file:
        tracked = [file[name].id.get_create_plist().get_obj_track_times() for name in file]
        tracked.append(h5py.h5g.open(file.id, b"/").get_create_plist().get_obj_track_times())

    assert tracked == [False] * 6


@pytest.mark.parametrize("epochs", [0, 1])
def test_an_immediately_diverged_run_has_a_record(epochs):
    """No epoch finished means no curve, and HDF5 has no empty chunks."""
    record = make_record(1, epochs=epochs, layers=0, outcome="diverged")

    found = decode(encode(record))

    assert found.outcome == "diverged"
    assert len(found.curves) == epochs
    assert found.masks == {}


def test_numpy_numbers_may_be_metrics():
    """Callers compute with NumPy; its numbers are numbers."""
    record = make_record(1, metrics={"a": np.float32(0.5), "b": np.int64(3), "c": np.float32("nan")})

    found = decode(encode(record)).metrics

    assert found["a"] == 0.5 and found["b"] == 3 and math.isnan(found["c"])


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"kind": "control"}, "kind"),
        ({"outcome": "failed"}, "outcome"),
        ({"metrics": {"test_accuracy": "0.9"}}, "test_accuracy"),
        ({"metrics": {"test_accuracy": True}}, "test_accuracy"),
        ({"curves": np.zeros(3, [("epoch", "i4")])}, "curves"),
        ({"masks": {"w": np.ones(3, np.int8)}}, "mask"),
        ({"masks": {"w" * 129: np.ones(3, bool)}}, "mask"),
        ({"provenance": {"path": object()}}, "JSON"),
        ({"weights": {"final.safetensors": 3}}, "weights"),
    ],
)
def test_values_that_records_cannot_hold_are_refused(fields, word):
    """Better an error in the worker than an unreadable record."""
    metrics = fields.pop("metrics", None)
    record = dataclasses.replace(make_record(1, **fields), **({"metrics": metrics} if metrics else {}))

    with pytest.raises(StoreError, match=word):
        encode(record)


def test_layer_names_that_are_too_long_are_refused():
    """NumPy cuts text to the field's length without a word, and two layers would become one."""
    with pytest.raises(StoreError, match="longer"):
        layer_table(["x" * 129], [1], [1])


def test_a_layer_that_kept_nothing_is_dead():
    """Dead layers explain accuracy at chance; the caller can list more of them."""
    table = layer_table(["a", "b", "c"], [10, 10, 10], [0, 5, 5], dead=["b"])

    assert table.dtype == LAYER_DTYPE
    assert table["dead"].tolist() == [True, True, False]
    assert table["sparsity"].tolist() == [1.0, 0.5, 0.5]


def test_missing_values_of_curves_are_nan():
    """An epoch without validation is not an epoch with accuracy 0."""
    table = curve_table([{"epoch": 1, "train_loss": 0.5}])

    assert table["epoch"].tolist() == [1]
    assert table["step"].tolist() == [0]
    assert np.isnan(table["val_accuracy"]).all()


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="h5dump is not installed")
@pytest.mark.parametrize("dataset", ["about", "curves", "layers", "mask_index", "mask_bits"])
def test_h5dump_reads_every_part(tmp_path, dataset):
    """Clusters have HDF5 1.10; a record is readable there without this package."""
    path = tmp_path / "r.h5"
    path.write_bytes(encode(make_record(1)))

    done = subprocess.run(
        ["h5dump", "-d", f"/{dataset}", str(path)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "DATA {" in done.stdout


def test_plain_h5py_reads_a_record(tmp_path):
    """The page on the table promises that any HDF5 reader will do."""
    record = make_record(1)
    path = tmp_path / "r.h5"
    path.write_bytes(encode(record))

    with h5py.File(path, "r") as file:
        assert file["curves"][()].tobytes() == record.curves.tobytes()
        assert file["layers"]["remaining"].sum() == sum(mask.sum() for mask in record.masks.values())
        assert b'"key":"' + record.key.encode() in file["about"][0]
