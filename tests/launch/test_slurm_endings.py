"""How ended elements are classified, and whether node or sweep is the cause."""

from __future__ import annotations

import os

import pytest

from lthsweep.launch.slurm import worker_job
from lthsweep.launch.slurm.array_tasks import ArrayTask
from lthsweep.launch.slurm.circuit_breaker import NodeEnd, bad_nodes
from lthsweep.launch.slurm.endings import endings, silent
from lthsweep.launch.slurm.halt import halt
from lthsweep.launch.slurm.job_files import KILLED, End, forget_end, has_ended, read_end, write_end
from lthsweep.launch.slurm.journal import Submission, publish_intent
from lthsweep.store.layout import SweepDir

NAME = "lth-x-0001"


@pytest.fixture
def sweep(tmp_path):
    sweep = SweepDir(tmp_path / "sweep").create()
    sweep.submission(NAME).mkdir(parents=True)
    return sweep


def array_task(index, kind="workers"):
    return ArrayTask(
        Submission(1, NAME, kind, (("a",),) * 9, job="7", array=True), index, queued=None, settled=True
    )


def started(sweep, index, node, at):
    path = sweep.submission(NAME) / f"{index}.node"
    path.write_text(f"{node} 7 0 {at}\n")
    os.utime(path, (at, at))


def ended(sweep, index, at, end):
    write_end(sweep, NAME, index, end)
    os.utime(sweep.submission(NAME) / f"{index}.end.json", (at, at))


def end(node, outcome, cause=""):
    return NodeEnd(node, outcome, cause)


def test_ends_are_in_order_of_time(sweep):
    """Elements of a broken node end first, whatever their numbers, and other nodes work only after that."""
    for index in (0, 1):
        started(sweep, index, "n1", 100)
        ended(sweep, index, 200, End(worked=("a",), node="n1"))
    for index in (2, 3, 4):
        started(sweep, index, "n2", 100 + index)
    found = endings(sweep, [array_task(index) for index in range(5)])

    assert [(e.node, e.outcome) for e in found] == 3 * [("n2", "vanished")] + 2 * [("n1", "worked")]
    assert bad_nodes(found) == {"n2"}


def test_an_unstarted_element_has_no_end(sweep):
    assert endings(sweep, [array_task(0)]) == []


def test_an_element_killed_after_progress_has_worked(sweep):
    started(sweep, 0, "n1", 100)
    write_end(sweep, NAME, 0, End(stopped=KILLED, node="n1"))

    assert [e.outcome for e in endings(sweep, [array_task(0)])] == ["worked"]
    assert not has_ended(sweep, NAME, 0)


WRONG = "slurmstepd: error: execve(): /nowhere/bin/python: No such file or directory"
CODE = "srun: error: n2: task 0: Exited with exit code 2"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((WRONG, CODE), WRONG),
        ((CODE, WRONG), WRONG),
        ((CODE, ""), CODE),
        ((WRONG, "srun: error: n2: task 0: Killed"), "srun: error: n2: task 0: Killed"),
        ((), ""),
    ],
)
def test_the_cause_is_not_sruns_exit_code(sweep, lines, words):
    """The order is random, because srun reports the end of a step while the step's output is still arriving."""
    started(sweep, 0, "n2", 100)
    (sweep.submission(NAME) / "7_0_0_log.out").write_text("".join(f"{line}\n" for line in lines))

    assert [e.cause for e in endings(sweep, [array_task(0)])] == [words]


def test_a_restarted_element_deletes_its_end(sweep):
    write_end(sweep, NAME, 0, End(stopped="signal"))
    forget_end(sweep, NAME, 0)
    forget_end(sweep, NAME, 0)

    assert read_end(sweep, NAME, 0) is None


@pytest.mark.parametrize(
    ("ends", "at_work", "counts"),
    [
        ([end("n1", "vanished")], False, True),
        ([end("n1", "vanished")], True, False),
        ([end("n1", "vanished"), end("n2", "worked")], False, False),
        ([end("n1", "vanished"), end("n1", "worked")], False, True),
        ([end("n1", "vanished"), end("n2", "vanished"), end("n3", "worked")], True, True),
        ([end("bad", "vanished"), end("n2", "worked")], False, False),
    ],
)
def test_elements_vanishing_on_one_node_blame_the_node(ends, at_work, counts):
    assert bool(silent(ends, ["bad"], at_work=at_work)) == counts


def test_jobs_of_a_halted_sweep_record_the_halt(tmp_path, monkeypatch):
    """Otherwise a canceled sweep would count it as a failed attempt when the user resumes it."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    sweep = SweepDir(tmp_path / "sweep").create()
    intent = publish_intent(sweep, Submission(1, "", "workers", (("a",),), minutes=5))
    halt(sweep, "the user canceled it", "user")

    assert worker_job.main([str(sweep.path), intent.name]) == 0
    found = read_end(sweep, intent.name, 0)
    assert found is not None
    assert found.stopped == "halt"
