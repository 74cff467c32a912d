"""Weights come back bit for bit, and only the weights that the record vouches for."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst

from lthsweep.errors import CorruptRecordError, StoreError
from lthsweep.store.weights import load_arrays, load_metadata, pack_sparse, save_arrays, unpack_sparse

ARRAYS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "bn.steps": np.array(7, np.int64),
    "mask": np.array([True, False]),
    "empty": np.zeros((0, 3), np.float64),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
}


def test_arrays_and_metadata_come_back(tmp_path):
    """A resumed run must equal one that never stopped."""
    path = tmp_path / "weights" / "key" / "final.safetensors"

    digest = save_arrays(path, ARRAYS, {"step": "12", "epoch": "3"})
    found = load_arrays(path, digest)

    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
        assert found[name].flags.writeable
    assert load_metadata(path) == {"step": "12", "epoch": "3"}


def test_equal_weights_are_equal_files(tmp_path):
    """The weights of two workers have the same hash for any order of names."""
    notes = {f"note{i}": "x" for i in range(20)}
    digests = {save_arrays(tmp_path / f"{i}.safetensors", ARRAYS, notes) for i in range(10)}

    assert len(digests) == 1


def test_no_metadata_is_empty_metadata(tmp_path):
    """Other people's safetensors files have none."""
    save_arrays(tmp_path / "w", ARRAYS)

    assert load_metadata(tmp_path / "w") == {}


def test_other_weights_than_the_records_are_refused(tmp_path):
    """A ticket from other weights is another ticket."""
    save_arrays(tmp_path / "w", ARRAYS)

    with pytest.raises(CorruptRecordError, match="doctor"):
        load_arrays(tmp_path / "w", "0" * 64)


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 100, b"\x02\0\0\0\0\0\0\0{}x", b"\x02\0\0\0\0\0\0\0[]", b"\x80\x04pickle"]
)
def test_other_files_than_safetensors_are_refused(tmp_path, data):
    """No pickle, no surprises."""
    path = tmp_path / "w"
    path.write_bytes(data)

    with pytest.raises(CorruptRecordError, match="damaged"):
        load_arrays(path)


@pytest.mark.parametrize("data", [b"", b"\xff" * 100, b"\x02\0\0\0\0\0\0\0[]"])
def test_a_damaged_head_is_refused(tmp_path, data):
    """A declared length of 2**64 must not be read."""
    path = tmp_path / "w"
    path.write_bytes(data)

    with pytest.raises(CorruptRecordError, match="head"):
        load_metadata(path)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_survivors_come_back_bit_for_bit(data):
    """-0.0 and NaN among the survivors are weights like others; pruned ones come back as +0."""
    shape = data.draw(nst.array_shapes(min_dims=1, max_dims=4, max_side=6))
    mask = data.draw(nst.arrays(np.bool_, shape))
    weight = data.draw(nst.arrays(np.float32, shape, elements=st.floats(width=32)))
    weight[~mask] = data.draw(st.sampled_from([0.0, -0.0]))
    arrays = {"w": weight, "b": np.ones(2, np.float32)}

    packed = pack_sparse(arrays, {"w": mask})
    found = unpack_sparse(packed, {"w": mask})

    assert packed["w"].shape == (mask.sum(),)
    assert found["w"][mask].tobytes() == weight[mask].tobytes()
    assert found["w"][~mask].tobytes() == np.zeros((~mask).sum(), np.float32).tobytes()
    assert found["b"] is arrays["b"]


def test_weights_that_would_be_lost_are_not_packed():
    """A pruned weight that is not zero means that the mask was not applied."""
    with pytest.raises(StoreError, match="not zero"):
        pack_sparse({"w": np.ones(3)}, {"w": np.array([True, False, True])})


@pytest.mark.parametrize("arrays", [{}, {"w": np.zeros(4)}])
def test_masks_of_another_model_are_refused(arrays):
    """Shapes differ: these masks belong elsewhere."""
    with pytest.raises(StoreError, match="'w'"):
        pack_sparse(arrays, {"w": np.ones(3, bool)})
    with pytest.raises(StoreError, match="'w'"):
        unpack_sparse(arrays, {"w": np.ones(3, bool)})
