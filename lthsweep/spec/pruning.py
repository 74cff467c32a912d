"""`[prune]`: which weights go, and to what the others return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from lthsweep.pruning.registry import CRITERIA, criterion_of
from lthsweep.spec.base import Allowed, Number, Table, Text, Whole
from lthsweep.spec.duration import DURATION_TEXT, in_seconds
from lthsweep.spec.registry_fields import NameOf

__all__ = ["ControlName", "PruneSpec", "Rewind", "Scope"]

Scope = Literal["global", "layer"]
Rewind = Literal["weights", "weights+optimizer", "lr", "none"]
ControlName = Literal[
    "ticket", "reinit", "reinit-masked", "random", "random-global", "fine-tune", "lr-rewind"
]


def _time(written: str) -> str:
    if written and in_seconds(written) is None:
        raise PydanticCustomError("time", "not a time")
    return written


class PruneSpec(Table):
    """Which weights go, and to what the others return."""

    method: Annotated[Text, NameOf(CRITERIA, entry_of=criterion_of)] = Field(
        "magnitude",
        description="; ".join(f"{name} {entry.summary}" for name, entry in CRITERIA.items()) + ".",
    )
    scope: Scope = Field(
        "global",
        description="global ranks all weights (or filters) together; layer prunes every layer to the same sparsity "
        "(or by the same share of its filters).",
    )
    schedule: Literal["one-shot", "iterative", "budget"] = Field(
        "one-shot",
        description="one-shot prunes once; iterative makes the sorted sparsity axis a chain of levels of "
        "train, prune, rewind; budget makes a chain of its own for each cell, as long as `time` allows.",
    )
    time: Annotated[Text, AfterValidator(_time), Allowed(DURATION_TEXT)] = Field(
        "",
        examples=["20m"],
        description='Wall-clock time for a ticket with schedule = "budget", its first dense training included.',
    )
    min_round_epochs: Whole = Field(
        1,
        ge=1,
        description="A round of a budget is never planned shorter than so many epochs; a time that is too short "
        "for that is refused.",
    )
    max_rounds: Whole = Field(
        10,
        ge=1,
        description="A budget prunes in so many rounds at most, however much time there is.",
    )
    rounds: Whole = Field(
        0,
        ge=0,
        le=1000,
        description="0: under schedule iterative, the sorted sparsity axis is the chain. n: every sparsity is reached "
        "by a chain of its own of n levels, each removing the same share of what is left; 1 is one-shot.",
    )
    rewind: Rewind = Field(
        "weights",
        description="What returns to the rewind epoch: the weights, the optimizer's state with them, only "
        "the learning-rate schedule, or nothing (fine-tuning).",
    )
    control: ControlName = Field(
        "ticket",
        description="ticket, or what it is compared with: its mask on fresh weights (reinit), on fresh "
        "weights scaled to the fan-in that it leaves (reinit-masked), its mask shuffled within or across layers "
        "(random, random-global), its mask on the trained weights (fine-tune, lr-rewind).",
    )
    exclude: Annotated[
        tuple[Annotated[Text, Field(min_length=1)], ...],
        Allowed("a list of texts, each a pattern such as `classifier.*`", "a pattern such as `classifier.*`"),
    ] = Field(
        (),
        description="Layers that are never pruned: patterns (* and ?) over the names of modules.",
    )
    rates: Annotated[
        Mapping[Text, Annotated[Number, Field(gt=0, le=1)]],
        Allowed(
            "a table such as { fc3 = 0.5 }: patterns of layers, each with a number > 0 and <= 1",
            "a number > 0 and <= 1",
            free_names=True,
        ),
    ] = Field(
        {},
        description='Layers that are pruned at a share of the others\' rate, by pattern; needs scope = "layer".',
    )
