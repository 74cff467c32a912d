"""What can be asked of a cluster: one function per verb of the command line."""

from __future__ import annotations

import os
import time
from argparse import Namespace

import daemons
import lifecycle
import nodes
import packages
from cluster import Cluster, DevclusterError, UnavailableError, free_ports, load, words_for
from processes import Process

__all__ = ["NODE_VERBS", "ctld", "dbd", "down", "env", "node", "status", "up", "watch"]


def up(arguments: Namespace) -> None:
    """Start a cluster and wait until both jobs and commands are served."""
    began = time.monotonic()
    _need_root()
    if arguments.max_submit is not None and not arguments.accounting:
        raise DevclusterError("--max-submit is enforced through accounting; leave out --no-accounting")
    lifecycle.check_folder(arguments.dir)
    packages.need(accounting=arguments.accounting, install=arguments.install)
    cluster = Cluster(
        dir=arguments.dir,
        port=free_ports(arguments.nodes + 2),
        nodes=arguments.nodes,
        cpus=arguments.cpus,
        gpus=arguments.gpus,
        memory=arguments.memory,
        accounting=arguments.accounting,
        max_array=arguments.max_array,
        max_submit=arguments.max_submit,
        conf=tuple(arguments.conf),
    )
    lifecycle.bring_up(cluster, lives_with=arguments.lives_with, keep=arguments.keep)
    took = time.monotonic() - began
    print(
        f"devcluster with {' '.join(cluster.node_names)} is up after {took:.1f} s; in a shell that shall use it:"
    )
    print(f'eval "$({words_for("env", cluster.dir)})"')


def down(arguments: Namespace) -> None:
    """End a cluster, its jobs and everything it left."""
    _need_root()
    lifecycle.take_down(load(arguments.dir))
    print(f"no devcluster in {arguments.dir} any more")


def watch(arguments: Namespace) -> None:
    """End a cluster after a process; `up --while` starts this."""
    lifecycle.end_after(load(arguments.dir), Process(arguments.pid, arguments.started))


def status(arguments: Namespace) -> int:
    """Say what runs; exit code 0 if everything does, 1 if not."""
    cluster = load(arguments.dir)
    names = ["munge", *(["mariadb", "slurmdbd"] if cluster.accounting else []), "slurmctld"]
    running = {name: daemons.is_up(cluster, name) for name in names}
    running |= {name: nodes.is_up(cluster, name) for name in cluster.node_names}
    known = nodes.states(cluster) if running["slurmctld"] else {}
    for name, runs in running.items():
        more = ""
        if name in cluster.node_names:
            more = f"{known.get(name, 'unknown'):<12} {cluster.cpus} CPUs, {cluster.gpus} fake GPUs"
        print(f"{name:<12} {'up' if runs else 'DOWN':<6} {more}".rstrip())
    limit = "none" if cluster.max_submit is None else cluster.max_submit
    print(f"{'limits':<12} MaxArraySize {cluster.max_array}, MaxSubmitJobs {limit}")
    print(f"{'logs':<12} {cluster.dir}/log")
    return 0 if all(running.values()) else 1


def env(arguments: Namespace) -> None:
    """Print what a shell needs to use the cluster."""
    print(f"export SLURM_CONF={load(arguments.dir).slurm_conf}")


def node(arguments: Namespace) -> None:
    """Do something to one node."""
    _need_root()
    cluster = load(arguments.dir)
    if arguments.name not in cluster.node_names:
        raise DevclusterError(f"there is no node {arguments.name}; there are {' '.join(cluster.node_names)}")
    NODE_VERBS[arguments.what](cluster, arguments.name)


def ctld(arguments: Namespace) -> None:
    """Kill slurmctld or start it again."""
    _need_root()
    cluster = load(arguments.dir)
    if arguments.what == "start":
        daemons.start_ctld(cluster)
    else:
        daemons.kill(cluster, "slurmctld")


def dbd(arguments: Namespace) -> None:
    """Kill slurmdbd or start it again."""
    _need_root()
    cluster = load(arguments.dir)
    if not cluster.accounting:
        raise DevclusterError(
            f"the devcluster in {cluster.dir} has no slurmdbd: it was started with --no-accounting"
        )
    if arguments.what == "start":
        daemons.start_dbd(cluster)
    else:
        daemons.kill(cluster, "slurmdbd")


def _start_node(cluster: Cluster, name: str) -> None:
    """Start a node; where slurmctld runs, wait until it knows."""
    nodes.start(cluster, name)
    if daemons.is_up(cluster, "slurmctld"):
        nodes.wait_until_up(cluster, (name,))


def _need_root() -> None:
    if os.geteuid() != 0:
        raise UnavailableError("only root may do this (the daemons start jobs of any user); use sudo")


NODE_VERBS = {
    "kill": nodes.kill,
    "crash": nodes.crash,
    "start": _start_node,
    "drain": nodes.drain,
    "resume": nodes.resume,
}
