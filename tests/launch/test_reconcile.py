"""The state from which a step decides: runs that need no job, runs that are left, and runs at the retry limit."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.launch.disk_status import DiskStatus
from lthsweep.launch.scheduler import Node
from lthsweep.launch.slurm import reconcile as module
from lthsweep.launch.slurm.array_tasks import ArrayTask, SubmittedTasks
from lthsweep.launch.slurm.attempts import failed_attempts
from lthsweep.launch.slurm.cluster.queue import Element
from lthsweep.launch.slurm.halt import reset_attempts
from lthsweep.launch.slurm.job_files import KILLED, End, write_end
from lthsweep.launch.slurm.journal import (
    Submission,
    note_id,
    open_journal,
    publish_intent,
    read_journal,
    read_submission,
)
from lthsweep.launch.slurm.reconcile import (
    reconcile,
    reconcile_submissions,
    still_open,
    taken_runs,
)
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.work import Work
from lthsweep.store import claims
from lthsweep.store.failures import GAVE_UP, Failure, read_failure, record_failure
from lthsweep.store.heartbeats import Heartbeat, write_heartbeat
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import this_process
from tests.plan.cases import make_plan

PLAN = make_plan({"sparsity": [0.5], "seed": [0, 1, 2]}, prune={"rewind": "lr"})
A, B, C = (run.key for run in PLAN.dense)
SITE = Site(lag_seconds=0, attempts=3)

# --- runs that are left ----------------------------------------------------------------------------------------------


@st.composite
def forests(draw):
    """Nodes with parents before children, and some of their keys."""
    nodes = []
    for number in range(draw(st.integers(1, 15))):
        parents = [None, "finished", *(node.key for node in nodes)]
        nodes.append(Node(f"n{number}", draw(st.sampled_from(parents)), 1.0))
    return nodes, draw(st.sets(st.sampled_from([node.key for node in nodes])))


@given(forests())
def test_runs_below_a_failed_run_are_not_open(case):
    """All others are, in the same order."""
    nodes, failed = case
    parents = {node.key: node.parent for node in nodes}

    def is_failed(key):
        return key in failed or (key in parents and is_failed(parents[key]))

    assert still_open(nodes, failed) == tuple(node for node in nodes if not is_failed(node.key))


# --- runs that need no job -------------------------------------------------------------------------------------------


def task(*keys, raw=None, created=100.0, settled=True):
    submission = Submission(1, "lth-x-0001", "workers", (keys,), created=created, job="7")
    queued = None if raw is None else Element("7", 0, "lth-x-0001", "RUNNING", raw=raw)
    return ArrayTask(submission, 0, queued, settled)


def taken(*tasks, jobs=None, failures=None, queue=(), retries=0):
    work = Work((), DiskStatus({}, failures or {}, {}, frozenset(), jobs or {}), frozenset())
    return taken_runs(work, SubmittedTasks(tasks), queue, retries)


def test_the_share_of_a_live_job_is_taken():
    """Also while SLURM may not list it yet."""
    assert taken(task("a", "b", raw="8")) == {"a", "b"}
    assert taken(task("a", settled=False)) == {"a"}
    assert taken(task("a")) == set()


@pytest.mark.parametrize(("job", "is_taken"), [("8", True), ("", True), ("9", False)])
def test_claimed_runs_of_live_jobs_are_taken(job, is_taken):
    """Any worker job can train it. The claim of a job without power looks alive for minutes."""
    queue = [Element("7", 0, "lth-x-0001", "RUNNING", raw="8")]

    assert taken(jobs={"a": job}, queue=queue) == ({"a"} if is_taken else set())


@pytest.mark.parametrize(("failed", "is_taken"), [(99.0, True), (101.0, False)])
def test_runs_that_failed_since_submission_are_free(failed, is_taken):
    """The job that failed with it pulls other runs now."""
    failures = {"a": Failure("killed", time=failed, infrastructure=True)}

    assert taken(task("a", "b", raw="8"), failures=failures) == ({"a", "b"} if is_taken else {"b"})


def test_a_retrying_job_keeps_its_run():
    failures = {"a": Failure("killed", time=101.0, attempt=1, infrastructure=True)}

    assert taken(task("a", raw="8"), failures=failures, retries=1) == {"a"}
    assert taken(task("a", raw="8"), failures=failures, retries=0) == set()


# --- submissions without an id ---------------------------------------------------------------------------------------


@pytest.fixture
def sweep(tmp_path):
    sweep = SweepDir(tmp_path / "sweep").create()
    open_journal(sweep)
    return sweep


def intent(sweep, *shares, number=1):
    return publish_intent(sweep, Submission(number, "", "workers", shares, minutes=10, array=True)).name


@pytest.mark.parametrize(
    ("queued", "found", "lag", "outcome", "job"),
    [
        (True, None, 0, "open", "7"),
        (True, None, 300, "open", "7"),
        (False, None, 300, "open", None),  # sbatch can still be at work
        (False, "8", 0, "open", "8"),  # accounting knows it
        (False, None, 0, "void", None),
    ],
)
def test_a_submission_without_an_id_is_searched(sweep, monkeypatch, queued, found, lag, outcome, job):
    """Its coordinator died before it recorded the id."""
    name = intent(sweep, ("a",))
    queue = [Element("7", 0, name, "PENDING")] if queued else []
    monkeypatch.setattr(module, "find_by_name", {name: found}.__getitem__)

    (settled,) = reconcile_submissions(sweep, read_journal(sweep), queue, lag)

    assert (settled.outcome, settled.job) == (outcome, job)
    assert read_submission(sweep, name) == settled


# --- attempts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("progressed", "count"),
    [([], 0), ([False] * 3, 3), ([False, True, False], 1), ([False, False, True], 0)],
)
def test_progress_resets_failed_attempts(progressed, count):
    assert failed_attempts(progressed) == count


@pytest.fixture
def reconciled(sweep, monkeypatch):
    """Returns the state of the sweep while SLURM lists these elements."""

    def reconciled(*queue, **site):
        monkeypatch.setattr(module, "read_queue", lambda: tuple(queue))
        return reconcile(PLAN, sweep, Site(**{"lag_seconds": 0, "attempts": 3} | site))

    return reconciled


def ended(sweep, *keys, end=None, node=None, log="", number=None):
    """A worker job that is not in the queue any more, whose share are some runs."""
    number = number or len(read_journal(sweep)) + 1
    name = intent(sweep, keys, number=number)
    note_id(sweep, name, str(number))
    folder = sweep.submission(name)
    os.utime(folder / "intent.json", (1000 + number, 1000 + number))
    if end is not None:
        write_end(sweep, name, 0, end)
    if node is not None:
        (folder / "0.node").write_text(f"{node} {number} 0 {1000 + number}\n")
    if log:
        (folder / f"{number}_0_0_log.out").write_text(log)
    return name


def checkpoint(sweep, key, number):
    """A checkpoint that was written after the submission of this number."""
    sweep.checkpoint(key).write_bytes(b"")
    os.utime(sweep.checkpoint(key), (1000.5 + number, 1000.5 + number))


def failed_runs(view):
    return set(view.failed)


def test_jobs_that_leave_no_files_are_failed_attempts(sweep, reconciled):
    """The run is given up at the retry limit, with its descendants."""
    for _ in range(2):
        ended(sweep, A)
    before = reconciled()
    name = ended(sweep, A)
    after = reconciled()

    assert failed_runs(before) == set()
    assert failed_runs(after) == {A}
    assert {node.key for node in before.open} - {node.key for node in after.open} == {
        key for key, run in PLAN.runs.items() if A in (key, run.parent)
    }
    failure = read_failure(sweep, A)
    assert (failure.kind, failure.attempt, failure.is_final) == (GAVE_UP, 3, True)
    assert name in failure.cause


def test_the_cause_has_node_and_last_log_line(sweep, reconciled):
    """The user sees them in `status`."""
    for number in range(3):
        ended(sweep, A, node=f"n{number}", log="srun: error: no such file\n")
    cause = reconciled().failed[A]

    assert "on n2" in cause
    assert "srun: error: no such file" in cause


def test_the_cause_has_the_last_infrastructure_failure(sweep, reconciled):
    """It is more exact than the log of the job."""
    record_failure(sweep, A, Failure("killed by signal 9", infrastructure=True))
    for _ in range(3):
        ended(sweep, A, end=End(broke=(A,)), node="n1", log="something else\n")

    assert "killed by signal 9" in reconciled().failed[A]


@pytest.mark.parametrize(
    ("end", "counts"),
    [
        (None, True),  # killed before any progress
        (End(broke=(A,)), True),
        (End(broke=(A,), worked=(C,)), True),  # it pulled other runs afterward
        (End(broke=(A,), stopped="signal"), True),
        (End(stopped="time"), True),  # its walltime is too short for a checkpoint
        (End(stopped="time", failed=(B,)), False),
        (End(stopped="signal"), False),  # it was asked to stop
        (End(stopped=KILLED), False),  # it made progress with a run that it pulled
        (End(worked=(C,)), False),  # another worker took the run first
        (End(broke=(C,)), False),
    ],
)
def test_jobs_without_progress_count_against_their_run(sweep, reconciled, end, counts):
    for _ in range(3):
        ended(sweep, A, end=end)

    assert (A in reconciled(attempts=3).failed) is counts


def test_a_job_that_stopped_in_order_resets_attempts(sweep, reconciled):
    """It would have gone on."""
    for end in (None, None, End(stopped="signal"), None, None):
        ended(sweep, A, end=end)

    assert failed_runs(reconciled()) == set()


def test_runs_that_were_not_attempted_keep_their_count(sweep, reconciled):
    """Another worker took it first, which is no progress."""
    for end in (None, None, End(worked=(C,)), None):
        ended(sweep, A, end=end)

    assert failed_runs(reconciled()) == {A}


def test_a_checkpoint_is_progress(sweep, reconciled):
    """Of the last job; an older one was there before."""
    for _ in range(3):
        ended(sweep, A)
    checkpoint(sweep, A, number=3)
    assert failed_runs(reconciled()) == set()

    checkpoint(sweep, A, number=0)
    assert failed_runs(reconciled()) == {A}


def test_a_killed_job_with_progress_blames_no_run(sweep, reconciled):
    """It trained one of its runs, and had not begun the other."""
    for number in range(1, 4):
        ended(sweep, A, B)
        checkpoint(sweep, A, number)

    assert failed_runs(reconciled()) == set()


def test_a_killed_job_without_progress_blames_its_share(sweep, reconciled):
    for _ in range(3):
        ended(sweep, A, B)

    assert failed_runs(reconciled()) == {A, B}


def test_a_pulled_run_that_broke_counts(sweep, reconciled):
    """The job that pulled it is to blame as much as one with the run in its share."""
    for _ in range(3):
        ended(sweep, A, end=End(worked=(A,), broke=(B,)))

    assert failed_runs(reconciled()) == {B}


def test_runs_of_live_jobs_do_not_fail(sweep, reconciled):
    """Its next attempt is at work."""
    for _ in range(3):
        ended(sweep, A)
    name = ended(sweep, A)

    view = reconciled(Element("4", 0, name, "RUNNING", raw="4"))

    assert A in view.taken
    assert failed_runs(view) == set()


def test_attempts_before_a_reset_do_not_count(sweep, reconciled):
    """The user has fixed the cause: `--retry-failed`."""
    for _ in range(4):
        ended(sweep, A)
    reset_attempts(sweep, 2)

    assert failed_runs(reconciled()) == set()
    assert failed_runs(reconciled(attempts=2)) == {A}


def test_attempts_on_a_blocklisted_node_do_not_count(sweep, reconciled):
    """The node is to blame: other nodes work."""
    for _ in range(3):
        ended(sweep, A, node="bad")
    for _ in range(2):
        ended(sweep, B, end=End(worked=(B,)), node="good")

    view = reconciled()

    assert view.bad_nodes == {"bad"}
    assert failed_runs(view) == set()


def test_equal_ends_on_several_nodes_halt_the_sweep(sweep, reconciled):
    """The sweep is to blame."""
    for number, key in enumerate((A, B, C)):
        ended(sweep, key, node=f"n{number}", log="no such file\n")

    assert "no such file" in reconciled().halt.why


def test_a_final_failure_is_not_open(sweep, reconciled):
    record_failure(sweep, A, Failure("no weights to rank"))

    view = reconciled()

    assert view.failed == {A: "no weights to rank"}
    assert A not in {node.key for node in view.open}
    assert not view.is_over


def test_a_stuck_job_is_canceled(sweep, reconciled, monkeypatch):
    """SLURM would hold it forever. Its runs are submitted again."""
    canceled = []
    monkeypatch.setattr(module, "cancel", canceled.extend)
    name = ended(sweep, A)
    stuck = Element("1", 0, name, "PENDING", "launch failed requeued held")
    other = Element("9", None, "other", "PENDING", "launch failed requeued held")

    view = reconciled(stuck, other)

    assert canceled == [stuck.id]
    assert A not in view.taken


def test_claims_of_unlisted_jobs_take_no_runs(sweep, reconciled):
    """A run that a listed job pulled is taken, though it is in no share."""
    name = ended(sweep, A)
    for key, job in ((B, "8"), (C, "9")):
        write_heartbeat(sweep, Heartbeat(key, key=key, time=time.time()))
        owner = this_process()
        assert claims.take(sweep, key, type(owner)(**{**vars(owner), "job": job}), 60)

    view = reconciled(Element("1", 0, name, "RUNNING", raw="8"))

    assert view.taken == {A, B}


def test_the_view_has_the_journals_last_number(sweep, reconciled):
    """The next decision is valid only as the next number."""
    ended(sweep, A)
    ended(sweep, B)

    assert reconciled().number == 2
