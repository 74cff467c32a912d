"""`[prune]`: which weights are removed, and how the others are rewound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from lthsweep.pruning.registry import CRITERIA, criterion_of
from lthsweep.spec.fields import Allowed, FileTable, NameOf, Number, Text, Whole
from lthsweep.spec.text_forms import DURATION_TEXT, in_seconds

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


class PruneSpec(FileTable):
    """Which weights are removed, and how the others are rewound."""

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
        "train, prune, rewind; budget makes a separate chain for each cell, as long as `time` allows.",
    )
    time: Annotated[Text, AfterValidator(_time), Allowed(DURATION_TEXT)] = Field(
        "",
        examples=["20m"],
        description='Wall-clock time of a ticket with schedule = "budget", including its first dense training.',
    )
    min_round_epochs: Whole = Field(
        1,
        ge=1,
        description="Shortest round of a budget, in epochs. A time that does not allow it is refused.",
    )
    max_rounds: Whole = Field(10, ge=1, description="Largest number of rounds of a budget.")
    rounds: Whole = Field(
        0,
        ge=0,
        le=1000,
        description="0: under schedule iterative, the sorted sparsity axis is the chain. n: every sparsity has its own "
        "chain of n levels, each of which removes the same share of the remaining weights; 1 is one-shot.",
    )
    rewind: Rewind = Field(
        "weights",
        description="Rewinds the weights, the weights and the optimizer state, only the learning-rate schedule, or "
        "nothing (fine-tuning).",
    )
    control: ControlName = Field(
        "ticket",
        description="ticket, or a control with the mask of the ticket: on fresh weights (reinit), on fresh weights "
        "scaled to the remaining fan-in (reinit-masked), shuffled within or across layers (random, random-global), "
        "or on the trained weights (fine-tune, lr-rewind).",
    )
    exclude: Annotated[
        tuple[Annotated[Text, Field(min_length=1)], ...],
        Allowed("a list of texts, each a pattern such as `classifier.*`", "a pattern such as `classifier.*`"),
    ] = Field((), description="Layers that are never pruned, as patterns (* and ?) of module names.")
    rates: Annotated[
        Mapping[Text, Annotated[Number, Field(gt=0, le=1)]],
        Allowed(
            "a table such as { fc3 = 0.5 }: patterns of layers, each with a number > 0 and <= 1",
            "a number > 0 and <= 1",
            free_names=True,
        ),
    ] = Field(
        {},
        description='Share of the pruning rate that applies to some layers, by pattern; needs scope = "layer".',
    )
