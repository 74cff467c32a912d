"""The command line: slurm/devcluster up | down | status | env | node | ctld | dbd."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import config
import daemons
import nodes
import processes
from cluster import (
    LONGEST,
    Cluster,
    DevclusterError,
    UnavailableError,
    default_folder,
    free_ports,
    load,
    save,
)

__all__ = ["main"]

PACKAGES = {  # what is run: the Debian package it is in
    "munged": "munge",
    "slurmctld": "slurm-wlm",
    "slurmd": "slurm-wlm",
    "sbatch": "slurm-wlm",
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
}
WATCH = "watch"
ACCOUNTING = ("slurmdbd", "mariadbd", "mariadb-install-db")


def up(arguments: argparse.Namespace) -> None:
    """Start a cluster and wait until both jobs and commands are served."""
    began = time.monotonic()
    _need_root()
    folder: Path = arguments.dir
    if arguments.max_submit is not None and not arguments.accounting:
        raise DevclusterError("--max-submit is enforced through accounting; leave out --no-accounting")
    if len(os.fsencode(folder)) > LONGEST:
        raise DevclusterError(
            f"{folder} is {len(os.fsencode(folder))} bytes long; SLURM's sockets are in it, so give --dir a path "
            f"of at most {LONGEST}"
        )
    if (folder / "cluster.json").exists():
        raise DevclusterError(f"a devcluster is in {folder} already; see `status`, or end it: `down`")
    if folder.exists() and any(folder.iterdir()):
        raise DevclusterError(
            f"{folder} holds something else; give --dir a folder that is empty or not there"
        )
    _need_programs(arguments)
    cluster = Cluster(
        dir=folder,
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
    _lay_out(cluster)
    try:
        if arguments.while_pid is not None:
            _start_watch(cluster, arguments.while_pid)
        daemons.start_munge(cluster)
        if cluster.accounting:
            daemons.start_database(cluster)
            daemons.start_dbd(cluster)
            daemons.enrol(cluster)
        daemons.start_ctld(cluster)
        for node in cluster.node_names:
            nodes.start(cluster, node)
        nodes.wait_until_up(cluster, cluster.node_names)
    except BaseException:
        if not arguments.keep:
            _remove(cluster)
        raise
    command = "slurm/devcluster env" + ("" if folder == default_folder() else f" --dir {folder}")
    print(f'devcluster of {cluster.nodes} nodes up in {time.monotonic() - began:.1f} s: eval "$({command})"')


def down(arguments: argparse.Namespace) -> None:
    """End a cluster, its jobs and everything it left."""
    _need_root()
    _remove(load(arguments.dir))
    print(f"no devcluster in {arguments.dir} any more")


def status(arguments: argparse.Namespace) -> int:
    """Say what runs; exit code 0 if everything does."""
    cluster = load(arguments.dir)
    names = ["munge", *(["mariadb", "slurmdbd"] if cluster.accounting else []), "slurmctld"]
    running = {name: daemons.is_up(cluster, name) for name in names}
    for name, up in running.items():
        print(f"{name:<12} {'up' if up else 'DOWN'}")
    known = nodes.states(cluster) if running["slurmctld"] else {}
    for node in cluster.node_names:
        power = "up" if daemons.is_up(cluster, node) else "DOWN"
        print(
            f"{node:<12} {power:<5} {known.get(node, 'unknown'):<12} {cluster.cpus} CPUs, {cluster.gpus} fake GPUs"
        )
    submit = "none" if cluster.max_submit is None else str(cluster.max_submit)
    print(f"{'limits':<12} MaxArraySize {cluster.max_array}, MaxSubmitJobs {submit}")
    print(f"{'logs':<12} {cluster.dir}/log")
    well = all(running.values()) and all(daemons.is_up(cluster, node) for node in cluster.node_names)
    return 0 if well else 1


def watch(arguments: argparse.Namespace) -> None:
    """Wait until a process has ended, then end the cluster; `up --while` starts this."""
    cluster = load(arguments.dir)
    process = processes.Process(arguments.pid, arguments.started)
    while process.alive():
        time.sleep(0.5)
    cluster.pid(WATCH).unlink(missing_ok=True)
    _remove(cluster)


def env(arguments: argparse.Namespace) -> None:
    """Print what a shell needs to use the cluster."""
    print(f"export SLURM_CONF={load(arguments.dir).slurm_conf}")


def node(arguments: argparse.Namespace) -> None:
    """Do something to one node."""
    cluster = load(arguments.dir)
    if arguments.name not in cluster.node_names:
        raise DevclusterError(f"no node {arguments.name}; there are {' '.join(cluster.node_names)}")
    NODE_VERBS[arguments.what](cluster, arguments.name)
    if arguments.what == "start" and daemons.is_up(cluster, "slurmctld"):
        nodes.wait_until_up(cluster, (arguments.name,))


def ctld(arguments: argparse.Namespace) -> None:
    """Kill slurmctld or start it again."""
    cluster = load(arguments.dir)
    daemons.start_ctld(cluster) if arguments.what == "start" else daemons.kill(cluster, "slurmctld")


def dbd(arguments: argparse.Namespace) -> None:
    """Kill slurmdbd or start it again."""
    cluster = load(arguments.dir)
    if not cluster.accounting:
        raise DevclusterError("this devcluster was started with --no-accounting: it has no slurmdbd")
    daemons.start_dbd(cluster) if arguments.what == "start" else daemons.kill(cluster, "slurmdbd")


NODE_VERBS = {
    "kill": nodes.kill,
    "crash": nodes.crash,
    "start": nodes.start,
    "drain": nodes.drain,
    "resume": nodes.resume,
}


def main(words: list[str]) -> int:
    """Run one command; 1 if it cannot be done, 2 if it makes no sense, 3 if not on this machine."""
    arguments = _parser().parse_args(words)
    arguments.dir = arguments.dir.absolute()
    os.umask(0o022)  # whoever may enter the folder may use the cluster
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # tidies up as Ctrl-C does
    try:
        return arguments.verb(arguments) or 0
    except DevclusterError as error:
        print(f"devcluster: {error}", file=sys.stderr)
        return error.code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="slurm/devcluster", description="A real SLURM on this one machine.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument(
        "--dir", type=Path, default=default_folder(), help="folder of all its state [%(default)s]"
    )

    starting = verbs.add_parser("up", parents=[where], help="start a cluster")
    starting.add_argument("--install", action="store_true", help="apt-get install what is missing")
    starting.add_argument("--nodes", type=_positive, default=2, help="how many [2]")
    starting.add_argument("--cpus", type=_positive, default=2, help="per node; may exceed the machine's [2]")
    starting.add_argument("--gpus", type=int, default=2, help="fake GPUs per node [2]")
    starting.add_argument(
        "--memory", type=_positive, default=_memory(), help="MB per node [all of the machine's]"
    )
    starting.add_argument("--max-array", type=_positive, default=1001, help="MaxArraySize [1001]")
    starting.add_argument("--max-submit", type=_positive, help="jobs a user may have in the queue [no limit]")
    starting.add_argument(
        "--no-accounting", dest="accounting", action="store_false", help="no slurmdbd, no MariaDB"
    )
    starting.add_argument(
        "--conf", action="append", default=[], metavar="LINE", help="a further line of slurm.conf"
    )
    starting.add_argument(
        "--keep", action="store_true", help="if it does not start, leave everything for a look"
    )
    starting.add_argument(
        "--while", dest="while_pid", type=_positive, metavar="PID", help="end it when this process has ended"
    )
    starting.set_defaults(verb=up)
    verbs.add_parser("down", parents=[where], help="end it; nothing stays").set_defaults(verb=down)
    verbs.add_parser("status", parents=[where], help="what runs").set_defaults(verb=status)
    verbs.add_parser("env", parents=[where], help="print `export` lines for a shell").set_defaults(verb=env)
    power = verbs.add_parser("node", parents=[where], help="kill, crash, start, drain or resume a node")
    power.add_argument("name", metavar="NODE", help="n1, n2, ...")
    power.add_argument("what", choices=NODE_VERBS, help="kill: a power cut; crash: slurmd alone dies")
    power.set_defaults(verb=node)
    for name, verb in (("ctld", ctld), ("dbd", dbd)):
        daemon = verbs.add_parser(name, parents=[where], help=f"kill or start slurm{name}")
        daemon.add_argument("what", choices=("kill", "start"))
        daemon.set_defaults(verb=verb)
    watching = verbs.add_parser(WATCH, parents=[where])
    watching.add_argument("pid", type=int)
    watching.add_argument("started", type=int)
    watching.set_defaults(verb=watch)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _memory() -> int:
    """MB of this machine, a little less than all."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1 << 20) * 9 // 10


