"""The command line: slurm/devcluster up | down | status | env | node | ctld | dbd."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

import verbs
from cluster import DevclusterError, default_folder

__all__ = ["main"]


def main(words: list[str]) -> int:
    """Run one command.

    Returns:
        0, or 1 if it cannot be done, 2 if it makes no sense, 3 if it never can on this machine as it is.
    """
    arguments = _parser().parse_args(words)
    arguments.dir = arguments.dir.absolute()
    os.umask(0o022)  # every user who can enter the folder can use the cluster
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # tidies up, as Ctrl-C does
    try:
        return arguments.verb(arguments) or 0
    except DevclusterError as error:
        print(f"devcluster: {error}", file=sys.stderr)
        return error.code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="slurm/devcluster", description="A real SLURM on this one machine.")
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument(
        "--dir", type=Path, default=default_folder(), help="folder of all its state [%(default)s]"
    )
    known = parser.add_subparsers(required=True, metavar="up|down|status|env|node|ctld|dbd")

    _add_up(known.add_parser("up", parents=[where], help="start a cluster"))
    for name, verb, text in (
        ("down", verbs.down, "end it; nothing stays"),
        ("status", verbs.status, "what runs; exit code 1 if something does not"),
        ("env", verbs.env, "print what a shell must export to use it"),
    ):
        known.add_parser(name, parents=[where], help=text).set_defaults(verb=verb)
    node = known.add_parser("node", parents=[where], help="kill, crash, start, drain or resume a node")
    node.add_argument("name", metavar="NODE", help="n1, n2, ...")
    node.add_argument("what", choices=verbs.NODE_VERBS, help="kill: a power cut; crash: slurmd alone dies")
    node.set_defaults(verb=verbs.node)
    for name, verb in (("ctld", verbs.ctld), ("dbd", verbs.dbd)):
        daemon = known.add_parser(name, parents=[where], help=f"kill or start slurm{name}")
        daemon.add_argument("what", choices=("kill", "start"))
        daemon.set_defaults(verb=verb)
    watch = known.add_parser("watch", parents=[where])  # for `up --while` alone, hence not in the help
    watch.add_argument("pid", type=int)
    watch.add_argument("started", type=int)
    watch.set_defaults(verb=verbs.watch)
    return parser


def _add_up(up: argparse.ArgumentParser) -> None:
    up.add_argument("--install", action="store_true", help="install missing packages with apt-get")
    up.add_argument("--nodes", type=_positive, default=2, help="how many [2]")
    up.add_argument("--cpus", type=_positive, default=2, help="per node; may exceed the machine's [2]")
    up.add_argument(
        "--gpus", type=int, default=2, help="per node; SLURM hands them out, nothing is behind them [2]"
    )
    up.add_argument(
        "--memory", type=_positive, default=_memory(), help="MB per node [nearly all of the machine's]"
    )
    up.add_argument("--max-array", type=_positive, default=1001, help="MaxArraySize [1001]")
    up.add_argument("--max-submit", type=_positive, help="jobs that a user may have in the queue [no limit]")
    up.add_argument(
        "--no-accounting", dest="accounting", action="store_false", help="no slurmdbd, no MariaDB"
    )
    up.add_argument(
        "--conf", action="append", default=[], metavar="LINE", help="a line for slurm.conf, in place of ours"
    )
    up.add_argument(
        "--while", dest="lives_with", type=_positive, metavar="PID", help="end it when this process has ended"
    )
    up.add_argument("--keep", action="store_true", help="if it does not start, leave everything for a look")
    up.set_defaults(verb=verbs.up)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


def _memory() -> int:
    """MB of this machine, a little less than all."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1 << 20) * 9 // 10
