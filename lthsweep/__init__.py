"""Cluster-parallel sweeps for the Lottery Ticket Hypothesis.

`lthsweep.load("results/NAME")` gives the tables of a sweep as pandas frames. Importing the package imports neither
torch nor pandas; what is used brings what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lthsweep.api import Sweep, load, run

__all__ = [
    "Sweep",
    "load",
    "run",
]  # not plan(): `lthsweep.plan` is a room of the package; see `lthsweep.api.plan`


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("lthsweep")
    if name in __all__:
        from lthsweep import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