def _need_root() -> None:
    if os.geteuid() != 0:
        raise UnavailableError("only root may do this (daemons that start jobs of any user); use sudo")


def _need_programs(arguments: argparse.Namespace) -> None:
    wanted = [program for program in PACKAGES if arguments.accounting or program not in ACCOUNTING]
    missing = sorted({PACKAGES[program] for program in wanted if shutil.which(program) is None})
    if not missing:
        return
    if not arguments.install:
        raise UnavailableError(
            f"not installed: {' '.join(missing)}; `up --install` installs them with apt-get"
        )
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", *missing]):
        ended = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise DevclusterError(f"`{' '.join(command)}` failed: {ended.stderr.strip()}")


def _lay_out(cluster: Cluster) -> None:
    try:
        (cluster.dir / "etc").mkdir(parents=True)
    except FileExistsError:
        raise DevclusterError(f"another `up` is at work in {cluster.dir}") from None
    save(cluster)
    for name in ("run", "log", "state", "dev", *(f"spool/{node}" for node in cluster.node_names)):
        (cluster.dir / name).mkdir(parents=True)
    for number in range(cluster.gpus):
        (cluster.dir / "dev" / f"gpu{number}").symlink_to("/dev/null")
    cluster.slurm_conf.write_text(config.slurm_conf(cluster))
    (cluster.dir / "etc" / "gres.conf").write_text(config.gres_conf(cluster))
    cluster.hosts.write_text(config.hosts(cluster))
    secret = cluster.dir / "etc" / "slurmdbd.conf"
    secret.touch(mode=0o600)
    secret.write_text(config.slurmdbd_conf(cluster))


def _start_watch(cluster: Cluster, pid: int) -> None:
    began = processes.started(pid)
    if began is None:
        raise DevclusterError(f"--while {pid}: there is no such process")
    program = str(Path(__file__).resolve().parents[1] / "devcluster")
    processes.start(
        [sys.executable, program, WATCH, str(pid), str(began), "--dir", str(cluster.dir)],
        record=cluster.pid(WATCH),
        log=cluster.log(WATCH),
        environment=os.environ,
        folder=Path("/"),
    )


def _remove(cluster: Cluster) -> None:
    """End every process, those of jobs too, then remove the folder."""
    for name in (WATCH, *cluster.node_names, "slurmctld", "slurmdbd", "mariadb", "munge"):
        daemons.kill(cluster, name)
    shutil.rmtree(cluster.dir)
