"""The message for a table without rows names the missing setting of the grid."""

from __future__ import annotations

import pytest

from lthsweep.reduce.control_rows import control_rows
from lthsweep.reduce.schema import why_empty
from lthsweep.reduce.structure_rows import structure_rows
from tests.reduce.reduce_cases import make_plan


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({}, 'no axis of controls; add `control = ["ticket", "reinit", "random"]` to [grid]'),
        ({"control": ["reinit", "random"]}, 'add "ticket" to it'),
        ({"control": ["ticket"]}, 'has tickets only; add one of "reinit"'),
        ({"control": ["ticket", "reinit"], "sparsity": [0]}, "is answered by its dense run"),
    ],
)
def test_without_controls_the_message_has_the_setting(grid, said):
    """Each reason is one for which there are no rows."""
    plan = make_plan(**grid)

    assert len(control_rows(plan, {}, {})) == 0
    assert said in why_empty(plan, "controls")


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({}, 'prunes no whole filters; set prune.method = "filter"'),
        ({"prune.method": ["filter"], "sparsity": [0]}, "is answered by its dense run"),
    ],
)
def test_without_structures_the_message_has_the_setting(grid, said):
    """Masks leave the network as large as it was."""
    plan = make_plan(**grid)

    assert len(structure_rows(plan, {}, {})) == 0
    assert said in why_empty(plan, "structures")
