"""Whole filters and single weights through the command line: one sweep, one table, and the small networks again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lthsweep.models.build import build_model
from lthsweep.pruning.shrink import shrink
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import decode
from lthsweep.store.weights import load_arrays, packed_size, unpack_sparse
from tests.launch.sweeps import lthsweep, write_tiny

pytestmark = pytest.mark.slow

SETTINGS = (
    "--set",
    'grid."prune.method"=["filter", "magnitude"]',
    "--set",
    "grid.rewind_epoch=[0]",
    "--set",
    "train.group_lasso=1e-3",
    "--set",
    "prune.schedule=iterative",
)


@pytest.fixture(scope="module")
def both(tmp_path_factory, cache):
    """A chain of two levels for each method, on the same dense run."""
    folder = tmp_path_factory.mktemp("filters")
    ended = lthsweep("run", write_tiny(folder), *SETTINGS, "--out", folder / "sweep", cache=cache)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "the network before and after pruning" in ended.stdout
    return SweepDir(folder / "sweep")


def asked(sweep, cache, *arguments):
    done = lthsweep("query", sweep.path, *arguments, "--json", cache=cache)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_one_table_compares_filters_with_weights(both, cache):
    """At the same share of remaining weights, against the dense run that both share."""
    rows = asked(both, cache, "--table", "structures")

    assert sorted((row["method"], row["sparsity"]) for row in rows) == [
        ("filter", 0.5),
        ("filter", 0.8),
        ("magnitude", 0.5),
        ("magnitude", 0.8),
    ]
    for row in rows:
        smaller = row["method"] == "filter"
        assert abs(row["weights_remaining"] - (1 - row["sparsity"])) < 0.02
        for name in ("params", "macs", "bytes"):
            assert (row[name] < row[f"{name}_dense"]) == smaller
        assert row["epoch_seconds"] > 0 and row["test_seconds"] > 0
        assert list(json.loads(row["layer_sparsity"])) == ["fc1.weight", "fc2.weight", "fc3.weight"]


def test_records_of_filter_tickets_are_valid(both, cache):
    """Audits and `doctor` pass."""
    assert all(row["audit_ok"] for row in asked(both, cache, "--table", "runs", "kind = 'ticket'"))
    assert lthsweep("doctor", both.path, cache=cache).returncode == 0


def test_a_level_is_a_subset_of_the_last(both, cache):
    """Removed filters do not return."""
    levels = asked(both, cache, "--table", "runs", "method = 'filter'", "--sort", "level")
    first, second = (decode(both.record(row["key"])).masks for row in levels)

    assert all(not (second[name] & ~first[name]).any() for name in first)


def test_files_reproduce_the_small_network(both, cache):
    """Its parameters and accuracy equal the table."""
    row = next(row for row in asked(both, cache, "--table", "runs", "method = 'filter'") if row["level"] == 2)
    record = decode(both.record(row["key"]))
    weights = unpack_sparse(load_arrays(both.final(row["key"])), record.masks)
    model = build_model({"name": "lenet_300_100"}, input_shape=(1, 8, 8), classes=10, seed=0)
    model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})

    small = shrink(model, {name: torch.from_numpy(mask) for name, mask in record.masks.items()}, (1, 8, 8))

    images = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(small(images), model(images), rtol=1e-4, atol=1e-5)
    arrays = {name: value.numpy() for name, value in small.state_dict().items()}
    assert sum(array.size for array in arrays.values()) == row["params_model"]
    assert packed_size(arrays) == row["bytes_model"]


def test_the_printed_table_starts_with_the_dense_run(both, cache):
    """For comparison."""
    printed = lthsweep("query", both.path, "--table", "structures", cache=cache).stdout

    assert "dense" in printed
    assert printed.count("filter") == printed.count("magnitude") == 2
