"""The noun: a cluster is a folder. Its settings are in `cluster.json`, and every path is spelled here.

Nothing of a cluster lies outside of its folder, so that removing the folder removes the cluster.
"""

from __future__ import annotations

import json
import os
import random
import socket
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = [
    "Cluster",
    "DevclusterError",
    "UnavailableError",
    "default_folder",
    "free_ports",
    "load",
    "save",
    "words_for",
]

LONGEST = 72  # bytes of a folder: slurmstepd's sockets are in it, and the kernel allows 107 for one


class DevclusterError(Exception):
    """An error that the user can fix; the message contains problem and remedy."""

    code = 1


class UnavailableError(DevclusterError):
    """This machine, or this user, can have no cluster: something is not installed or not permitted."""

    code = 3


@dataclass(frozen=True)
class Cluster:
    """One cluster.

    Attributes:
        dir: the folder of all its state.
        port: of slurmctld; slurmdbd has the next one, the nodes those after it.
        nodes: how many; their names are n1, n2, ...
        cpus, gpus: per node. The GPUs are files: SLURM hands them out, nothing computes on them.
        memory: MB that each node claims to have.
        accounting: with slurmdbd and MariaDB, so that limits are enforced and sacct answers.
        max_array: MaxArraySize, one more than the largest index of an array.
        max_submit: MaxSubmitJobsPerUser of the QOS normal; None: no limit.
        conf: lines for slurm.conf, in place of those that set the same.
    """

    dir: Path
    port: int
    nodes: int = 2
    cpus: int = 2
    gpus: int = 2
    memory: int = 4000
    accounting: bool = True
    max_array: int = 1001
    max_submit: int | None = None
    conf: tuple[str, ...] = ()

    @property
    def node_names(self) -> tuple[str, ...]:
        """n1, n2, ..."""
        return tuple(f"n{number}" for number in range(1, self.nodes + 1))

    @property
    def slurm_conf(self) -> Path:
        """The file for SLURM_CONF, next to the other configuration files."""
        return self.dir / "etc" / "slurm.conf"

    @property
    def hosts(self) -> Path:
        """/etc/hosts of the nodes."""
        return self.dir / "etc" / "hosts"

    @property
    def munge_socket(self) -> Path:
        """Where munged listens."""
        return self.dir / "run" / "munge.socket"

    @property
    def database_socket(self) -> Path:
        """Where MariaDB listens."""
        return self.dir / "run" / "mariadb.socket"

    def log(self, daemon: str) -> Path:
        """The log of a daemon or node."""
        return self.dir / "log" / f"{daemon}.log"

    def pid(self, daemon: str) -> Path:
        """The record of the process of a daemon or node."""
        return self.dir / "run" / f"{daemon}.json"

    def environment(self) -> dict[str, str]:
        """What daemons and clients of this cluster run in: this environment, but this cluster."""
        strange = ("SLURM_", "SLURMD_", "SBATCH_", "SRUN_", "SQUEUE_", "SINFO_", "SACCT_", "SCONTROL_")
        own = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
        return own | {"SLURM_CONF": str(self.slurm_conf), "MYSQL_UNIX_PORT": str(self.database_socket)}


def default_folder() -> Path:
    """Folder of a cluster without `--dir`."""
    return Path(tempfile.gettempdir()) / "lthsweep-devcluster"


def free_ports(count: int) -> int:
    """The first of `count` consecutive free ports.

    They are below those that the kernel gives to outgoing connections: a daemon that was killed must find
    its port free when it is started again. A random place keeps clusters that start together apart.
    """
    for _ in range(200):
        first = random.randrange(20_000, 32_000 - count)
        if all(_is_free(first + offset) for offset in range(count)):
            return first
    raise DevclusterError(f"found no {count} free ports in a row between 20000 and 32000")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def save(cluster: Cluster) -> None:
    """Write the settings into the folder; from then on `load` finds a cluster there."""
    fields = asdict(cluster) | {"dir": str(cluster.dir)}
    (cluster.dir / "cluster.json").write_text(json.dumps(fields, indent=1) + "\n")


def load(folder: Path) -> Cluster:
    """The cluster in a folder.

    Raises:
        DevclusterError: if there is none.
    """
    try:
        fields = json.loads((folder / "cluster.json").read_text())
    except FileNotFoundError:
        raise DevclusterError(f"no devcluster in {folder}; start one: {words_for('up', folder)}") from None
    return Cluster(**fields | {"dir": Path(fields["dir"]), "conf": tuple(fields["conf"])})


def words_for(verb: str, folder: Path) -> str:
    """What to type for a cluster in this folder."""
    return f"slurm/devcluster {verb}" + ("" if folder == default_folder() else f" --dir {folder}")
