"""What fails time and again for one reason is not submitted again; a node that breaks everything is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.launch.slurm.breaker import NodeEnd, bad_nodes, normalized, trips

NO_SPACE = "StoreError: cannot write /n/scratch/lab/{key}.h5: No space left on device"


def worked(*nodes):
    return [NodeEnd(node, "worked") for node in nodes]


def failed(*nodes):
    return [NodeEnd(node, "failed", "CUDA error") for node in nodes]


# --- the breaker -----------------------------------------------------------------------------------------------------


def test_three_runs_that_fail_alike_stop_a_sweep_in_which_nothing_finished():
    """Their keys and paths differ; the sentence quotes the first."""
    causes = [NO_SPACE.format(key=key) for key in ("3f2a9c01", "77aa01be", "00c1d2e3")]

    assert trips(causes, finished=0) == f"3 failed in the same way and none finished: {causes[0]}"
    assert trips(causes[:2], finished=0) is None


def test_different_failures_do_not_stop_a_sweep():
    assert trips(["killed by signal 9 (SIGKILL)", "DataError: no such file", "diverged"], finished=0) is None


def test_with_runs_finished_it_takes_more_failures_than_that():
    """A strict majority of all that ended; a bad corner of the grid is no reason to stop."""
    assert trips(["the same"] * 5, finished=5) is None
    assert trips(["the same"] * 6, finished=5) == "6 failed in the same way and only 5 finished: the same"
    assert trips(["the same"] * 6 + ["another"], finished=5) is None


def test_how_many_are_evidence_can_be_chosen():
    assert trips(["x"], finished=0, threshold=1)
    assert not trips(["x"] * 4, finished=0, threshold=5)


def test_a_cause_of_several_lines_is_told_in_one():
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
def test_what_changes_from_run_to_run_makes_no_difference(one, other):
    assert normalized(one) == normalized(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("killed by signal 9 (SIGKILL)", "killed by signal 15 (SIGTERM)"),
        ("DataError: no such file", "StoreError: no such file"),
        ("added facade", "added decade"),
    ],
)
def test_words_make_a_difference(one, other):
    assert normalized(one) != normalized(other)


CAUSES = st.lists(st.sampled_from(["a", "b", "c 1", "c 2", "d /x", "d /y"]), max_size=12)


@given(CAUSES, st.integers(0, 8), st.randoms())
def test_the_order_of_failures_makes_no_difference(causes, finished, random):
    shuffled = list(causes)
    random.shuffle(shuffled)

    assert bool(trips(causes, finished)) == bool(trips(shuffled, finished))


@given(CAUSES, st.integers(0, 8), st.integers(0, 8))
def test_more_finished_runs_never_stop_a_sweep(causes, finished, more):
    if trips(causes, finished) is None:
        assert trips(causes, finished + more) is None


@given(CAUSES, st.integers(0, 8), st.integers(1, 5))
def test_what_stops_a_sweep_is_at_least_three_and_most_of_what_ended(causes, finished, threshold):
    most = max((sum(normalized(a) == normalized(b) for b in causes) for a in causes), default=0)

    assert bool(trips(causes, finished, threshold)) == (
        most >= threshold and most > (len(causes) + finished) / 2
    )


@given(st.text())
def test_any_text_is_normalized_once_and_for_all(text):
    assert normalized(normalized(text)) == normalized(text)


# --- nodes -----------------------------------------------------------------------------------------------------------


def test_a_node_that_breaks_three_in_a_row_while_others_work_is_bad():
    ends = failed("bad") + worked("good") + failed("bad") + worked("good") + failed("bad")

    assert bad_nodes(ends) == {"bad"}
    assert bad_nodes(ends[:-1]) == frozenset()


def test_an_element_that_left_no_word_counts_like_one_that_failed():
    ends = [NodeEnd("bad", "vanished"), *worked("x", "y"), NodeEnd("bad", "vanished"), *failed("bad")]

    assert bad_nodes(ends) == {"bad"}


def test_if_nothing_works_anywhere_no_node_is_to_blame():
    """A file system that is down breaks all nodes, also those on which things worked before."""
    assert bad_nodes(worked("a", "b", "c") + failed(*"abcabcabc")) == frozenset()


def test_one_element_that_worked_elsewhere_is_no_evidence():
    assert bad_nodes(failed("a", "a", "a", "a") + worked("b")) == frozenset()


def test_a_node_that_works_again_is_good_again():
    ends = failed("a", "a", "a") + worked("b", "b")

    assert bad_nodes(ends) == {"a"}
    assert bad_nodes(ends + worked("a")) == frozenset()
    assert bad_nodes(ends + worked("a") + failed("a", "a")) == frozenset()


def test_two_nodes_may_be_bad_in_the_same_way():
    assert bad_nodes(failed(*"ababab") + worked("c", "c")) == {"a", "b"}


ENDS = st.lists(
    st.builds(NodeEnd, st.sampled_from("abcd"), st.sampled_from(["worked", "failed", "vanished"])),
    max_size=40,
)


@given(ENDS, st.integers(1, 4), st.integers(1, 3))
def test_never_are_all_nodes_bad(ends, in_a_row, others):
    assert bad_nodes(ends, in_a_row, others) < {end.node for end in ends} or not ends


@given(ENDS, st.integers(1, 4), st.integers(1, 3))
def test_a_bad_node_ended_with_a_row_of_nothing_while_others_worked(ends, in_a_row, others):
    bad = bad_nodes(ends, in_a_row, others)

    for node in {end.node for end in ends}:
        start = max((at for at, end in enumerate(ends) if end == NodeEnd(node, "worked")), default=-1) + 1
        row = [at for at in range(start, len(ends)) if ends[at].node == node]
        elsewhere = sum(
            end.outcome == "worked" for at, end in enumerate(ends) if row and at > row[0] and end.node != node
        )
        assert (node in bad) == (len(row) >= in_a_row and elsewhere >= others)


@given(ENDS)
def test_more_work_elsewhere_never_makes_a_bad_node_good(ends):
    assert bad_nodes(ends) <= bad_nodes([*ends, *worked("e")])
