"""The data of a sweep: every data table of its grid, and the sources that `[sweep.sources]` names for them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lthsweep.data.datasets import dataset
from lthsweep.data.entry import describe_data
from lthsweep.plan.run import Options

if TYPE_CHECKING:
    from lthsweep.spec import Spec

__all__ = ["data_tables", "source_of", "with_sources"]


def data_tables(spec: Spec) -> dict[str, Options]:
    """Return description → data table for every different data of the grid, in its order."""
    axes = {name: values for name, values in spec.grid.dotted.items() if name.startswith("data.")}
    tables: dict[str, Options] = {}
    for values in itertools.product(*axes.values()):
        variant = spec.variant(dict(zip(axes, values, strict=True))) if axes else spec
        table = variant.sweep.data.model_dump(mode="json")
        tables.setdefault(describe_data(table), table)
    return tables


def source_of(spec: Spec, data: Options) -> str:
    """Return the digest of the source of a data table, "" if it is not known before its files are read."""
    return spec.sweep.sources.get(describe_data(data), "") or dataset(str(data["name"])).digest


def with_sources(spec: Spec, sources: Mapping[str, str]) -> Spec:
    """Return a spec whose `[sweep.sources]` is a mapping of description → digest; empty digests are left out."""
    known = {name: digest for name, digest in sources.items() if digest}
    return spec.model_copy(update={"sweep": spec.sweep.model_copy(update={"sources": known})})
