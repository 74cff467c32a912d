"""Runs of different data, or of networks that differ between versions of a library, are never pooled."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reduce_cases import make_plan, make_record, result

from lthsweep.reduce.directory_pool import read_pool
from lthsweep.reduce.frames import frame_of
from lthsweep.reduce.merge import current, merge, reduce_records
from lthsweep.reduce.pooling import RecordOrigin, origins_in, pool
from lthsweep.reduce.table import encode_table
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import encode

PLAN = make_plan(
    sparsity=[0.5, 0.9],
    rewind_epoch=[0],
    seed=[0, 1, 2],
    **{"prune.method": ["magnitude", "filter"], "prune.control": ["ticket", "reinit"]},
)
DATA = ("a" * 64, "b" * 64)
NETWORKS = (
    {},
    {"library": "torchvision", "version": "0.25", "hash": "p"},
    {"library": "torchvision", "version": "0.26", "hash": "q"},
)
POOLED = ("tickets", "controls", "structures")
OF_STATES = ("n_missing", "n_set_aside")
"""Columns that count a seed which is set aside in one table, and missing in a table without its records."""


def record_of(run, data, network=None, host="h1"):
    made = make_record(run, host=host)
    extra = {"data_fingerprint": data} | ({"network": network} if network else {})
    return replace(made, provenance={**made.provenance, **extra})


def results_by_seed(plan, data_of, host_of=None):
    return [
        result(record_of(run, data_of[run.seed], host=(host_of or {}).get(run.seed, "h1")))
        for run in plan.runs.values()
    ]


def pool_of(results, plan=PLAN):
    return pool(plan, origins_in(reduce_records(plan, results).tables["runs"]))


def numbers(table, name):
    frame = frame_of(table.tables[name])
    return frame.drop(columns=[column for column in OF_STATES if column in frame])


def test_the_group_with_most_dense_runs_is_used():
    """Seed 2 was decoded elsewhere: all its runs are set aside, those of the other seeds are used."""
    table = reduce_records(
        PLAN, results_by_seed(PLAN, dict(zip(range(3), (*DATA[:1] * 2, DATA[1]), strict=False)))
    )

    tickets, runs = frame_of(table.tables["tickets"]), frame_of(table.tables["runs"])

    assert set(tickets["n"]) == {2}
    assert set(tickets["n_set_aside"]) == {1}
    assert set(tickets["n_missing"]) == {0}
    assert set(tickets["n_failed"]) == {0}
    assert set(frame_of(table.tables["controls"])["n_set_aside"]) == {1}
    assert set(frame_of(table.tables["structures"])["n_set_aside"]) == {1}
    assert set(runs[runs["seed"] == 2]["state"]) == {"set aside"}
    assert set(runs[runs["seed"] != 2]["state"]) == {"done"}
    assert set(runs[runs["seed"] == 2]["data_fingerprint"]) == {DATA[1]}


def test_of_equal_groups_the_smaller_fingerprint_is_used():
    """The choice depends on the records alone, not on the order of reading."""
    plan = make_plan(sparsity=[0.5], rewind_epoch=[0], seed=[0, 1])

    assert {plan[key].seed for key in pool_of(results_by_seed(plan, DATA), plan).keys} == {1}
    assert {plan[key].seed for key in pool_of(results_by_seed(plan, DATA[::-1]), plan).keys} == {0}


def test_more_dense_runs_win_over_more_runs():
    """A group of dense runs can still get its tickets; tickets without a dense run are of no use."""
    results = results_by_seed(PLAN, (DATA[0], DATA[1], DATA[1]))
    dense_only = [one for one in results if one.kind == "dense" or PLAN[one.key].seed == 0]

    assert {PLAN[key].seed for key in pool_of(dense_only).keys} == {0}


def test_a_ticket_counts_by_its_own_fingerprint():
    """A ticket that differs from its dense run is set aside alone."""
    results = {one.key: one for one in results_by_seed(PLAN, DATA[:1] * 3)}
    ticket = PLAN.tickets[0]
    results[ticket.key] = result(record_of(ticket, DATA[1]))

    table = reduce_records(PLAN, results.values())

    assert pool_of(results.values()).keys == {ticket.key}
    assert frame_of(table.tables["tickets"])["n_set_aside"].sum() == 1


def test_children_of_a_run_set_aside_count_as_set_aside():
    """Their seed has results, although the child itself was never trained."""
    results = results_by_seed(PLAN, (DATA[0], DATA[0], DATA[1]))
    without = [one for one in results if PLAN[one.key].seed != 2 or one.kind == "dense"]

    tickets = frame_of(reduce_records(PLAN, without).tables["tickets"])

    assert set(tickets["n_set_aside"]) == {1}
    assert set(tickets["n_missing"]) == {0}


def test_different_descriptions_are_grouped_apart():
    """Two sizes of an image have two fingerprints, and both are used."""
    plan = make_plan(sparsity=[0.5], rewind_epoch=[0], seed=[0], **{"data.size": [16, 32]})
    sizes = [run.recipe.data["size"] for run in plan.runs.values()]
    results = [
        result(record_of(run, DATA[size == 32])) for run, size in zip(plan.runs.values(), sizes, strict=True)
    ]

    assert not pool_of(results, plan).keys


def test_options_applied_after_packing_share_a_fingerprint():
    """Values of such an axis are compared with each other, so they must have seen the same data."""
    plan = make_plan(sparsity=[0.5], rewind_epoch=[0], seed=[0, 1], **{"data.augment": ["none", "crop"]})
    results = [
        result(record_of(run, DATA[run.recipe.data["augment"] == "crop"])) for run in plan.runs.values()
    ]

    assert {plan[key].recipe.data["augment"] for key in pool_of(results, plan).keys} == {"crop"}


@pytest.mark.parametrize(("hashes", "aside"), [(("p", "p", "p"), set()), (("p", "p", "q"), {2})])
def test_versions_are_pooled_if_their_network_is_equal(hashes, aside):
    """A version that changed the network counts as another network; a version that did not is the same."""
    networks = [
        {"library": "torchvision", "version": f"0.{25 + (seed == 2)}", "hash": name}
        for seed, name in enumerate(hashes)
    ]
    results = [result(record_of(run, DATA[0], networks[run.seed])) for run in PLAN.runs.values()]

    found = pool_of(results)

    assert {PLAN[key].seed for key in found.keys} == aside
    if aside:
        assert "torchvision 0.26" in found.summary
        assert "torchvision 0.25" in found.summary


def test_equal_versions_count_as_one_group():
    """Two versions of two seeds each outnumber a third one of three."""
    plan = make_plan(sparsity=[0.5], rewind_epoch=[0], seed=list(range(7)))
    versions = dict(zip(range(7), ("1", "1", "1", "2", "2", "3", "3"), strict=True))
    results = [
        result(
            record_of(
                run,
                DATA[0],
                {
                    "library": "timm",
                    "version": versions[run.seed],
                    "hash": "old" if versions[run.seed] == "1" else "new",
                },
            )
        )
        for run in plan.runs.values()
    ]

    assert {plan[key].seed for key in pool_of(results, plan).keys} == {0, 1, 2}


@given(
    st.lists(
        st.tuples(st.sampled_from(DATA), st.sampled_from(NETWORKS), st.booleans()), min_size=3, max_size=3
    ),
    st.sets(st.sampled_from(list(PLAN.runs)), max_size=8),
    st.sets(st.sampled_from([run.key for run in PLAN.tickets]), max_size=3),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_mix_gives_the_numbers_of_the_used_group(of_seeds, absent, moved):
    """For any mix of data, networks, missing and diverged runs: no number of a table contains another group."""
    records = []
    for key, run in PLAN.runs.items():
        data, network, diverged = of_seeds[run.seed]
        if key in moved:
            data = DATA[data == DATA[0]]
        if key not in absent:
            made = record_of(run, data, network)
            records.append(replace(made, outcome="diverged") if diverged and run.kind == "ticket" else made)
    results = [result(one) for one in records]

    mixed = reduce_records(PLAN, results)
    aside = pool_of(results).keys
    alone = reduce_records(PLAN, [one for one in results if one.key not in aside])

    for name in POOLED:
        assert numbers(mixed, name).equals(numbers(alone, name)), name
    runs = frame_of(mixed.tables["runs"])
    assert set(runs[runs["state"] == "set aside"]["key"]) == aside
    assert encode_table(reduce_records(PLAN, results[::-1])) == encode_table(mixed)


@given(st.dictionaries(st.sampled_from(list(PLAN.runs)), st.tuples(*[st.sampled_from("ab")] * 4)))
def test_groups_count_each_run_once(origins):
    """The line of a command adds up, and a pool without disagreement is empty."""
    found = pool(PLAN, {key: RecordOrigin(*values, host="h") for key, values in origins.items()})

    assert sum(group.runs for group in found.groups) == len(found.keys)
    assert (found.keys == frozenset()) == (found.notes("d") == ())


def write(sweep, plan, data_of):
    sweep.create()
    for key, run in plan.runs.items():
        sweep.record(key).write_bytes(encode(record_of(run, data_of[run.seed], host=f"host{run.seed}")))


def test_rows_of_an_older_table_keep_their_origin(tmp_path):
    """A merge that reads only new records sets the same runs aside as one that reads all."""
    sweep = SweepDir(tmp_path / "sweep")
    write(sweep, PLAN, (DATA[0], DATA[0], DATA[1]))
    late = sweep.record(PLAN.tickets[-1].key)
    content = late.read_bytes()
    late.unlink()
    merge(sweep, PLAN)
    late.write_bytes(content)

    grown = merge(sweep, PLAN).read_bytes()

    assert grown == merge(sweep, PLAN, full=True).read_bytes()


@pytest.mark.parametrize("merged", [False, True])
def test_a_directory_is_divided_as_its_table(tmp_path, merged):
    """`status` reads the dense runs, or an older table, and reports the same runs as `merge`."""
    sweep = SweepDir(tmp_path / "sweep")
    write(sweep, PLAN, (DATA[0], DATA[1], DATA[1]))
    expected = pool(PLAN, origins_in(current(sweep, PLAN)["runs"]))
    if merged:
        merge(sweep, PLAN)

    found = read_pool(PLAN, sweep)

    assert found.pool == expected
    assert {PLAN[key].seed for key in found.pool.keys} == {0}
    (note,) = found.notes("'my sweep'")
    assert "host0" in note
    assert "host1" in note
    assert DATA[0][:12] in note
    assert "lthsweep doctor 'my sweep' --move-set-aside" in note


def test_records_of_other_data_are_named_apart(tmp_path):
    """Records outside the plan are of another grid, or of other source files; the line distinguishes them."""
    sweep = SweepDir(tmp_path / "sweep")
    other_grid = make_plan(sparsity=[0.5], rewind_epoch=[0], seed=[7])
    write(sweep, other_grid, {7: DATA[0]})
    (dense,) = other_grid.dense
    moved = replace(
        record_of(dense, DATA[0]),
        key="f" * 20,
        manifest={**dense.manifest, "data": {**dense.manifest["data"], "source": "c" * 64}},
    )
    sweep.record(moved.key).write_bytes(encode(moved))

    before = read_pool(PLAN, sweep)
    merge(sweep, PLAN)
    after = read_pool(PLAN, sweep)

    assert before == after
    assert (after.foreign, dict(after.other_data)) == (3, {"c" * 64: 1})
    assert "1 record in d belongs to other data (source cccccccccccc)" in after.notes("d")[0]
    assert "2 records in d belong to another grid or recipe, and not to the table" in after.notes("d")[0]
