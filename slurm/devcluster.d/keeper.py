"""Process 1 of a node: keeper.py NAME HOSTS COMMAND...; starts slurmd and adopts its orphans.

Every process on the node stays below the keeper in the process tree, however often it forked, so that a power
cut can end all of them at once. Where namespaces are permitted, the keeper is process 1 of a new pid namespace,
and programs see the node as a separate machine: with a host name, a file HOSTS that resolves the names of all
nodes, and shared memory that a power cut erases. As on a real cluster, its processes are invisible to other
nodes. SIGHUP restarts slurmd after a crash.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from types import FrameType

PR_SET_CHILD_SUBREAPER = 36


def keep(name: str, hosts: str, command: list[str]) -> None:
    """Be the node `name` until killed; `command` is slurmd's."""
    if os.getpid() == 1:
        socket.sethostname(name)
        subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/dev/shm"], check=True)
    else:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(_number: int, _frame: FrameType | None) -> None:
        os.posix_spawnp(command[0], command, os.environ)

    def reap(_number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass

    signal.signal(signal.SIGCHLD, reap)
    signal.signal(signal.SIGHUP, start)
    os.posix_spawnp(command[0], [*command, "-b"], os.environ)  # -b: the node has just booted
    while True:
        signal.pause()


if __name__ == "__main__":
    keep(sys.argv[1], sys.argv[2], sys.argv[3:])
