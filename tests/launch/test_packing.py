"""Every run is in one job, after its parents; jobs have a suitable length and few dependencies."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lthsweep.launch.scheduler import Node
from lthsweep.launch.slurm.packing.batches import WIDTH
from lthsweep.launch.slurm.packing.pack import fit, pack
from lthsweep.launch.slurm.packing.walltime import Lengths, Shift, expected_seconds, walltime_minutes
from lthsweep.plan.expand import expand
from lthsweep.plan.steps import recipe_steps
from lthsweep.spec import load_spec

pytestmark = pytest.mark.slow

MINUTE = 60.0
CLUSTER = {"workers": 1, "target": 30 * MINUTE, "floor": 10 * MINUTE, "limit": None, "max_array": 1000}


def packed(nodes, **changes):
    return pack(nodes, **(CLUSTER | changes))


def runs_of(preset, seconds_per_epoch, *overrides):
    """Return all runs of a preset, for a cluster without measurements."""
    plan = expand(load_spec(preset, list(overrides)))
    return [
        Node(key, run.parent, run.epochs(recipe_steps(run.recipe)) * seconds_per_epoch)
        for key, run in plan.runs.items()
    ]


def trunks_with_tickets(trunks, tickets, trunk_minutes, ticket_minutes):
    nodes = []
    for number in range(trunks):
        nodes.append(Node(f"t{number}", None, trunk_minutes * MINUTE))
        for ticket in range(tickets):
            nodes.append(Node(f"t{number}.{ticket}", f"t{number}", ticket_minutes * MINUTE))
    return nodes


def chains(number, levels, minutes, top=None):
    return [
        Node(f"c{chain}.{level}", f"c{chain}.{level - 1}" if level else top, minutes * MINUTE)
        for chain in range(number)
        for level in range(levels)
    ]


def shape(batches):
    """Return (stage, elements, after, aligned) of each batch."""
    return [(batch.stage, batch.elements, batch.after, batch.aligned) for batch in batches]


# --- examples


def test_the_demo_is_one_job():
    """52 runs of seconds: all dependencies are inside the job, without SLURM."""
    (batch,) = packed(runs_of("digits-mobilenetv2", 0.9), workers=2)

    assert (batch.elements, batch.runs, batch.after) == (1, 52, ())
    assert batch.minutes == 10  # the floor: two minutes of training, tripled and rounded


def test_a_tiny_sweep_of_chains_is_one_job():
    (batch,) = packed(runs_of("digits-lenet", 0.1))

    assert (batch.elements, batch.runs) == (1, 18)


def test_cifar_tickets_wait_only_for_their_own_trunk():
    """53 minutes each: every run is a job, and no ticket waits for the trunk of another seed."""
    batches = packed(runs_of("cifar10-mobilenetv2", 20))

    assert shape(batches) == [
        (0, 1, (), False),
        (0, 1, (), False),
        (0, 1, (), False),
        (1, 25, (0,), False),
        (1, 25, (1,), False),
        (1, 25, (2,), False),
    ]
    assert {batch.minutes for batch in batches} == {85}


def test_four_workers_share_a_gpu_without_delay():
    """Three parallel trunks last as long as one, and so do four tickets; no run waits longer for it."""
    trunks, tickets = packed(runs_of("cifar10-mobilenetv2", 20), workers=4)

    assert [parcel.runs for parcel in trunks.parcels] == [3]
    assert sorted(parcel.runs for parcel in tickets.parcels) == [3] + [4] * 18
    assert trunks.seconds == 160 * 20


def test_trees_within_the_target_stay_whole():
    """15 levels of a minute: two seeds share a job, without dependencies."""
    (batch,) = packed(runs_of("paper-lenet-mnist", 1.0, 'grid.control=["ticket"]'))

    assert [parcel.runs for parcel in batch.parcels] == [32, 32, 16]
    assert not batch.after


def test_long_chains_are_cut_into_aligned_stages():
    """Level 4 of one seed does not wait for level 3 of another, and five sbatch calls submit 80 runs."""
    batches = packed(runs_of("paper-lenet-mnist", 10.0, 'grid.control=["ticket"]'))

    assert shape(batches) == [
        (0, 5, (), False),
        (1, 5, (0,), True),
        (2, 5, (1,), True),
        (3, 5, (2,), True),
        (4, 5, (3,), True),
    ]
    assert [batch.runs for batch in batches] == [15, 15, 15, 15, 20]  # the last level is not worth a stage


def test_one_trunk_job_and_its_ticket_job_align():
    batches = packed(trunks_with_tickets(40, 5, trunk_minutes=20, ticket_minutes=5))

    assert shape(batches) == [(0, 40, (), False), (1, 40, (0,), True)]
    assert all(
        set(tickets.needs) <= set(trunk.keys)
        for trunk, tickets in zip(batches[0].parcels, batches[1].parcels, strict=True)
    )


def test_a_few_ticket_jobs_per_trunk_align():
    """15 tickets of 5 minutes are three jobs for each of a hundred trunks: four calls without unrelated waiting."""
    batches = packed(trunks_with_tickets(100, 15, trunk_minutes=25, ticket_minutes=5), max_array=100)

    assert shape(batches) == [(0, 100, (), False)] + [(1, 100, (0,), True)] * 3


def test_trunks_with_many_jobs_are_separated_within_limits():
    batches = packed(trunks_with_tickets(40, 40, trunk_minutes=60, ticket_minutes=60))

    assert [batch.elements for batch in batches[:14]] == [3] * 13 + [1]
    assert [batch.after for batch in batches[14:]] == [(number,) for number in range(14)]


def test_a_trunk_is_not_delayed_by_its_tickets():
    """It ends its job at the fork, and 25 tickets start at once."""
    trunk, tickets = packed(trunks_with_tickets(1, 25, trunk_minutes=15, ticket_minutes=10))

    assert trunk.parcels[0].keys == ("t0",)
    assert [parcel.runs for parcel in tickets.parcels] == [3] * 8 + [1]


def test_a_short_trunk_takes_tickets_into_its_job():
    trunk, tickets = packed(trunks_with_tickets(1, 25, trunk_minutes=2, ticket_minutes=3))

    assert trunk.parcels[0].keys == ("t0", "t0.0", "t0.1", "t0.2")
    assert trunk.seconds == 11 * MINUTE
    assert [parcel.runs for parcel in tickets.parcels] == [10, 12]


def test_runs_without_dependents_delay_no_others():
    """Two long trunks and a hundred single runs: the tickets wait for their trunk and not for the single runs."""
    single = [Node(f"s{number}", None, 30 * MINUTE) for number in range(100)]
    batches = packed([*single, *trunks_with_tickets(2, 3, 40, 20)])

    assert [(batch.elements, batch.after) for batch in batches] == [
        (1, ()),
        (1, ()),
        (100, ()),
        (3, (0,)),
        (3, (1,)),
    ]


def test_a_short_rest_stays_with_its_trunk():
    """A minute of tickets after 35 minutes of training is no reason to queue again."""
    (batch,) = packed(trunks_with_tickets(1, 4, trunk_minutes=35, ticket_minutes=0.25))

    assert batch.parcels[0].seconds == 36 * MINUTE


def test_a_run_beyond_the_limit_has_a_separate_job():
    """It has the longest possible walltime, and continues from its checkpoint after a requeue."""
    nodes = [Node("long", None, 90 * MINUTE), Node("short", None, 5 * MINUTE)]
    (batch,) = packed(nodes, workers=4, limit=60 * MINUTE)

    assert [parcel.keys for parcel in batch.parcels] == [("long",), ("short",)]
    assert batch.minutes == 60


def test_a_short_limit_makes_short_jobs():
    """The walltime keeps its slack: 18 minutes of work request 29 of at most 30."""
    batches = packed([Node(str(number), None, MINUTE) for number in range(90)], limit=30 * MINUTE)

    assert [parcel.runs for parcel in batches[0].parcels] == [18] * 5
    assert batches[0].minutes == 30


def test_tickets_wait_for_their_trunks_in_flight():
    """They delay no runs that can start; a trunk that is neither left nor in flight is finished."""
    nodes = [
        *(Node(f"a{number}", "trunk a", 20 * MINUTE) for number in range(3)),
        *(Node(f"b{number}", "trunk b", 20 * MINUTE) for number in range(3)),
        *(Node(f"c{number}", "trunk c", 20 * MINUTE) for number in range(3)),
    ]
    batches = packed(nodes, in_flight={"trunk a", "trunk b"})

    assert [(batch.stage, batch.runs, set(batch.waits_for)) for batch in batches] == [
        (0, 3, set()),
        (1, 3, {"trunk a"}),
        (1, 3, {"trunk b"}),
    ]
    assert not any(batch.aligned for batch in batches)


def test_short_tickets_of_many_trunks_share_a_job():
    nodes = [Node(f"ticket {number}", f"trunk {number}", MINUTE) for number in range(20)]
    (batch,) = packed(nodes, in_flight={f"trunk {number}" for number in range(20)})

    assert (batch.elements, batch.runs, len(batch.waits_for)) == (1, 20, 20)


def test_a_long_array_is_cut_and_stays_aligned():
    batches = packed(trunks_with_tickets(7, 5, trunk_minutes=20, ticket_minutes=5), max_array=3)

    assert shape(batches) == [
        (0, 3, (), False),
        (0, 3, (), False),
        (0, 1, (), False),
        (1, 3, (0,), True),
        (1, 3, (1,), True),
        (1, 1, (2,), True),
    ]


def test_forks_do_not_add_stages():
    """A crown below a fork has at least the minimum length of a job."""
    nodes = []
    for number in range(200):
        nodes.append(Node(f"s{number}", f"s{number - 1}" if number else None, MINUTE))
        nodes.append(Node(f"leaf{number}", f"s{number}", MINUTE))
    batches = packed(nodes)

    assert max(batch.stage for batch in batches) < 20
    assert min(parcel.seconds for batch in batches for parcel in batch.parcels) >= 10 * MINUTE


def test_chains_of_different_lengths_align():
    """The longest come first, so that at each stage the remaining chains keep their index."""
    nodes = [
        Node(f"c{chain}.{level}", f"c{chain}.{level - 1}" if level else None, 40 * MINUTE)
        for chain, levels in enumerate([2, 4, 3])
        for level in range(levels)
    ]

    assert shape(packed(nodes)) == [
        (0, 3, (), False),
        (1, 3, (0,), True),
        (2, 2, (1,), True),
        (3, 1, (2,), True),
    ]


def test_trunks_with_different_ticket_counts_align():
    """Trunks with the most tickets come first, whatever their priority."""
    nodes = [Node(trunk, None, 40 * MINUTE) for trunk in "abc"]
    for trunk, tickets, minutes in [("a", 1, 60), ("b", 2, 50), ("c", 3, 45)]:
        nodes += [Node(f"{trunk}{number}", trunk, minutes * MINUTE) for number in range(tickets)]

    assert shape(packed(nodes)) == [
        (0, 3, (), False),
        (1, 3, (0,), True),
        (1, 2, (0,), True),
        (1, 1, (0,), True),
    ]


def test_unaligned_jobs_wait_for_the_whole_array():
    """Of three aligned chains the first continues alone and the second forks: one call for all."""
    nodes = chains(3, 2, minutes=40)
    nodes += [Node(f"on.{n}", f"on.{n - 1}" if n else "c0.1", 40 * MINUTE) for n in range(9)]
    nodes += [Node(f"fork.{n}", "c1.1", 40 * MINUTE) for n in range(3)]

    assert shape(packed(nodes))[:5] == [
        (0, 3, (), False),
        (1, 3, (0,), True),
        (2, 1, (1,), True),
        (2, 3, (1,), False),
        (3, 1, (2,), True),
    ]


def test_sbatch_calls_do_not_multiply_per_stage():
    """Ten trunks, ten long runs below each, ten below each of those."""
    nodes = [Node(f"{a}", None, 40 * MINUTE) for a in range(10)]
    nodes += [Node(f"{a}.{b}", f"{a}", 40 * MINUTE) for a in range(10) for b in range(10)]
    nodes += [
        Node(f"{a}.{b}.{c}", f"{a}.{b}", 40 * MINUTE) for a in range(10) for b in range(10) for c in range(10)
    ]
    stages = [batch.stage for batch in packed(nodes)]

    assert (stages.count(0), stages.count(1), stages.count(2)) == (1, 10, 10)


def test_forking_trees_are_separated_within_limits():
    nodes = [Node(f"{a}", None, 40 * MINUTE) for a in range(4)]
    nodes += [Node(f"{a}.{b}", f"{a}", 40 * MINUTE) for a in range(4) for b in range(7)]
    nodes += [
        Node(f"{a}.{b}.{c}", f"{a}.{b}", 40 * MINUTE) for a in range(4) for b in range(7) for c in range(20)
    ]
    stages = [batch.stage for batch in packed(nodes)]

    assert max(stages.count(stage) for stage in range(3)) <= WIDTH


def test_short_crowns_share_a_job_up_to_floor():
    """Six minutes, and tickets too long to be included: two crowns per job, so that the rest waits for two."""
    nodes = trunks_with_tickets(11, 2, trunk_minutes=6, ticket_minutes=29)
    batches = packed(nodes)
    trunks = [parcel.runs for batch in batches if batch.stage == 0 for parcel in batch.parcels]

    assert sorted(trunks) == [2, 2, 2, 2, 3]


def test_a_leftover_crown_joins_the_shortest_independent_run():
    nodes = [
        *trunks_with_tickets(1, 2, trunk_minutes=6, ticket_minutes=29),
        *(Node(f"long{number}", None, 29 * MINUTE) for number in range(3)),
        Node("shortest", None, 12 * MINUTE),
    ]
    batches = packed(nodes)

    assert set(batches[0].keys) == {"t0", "shortest"}


def test_a_long_run_does_not_split_short_ones():
    """It is alone, because it is longer than the limit allows; the others share a job as they would without it."""
    nodes = [Node("long", None, 90 * MINUTE), *(Node(f"{number}", None, 12 * MINUTE) for number in range(8))]
    (batch,) = packed(nodes, workers=4, limit=60 * MINUTE)

    assert [parcel.runs for parcel in batch.parcels] == [1, 8]


def test_a_short_rest_is_cut_off_by_the_limit():
    """39 minutes of work would request more than the hour that is available."""
    trunk, tickets = packed(trunks_with_tickets(1, 9, 30, 1), limit=60 * MINUTE)

    assert (trunk.runs, tickets.runs) == (1, 9)
    assert packed(trunks_with_tickets(1, 9, 30, 1))[0].runs == 10


def test_a_tree_is_measured_by_its_schedule():
    """Three equal tickets on two workers take two rounds, with a trunk 30 minutes and not 20."""
    nodes = trunks_with_tickets(1, 3, trunk_minutes=10, ticket_minutes=10)

    assert len(packed(nodes, workers=2, target=25 * MINUTE, floor=MINUTE)) == 2
    assert len(packed(nodes, workers=2, target=30 * MINUTE, floor=MINUTE)) == 1


def test_a_parcel_longer_than_estimated_is_halved():
    """Filled one piece after the other they end at 18; scheduled longest first, as the job does, they do not."""
    costs = [6, 9, 7, 9]
    nodes = [*(Node(f"n{number}", None, cost) for number, cost in enumerate(costs)), Node("n4", "n0", 5)]
    (batch,) = packed(nodes, workers=2, target=18, floor=0, limit=18 * 1.5 + 120)

    assert expected_seconds(nodes, 2) > 18
    assert batch.elements == 2
    assert all(parcel.seconds <= 18 for parcel in batch.parcels)


def test_a_crown_longer_when_scheduled_is_not_filled():
    nodes = [
        Node("n0", None, 1),
        *(Node(f"n{number}", "n0", cost) for number, cost in [(1, 6), (2, 9), (3, 8)]),
        Node("n4", "n1", 8),
        Node("n5", "n1", 1),
    ]
    batches = packed(nodes, workers=2, target=15, floor=15, limit=15 * 1.5 + 120)

    assert batches[0].keys == ("n0",)
    assert all(parcel.seconds <= 15 for batch in batches for parcel in batch.parcels)


def test_the_filling_clock_leaves_no_worker_idle():
    """Two parallel chains; and many trees in one job are as long as their work."""
    pair = Shift.of(2).plus(chains(1, 2, minutes=5)).plus(chains(1, 2, minutes=5))
    many = Shift.of(4)
    for _ in range(100):
        many = many.plus(trunks_with_tickets(1, 2, 1, 1))

    assert pair.free == (10 * MINUTE, 10 * MINUTE)
    assert many.seconds <= 77 * MINUTE


def test_only_elements_within_the_job_limit_are_submitted():
    batches = packed(chains(5, 4, minutes=30))

    fitting = fit(batches, 7)

    assert [batch.elements for batch in fitting] == [5, 2]
    assert fitting[0] == batches[0]
    assert fitting[1].parcels == batches[1].parcels[:2]
    assert fitting[1].aligned


def test_a_cut_batch_waits_only_for_its_jobs():
    nodes = [Node(f"ticket {number}", f"trunk {number % 40}", 20 * MINUTE) for number in range(80)]
    batches = packed(nodes, in_flight={f"trunk {number}" for number in range(40)})

    (first,) = fit(batches, 1)

    assert first.waits_for == first.parcels[0].needs != batches[0].waits_for


def test_no_places_fit_nothing_no_limit_fits_all():
    batches = packed(chains(5, 4, minutes=30))

    assert fit(batches, 0) == fit(batches, -3) == []
    assert fit(batches, None) == batches


def test_no_runs_give_no_batches():
    assert packed([]) == []


@pytest.mark.parametrize(
    ("seconds", "limit", "minutes"),
    [(30 * MINUTE, None, 50), (2 * MINUTE, None, 10), (0, 7 * MINUTE, 7), (60 * MINUTE, 45 * MINUTE, 45)],
)
def test_walltime_has_slack_and_start_up_rounded(seconds, limit, minutes):
    """Half as long again, with time to start, in steps of five minutes; between the minimum and the limit."""
    assert walltime_minutes(seconds, 10 * MINUTE, limit) == minutes


def test_expected_time_is_simulated_not_a_bound():
    """Trunk, then five equal tickets on two workers: three rounds."""
    nodes = trunks_with_tickets(1, 5, trunk_minutes=2, ticket_minutes=1)

    assert expected_seconds(nodes, 2) == 5 * MINUTE
    assert Lengths.of(2, 1, 1, None).least(7, 3) == 3.5
    assert expected_seconds([], 2) == 0


# --- properties

AWAY = ("away", "far away", "done")
IN_FLIGHT = ("away", "far away", "elsewhere")


@st.composite
def forests(draw, most=40):
    """Parents before children; some parents finished, some in flight."""
    nodes = []
    style = draw(st.sampled_from(["any", "recent", "trunks"]))
    for number in range(draw(st.integers(0, most))):
        keys = [node.key for node in nodes]
        near = {"any": keys, "recent": keys[-2:], "trunks": keys[:3]}[style]
        parent = draw(st.sampled_from([None, *AWAY, *near, *near, *near]))
        cost = draw(st.one_of(st.integers(0, 100), st.integers(0, 4000), st.sampled_from([300, 1500, 0.1])))
        nodes.append(Node(f"n{number}", parent, cost))
    return nodes


@st.composite
def clusters(draw):
    target = draw(st.sampled_from([0, 60, 1800, 5000]))
    return {
        "workers": draw(st.integers(1, 5)),
        "target": target,
        "floor": draw(st.sampled_from([0, target // 3, target, 600])),
        "limit": draw(st.sampled_from([None, 30, 600, 2000, 7200])),
        "max_array": draw(st.sampled_from([1, 2, 3, 1000])),
        "in_flight": draw(st.sampled_from([(), IN_FLIGHT])),
    }


def places(batches):
    return {
        key: (number, index)
        for number, batch in enumerate(batches)
        for index, parcel in enumerate(batch.parcels)
        for key in parcel.keys
    }


@given(forests(), clusters())
def test_every_run_is_in_exactly_one_parcel(nodes, cluster):
    keys = [key for batch in pack(nodes, **cluster) for key in batch.keys]

    assert sorted(keys) == sorted(node.key for node in nodes)


@given(forests(), clusters())
def test_every_run_is_behind_its_parent(nodes, cluster):
    """Parents are earlier in the parcel, in an earlier batch, in flight and waited for, or finished."""
    batches = pack(nodes, **cluster)
    place = places(batches)

    for node in nodes:
        number, index = place[node.key]
        batch, parcel = batches[number], batches[number].parcels[index]
        if node.parent in parcel.keys:
            assert parcel.keys.index(node.parent) < parcel.keys.index(node.key)
        elif node.parent in place:
            assert node.parent in parcel.needs
            assert place[node.parent][0] in batch.after
        elif node.parent in cluster["in_flight"]:
            assert node.parent in parcel.needs
            assert node.parent in batch.waits_for


@given(forests(), clusters())
def test_batches_wait_only_for_parents_of_their_runs(nodes, cluster):
    batches = pack(nodes, **cluster)
    place = places(batches)
    parent = {node.key: node.parent for node in nodes}

    for batch in batches:
        needs = set().union(*(parcel.needs for parcel in batch.parcels))
        assert needs <= {parent[key] for key in batch.keys}
        assert set(batch.after) == {place[key][0] for key in needs if key in place}
        assert batch.waits_for == {key for key in needs if key not in place}


@given(forests(), clusters())
def test_batches_are_in_submission_order_with_stages(nodes, cluster):
    batches = pack(nodes, **cluster)

    for number, batch in enumerate(batches):
        assert all(earlier < number for earlier in batch.after)
        before = [batches[earlier].stage for earlier in batch.after] + [0] * bool(batch.waits_for)
        assert batch.stage == (1 + max(before) if before else 0)
    assert [batch.stage for batch in batches] == sorted(batch.stage for batch in batches)


@given(forests(), clusters())
def test_aligned_batches_need_elements_at_the_same_index(nodes, cluster):
    batches = pack(nodes, **cluster)

    for batch in batches:
        if batch.aligned:
            (earlier,) = batch.after
            assert not batch.waits_for
            assert batch.elements <= batches[earlier].elements
            for own, other in zip(batch.parcels, batches[earlier].parcels, strict=False):
                assert own.needs
                assert own.needs <= set(other.keys)


@given(forests(), clusters())
def test_every_parcel_waits_for_at_most_one_other(nodes, cluster):
    batches = pack(nodes, **cluster)
    place = places(batches)

    for batch in batches:
        for parcel in batch.parcels:
            assert len({place[key] for key in parcel.needs if key in place}) <= 1


@given(forests(), clusters())
def test_only_single_runs_approach_the_walltime_limit(nodes, cluster):
    """The walltime, half as long again and two minutes, is within the limit."""
    for batch in pack(nodes, **cluster):
        for parcel in batch.parcels:
            if cluster["limit"] is not None and parcel.runs > 1:
                assert parcel.seconds * 1.5 + 120 <= max(120, cluster["limit"]) * (1 + 1e-9)


@given(forests(), clusters())
def test_parcels_are_short_only_if_alone(nodes, cluster):
    """A short parcel is joined with another one that waits for the same parcel, or, like it, for none."""
    cluster["limit"] = None
    batches = pack(nodes, **cluster)
    place = places(batches)
    families = {}
    for batch in batches:
        for parcel in batch.parcels:
            family = frozenset(place.get(key, key) for key in parcel.needs)
            families.setdefault(family, []).append(parcel)

    for parcels in families.values():
        if len(parcels) > 1:
            floor = min(cluster["floor"], cluster["target"])
            assert all(parcel.seconds >= floor * (1 - 1e-9) for parcel in parcels)


@given(forests(), clusters())
def test_the_time_of_a_parcel_is_simulated(nodes, cluster):
    runs = {node.key: node for node in nodes}
    for batch in pack(nodes, **cluster):
        for parcel in batch.parcels:
            inside = [runs[key] for key in parcel.keys]
            assert parcel.seconds == expected_seconds(inside, cluster["workers"])
        assert batch.seconds == max(parcel.seconds for parcel in batch.parcels)


@given(forests(), clusters())
def test_arrays_and_walltimes_respect_the_cluster(nodes, cluster):
    for batch in pack(nodes, **cluster):
        assert 1 <= batch.elements <= cluster["max_array"]
        assert batch.minutes >= 1
        if cluster["limit"] is None:
            assert batch.minutes * 60 >= max(batch.seconds * 1.5 + 120, cluster["floor"])
        else:
            assert batch.minutes <= max(1, cluster["limit"] / 60)


@given(forests(most=100), clusters())
@settings(max_examples=50)
def test_a_stage_takes_few_calls_of_sbatch(nodes, cluster):
    """Runs that wait for runs in flight are split separately, and runs without dependents are extra."""
    cluster["max_array"] = 1000
    stages = [batch.stage for batch in pack(nodes, **cluster)]

    assert all(stages.count(stage) <= 2 * 2 * WIDTH for stage in stages)


@given(forests(), clusters())
def test_the_same_runs_give_the_same_batches(nodes, cluster):
    assert pack(nodes, **cluster) == pack(list(nodes), **cluster)


@given(forests(), clusters(), st.integers(0, 30))
def test_fitting_batches_are_complete_and_fill_the_limit(nodes, cluster, room):
    batches = pack(nodes, **cluster)
    fitting = fit(batches, room)
    there = places(fitting)
    all_there = places(batches)

    assert sum(batch.elements for batch in fitting) == min(room, sum(batch.elements for batch in batches))
    for number, batch in enumerate(fitting):
        assert batch.parcels == batches[number].parcels[: batch.elements]
        for parcel in batch.parcels:
            for key in parcel.needs:
                assert key in there or (key not in all_there and key in batch.waits_for)
        needed = {there[key][0] for parcel in batch.parcels for key in parcel.needs if key in there}
        assert set(batch.after) == needed


@given(forests(), clusters(), st.integers(1, 5))
def test_repeated_steps_submit_all_runs(nodes, cluster, room):
    """In each step the submitted runs are in flight, and the rest is packed again."""
    left, in_flight = list(nodes), set(cluster.pop("in_flight"))
    for _ in range(len(nodes)):
        submitted = {
            key for batch in fit(pack(left, in_flight=in_flight, **cluster), room) for key in batch.keys
        }
        assert bool(submitted) == bool(left)
        left = [node for node in left if node.key not in submitted]
        in_flight |= submitted

    assert left == []


@given(forests(), st.integers(1, 5))
def test_a_schedule_is_between_its_bounds(nodes, workers):
    """Work over workers and the longest chain below, Graham's bound above."""
    lengths = Lengths.of(workers, 0, 0, None)
    ends = {}
    for node in nodes:
        ends[node.key] = ends.get(node.parent, 0) + node.cost
    work, chain = sum(node.cost for node in nodes), max(ends.values(), default=0)
    seconds = expected_seconds(nodes, workers)

    assert lengths.least(work, chain) <= seconds * (1 + 1e-9)
    assert seconds <= lengths.most(work, chain) * (1 + 1e-9)


@given(forests(), st.integers(1, 5))
def test_the_filling_clock_is_never_too_early(nodes, workers):
    """No schedule is shorter than the lower bound; single runs, longest first, are assigned as the job does."""
    single = [Node(node.key, None, node.cost) for node in sorted(nodes, key=lambda node: -node.cost)]
    shift, dealt = Shift.of(workers).plus(nodes), Shift.of(workers)
    for node in single:
        dealt = dealt.plus([node])

    assert shift.seconds * (1 + 1e-9) >= Lengths.of(workers, 0, 0, None).least(shift.work, shift.chain)
    assert math.isclose(dealt.free[-1], expected_seconds(single, workers))
