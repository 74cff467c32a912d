"""The sparsest matching ticket per rewind epoch and combination of further axes."""

from __future__ import annotations

import pandas as pd

from lthsweep.report.summary import sparsest_matching


def tickets(rows):
    """A table of tickets from rows of (init, k, sparsity, verdict, accuracy)."""
    frame = pd.DataFrame(
        rows, columns=["model.init", "rewind_epoch", "sparsity", "verdict", "ticket_accuracy"]
    )
    frame["weights_remaining"] = 1 - frame["sparsity"]
    return frame.assign(kind="ticket")[
        ["sparsity", "rewind_epoch", "model.init", "kind", "weights_remaining", "ticket_accuracy", "verdict"]
    ]


def test_each_initialization_has_a_sparsest_ticket():
    """The choice must not mix values of a further axis."""
    chosen = sparsest_matching(
        tickets(
            [
                ("default", 0, 0.5, "winning", 0.9),
                ("default", 0, 0.8, "not matching", 0.8),
                ("orthogonal", 0, 0.5, "winning", 0.9),
                ("orthogonal", 0, 0.8, "winning", 0.9),
            ]
        )
    )

    assert [(best.combination, float(best.row["sparsity"])) for best in chosen] == [
        (("default",), 0.5),
        (("orthogonal",), 0.8),
    ]


def test_epochs_without_match_count_undecided_tickets():
    """More seeds can still decide these."""
    chosen = sparsest_matching(
        tickets([("default", 0, 0.5, "undecided", 0.9), ("default", 2, 0.5, "matching", 0.9)])
    )

    assert [(best.row is None, best.undecided) for best in chosen] == [(True, 1), (False, 0)]


def test_ties_go_to_the_more_accurate_ticket():
    """Any other choice would depend on the order of rows."""
    chosen = sparsest_matching(
        tickets([("default", 0, 0.5, "matching", 0.90), ("default", 0, 0.5, "matching", 0.91)])
    )

    assert chosen[0].row["ticket_accuracy"] == 0.91
