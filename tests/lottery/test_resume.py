"""A stopped ticket run resumes from its checkpoint and equals an uninterrupted run, for every kind of ticket."""

from __future__ import annotations

import pytest

from lthsweep.plan.prune_step import CONTROLS, controlled
from tests.lottery.cases import (
    EPOCHS,
    STEPS,
    Watch,
    assert_same_result,
    dense_of,
    finished,
    prune_step,
    ticket_of,
    undisturbed,
)

START, IN_AN_EPOCH, BETWEEN_EPOCHS, END = 7, 9, 2 * STEPS, EPOCHS * STEPS

STEPS_OF = {
    **{rewind: prune_step(0.7, 1.4, rewind=rewind) for rewind in ("weights", "weights+optimizer", "none")},
    **{name: controlled(prune_step(0.7, 1.4), name) for name in CONTROLS if name != "ticket"},
    "snip": prune_step(0.7, 0, method="snip"),
}
"""Kinds of tickets: ways to rewind, controls, and a mask that is made of a batch of data."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "stop"),
    [
        *((kind, IN_AN_EPOCH) for kind in STEPS_OF),
        *((kind, stop) for kind in ("weights+optimizer", "reinit") for stop in (START, BETWEEN_EPOCHS, END)),
    ],
)
def test_ticket_resumes_from_its_checkpoint(packed, kind, stop):
    """Equal in all but the clock.

    Survivors are audited by where they started, not by where they went on; fresh weights and shuffled places are
    functions of the seed, and SNIP's mask is made again of the same batch.
    """
    dense, step, watch = dense_of(packed, "short", "sgd"), STEPS_OF[kind], Watch(stop=stop)

    assert ticket_of(dense, step, between_steps=watch) is None
    resumed = finished(ticket_of(dense, step, resume=watch.checkpoint))

    assert_same_result(resumed, undisturbed(dense, step))
