"""The sparsest matching ticket: per rewind epoch, and apart for every value of a further axis."""

from __future__ import annotations

import pandas as pd

from lthsweep.report.summary import sparsest_matching


def tickets(rows):
    """A table of tickets with what the choice looks at; rows are (init, k, sparsity, verdict, accuracy)."""
    frame = pd.DataFrame(
        rows, columns=["model.init", "rewind_epoch", "sparsity", "verdict", "ticket_accuracy"]
    )
    frame["weights_remaining"] = 1 - frame["sparsity"]
    return frame.assign(kind="ticket")[
        ["sparsity", "rewind_epoch", "model.init", "kind", "weights_remaining", "ticket_accuracy", "verdict"]
    ]


def test_initializations_compete_each_for_itself():
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


def test_a_rewind_epoch_without_a_match_is_there_with_those_that_may_still_match():
    chosen = sparsest_matching(
        tickets([("default", 0, 0.5, "undecided", 0.9), ("default", 2, 0.5, "matching", 0.9)])
    )

    assert [(best.row is None, best.undecided) for best in chosen] == [(True, 1), (False, 0)]


def test_of_equally_sparse_tickets_the_more_accurate_is_named():
    chosen = sparsest_matching(
        tickets([("default", 0, 0.5, "matching", 0.90), ("default", 0, 0.5, "matching", 0.91)])
    )

    assert chosen[0].row["ticket_accuracy"] == 0.91
