"""Cluster-parallel sweeps for the Lottery Ticket Hypothesis.

`lthsweep.load("results/NAME")` returns the tables of a sweep as pandas frames. Importing the package imports neither
torch nor pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lthsweep.api import Sweep, load, load_plan, run

__all__ = ["Sweep", "load", "load_plan", "run"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("lthsweep")
    if name in __all__:
        from lthsweep import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
