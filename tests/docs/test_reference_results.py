"""The reference results can be read, queried and compared with the present code."""

from __future__ import annotations

from pathlib import Path

import pytest

from lthsweep.api import load
from lthsweep.reduce.catalog import COLUMNS

REFERENCE = Path(__file__).parents[2] / "results" / "reference"


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in REFERENCE.glob("*/table.h5")), ids=lambda path: path.name
)
def test_a_reference_table_belongs_to_its_plan(folder):
    """Comparisons find runs by the keys of the plan: with older keys, all of them would be missing."""
    sweep = load(folder)

    planned = sweep.runs[sweep.runs["in_plan"]]

    assert planned["key"].tolist() == list(sweep.plan.runs)
    assert planned["trunk"].tolist() == [run.trunk for run in sweep.plan.runs.values()]
    assert set(sweep.curves["key"]) <= set(planned["key"])
    for table, columns in COLUMNS.items():
        assert {column.name for column in columns} <= set(sweep.frames[table].columns)
