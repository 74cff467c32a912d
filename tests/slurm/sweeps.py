"""Tiny sweeps on a real cluster, run through the command line, and checks of their results."""

from __future__ import annotations

import collections
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lthsweep.launch.slurm.journal import Submission, read_journal
from lthsweep.plan.expand import expand
from lthsweep.plan.run import Plan
from lthsweep.spec import load_spec
from lthsweep.store.layout import SweepDir
from lthsweep.store.publish import differences
from lthsweep.store.record import Record, decode
from tests.slurm.conftest import holds

SLURM = """
[slurm]
profile = "{profile}"
cpus = 1
workers = 1
memory = "1G"
controller_minutes = {controller_minutes}
poll_seconds = 1
target_minutes = {target_minutes}
floor_minutes = {floor_minutes}
time = "{time}"
"""


@dataclass
class OnSlurm:
    """One sweep on a cluster.

    Attributes:
        environment: with SLURM_CONF, so that every command uses this cluster.
        file: the TOML file.
        sweep: its directory.
    """

    environment: Mapping[str, str]
    file: Path
    sweep: SweepDir

    def lthsweep(self, *arguments: str | Path, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Run a command of lthsweep on this cluster."""
        return subprocess.run(
            [sys.executable, "-m", "lthsweep", *map(str, arguments)],
            capture_output=True,
            text=True,
            env=dict(self.environment),
            timeout=timeout,
            check=False,
        )

    def run(self, *options: str, code: int = 0) -> str:
        """Run `lthsweep run --on slurm`; return its output."""
        ended = self.lthsweep("run", self.file, "--on", "slurm", "--out", self.sweep.path, *options)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def status(self) -> dict[str, object]:
        """Return the answer of `lthsweep status --json`."""
        ended = self.lthsweep("status", self.sweep.path, "--json")
        assert ended.returncode in (0, 1, 3), ended.stderr
        found: dict[str, object] = json.loads(ended.stdout)
        return found

    @property
    def plan(self) -> Plan:
        return expand(load_spec(str(self.file)))

    @property
    def done(self) -> int:
        return len(self.sweep.record_keys())

    def wait_for(self, what: Callable[[], bool], seconds: float = 900) -> None:
        """Wait until a condition of disk or cluster holds; a sweep that hangs fails the test."""
        until = time.monotonic() + seconds
        while not holds(what):
            assert time.monotonic() < until, f"waited {seconds:g} s in vain; {self.scene()}"
            time.sleep(0.3)

    def wait_done(self, seconds: float = 900) -> None:
        """Wait until every run has a record."""
        wanted = len(self.plan.runs)
        self.wait_for(lambda: self.done == wanted, seconds)

    def scene(self) -> str:
        """Return records, queue and logs, for the message of a failed test."""
        queue = subprocess.run(
            ["squeue", "-r"], capture_output=True, text=True, env=dict(self.environment), check=False
        )
        logs = "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-1500:]}"
            for path in sorted(self.sweep.slurm.glob("*/*.out"))[-6:]
        )
        return f"{self.done} records\n{queue.stdout}{queue.stderr}\n{logs}"

    def journal(self) -> list[Submission]:
        return read_journal(self.sweep)

    def starts(self) -> collections.Counter[str]:
        """Return how often each run was started, by its log."""
        counted: collections.Counter[str] = collections.Counter()
        for key in self.sweep.record_keys():
            text = self.sweep.log(key).read_text(errors="replace")
            counted[key] = sum(line.startswith("--- ") and ", attempt " in line for line in text.splitlines())
        return counted

    def records(self) -> dict[str, Record]:
        return {key: decode(self.sweep.record(key)) for key in self.sweep.record_keys()}


def assert_same_science(ours: Mapping[str, Record], theirs: Mapping[str, Record]) -> None:
    """Assert that all runs are equal down to the bits of the weights, except for times and tasks."""
    assert ours.keys() == theirs.keys()
    assert {key: differences(ours[key], theirs[key]) for key in ours} == dict.fromkeys(ours, ())
    assert all(ours[key].weights == theirs[key].weights for key in ours)


def write_sweep(
    folder: Path,
    text: str,
    *,
    profile: str = "generic",
    controller_minutes: float = 0.05,
    target_minutes: float = 30,
    floor_minutes: float = 10,
    time_limit: str = "30",
) -> Path:
    """Write a sweep's file with a `[slurm]` table for the cluster of the tests."""
    path = folder / "sweep.toml"
    table = SLURM.format(
        profile=profile,
        controller_minutes=controller_minutes,
        target_minutes=target_minutes,
        floor_minutes=floor_minutes,
        time=time_limit,
    )
    path.write_text(text + table)
    return path
