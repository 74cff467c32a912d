"""What must be installed, and installing it."""

from __future__ import annotations

import os
import shutil
import subprocess

from cluster import DevclusterError, UnavailableError

__all__ = ["need"]

PACKAGES = {  # program: its Debian and Ubuntu package
    "munged": "munge",
    "slurmctld": "slurm-wlm",
    "slurmd": "slurm-wlm",
    "sbatch": "slurm-wlm",
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
}
FOR_ACCOUNTING = ("slurmdbd", "mariadbd", "mariadb-install-db")


def need(*, accounting: bool, install: bool) -> None:
    """Make sure that the programs are on PATH.

    Args:
        accounting: slurmdbd and MariaDB too.
        install: True to install missing packages with apt-get.

    Raises:
        UnavailableError: if something is missing; it names the packages.
        DevclusterError: if apt-get fails.
    """
    missing = _missing(accounting)
    if not missing:
        return
    if not install:
        raise UnavailableError(
            f"not installed: {' '.join(missing)}; `up --install` installs them with apt-get"
        )
    if shutil.which("apt-get") is None:
        raise UnavailableError(
            f"not installed: {' '.join(missing)}; there is no apt-get here to install them with"
        )
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing],
    ):
        print(" ".join(command), flush=True)
        ended = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise DevclusterError(f"`{' '.join(command)}` failed: {ended.stderr.strip()}")
    still = _missing(accounting)
    if still:
        raise UnavailableError(
            f"installed {' '.join(still)}, but the programs are not on PATH {os.environ['PATH']}"
        )


def _missing(accounting: bool) -> list[str]:
    wanted = [program for program in PACKAGES if accounting or program not in FOR_ACCOUNTING]
    return sorted({PACKAGES[program] for program in wanted if shutil.which(program) is None})
