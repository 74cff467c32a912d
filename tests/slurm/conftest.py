"""A real SLURM for the tests in this folder: `cluster`, shared and restored between tests, and `cluster_of`.

All tests run in one worker, one after the other: they kill nodes of a shared cluster, and two cores cannot serve
several clusters.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lthsweep.errors import ClusterSilentError

HERE = Path(__file__).parent
DEVCLUSTER = HERE.parents[1] / "slurm" / "devcluster"
LIGHT = ("test_runs_on_slurm.py", "test_three_ways.py")  # what `make test` runs of this folder
MARK = "write-this-down"  # name of a job that never starts
UNAVAILABLE = 3  # the exit code of `devcluster up` where SLURM is not installed or not permitted

PATIENT = (
    "MessageTimeout=60",
    "SlurmdTimeout=300",
    "AuthInfo=socket={folder}/run/munge.socket,cred_expire=120",
)
"""Lines of slurm.conf for tests without faults. A devcluster detects faults quickly; here a late daemon only means a
busy machine."""

DELIBERATE = (
    "MessageTimeout=60",
    "SlurmdTimeout=300",
    "AuthInfo=socket={folder}/run/munge.socket,cred_expire=15",
)
"""Lines of slurm.conf where tests make all faults themselves (marker `faults`): a daemon that is late on a busy machine
is no fault, `node_down` reports a dead node at once, and a requeued job starts again after 15 s."""


@pytest.hookimpl(tryfirst=True)  # before pytest applies -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.slurm)
            if item.path.name not in LIGHT and not item.get_closest_marker("faults"):
                item.add_marker(pytest.mark.heavy)


@dataclass(frozen=True)
class DevCluster:
    """A running cluster.

    Attributes:
        folder: all its state; logs are in `folder / "log"`.
        env: the environment in which SLURM's commands and lthsweep use this cluster.
        nodes: names of the nodes, each with two cores and two fake GPUs.
        max_array, max_submit: its limits; MaxArraySize, and jobs per user in the queue (None: no limit).
        accounting: whether it has slurmdbd.
    """

    folder: Path
    max_array: int = 1001
    max_submit: int | None = None
    accounting: bool = True
    nodes: tuple[str, ...] = ("n1", "n2")
    env: Mapping[str, str] = field(default_factory=dict)

    def run(
        self, *command: str | Path, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the login node; it must succeed unless `check` is False."""
        ended = subprocess.run(
            [str(word) for word in command],
            env=dict(self.env),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and ended.returncode:
            raise AssertionError(f"{command} ended with {ended.returncode}: {ended.stderr}{ended.stdout}")
        return ended

    def sbatch(self, script: str, *options: str) -> str:
        """Submit a script without its #! line; return the job's id."""
        ended = self.run("sbatch", "--parsable", "--output=/dev/null", *options, f"--wrap={script}")
        return ended.stdout.strip().partition(";")[0]

    def queue(self) -> dict[str, str]:
        """Return the state of each job or array element in the queue."""
        lines = self.run("squeue", "--noheader", "--array", "--format=%i %T").stdout.splitlines()
        return dict(line.split() for line in lines)

    def node_states(self) -> dict[str, str]:
        """Return SLURM's state of each node: idle, mixed, down*, drained, ..."""
        lines = self.run("sinfo", "--noheader", "--Node", "--format=%N %T").stdout.splitlines()
        return dict(line.split() for line in lines)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Occupy all nodes while the block runs, so that no other job of the partition starts."""
        blockers = [self.sbatch("sleep 3600", "--exclusive", "--time=120") for _ in self.nodes]
        self.wait_until(lambda: all(self.queue().get(job) == "RUNNING" for job in blockers))
        yield
        self.run("scancel", *blockers)

    def node_kill(self, name: str) -> None:
        """Cut the power. SLURM takes 15 to 30 seconds to detect it."""
        self._devcluster("node", name, "kill")

    def node_crash(self, name: str) -> None:
        """Kill slurmd alone; its jobs continue."""
        self._devcluster("node", name, "crash")

    def node_down(self, name: str) -> None:
        """Report a node as dead, which slurmctld finds out by itself after SlurmdTimeout; its jobs are requeued."""
        self.run("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=test")

    def node_start(self, name: str) -> None:
        """Power on, or start slurmd again; return when the node serves. Does nothing if it runs."""
        self._devcluster("node", name, "start")

    def node_drain(self, name: str) -> None:
        self._devcluster("node", name, "drain")

    def node_resume(self, name: str) -> None:
        self._devcluster("node", name, "resume")

    def ctld_kill(self, *, saved: bool = True) -> None:
        """Send SIGKILL to slurmctld after it has saved its queue.

        slurmctld saves up to five seconds late. With `saved=False` it can forget jobs, run them again, and reuse their
        ids; a node on which a forgotten job still runs is drained when it receives another with this id.
        """
        if saved:
            self._save_queue()
        self._devcluster("ctld", "kill")

    def ctld_start(self) -> None:
        self._devcluster("ctld", "start")
        self.run("scancel", f"--name={MARK}", check=False)

    def dbd_kill(self) -> None:
        self._devcluster("dbd", "kill")

    def dbd_start(self) -> None:
        self._devcluster("dbd", "start")

    def wait_until(self, what: Callable[[], bool], seconds: float = 240) -> None:
        """Wait until a condition holds; fail the test after a long time.

        If SLURM does not answer, as happens on a busy machine, the condition does not hold yet.
        """
        until = time.monotonic() + seconds
        while not holds(what):
            if time.monotonic() > until:
                raise AssertionError(f"waited {seconds:g} s in vain; {self.scene()}")
            time.sleep(0.2)

    def scene(self) -> str:
        """Return jobs and nodes with SLURM's reasons, for the message of a failed test."""
        asked = (
            ("squeue", "--array", "--format=%i %j %T %N %r"),
            ("sinfo", "--Node", "--format=%N %T"),
            ("sinfo", "--list-reasons", "--format=%N %E"),
        )
        answers = (self.run(*words, check=False) for words in asked)
        return "\n".join(ended.stdout + ended.stderr for ended in answers)

    def wait_empty(self, seconds: float = 240) -> None:
        """Wait until no job is in the queue."""
        self.wait_until(lambda: not self.queue(), seconds)

    def heal(self) -> None:
        """Start killed daemons and nodes and cancel left jobs, so that the next test has a fresh cluster."""
        if self._devcluster("status", check=False).returncode:
            if self.accounting:
                self.dbd_start()
            self._number_jobs_anew()
            self.ctld_start()
            for name in self.nodes:
                self.node_start(name)
        self.wait_until(self._is_cleared)
        self.wait_until(self._all_idle)

    def _is_cleared(self) -> bool:
        """Cancel all jobs; return whether the queue was empty. Nodes can report more jobs later."""
        left = self.queue()
        if left:
            self.run("scancel", *left, check=False)
        return not left

    def _save_queue(self) -> None:
        """Make slurmctld save its queue by submitting a job, which `ctld_start` cancels."""
        begun, saved = time.time(), self.folder / "state" / "job_state"
        self.sbatch("true", "--hold", f"--job-name={MARK}")
        self.wait_until(lambda: saved.exists() and saved.stat().st_mtime > begun)

    def _number_jobs_anew(self) -> None:
        """Let the next slurmctld use no job id that a node can know: see `ctld_kill`."""
        conf = self.folder / "etc" / "slurm.conf"
        lines = conf.read_text().splitlines()
        known = [int(line.partition("=")[2]) for line in lines if line.startswith("FirstJobId=")]
        kept = [line for line in lines if not line.startswith("FirstJobId=")]
        conf.write_text("\n".join([*kept, f"FirstJobId={max(known, default=0) + 10_000}", ""]))

    def _all_idle(self) -> bool:
        """Resume drained nodes; return whether all nodes are idle."""
        known = self.node_states()
        for name, state in known.items():
            if "drain" in state:  # or "drained"
                self._devcluster("node", name, "resume", check=False)
        return set(known.values()) == {"idle"}

    def down(self) -> None:
        self._devcluster("down")

    def _devcluster(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = (sys.executable, DEVCLUSTER, *words, "--dir", self.folder)
        return self.run(*command, check=check, timeout=400)


def holds(what: Callable[[], bool]) -> bool:
    """Return whether a condition holds; False if a daemon does not answer."""
    try:
        return what()
    except (AssertionError, ClusterSilentError, subprocess.SubprocessError):
        return False


@contextmanager
def running(*, conf: Iterable[str] = (), **options: object) -> Iterator[DevCluster]:
    """Run a cluster during the block. Options are `max_array`, `max_submit`, `accounting`; `conf` is as `PATIENT`.

    Without SLURM the test is skipped; with LTHSWEEP_REQUIRE_SLURM=1 it fails.
    """
    folder = Path(tempfile.mkdtemp(prefix="lth-", dir="/tmp"))  # short: SLURM's sockets are in it
    words = [
        *(f"--{name.replace('_', '-')}={value}" for name, value in options.items() if type(value) is int),
        *(["--no-accounting"] if options.get("accounting") is False else []),
        *(f"--conf={line.format(folder=folder)}" for line in conf),
        *("--dir", str(folder)),
        *("--while", str(os.getpid())),  # if this process is killed, the cluster ends as well
    ]
    started = subprocess.run(
        [sys.executable, DEVCLUSTER, "up", *words], capture_output=True, text=True, timeout=900, check=False
    )
    if started.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        if started.returncode == UNAVAILABLE and os.environ.get("LTHSWEEP_REQUIRE_SLURM") != "1":
            pytest.skip(f"SKIPPED: no SLURM here; {started.stderr.strip()}")
        pytest.fail(f"no SLURM to test with; {started.stderr.strip()}", pytrace=False)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))}
    env = kept | {"SLURM_CONF": str(folder / "etc" / "slurm.conf")}
    cluster = DevCluster(folder, env=env, **options)  # type: ignore[arg-type]
    try:
        yield cluster
    finally:
        cluster.down()


@pytest.fixture(scope="session")
def quick_cluster() -> Iterator[DevCluster]:
    """The cluster of heavy tests, with default settings; they request `cluster`."""
    with running() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def patient_cluster() -> Iterator[DevCluster]:
    """The cluster of all other tests, which make no faults; they request `cluster`."""
    with running(conf=PATIENT) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def deliberate_cluster() -> Iterator[DevCluster]:
    """The cluster of deterministic fault tests; they request `cluster`."""
    with running(conf=DELIBERATE) as cluster:
        yield cluster


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[DevCluster]:
    """A cluster with an empty queue and all daemons alive."""
    kinds = {"heavy": "quick_cluster", "faults": "deliberate_cluster"}
    fitting = (kinds[name] for name in kinds if request.node.get_closest_marker(name))
    shared: DevCluster = request.getfixturevalue(next(fitting, "patient_cluster"))
    yield shared
    shared.heal()


@pytest.fixture
def cluster_of() -> Iterator[Callable[..., DevCluster]]:
    """Start separate clusters: `cluster_of(max_array=5, max_submit=6)`, `cluster_of(accounting=False)`."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(running(**options))
