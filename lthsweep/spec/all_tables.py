"""All tables of the file; the small ones, `[verdict]` and `[local]`, are defined here. Neither changes a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, cast

from pydantic import Field

from lthsweep.spec.fields import Allowed, FileTable, Flag, Number, Text, Whole
from lthsweep.spec.grid_table import GridSpec
from lthsweep.spec.prune_table import PruneSpec
from lthsweep.spec.slurm_table import SlurmSpec
from lthsweep.spec.sweep_table import SweepSpec
from lthsweep.spec.train_table import TrainSpec

__all__ = ["LocalSpec", "Tables", "VerdictSpec"]


class VerdictSpec(FileTable):
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


class LocalSpec(FileTable):
    """The worker processes on this machine."""

    workers: Annotated[
        Literal["auto"] | Annotated[Whole, Field(ge=1)], Allowed('"auto" or a whole number >= 1')
    ] = Field(
        "auto", description="Worker processes; auto is one per GPU, or one per `threads` cores without GPUs."
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
        2,
        ge=0,
        description="How often a run is tried again after its worker, memory, a file or a GPU failed.",
    )
    pin: Flag = Field(
        True, description="Bind each worker to its own cores, if the workers together use all cores."
    )


class Tables(FileTable):
    """The tables of the file in the order in which they are written, each valid on its own.

    `Spec` adds the rules between them. While a file is checked, tables that cannot be read are missing;
    `model_fields_set` names the others.
    """

    sweep: SweepSpec = Field(description="The network, the data, and the name of the sweep.")
    train: TrainSpec = Field(
        default_factory=TrainSpec, description="The training recipe, shared by the dense run and its tickets."
    )
    prune: PruneSpec = Field(
        default_factory=PruneSpec, description="Which weights are removed, and how the others are rewound."
    )
    grid: GridSpec = Field(description="Every list is an axis, and the grid is their product.")
    verdict: VerdictSpec = Field(
        default_factory=VerdictSpec, description="When a ticket counts as matching its dense run."
    )
    local: LocalSpec = Field(default_factory=LocalSpec, description="The worker processes on this machine.")
    slurm: SlurmSpec = Field(
        default_factory=SlurmSpec,
        description="The cluster. Keys that are left out have the values of the site profile.",
    )

    @classmethod
    def of(cls, tables: Mapping[str, Any]) -> Self:
        """An object with these tables, which are valid; no check is repeated."""
        return cast("Self", cls.model_construct(**tables))
