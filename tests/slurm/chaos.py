"""Random faults on a real cluster, one after the other, and a check that no run is ever in two jobs."""

from __future__ import annotations

import collections
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lthsweep.launch.slurm.journal import read_journal
from lthsweep.store.failures import read_failures
from tests.slurm.conftest import DevCluster
from tests.slurm.sweeps import OnSlurm

__all__ = ["Chaos"]

WEIGHTS: Mapping[str, int] = {
    "worker killed": 6,
    "job's coordinator killed": 3,
    "controller job killed": 2,
    "scontrol requeue": 3,
    "scancel --signal=KILL": 3,
    "scancel": 2,
    "preemption": 1,
    "node killed": 2,
    "slurmd crashed": 1,
    "slurmctld killed": 1,
    "`run --on slurm`": 6,
}
"""Kinds of faults, and how often each is in a deck. Half of the `run` commands are killed some seconds later."""


@dataclass
class Chaos:
    """Faults from a deck that a seeded generator shuffles; their targets depend on the state of the cluster.

    Attributes:
        ours: the sweep, on `cluster`.
        seed: of the generator.
        counted: kind → number of faults that had a target.
        twice: run → elements, for runs that were in more than one element at a time. Must stay empty.
    """

    ours: OnSlurm
    cluster: DevCluster
    seed: int
    counted: collections.Counter[str] = field(default_factory=collections.Counter)
    twice: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._faults: Mapping[str, Callable[[], bool]] = {
            "worker killed": lambda: self._kill("lthsweep.launch.worker"),
            "job's coordinator killed": lambda: self._kill("lthsweep.launch.slurm.worker_job"),
            "controller job killed": lambda: self._kill("lthsweep", "controller"),
            "scontrol requeue": lambda: self._tell("scontrol", "requeue"),
            "scancel --signal=KILL": lambda: self._tell("scancel", "--signal=KILL", "--full"),
            "scancel": lambda: self._tell("scancel"),
            "preemption": self._preempt,
            "node killed": lambda: self._node(self.cluster.node_kill),
            "slurmd crashed": lambda: self._node(self.cluster.node_crash),
            "slurmctld killed": self._controller,
            "`run --on slurm`": lambda: self._run(self._random.choice((self._random.uniform(0.5, 8), 120))),
        }
        self._back: dict[str, float] = {}
        self._broken: set[str] = set()
        self._shells: list[tuple[subprocess.Popen[bytes], float]] = []

    def rage(self, every: int) -> None:
        """Cause faults until every run has a record; then repair everything.

        The rate follows the work, so that a slow machine has as many faults as a fast one: one for `every` records on
        average, and one whenever no record appeared for a while, which is when jobs start.
        """
        wanted = len(self.ours.plan.runs)
        deck: list[str] = []
        while self.ours.done < wanted:
            if not deck:
                deck = self._random.sample([*WEIGHTS], sum(WEIGHTS.values()), counts=[*WEIGHTS.values()])
            self._repair(time.monotonic())
            kind = deck.pop()
            hit = self._faults[kind]()
            self.counted[kind] += hit
            if not hit:  # no target at this moment: try again later
                self.look()
                deck.insert(self._random.randint(0, len(deck)), kind)
                continue
            enough = min(wanted, self.ours.done + self._random.randint(1, 2 * every - 1))
            until = time.monotonic() + self._random.uniform(5, 30)
            while time.monotonic() < until and self.ours.done < enough:
                self.look()
                self._tend(time.monotonic())
                time.sleep(0.3)
        self._repair(float("inf"))
        for shell, _ in self._shells:
            shell.wait()

    def look(self) -> None:
        """Note runs in the shares of two elements that SLURM lists and that are not void in the journal.

        A run whose last attempt failed gets another job, while the job that failed with it goes on with other runs.
        """
        listed = self.cluster.run(
            "squeue", "--noheader", "--array", "--Format=JobID:|,ArrayJobID:|,ArrayTaskID:|,Name", check=False
        )
        if listed.returncode:  # slurmctld is dead at the moment
            return
        journal = {submission.name: submission for submission in read_journal(self.ours.sweep)}
        having: dict[str, list[str]] = collections.defaultdict(list)
        for line in listed.stdout.splitlines():
            _, array, index, name = (word.strip() for word in line.split("|"))
            submission = journal.get(name)
            if submission is None or submission.outcome == "void" or submission.job not in (None, array):
                continue
            for key in submission.keys(int(index) if index.isdecimal() else 0):
                having[key].append(f"{name} {index}")
        self._broken |= read_failures(self.ours.sweep).keys()
        self.twice |= {
            key: elements for key, elements in having.items() if len(elements) > 1 and key not in self._broken
        }

    def _kill(self, *words: str) -> bool:
        pids = _pythons(str(self.ours.sweep.path), *words)
        if not pids:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._random.choice(pids), signal.SIGKILL)
            return True
        return False

    def _tell(self, *command: str) -> bool:
        running = [job for job, state in self._queue().items() if state == "RUNNING"]
        if not running:
            return False
        return self.cluster.run(*command, self._random.choice(running), check=False).returncode == 0

    def _queue(self) -> dict[str, str]:
        try:
            return self.cluster.queue()
        except AssertionError:  # slurmctld did not answer
            return {}

    def _preempt(self) -> bool:
        options = ("--partition=gpu", "--ntasks=2", "--nodes=1", "--mem=100M", "--job-name=other")
        with contextlib.suppress(AssertionError):
            self.cluster.sbatch("sleep 1", *options)
            return True
        return False

    def _node(self, fault: Callable[[str], None]) -> bool:
        up = [name for name in self.cluster.nodes if name not in self._back]
        if not up:
            return False
        name = self._random.choice(up)
        fault(name)
        self._back[name] = time.monotonic() + self._random.choice((0, 8, 25))
        return True

    def _controller(self) -> bool:
        self.cluster.ctld_kill(saved=False)
        time.sleep(self._random.uniform(0, 5))
        self.cluster.ctld_start()
        return True

    def _run(self, seconds: float) -> bool:
        """Start `run` as a user would; it is killed after some seconds."""
        words = ["run", self.ours.file, "--on", "slurm", "--out", self.ours.sweep.path]
        shell = subprocess.Popen(
            [sys.executable, "-m", "lthsweep", *map(str, words)],
            env=dict(self.ours.environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._shells.append((shell, time.monotonic() + seconds))
        return True

    def _tend(self, now: float) -> None:
        for shell, until in list(self._shells):
            if shell.poll() is None and now >= until:
                shell.kill()
                self.counted["`run --on slurm` killed"] += 1
                self.counted["`run --on slurm`"] -= 1
            if shell.poll() is not None:
                self._shells.remove((shell, until))

    def _repair(self, now: float) -> None:
        for name, when in list(self._back.items()):
            if when <= now:
                self.cluster.node_start(name)
                del self._back[name]
        with contextlib.suppress(AssertionError):
            for name, state in self.cluster.node_states().items():
                if "drain" in state:  # SLURM drains a node that knows a job as ended; an operator resumes it
                    self.cluster.node_resume(name)
                    self.counted["drained node resumed"] += 1


def _pythons(*words: str) -> list[int]:
    """Return the ids, in this namespace, of Python processes whose command lines have all words."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if "python" in line[0] and all(any(word in part for part in line) for word in words):
                    found.append(int(entry.name))
    return sorted(found)
