"""munged, MariaDB, slurmdbd and slurmctld: how each is started, and how one knows that it is ready."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import processes
from cluster import Cluster, DevclusterError

__all__ = [
    "enroll",
    "is_up",
    "kill",
    "run",
    "start_ctld",
    "start_database",
    "start_dbd",
    "start_munge",
    "wait_for",
]

PRIVATE_MOUNTS = ("unshare", "--mount")


def start_munge(cluster: Cluster) -> None:
    """Start munged with a new key."""
    key = cluster.dir / "etc" / "munge.key"
    if not key.exists():
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
    run_dir = cluster.munge_socket.parent
    command = [
        *("munged", "--foreground", "--force", "--num-threads=2"),
        *(f"--key-file={key}", f"--socket={cluster.munge_socket}"),
        *(f"--pid-file={run_dir}/munge.pid", f"--log-file={cluster.log('munge')}"),
        f"--seed-file={run_dir}/munge.seed",
    ]
    _start(cluster, "munge", command, ready=cluster.munge_socket.exists)


def start_database(cluster: Cluster) -> None:
    """A MariaDB that listens on its socket only, and lets in only whom the socket shows to be root.

    Where mounting is allowed its data are in memory, on a mount that only this process sees and that ends
    with it: making the tables waits for the disk a thousand times. The data end with the cluster either way.
    """
    data = cluster.dir / "database"
    data.mkdir(exist_ok=True)
    options = (
        f"--no-defaults --user=root --datadir={data} --tmpdir={cluster.dir}/run --innodb-log-file-size=8M"
    )
    steps = (
        # --force: though the name of this machine may resolve to nothing
        f"mariadb-install-db {options} --auth-root-authentication-method=socket --skip-test-db --force",
        f"exec mariadbd {options} --skip-networking --socket={cluster.database_socket} "
        f"--pid-file={cluster.dir}/run/mariadb.pid --innodb-flush-log-at-trx-commit=0",
    )
    mounted = (*PRIVATE_MOUNTS, "sh", "-ec", f"mount -t tmpfs tmpfs {data}")
    if subprocess.run(mounted, capture_output=True, check=False).returncode == 0:
        command = [*PRIVATE_MOUNTS, "sh", "-ec", "\n".join((mounted[-1], *steps))]
    else:
        command = ["sh", "-ec", "\n".join(steps)]
    _start(cluster, "mariadb", command, ready=cluster.database_socket.exists)


def start_dbd(cluster: Cluster) -> None:
    """slurmdbd, and the cluster's entry in it; a limit on submissions is set before slurmctld reads it."""
    _start(
        cluster,
        "slurmdbd",
        ["slurmdbd", "-D"],
        ready=lambda: _answers(cluster, "sacctmgr", "-n", "show", "qos"),
    )


def enroll(cluster: Cluster) -> None:
    """Make slurmdbd know the cluster, its limit, and the user behind sudo."""
    run(cluster, "sacctmgr", "-i", "add", "cluster", "devcluster")
    if cluster.max_submit is not None:
        limit = f"MaxSubmitJobsPerUser={cluster.max_submit}"
        run(cluster, "sacctmgr", "-i", "modify", "qos", "normal", "set", limit)
    person = os.environ.get("SUDO_USER", "root")
    if person != "root":
        run(cluster, "sacctmgr", "-i", "add", "user", person, "account=root")


def start_ctld(cluster: Cluster) -> None:
    """slurmctld, which takes up the saved state if there is some."""
    _start(cluster, "slurmctld", ["slurmctld", "-D"], ready=lambda: _answers(cluster, "scontrol", "ping"))


def is_up(cluster: Cluster, daemon: str) -> bool:
    """True if the process that was started under this name, or node, still runs."""
    return processes.recorded(cluster.pid(daemon)) is not None


def kill(cluster: Cluster, daemon: str) -> None:
    """SIGKILL to a daemon and its helpers, if it runs."""
    process = processes.recorded(cluster.pid(daemon))
    if process is not None:
        processes.kill_tree(process)
    cluster.pid(daemon).unlink(missing_ok=True)


def run(cluster: Cluster, *command: str) -> str:
    """What a command prints.

    Raises:
        DevclusterError: if it fails, with its message.
    """
    ended = subprocess.run(
        command, env=cluster.environment(), cwd=cluster.dir, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise DevclusterError(f"`{' '.join(command)}` failed: {(ended.stderr or ended.stdout).strip()}")
    return ended.stdout


def wait_for(ready: Callable[[], bool], *, what: str, log: Path, seconds: float = 180.0) -> None:
    """Wait until something is so.

    Raises:
        DevclusterError: if it is not after that time; the message ends with the end of the log.
    """
    until = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > until:
            raise DevclusterError(f"{what} not ready after {seconds:.0f} s; {_end_of(log)}")
        time.sleep(0.05)


def _start(cluster: Cluster, daemon: str, command: Sequence[str], ready: Callable[[], bool]) -> None:
    if is_up(cluster, daemon):
        return
    program = shutil.which(command[0])
    if program is None:
        raise DevclusterError(f"{command[0]} is not on PATH")
    process = processes.start(
        [program, *command[1:]],
        record=cluster.pid(daemon),
        log=cluster.log(daemon),
        environment=cluster.environment(),
        folder=cluster.dir,
    )

    def ready_or_dead() -> bool:
        if not process.alive():
            raise DevclusterError(f"{daemon} ended as soon as it was started; {_end_of(cluster.log(daemon))}")
        return ready()

    wait_for(ready_or_dead, what=daemon, log=cluster.log(daemon))


def _answers(cluster: Cluster, *command: str) -> bool:
    ended = subprocess.run(command, env=cluster.environment(), capture_output=True, check=False)
    return ended.returncode == 0


def _end_of(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()[-8:]
    except FileNotFoundError:
        return f"{log} is missing"
    return "\n  ".join([f"the end of {log}:", *lines])
