"""The worker jobs that one step submits: their number, their walltimes, and the limits that they respect."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.launch.scheduler import Node
from lthsweep.launch.slurm.array_tasks import ArrayTask, SubmittedTasks
from lthsweep.launch.slurm.cluster.limits import Limits
from lthsweep.launch.slurm.journal import Submission
from lthsweep.launch.slurm.shares import Share
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.slurm.step_decision import (
    WorkerArray,
    arrays_of,
    capacity_for,
    decide,
    fitting,
    in_seconds,
    walltime_limit,
)
from lthsweep.plan.estimate import recipe_id
from lthsweep.store.layout import SweepDir
from tests.plan.cases import make_plan

SITE = Site(target_minutes=30, floor_minutes=10)
ANY = Limits(max_array=1001, capacity=None, minutes=None)
NO_TASKS = SubmittedTasks(())
WORKERS = SubmittedTasks(
    (ArrayTask(Submission(1, "lth-x-0001", "workers", (("z",),)), 0, queued=None, settled=False),)
)


def runs(*minutes):
    return [Node(f"r{number}", None, 60.0 * cost) for number, cost in enumerate(minutes)]


def arrays(nodes, *, tasks=NO_TASKS, taken=(), broken=(), site=SITE, limits=ANY):
    return arrays_of(nodes, tasks, taken, broken, site, limits)


def keys(found):
    return [[share.keys for share in array.shares] for array in found]


def array_of(count, minutes=30):
    return WorkerArray(tuple(Share((f"{minutes}-{n}",), 60.0, 60.0) for n in range(count)), minutes)


def test_ready_runs_are_one_array():
    """One call of sbatch for any number of jobs."""
    assert keys(arrays(runs(20, 15, 12))) == [[("r0",), ("r1",), ("r2",)]]


def test_arrays_have_the_longest_walltime_of_jobs():
    """1.5 times the expected time, two minutes of start-up, in steps of five minutes."""
    assert [array.minutes for array in arrays(runs(40, 20))] == [65]


def test_arrays_are_no_larger_than_slurm_accepts():
    """Each array has the walltime that its jobs need."""
    found = arrays(runs(60, 50, 20, 15, 10), limits=Limits(max_array=2, capacity=None, minutes=None))

    assert [len(array.shares) for array in found] == [2, 2, 1]
    assert [array.minutes for array in found] == [95, 35, 20]


def test_a_cluster_without_arrays_gets_single_jobs():
    assert [len(array.shares) for array in arrays(runs(20, 20), limits=Limits(0, None, None))] == [1, 1]


def test_jobs_with_following_work_have_target_length():
    """It pulls the tickets of its dense run, so a walltime for the dense run alone would waste its start."""
    dense = Node("dense", None, 120.0)
    tickets = [Node(f"t{number}", "dense", 600.0) for number in range(9)]

    (following,) = arrays([dense, *tickets])
    (alone,) = arrays([dense])

    assert keys([following, alone]) == [[("dense",)], [("dense",)]]
    assert (following.minutes, alone.minutes) == (50, 10)


def test_taken_runs_get_no_job():
    assert keys(arrays(runs(20, 20), taken={"r0"})) == [[("r1",)]]
    assert arrays(runs(20, 20), taken={"r0", "r1"}) == []


def test_a_short_remainder_is_left_to_live_workers():
    """A broken run is not, because no worker pulls it."""
    assert arrays(runs(3), tasks=WORKERS) == []
    assert keys(arrays(runs(3), tasks=WORKERS, broken={"r0"})) == [[("r0",)]]
    assert keys(arrays(runs(3))) == [[("r0",)]]


def test_a_controller_job_pulls_no_runs():
    controller = ArrayTask(Submission(1, "lth-x-0001", "controller"), 0, queued=None, settled=False)

    assert keys(arrays(runs(3), tasks=SubmittedTasks((controller,)))) == [[("r0",)]]


@pytest.mark.parametrize(
    ("site", "cluster", "expected"), [(None, None, None), (60, None, 3600), (60, 20, 1200), (None, 20, 1200)]
)
def test_the_shorter_walltime_limit_counts(site, cluster, expected):
    assert walltime_limit(Site(minutes=site), Limits(1001, None, cluster)) == expected


@given(
    st.lists(st.integers(1, 90), max_size=8),
    st.integers(1, 3),
    st.integers(1, 4),
    st.none() | st.integers(15, 60),
)
def test_every_job_respects_the_limits(minutes, max_array, workers, limit):
    site = Site(workers=workers, target_minutes=30, floor_minutes=10)

    for array in arrays(runs(*minutes), site=site, limits=Limits(max_array, None, limit)):
        assert 1 <= len(array.shares) <= max_array
        assert limit is None or array.minutes <= limit
        assert array.minutes >= site.floor_minutes
        for share in array.shares:
            assert limit is not None or 60 * array.minutes >= 1.5 * share.seconds


def test_arrays_are_cut_to_the_room():
    """The first jobs have the longest chains."""
    first, second = array_of(3), array_of(2, minutes=20)

    assert fitting([first, second], None) == [first, second]
    assert fitting([first, second], 9) == [first, second]
    assert fitting([first, second], 4) == [first, WorkerArray(second.shares[:1], 20)]
    assert fitting([first, second], 2) == [WorkerArray(first.shares[:2], 30)]
    assert fitting([first, second], 0) == []


@pytest.mark.parametrize(
    ("cap", "capacity", "reserve", "expected"),
    [
        (None, None, 1, None),
        (10, None, 0, 6),
        (10, None, 1, 5),
        (None, 3, 1, 2),
        (10, 3, 0, 3),
        (5, 30, 1, 0),
        (2, None, 0, 0),
    ],
)
def test_the_room_is_the_smaller_limit(cap, capacity, reserve, expected):
    """4 jobs of the sweep are in the queue; SLURM's capacity does not include them."""
    assert capacity_for(Site(max_elements=cap), Limits(1001, capacity, None), 4, reserve=reserve) == expected


def test_unmeasured_runs_have_the_target_length(tmp_path):
    """Until their first epoch is measured, each gets a job."""
    plan = make_plan({"sparsity": [0.5], "seed": [0]}, train={"epochs": 4})
    sweep = SweepDir(tmp_path / "sweep").create()
    dense, ticket = plan.runs
    nodes = [Node(dense, None, 4.0), Node(ticket, dense, 3.0)]

    assumed, is_assumed = in_seconds(plan, sweep, SITE, nodes)
    sweep.timings.write_text(json.dumps({recipe_id(plan[dense].recipe): 10.0}))
    measured, is_still_assumed = in_seconds(plan, sweep, SITE, nodes)

    assert ([node.cost for node in assumed], is_assumed) == ([1800.0, 1800.0], True)
    assert ([node.cost for node in measured], is_still_assumed) == ([40.0, 30.0], False)
    assert [node.parent for node in measured] == [None, dense]


@pytest.mark.parametrize(("most", "jobs", "leaves_controller"), [(1, 1, False), (2, 1, True), (3, 2, True)])
def test_the_last_place_goes_to_a_worker(most, jobs, leaves_controller):
    """It leaves a controller job at its end. More places leave one for the controller job at once."""
    nodes = [Node(key, None, 3600.0) for key in ("a", "b")]

    found = decide(nodes, SubmittedTasks(()), (), (), Site(max_elements=most), ANY)

    assert sum(len(array.shares) for array in found.arrays) == found.capacity == jobs
    assert found.leaves_controller is leaves_controller
