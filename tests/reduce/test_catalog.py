"""The message for a table without rows names the missing setting of the grid."""

from __future__ import annotations

import pytest

from lthsweep.reduce.catalog import why_empty
from lthsweep.reduce.control_rows import control_rows
from lthsweep.reduce.structure_rows import structure_rows
from tests.reduce.reduce_cases import make_plan


@pytest.mark.parametrize(
    ("grid", "remedy"),
    [
        ({}, '`control = ["ticket", "reinit", "random"]`'),
        ({"control": ["reinit", "random"]}, 'add "ticket"'),
        ({"control": ["ticket"]}, '"reinit"'),
        ({"control": ["ticket", "reinit"], "sparsity": [0]}, "add a sparsity"),
    ],
)
def test_without_controls_the_message_has_the_setting(grid, remedy):
    """Each reason is one for which there are no rows."""
    plan = make_plan(**grid)

    assert len(control_rows(plan, {}, {})) == 0
    assert remedy in why_empty(plan, "controls")


@pytest.mark.parametrize(
    ("grid", "remedy"),
    [
        ({}, 'prune.method = "filter"'),
        ({"prune.method": ["filter"], "sparsity": [0]}, "add a sparsity"),
    ],
)
def test_without_structures_the_message_has_the_setting(grid, remedy):
    """Masks leave the network as large as it was."""
    plan = make_plan(**grid)

    assert len(structure_rows(plan, {}, {})) == 0
    assert remedy in why_empty(plan, "structures")
