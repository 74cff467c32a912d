"""The tiny sweep of the other launchers, on a real cluster."""

from __future__ import annotations

from pathlib import Path

from lthsweep.store.layout import SweepDir
from tests.launch.sweeps import write_tiny
from tests.slurm.conftest import DevCluster
from tests.slurm.sweeps import OnSlurm, write_sweep

__all__ = ["tiny_on"]

TABLE_CHANGES = ("target_minutes", "floor_minutes", "controller_minutes", "time_limit")
"""Arguments of `write_sweep` that tests change."""


def tiny_on(
    cluster: DevCluster, folder: Path, cache: Path, *, out: str = "sweep", **changes: object
) -> OnSlurm:
    """Return the tiny sweep on a cluster.

    Args:
        cluster: where it runs.
        folder: of its file and its directory.
        cache: folder of packed data.
        out: name of its directory.
        changes: arguments of `write_tiny` and `write_sweep`.
    """
    table = {name: changes.pop(name) for name in TABLE_CHANGES if name in changes}
    file = write_sweep(folder, write_tiny(folder, **changes).read_text(), **table)  # type: ignore[arg-type]
    environment = {**cluster.env, "LTHSWEEP_CACHE": str(cache), "COLUMNS": "150"}
    return OnSlurm(environment, file, SweepDir(folder / out))
