"""Circuit breaker and blocklist: repeated equal failures halt a sweep, and failing nodes are avoided."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.launch.slurm.circuit_breaker import NodeEnd, bad_nodes, normalized, trips

NO_SPACE = "StoreError: cannot write /n/scratch/lab/{key}.h5: No space left on device"


def worked(*nodes):
    return [NodeEnd(node, "worked") for node in nodes]


def failed(*nodes):
    return [NodeEnd(node, "failed", "CUDA error") for node in nodes]


# --- the breaker -----------------------------------------------------------------------------------------------------


def test_three_equal_failures_halt_sweeps_without_finished_runs():
    """Their keys and paths differ; the message has the first cause."""
    causes = [NO_SPACE.format(key=key) for key in ("3f2a9c01", "77aa01be", "00c1d2e3")]

    assert trips(causes, finished=0) == f"3 failed in the same way and none finished: {causes[0]}"
    assert trips(causes[:2], finished=0) is None


def test_different_failures_do_not_stop_a_sweep():
    assert trips(["killed by signal 9 (SIGKILL)", "DataError: no such file", "diverged"], finished=0) is None


def test_with_finished_runs_the_majority_must_fail():
    """A strict majority of all ended runs; a few failing cells are no reason to stop."""
    assert trips(["the same"] * 5, finished=5) is None
    assert trips(["the same"] * 6, finished=5) == "6 failed in the same way and only 5 finished: the same"
    assert trips(["the same"] * 6 + ["another"], finished=5) is None


def test_the_threshold_can_be_set():
    assert trips(["x"], finished=0, threshold=1)
    assert not trips(["x"] * 4, finished=0, threshold=5)


def test_a_cause_of_several_lines_becomes_one_line():
    assert trips(["a\n  b"] * 3, finished=0) == "3 failed in the same way and none finished: a b"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no such file: /data/a/b.npz", "no such file: /scratch/x.npz"),
        ("cannot read results/demo/records/0a1b2c3d.h5", "cannot read results/demo/records/99ffee00.h5"),
        ("worker 4711 died on n17", "worker 4802 died on n3"),
        ("run 1f00aa2b needs its trunk 77aa01be", "run 1f0daa2b needs its trunk 00c1d2e3"),
        ("out of memory: tried 20.00 MiB of 10.76 GiB", "out of memory: tried 1.5 GiB of 79 GiB"),
        ("address 0xdeadbeef, loss -1.5e-3", "address 0x7FFF00, loss 2"),
        ("wrong   shape", "wrong\nshape"),
    ],
)
def test_paths_keys_and_numbers_are_normalized(one, other):
    assert normalized(one) == normalized(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("killed by signal 9 (SIGKILL)", "killed by signal 15 (SIGTERM)"),
        ("DataError: no such file", "StoreError: no such file"),
        ("added facade", "added decade"),
    ],
)
def test_different_words_are_different_causes(one, other):
    assert normalized(one) != normalized(other)


CAUSES = st.lists(st.sampled_from(["a", "b", "c 1", "c 2", "d /x", "d /y"]), max_size=12)


@given(CAUSES, st.integers(0, 8), st.randoms())
def test_the_order_of_failures_does_not_matter(causes, finished, random):
    shuffled = list(causes)
    random.shuffle(shuffled)

    assert bool(trips(causes, finished)) == bool(trips(shuffled, finished))


@given(CAUSES, st.integers(0, 8), st.integers(0, 8))
def test_more_finished_runs_never_halt_a_sweep(causes, finished, more):
    if trips(causes, finished) is None:
        assert trips(causes, finished + more) is None


@given(CAUSES, st.integers(0, 8), st.integers(1, 5))
def test_the_breaker_needs_threshold_and_majority(causes, finished, threshold):
    most = max((sum(normalized(a) == normalized(b) for b in causes) for a in causes), default=0)

    assert bool(trips(causes, finished, threshold)) == (
        most >= threshold and most > (len(causes) + finished) / 2
    )


@given(st.text())
def test_normalizing_twice_changes_nothing(text):
    assert normalized(normalized(text)) == normalized(text)


# --- nodes -----------------------------------------------------------------------------------------------------------


def test_three_failures_in_succession_mark_a_node():
    """Provided that elements on other nodes work."""
    ends = failed("bad") + worked("good") + failed("bad") + worked("good") + failed("bad")

    assert bad_nodes(ends) == {"bad"}
    assert bad_nodes(ends[:-1]) == frozenset()


def test_a_vanished_element_counts_like_a_failed_one():
    ends = [NodeEnd("bad", "vanished"), *worked("x", "y"), NodeEnd("bad", "vanished"), *failed("bad")]

    assert bad_nodes(ends) == {"bad"}


def test_no_node_is_bad_if_all_fail():
    """A file system that is down fails all nodes, including those on which elements worked before."""
    assert bad_nodes(worked("a", "b", "c") + failed(*"abcabcabc")) == frozenset()


def test_one_success_elsewhere_is_not_enough():
    assert bad_nodes(failed("a", "a", "a", "a") + worked("b")) == frozenset()


def test_a_node_that_works_again_is_good():
    ends = failed("a", "a", "a") + worked("b", "b")

    assert bad_nodes(ends) == {"a"}
    assert bad_nodes(ends + worked("a")) == frozenset()
    assert bad_nodes(ends + worked("a") + failed("a", "a")) == frozenset()


def test_two_nodes_can_fail_alike():
    assert bad_nodes(failed(*"ababab") + worked("c", "c")) == {"a", "b"}


ENDS = st.lists(
    st.builds(NodeEnd, st.sampled_from("abcd"), st.sampled_from(["worked", "failed", "vanished"])),
    max_size=40,
)


@given(ENDS, st.integers(1, 4), st.integers(1, 3))
def test_never_all_nodes_are_bad(ends, in_a_row, others):
    assert bad_nodes(ends, in_a_row, others) < {end.node for end in ends} or not ends


@given(ENDS, st.integers(1, 4), st.integers(1, 3))
def test_bad_nodes_follow_their_definition(ends, in_a_row, others):
    bad = bad_nodes(ends, in_a_row, others)

    for node in {end.node for end in ends}:
        start = max((at for at, end in enumerate(ends) if end == NodeEnd(node, "worked")), default=-1) + 1
        row = [at for at in range(start, len(ends)) if ends[at].node == node]
        elsewhere = sum(
            end.outcome == "worked" for at, end in enumerate(ends) if row and at > row[0] and end.node != node
        )
        assert (node in bad) == (len(row) >= in_a_row and elsewhere >= others)


@given(ENDS)
def test_more_success_elsewhere_keeps_bad_nodes_bad(ends):
    assert bad_nodes(ends) <= bad_nodes([*ends, *worked("e")])
