"""Several tickets of one trunk and one rewind point, trained as one model; each has a result of its own."""

from __future__ import annotations

from collections.abc import Sequence

from lthsweep.lottery.frame import Shrunk
from lthsweep.lottery.result import Result
from lthsweep.lottery.ticket import Prepared, conclude_ticket
from lthsweep.training import fusible
from lthsweep.training.bundle import run_together
from lthsweep.training.loop import BetweenSteps

__all__ = ["train_together", "why_alone"]


def train_together(
    prepared: Sequence[Prepared], between_steps: Sequence[BetweenSteps]
) -> list[Result | None]:
    """Train tickets that see the same batches at the same learning rates.

    Args:
        prepared: of one material and seed, at the same step.
        between_steps: one for each, as for `Training.run`. If one stops, all stop.

    Returns:
        For each what `train_ticket` would have returned, up to rounding; None for all that were stopped.

    Raises:
        TrainingError: if they cannot be trained as one; none has taken a step then.
    """
    endings = run_together([one.training for one in prepared], between_steps)
    return [
        None if ending == "stopped" else conclude_ticket(one, ending)
        for one, ending in zip(prepared, endings, strict=True)
    ]


def why_alone(prepared: Prepared) -> str | None:
    """Why this ticket cannot be trained together with others; None if it can."""
    if isinstance(prepared.frame, Shrunk):
        return "whole filters are gone from its network, which has a shape of its own"
    return fusible.why_alone(prepared.training)
