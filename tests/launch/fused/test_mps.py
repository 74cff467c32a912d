"""MPS for workers that share a GPU, with a stand-in for NVIDIA's program. No GPU is needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lthsweep.launch.fused.mps import CONTROL, daemon_for, shares_a_gpu
from lthsweep.launch.local_pool import LocalPool
from lthsweep.launch.slots import Slot
from lthsweep.store.layout import SweepDir
from tests.launch.test_local_runs import workers_of

SHARED = [Slot("cuda:0", (), 1), Slot("cuda:0", (), 1)]

# A folder with a file `daemon` stands for a daemon that listens there. With -d the program leaves a child that keeps
# its output open, as a daemon does.
PROGRAM = """#!/bin/sh
pipe=${CUDA_MPS_PIPE_DIRECTORY:-@default@}
if [ "$1" = -d ]; then
    echo "-d $pipe visible=$CUDA_VISIBLE_DEVICES" >> @log@
    if [ -e @refuse@ ]; then echo "MPS is not supported"; exit 1; fi
    sleep 30 &
    echo $! > "$pipe/daemon"
    exit 0
fi
if [ ! -e "$pipe/daemon" ]; then echo "Cannot find MPS control daemon process"; exit 1; fi
while read -r command; do
    echo "$command $pipe" >> @log@
    if [ "$command" = quit ]; then kill "$(cat "$pipe/daemon")"; rm "$pipe/daemon"; fi
done
"""


class Program:
    """The stand-in on PATH, and the commands that it received."""

    def __init__(self, folder: Path) -> None:
        self.log, self.refuse, self.default = folder / "log", folder / "refuse", folder / "default"
        self.default.mkdir()
        text = PROGRAM.replace("@default@", str(self.default))
        text = text.replace("@log@", str(self.log)).replace("@refuse@", str(self.refuse))
        (folder / "bin").mkdir()
        self.path = folder / "bin" / CONTROL
        self.path.write_text(text)
        self.path.chmod(0o755)

    def commands(self) -> list[str]:
        """Command lines and commands, without folders."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.split()[0] for line in lines]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """The stand-in is on PATH, no daemon runs, and all GPUs are visible."""
    made = Program(tmp_path)
    monkeypatch.setenv("PATH", f"{made.path.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_MPS_PIPE_DIRECTORY", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return made


def test_two_workers_on_a_gpu_share_it():
    """MPS has no effect on workers on CPUs."""
    assert shares_a_gpu(SHARED)
    assert not shares_a_gpu([Slot("cuda:0", (), 1), Slot("cuda:1", (), 1)])
    assert not shares_a_gpu([Slot("cpu", (), 1)] * 2)


def test_without_a_shared_gpu_nothing_is_started(program):
    """A lone worker has nothing to gain."""
    assert daemon_for([Slot("cuda:0", (), 1)]) is None
    assert program.commands() == []


def test_without_the_program_no_daemon_is_started(monkeypatch, tmp_path, capfd):
    """Most machines have none, so there is no warning."""
    monkeypatch.setenv("PATH", str(tmp_path))

    assert daemon_for(SHARED) is None
    assert capfd.readouterr() == ("", "")


def test_the_daemon_lives_from_start_to_quit(program):
    """Its folder is removed with it."""
    daemon = daemon_for(SHARED)

    pipe = Path(daemon.variables["CUDA_MPS_PIPE_DIRECTORY"])
    assert (pipe / "daemon").exists()
    assert Path(daemon.variables["CUDA_MPS_LOG_DIRECTORY"]).is_dir()
    assert len(str(pipe / "nvidia-cuda-mps-control.pid")) < 107
    daemon.quit()
    assert program.commands() == ["-d", "get_server_list", "quit"]
    assert str(pipe) in program.log.read_text()
    assert not pipe.parent.exists()


def test_a_running_daemon_is_left_alone(program):
    """CUDA finds it at the default place; its owner ends it."""
    (program.default / "daemon").write_text("1")

    assert daemon_for(SHARED) is None
    assert program.commands() == ["get_server_list"]


def test_a_daemon_named_by_the_user_is_used(program, monkeypatch):
    """Another one would hide it from the workers."""
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(program.default))

    assert daemon_for(SHARED) is None
    assert program.commands() == []


def test_a_daemon_that_does_not_start_is_reported(program, capfd):
    """The warning contains its output, and the workers start."""
    program.refuse.touch()

    assert daemon_for(SHARED) is None
    warning = capfd.readouterr().err
    assert (
        "the MPS daemon did not start: MPS is not supported; workers share their GPUs without it" in warning
    )
    pipe = Path(program.log.read_text().split()[1])
    assert not pipe.parent.exists()


@pytest.mark.parametrize(
    ("visible", "seen"), [("2,3", "0,1"), ("5", "0"), ("GPU-1a,GPU-2b", None), (None, None)]
)
def test_clients_number_gpus_as_the_daemon_does(program, monkeypatch, visible, seen):
    """The daemon numbers the visible GPUs from 0; UUIDs stay."""
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    daemon = daemon_for(SHARED)

    daemon.quit()
    assert f"visible={visible or ''}\n" in program.log.read_text()
    assert daemon.variables.get("CUDA_VISIBLE_DEVICES") == seen


def test_the_daemon_ends_with_a_killed_coordinator(program):
    """Its server would keep memory of the GPU."""
    text = (
        "from lthsweep.launch.slots import Slot\n"
        "from lthsweep.launch.fused.mps import daemon_for\n"
        "print(daemon_for([Slot('cuda:0', (), 1)] * 2).variables['CUDA_MPS_PIPE_DIRECTORY'], flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as coordinator:
        pipe = Path(coordinator.stdout.readline().strip())
        assert (pipe / "daemon").exists()
        coordinator.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 300
    while pipe.parent.exists():
        assert time.monotonic() < deadline, "the daemon's folder is still there"
        time.sleep(0.01)
    assert program.commands()[-1] == "quit"


def test_workers_are_clients_until_the_pool_stops(program, tmp_path):
    """Their environment names the daemon."""
    pool = LocalPool(SweepDir(tmp_path / "sweep").create(), SHARED)

    environments = [_environment_of(pid) for pid in workers_of(os.getpid()) if _is_worker(pid)]
    pool.kill()
    pool.stop()

    pipe = Path(program.log.read_text().split()[1])
    assert len(environments) == len(SHARED)
    assert all(f"CUDA_MPS_PIPE_DIRECTORY={pipe}".encode() in words.split(b"\0") for words in environments)
    assert program.commands()[-1] == "quit"
    assert not pipe.parent.exists()


def _is_worker(pid: int) -> bool:
    command = Path(f"/proc/{pid}/cmdline")
    return command.exists() and b"lthsweep.launch.worker" in command.read_bytes()


def _environment_of(pid: int) -> bytes:
    """Environment of a new process; for a moment after `exec` the kernel shows an empty one."""
    deadline = time.monotonic() + 300
    while not (found := Path(f"/proc/{pid}/environ").read_bytes()):
        assert time.monotonic() < deadline, "it has no environment"
        time.sleep(0.01)
    return found
