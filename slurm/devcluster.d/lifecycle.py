"""Bring a cluster up, and take it down so that nothing of it stays."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import config
import daemons
import nodes
import processes
from cluster import LONGEST, Cluster, DevclusterError, save

__all__ = ["bring_up", "check_folder", "end_after", "take_down"]

WATCHER = "watcher"
DAEMONS = ("slurmctld", "slurmdbd", "mariadb", "munge")  # in the order of killing: clients first


def check_folder(folder: Path) -> None:
    """Refuse a folder in which a cluster cannot be, or must not.

    Raises:
        DevclusterError: if its path is too long, or if anything is in it.
    """
    length = len(os.fsencode(folder))
    if length > LONGEST:
        raise DevclusterError(
            f"the path {folder} has {length} bytes; SLURM's sockets are in it, so give --dir one of at most {LONGEST}"
        )
    if (folder / "cluster.json").exists():
        raise DevclusterError(
            f"a devcluster is in {folder} already; look at its `status`, or end it with `down`"
        )
    if folder.exists() and any(folder.iterdir()):
        raise DevclusterError(f"something else is in {folder}; give --dir an empty folder, or a new one")


def bring_up(cluster: Cluster, *, lives_with: int | None = None, keep: bool = False) -> None:
    """Start everything, and wait until jobs can run.

    Args:
        cluster: its folder is empty or not there.
        lives_with: pid of a process; when it has ended, so does the cluster.
        keep: if something does not start, leave all the rest for a look at the logs.

    Raises:
        DevclusterError: if something does not start; the message ends with the end of its log.
    """
    _lay_out(cluster)
    try:
        if lives_with is not None:
            _start_watcher(cluster, lives_with)
        daemons.start_munge(cluster)
        if cluster.accounting:
            daemons.start_database(cluster)
            daemons.start_dbd(cluster)
            daemons.enroll(cluster)
        daemons.start_ctld(cluster)
        for node in cluster.node_names:
            nodes.start(cluster, node)
        nodes.wait_until_up(cluster, cluster.node_names)
    except BaseException:
        if not keep:
            take_down(cluster)
        raise


def take_down(cluster: Cluster) -> None:
    """End every process, those of jobs too, then remove the folder."""
    for name in (WATCHER, *cluster.node_names, *DAEMONS):
        daemons.kill(cluster, name)
    shutil.rmtree(cluster.dir)


def end_after(cluster: Cluster, process: processes.Process) -> None:
    """Wait until a process has ended, then take the cluster down: what the watcher does."""
    while process.alive():
        time.sleep(0.5)
    cluster.pid(WATCHER).unlink(missing_ok=True)  # it must not end itself
    take_down(cluster)


def _start_watcher(cluster: Cluster, pid: int) -> None:
    began = processes.started(pid)
    if began is None:
        raise DevclusterError(f"there is no process {pid} that the cluster could live with")
    program = str(Path(__file__).resolve().parents[1] / "devcluster")
    processes.start(
        [sys.executable, program, "watch", str(pid), str(began), "--dir", str(cluster.dir)],
        record=cluster.pid(WATCHER),
        log=cluster.log(WATCHER),
        environment=os.environ,
        folder=Path("/"),
    )


def _lay_out(cluster: Cluster) -> None:
    """Make the folder, and in it all that does not change while the cluster runs."""
    configuration = cluster.slurm_conf.parent
    try:
        configuration.mkdir(parents=True)
    except FileExistsError:
        raise DevclusterError(f"another `up` is at work in {cluster.dir}") from None
    save(cluster)
    for name in ("run", "log", "state", "dev", *(f"spool/{node}" for node in cluster.node_names)):
        (cluster.dir / name).mkdir(parents=True)
    for number in range(cluster.gpus):
        (cluster.dir / "dev" / f"gpu{number}").symlink_to("/dev/null")
    cluster.slurm_conf.write_text(config.slurm_conf(cluster))
    cluster.hosts.write_text(config.hosts(cluster))
    (configuration / "gres.conf").write_text(config.gres_conf(cluster))
    (configuration / "slurmdbd.conf").touch(mode=0o600)  # slurmdbd insists
    (configuration / "slurmdbd.conf").write_text(config.slurmdbd_conf(cluster))
