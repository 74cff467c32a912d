"""The whole file as one immutable object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from lthsweep.spec.base import Table
from lthsweep.spec.checks import check_all
from lthsweep.spec.grid import GridSpec
from lthsweep.spec.problems import Origin, error_of
from lthsweep.spec.pruning import PruneSpec
from lthsweep.spec.rules import check_tables
from lthsweep.spec.settings import with_settings
from lthsweep.spec.slurm import SlurmSpec
from lthsweep.spec.sweep import SweepSpec
from lthsweep.spec.training import TrainSpec
from lthsweep.spec.verdict_local import LocalSpec, VerdictSpec

__all__ = ["Spec"]


class Spec(Table):
    """A sweep's file, checked, with every default filled in; attributes are named as the file's keys."""

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

    @model_validator(mode="after")
    def _rules(self) -> Self:
        problems = check_all(self._tables())
        if problems:
            raise error_of(problems, Origin())
        return self

    def variant(self, settings: Mapping[str, object]) -> Spec:
        """This spec with some values set, as by one combination of the grid's dotted axes.

        Args:
            settings: dotted name → value; `model.…`, `data.…` are short for `sweep.model.…`, `sweep.data.…`.
                A new `name` (of model, data, optimizer, schedule) resets the other keys of its table that
                stand at their defaults or that the new variant does not know.

        Raises:
            SpecError: if a name is unknown or a value is not allowed; all of them at once.
        """
        tables = self._tables()
        changed, problems = with_settings(tables, settings)
        tables |= changed
        problems = problems or check_tables(tables, changed)
        if problems:
            raise error_of(problems, Origin())
        return self.of(tables)

    def _tables(self) -> dict[str, Table]:
        return {name: getattr(self, name) for name in type(self).model_fields}

    @classmethod
    def of(cls, tables: Mapping[str, Any]) -> Spec:
        """A spec from tables that are known to be right together."""
        return cls.model_construct(**tables)
