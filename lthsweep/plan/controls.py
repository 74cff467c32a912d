"""What a ticket is compared with: the same question, with one thing about the ticket changed.

A control hangs beside its ticket, on the same parent: the trunk, or the level before in the *tickets'* chain. The
mask is a pure function of the parent's final weights, so ticket and control have the same one without waiting for each
other, and a control never starts a chain of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lthsweep.errors import look_up
from lthsweep.plan.rewind import RewindPoint
from lthsweep.plan.run import PruneStep

__all__ = ["CONTROLS", "TICKET", "Control", "controlled"]

TICKET = "ticket"


@dataclass(frozen=True, slots=True)
class Control:
    """How a control's pruning step differs from its ticket's.

    Attributes:
        rewind: what stands in place of the ticket's `rewind`; None leaves it.
        own: whether the step is of a kind of its own; else it is an ordinary step, and shares its key.
        from_start: trains from step 0, whatever the ticket's rewind point.
        shuffle: "layer" or "global" if the mask's places are shuffled; None keeps them.
    """

    rewind: str | None = None
    own: bool = True
    from_start: bool = False
    shuffle: str | None = None


CONTROLS: Mapping[str, Control] = {
    TICKET: Control(own=False),
    "reinit": Control(rewind="weights", from_start=True),
    "reinit-masked": Control(rewind="weights", from_start=True),
    "random": Control(shuffle="layer"),
    "random-global": Control(shuffle="global"),
    "fine-tune": Control(rewind="none", own=False),
    "lr-rewind": Control(rewind="lr", own=False),
}
"""Value of `prune.control` → what it changes."""


def controlled(step: PruneStep, control: str) -> PruneStep:
    """The step of a control, from its ticket's. Equal computations become equal steps.

    Fine-tuning *is* `rewind = "none"`, and learning-rate rewinding `rewind = "lr"`. Fresh weights have no past to
    return to: they train from step 0, so with one-shot pruning all rewind epochs share one run.

    Raises:
        UnknownNameError: if there is no such control.
    """
    change = look_up("prune.control", control, CONTROLS)
    return replace(
        step,
        rewind=change.rewind or step.rewind,
        point=RewindPoint(0) if change.from_start else step.point,
        control=control if change.own else TICKET,
    )
