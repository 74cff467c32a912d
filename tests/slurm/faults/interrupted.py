"""A sweep that is interrupted on a real cluster, and an exact count of the steps that were trained twice."""

from __future__ import annotations

import os
import signal
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lthsweep.launch.slurm.journal import Submission
from lthsweep.store import failures
from tests.slurm.conftest import DevCluster
from tests.slurm.sweeps import OnSlurm

__all__ = [
    "CHECKPOINT_SECONDS",
    "EACH",
    "EPOCH_SECONDS",
    "ODOMETER",
    "STEPS",
    "SWEEP",
    "Attempt",
    "Interrupted",
    "processes",
]

ODOMETER = Path(__file__).with_name("odometer")

CHECKPOINT_SECONDS = 1.0
STEPS = 410
"""Steps of each run: ten epochs of 41."""

EPOCH_SECONDS = 0.1
"""Time of an epoch that a sweep is planned with, so that its first jobs are the same on every machine; see `EACH` for
the others."""

EACH = {"target_minutes": 0.0002, "floor_minutes": 0.0001}
"""Jobs of a hundredth of a second. No machine trains a run in that time, so every run gets a separate job."""

SWEEP = """
[sweep]
name = "faults"
model = {{ name = "lenet_300_100" }}
data = {{ name = "digits", size = {size}, validation = 100 }}

[train]
epochs = {epochs}
batch_size = 32
optimizer = {{ name = "sgd", lr = 0.05, momentum = 0.9, weight_decay = 1e-4 }}

[grid]
{grid}
rewind_epoch = [0]
seed = {seeds}

[local]
workers = 1
retries = 0
checkpoint_seconds = 1

[slurm]
cpus = 1
workers = 1
memory = "1G"
time = "{time}"
controller_minutes = 0.05
poll_seconds = 1
lag_seconds = 5
target_minutes = {target_minutes}
floor_minutes = {floor_minutes}
attempts = {attempts}
{slurm}
"""
"""One attempt for real errors: a fault that used it up would end the run."""


@dataclass(frozen=True)
class Attempt:
    """The step counts of one start of a run.

    Attributes:
        first: the step at which it continued.
        reached: the last step that was begun.
        saved: the step of its last checkpoint, -1 without one.
        saving: the step of the last checkpoint that it began to write; if it is killed then, the file can exist or not.
        exposed: seconds from that checkpoint, or from the start, to the beginning of its last step.
    """

    first: int
    reached: int
    saved: int
    saving: int
    exposed: float


@dataclass
class Interrupted(OnSlurm):
    """A sweep whose steps are counted and paced.

    Attributes:
        cluster: where it runs.
        odometer: folder of the counts.
    """

    cluster: DevCluster
    odometer: Path

    def pace(self, seconds: float) -> None:
        """Make every step last longer; 0 for full speed."""
        self._write_pace(str(seconds))

    def hold(self) -> None:
        """Make every attempt wait at its first checkpoint until `pace` releases it or it is asked to stop."""
        self._write_pace("hold")

    def _write_pace(self, text: str) -> None:
        temporary = self.odometer / "pace.new"
        temporary.write_text(text)
        temporary.replace(self.odometer / "pace")

    def attempts(self, key: str) -> list[Attempt]:
        """Return all starts of a run that reached a step, in order."""
        files = sorted(self.odometer.glob(f"{key}.*.steps"), key=lambda path: int(path.name.split(".")[1]))
        found = (
            Attempt(*struct.unpack("<qqqqd", path.read_bytes())) for path in files if path.stat().st_size
        )
        return [attempt for attempt in found if attempt.first >= 0]

    @property
    def trunk(self) -> str:
        """Key of the first dense run."""
        return self.plan.dense[0].key

    def training(self) -> list[Submission]:
        """Return the submissions that train, in order."""
        return [submission for submission in self.journal() if submission.kind == "workers"]

    def wait_for_checkpoint(self, starts: int, key: str | None = None) -> None:
        """Wait until a run was started `starts` times and the last attempt has written a checkpoint."""

        def there() -> bool:
            attempts = self.attempts(key or self.trunk)
            return len(attempts) >= starts and attempts[-1].saved > attempts[-1].first

        self.wait_for(there)

    def repeated(self) -> int:
        """Return the number of steps trained more than once, over all runs."""
        total = 0
        for key in self.plan.runs:
            attempts = self.attempts(key)
            total += sum(a.reached - a.first for a in attempts) - STEPS
        return total

    def interruptions(self) -> int:
        """Return the number of starts beyond the first, over all runs."""
        return sum(len(self.attempts(key)) - 1 for key in self.plan.runs)

    def assert_little_was_repeated(self) -> None:
        """Assert that each attempt ended less than the interval after its last checkpoint.

        This is independent of the speed of the machine: the counter reads the clock that decides on checkpoints, at the
        same moment.
        """
        for key in self.plan.runs:
            attempts = self.attempts(key)
            assert all(attempt.exposed < CHECKPOINT_SECONDS for attempt in attempts), attempts
            for before, after in pairwise(attempts):
                possible = (before.saved, before.saving)
                assert after.first in [max(before.first, saved) for saved in possible], attempts

    def assert_nothing_counts_against_it(self) -> None:
        """Assert that no failure is recorded."""
        assert failures.read_failures(self.sweep) == {}


def processes(*words: str) -> list[int]:
    """Return the process ids, in this namespace, of commands that contain all words."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if all(word in line for word in words) and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return sorted(found)


def send(number: signal.Signals, pids: list[int]) -> None:
    """Send a signal to processes, some of which can have ended."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
