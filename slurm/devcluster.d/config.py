"""The text of a cluster's configuration files, from the cluster alone."""

from __future__ import annotations

import socket
from pathlib import Path

from cluster import Cluster

__all__ = ["gres_conf", "hosts", "slurm_conf", "slurmdbd_conf"]

SEVERAL = {"nodename", "partitionname"}  # of these there may be any number


def slurm_conf(cluster: Cluster) -> str:
    """slurm.conf: quick where a production cluster is patient, so that tests of its faults take seconds.

    `cred_expire` is the delay before a requeued job may start again (SLURM's default is 120 s).
    `SlurmdTimeout` is how long a node may be silent before it counts as dead (300 s).
    `KillWait` is SLURM's default: processes need time to end, and more time on a busy machine.
    `UnkillableStepTimeout` is longer than SLURM's, since a node on which it passes is drained.
    `config_overrides` lets a node have more cores than this machine.
    A line of `cluster.conf` takes the place of one here: SLURM would use the later of the two, and each of its commands
    would complain.
    """
    host = socket.gethostname()
    folder = cluster.dir
    last = cluster.nodes
    gres = f" Gres=gpu:fake:{cluster.gpus}" if cluster.gpus else ""
    lines = [
        "ClusterName=devcluster",
        f"SlurmctldHost={host}(127.0.0.1)",
        f"SlurmctldPort={cluster.port}",
        "SlurmUser=root",
        "AuthType=auth/munge",
        f"AuthInfo=socket={cluster.munge_socket},cred_expire=5",
        f"StateSaveLocation={folder}/state",
        f"SlurmdSpoolDir={folder}/spool/%n",
        f"SlurmctldPidFile={folder}/run/slurmctld.pid",
        f"SlurmdPidFile={folder}/run/slurmd-%n.pid",
        f"SlurmctldLogFile={folder}/log/slurmctld.log",
        f"SlurmdLogFile={folder}/log/%n.log",
        # No cgroups, no systemd: it runs in a container.
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "MpiDefault=none",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core",
        "JobAcctGatherType=jobacct_gather/linux",
        "PreemptType=preempt/partition_prio",
        "PreemptMode=REQUEUE",
        "JobRequeue=1",
        "SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1,sched_min_interval=0",
        f"MaxArraySize={cluster.max_array}",
        "ReturnToService=2",
        "SlurmdTimeout=10",
        "MessageTimeout=5",
        "SlurmdParameters=config_overrides",
        "KillWait=30",
        "UnkillableStepTimeout=180",
        "InactiveLimit=0",
        "MinJobAge=60",
        *accounting_lines(cluster),
        *(["GresTypes=gpu"] if cluster.gpus else []),
        f"NodeName=n[1-{last}] NodeHostname={host} NodeAddr=127.0.0.1 "
        f"Port=[{cluster.port + 2}-{cluster.port + 1 + last}] "
        f"CPUs={cluster.cpus} RealMemory={cluster.memory}{gres}",
        f"PartitionName=gpu_requeue Nodes=n[1-{last}] Default=YES PriorityTier=1 PreemptMode=REQUEUE "
        "DefaultTime=10 MaxTime=1-00:00:00",
        f"PartitionName=gpu Nodes=n[1-{last}] PriorityTier=10 PreemptMode=OFF DefaultTime=10 MaxTime=1-00:00:00",
    ]
    replaced = {_name(line) for line in cluster.conf} - SEVERAL
    kept = [line for line in lines if _name(line) not in replaced]
    return "\n".join([*kept, *cluster.conf]) + "\n"


def _name(line: str) -> str:
    """Key that a line of slurm.conf sets, in lower case; SLURM ignores case."""
    return line.partition("=")[0].strip().lower()


def accounting_lines(cluster: Cluster) -> list[str]:
    if not cluster.accounting:
        return ["AccountingStorageType=accounting_storage/none"]
    return [
        "AccountingStorageType=accounting_storage/slurmdbd",
        "AccountingStorageHost=127.0.0.1",
        f"AccountingStoragePort={cluster.port + 1}",
        f"AccountingStoragePass={cluster.munge_socket}",  # with munge, the pass is munge's socket
        "AccountingStorageEnforce=associations,limits,qos",
    ]


def slurmdbd_conf(cluster: Cluster) -> str:
    """slurmdbd.conf; the database's socket is in the environment, no setting exists for it."""
    lines = [
        "AuthType=auth/munge",
        f"AuthInfo=socket={cluster.munge_socket}",
        "DbdHost=localhost",
        "DbdAddr=127.0.0.1",
        f"DbdPort={cluster.port + 1}",
        "SlurmUser=root",
        "StorageType=accounting_storage/mysql",
        "StorageHost=localhost",
        "StorageUser=root",
        "StorageLoc=accounting",
        f"LogFile={cluster.log('slurmdbd')}",
        f"PidFile={cluster.dir}/run/slurmdbd.pid",
    ]
    return "\n".join(lines) + "\n"


def gres_conf(cluster: Cluster) -> str:
    """gres.conf: the GPUs are links to /dev/null, whose numbers become CUDA_VISIBLE_DEVICES."""
    if not cluster.gpus:
        return ""
    files = f"{cluster.dir}/dev/gpu[0-{cluster.gpus - 1}]" if cluster.gpus > 1 else f"{cluster.dir}/dev/gpu0"
    return f"NodeName=n[1-{cluster.nodes}] Name=gpu Type=fake File={files}\n"


def hosts(cluster: Cluster) -> str:
    """A hosts file for the nodes: this machine's, and the nodes' names."""
    known = Path("/etc/hosts").read_text() if Path("/etc/hosts").exists() else ""
    return known.rstrip("\n") + f"\n127.0.0.1 {' '.join(cluster.node_names)}\n"
