"""`[verdict]` and `[local]`: how tickets are judged, and the workers on this machine. Neither changes a run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lthsweep.spec.base import Allowed, Flag, Number, Table, Text, Whole

__all__ = ["LocalSpec", "VerdictSpec"]


class VerdictSpec(Table):
    """When a ticket counts as matching its dense run."""

    margin: Number = Field(
        0.002,
        ge=0,
        lt=1,
        description="Accuracy, as a fraction, that a ticket may lose and still match: 0.002 is 0.2 points.",
    )
    confidence: Number = Field(
        0.95, gt=0, lt=1, description="Level of the interval around the difference, paired over seeds."
    )


class LocalSpec(Table):
    """The worker processes on this machine."""

    workers: Annotated[
        Literal["auto"] | Annotated[Whole, Field(ge=1)], Allowed('"auto" or a whole number >= 1')
    ] = Field(
        "auto",
        description="Worker processes; auto is one per GPU, or one per `threads` cores without GPUs.",
    )
    threads: Whole = Field(1, ge=1, description="Threads of each worker.")
    devices: Annotated[
        Literal["auto", "cpu"]
        | Annotated[tuple[Annotated[Text, Field(min_length=1)], ...], Field(min_length=1)],
        Allowed('"auto", "cpu" or a list such as ["cuda:0", "cuda:1"]', 'a device such as "cuda:0"'),
    ] = Field("auto", description="Devices to train on; auto uses the GPUs if there are any.")
    checkpoint_seconds: Number = Field(
        300.0,
        ge=0,
        description="Seconds between checkpoints. A run that was killed resumes from the last one.",
    )
    retries: Whole = Field(
        2, ge=0, description="How often a run that crashed or was killed is started again."
    )
    pin: Flag = Field(
        True, description="Bind each worker to its own cores, if the workers together use all cores."
    )
