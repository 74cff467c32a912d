"""The nodes: power on, power cut, crash of slurmd alone, drain."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import daemons
import processes
from cluster import Cluster, DevclusterError

__all__ = ["crash", "drain", "is_up", "kill", "may_be_apart", "resume", "start", "states", "wait_until_up"]

NAMESPACES = ("unshare", "--pid", "--uts", "--ipc", "--mount-proc", "--fork", "--kill-child=KILL")


def start(cluster: Cluster, node: str) -> None:
    """Power on; or, if only slurmd crashed, start slurmd again."""
    keeper = processes.recorded(cluster.pid(node))
    if keeper is not None:
        inner = _keeper_in(keeper.pid)
        if inner is not None and _slurmd(keeper.pid) is None:
            os.kill(inner, signal.SIGHUP)
        return
    slurmd = shutil.which("slurmd")
    if slurmd is None:
        raise DevclusterError("slurmd is not on PATH")
    keeper_py = str(Path(__file__).with_name("keeper.py"))
    processes.start(
        [
            *(NAMESPACES if may_be_apart() else ()),
            sys.executable,
            keeper_py,
            node,
            str(cluster.hosts),
            slurmd,
            "-D",
            "-N",
            node,
        ],
        record=cluster.pid(node),
        log=cluster.log(f"{node}-output"),
        environment=cluster.environment(),
        folder=cluster.dir,
    )


def is_up(cluster: Cluster, node: str) -> bool:
    """True if the node has power and its slurmd runs."""
    keeper = processes.recorded(cluster.pid(node))
    return keeper is not None and _slurmd(keeper.pid) is not None


def kill(cluster: Cluster, node: str) -> None:
    """A power cut: slurmd, its steps and all of the jobs' processes end at once."""
    daemons.kill(cluster, node)


def crash(cluster: Cluster, node: str) -> None:
    """SIGKILL to slurmd alone; jobs go on without it."""
    keeper = processes.recorded(cluster.pid(node))
    slurmd = None if keeper is None else _slurmd(keeper.pid)
    if slurmd is not None:
        os.kill(slurmd, signal.SIGKILL)


def drain(cluster: Cluster, node: str) -> None:
    """No new jobs for the node; those on it go on."""
    daemons.run(cluster, "scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=devcluster")


def resume(cluster: Cluster, node: str) -> None:
    """End a drain."""
    daemons.run(cluster, "scontrol", "update", f"NodeName={node}", "State=RESUME")


def states(cluster: Cluster) -> dict[str, str]:
    """The state of each node in SLURM's words, as sinfo gives it ("idle", "down*")."""
    lines = daemons.run(cluster, "sinfo", "--noheader", "--Node", "--format=%N %T").splitlines()
    return dict(line.split() for line in lines)


def wait_until_up(cluster: Cluster, names: tuple[str, ...]) -> None:
    """Wait until slurmd runs on these nodes and slurmctld lists them; they can be draining.

    A trailing * means that the node does not answer.
    """

    def up() -> bool:
        if not all(is_up(cluster, name) for name in names):
            return False
        try:
            known = states(cluster)
        except DevclusterError:  # slurmctld is busy; the caller has a deadline
            return False
        return all(not known[name].startswith(("down", "unk")) and known[name][-1] != "*" for name in names)

    daemons.wait_for(up, what=" ".join(names), log=cluster.log(names[0]))


def may_be_apart() -> bool:
    """True if a node can have separate process ids, shared memory and host name."""
    return subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode == 0


def _keeper_in(outer: int) -> int | None:
    """The keeper's pid: that of the process started, or of its one child if that is `unshare`."""
    if processes.name(outer) != "unshare":
        return outer
    return next(iter(processes.children(outer)), None)


def _slurmd(outer: int) -> int | None:
    keeper = _keeper_in(outer)
    below = [] if keeper is None else processes.children(keeper)
    return next((pid for pid in below if processes.name(pid) == "slurmd" and processes.started(pid)), None)
