"""The plan of a budget run: within its time, to the requested sparsity, with an error for impossible times."""

from __future__ import annotations

import re
from dataclasses import astuple, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.errors import BudgetError
from lthsweep.plan.rounds import (
    Budget,
    BudgetCosts,
    BudgetProgress,
    next_sparsity,
    plan_rounds,
    rate_of,
    smallest_budget,
)
from lthsweep.pruning.counts import kept_count
from lthsweep.spec.text_forms import in_seconds

TARGETS = st.integers(1, 999).map(lambda n: n / 1000)
COSTS = st.builds(
    BudgetCosts,
    epoch=st.floats(0.01, 1e4),
    prune=st.floats(0, 100),
    score=st.floats(0, 100),
    finish=st.floats(0, 100),
)


@st.composite
def cases(draw, least=0.1):
    """A run that has just profiled its first epoch: budget, target, standing, costs, epochs of a whole round.

    The budget is at least so many times the smallest that would do.
    """
    length = draw(st.integers(1, 200))
    full = draw(st.integers(1, length))
    costs = draw(COSTS)
    standing = BudgetProgress(costs.epoch * draw(st.floats(1, 1.5)), done=1, length=length)
    shape = Budget(1, draw(st.integers(1, length)), draw(st.integers(1, 20)))
    seconds = draw(st.floats(least, 30)) * smallest_budget(shape, standing, costs, full)
    return replace(shape, seconds=seconds), draw(TARGETS), standing, costs, full


def first_plan(case):
    """The first plan, or None if the budget is refused."""
    try:
        return plan_rounds(*case, may_refuse=True)
    except BudgetError:
        return None


@given(cases(least=1))
def test_what_is_planned_ends_within_the_budget(case):
    """And no round is shorter than the minimum, longer than a whole one, or one too many."""
    budget, _, standing, costs, full = case
    plan = plan_rounds(*case, may_refuse=True)

    assert plan.end <= budget.seconds * (1 + 1e-6)
    assert 1 <= plan.prunings <= budget.max_rounds
    assert min(budget.min_round_epochs, full) <= plan.epochs <= full
    assert min(budget.min_round_epochs, full) <= plan.current <= standing.length
    took = (plan.current - 1) * costs.epoch + plan.prunings * (costs.prune + plan.epochs * costs.epoch)
    assert plan.end == pytest.approx(standing.spent + took + costs.score + costs.finish)


@given(cases(least=1))
def test_rounds_are_shortened_only_if_none_fits(case):
    """Several rounds are whole ones, and one more of them would not have fitted."""
    budget, _, standing, costs, full = case
    plan = plan_rounds(*case, may_refuse=True)

    if plan.prunings > 1:
        assert (plan.current, plan.epochs) == (standing.length, full)
    if (plan.current, plan.epochs) == (standing.length, full) and plan.prunings < budget.max_rounds:
        assert plan.end + costs.prune + full * costs.epoch > budget.seconds
    if plan.epochs < full:
        longer = costs.epoch * (1 + (plan.current < standing.length))
        assert plan.end + longer > budget.seconds * (1 - 1e-6)


@given(cases(least=1), st.floats(1, 100))
def test_more_time_never_makes_less_of_a_ticket(case, factor):
    """More rounds, or as many that are as long; and never a refusal."""
    less, more = (
        plan_rounds(replace(case[0], seconds=seconds), *case[1:], may_refuse=True)
        for seconds in (case[0].seconds, case[0].seconds * factor)
    )

    assert (more.prunings, more.epochs, more.current) >= (less.prunings, less.epochs, less.current)


@given(cases(least=1), st.floats(1.001, 100))
def test_a_faster_machine_never_makes_less_of_it(case, factor):
    """The same budget on a machine on which everything takes less time."""
    budget, target, standing, costs, full = case
    fast = BudgetCosts(*(seconds / factor for seconds in astuple(costs)))

    slow_plan = plan_rounds(*case, may_refuse=True)
    fast_plan = plan_rounds(
        budget, target, replace(standing, spent=standing.spent / factor), fast, full, may_refuse=True
    )

    assert (slow_plan.prunings, slow_plan.epochs) <= (fast_plan.prunings, fast_plan.epochs)


@given(cases())
def test_a_refusal_names_a_budget_that_does(case):
    """The message has a time for the file; except for margin and rounding, no shorter time works."""
    budget, _, standing, costs, full = case
    smallest = smallest_budget(budget, standing, costs, full)

    named = first_plan((replace(budget, seconds=smallest), *case[1:]))
    step = 1 if smallest < 600 else 60
    below = first_plan((replace(budget, seconds=0.999999 * (smallest - step) / 1.05), *case[1:]))

    assert named is not None
    assert below is None
    if first_plan(case) is None:
        with pytest.raises(BudgetError) as refused:
            plan_rounds(*case, may_refuse=True)
        written = re.search(r"would do is (\S+)$", str(refused.value))
        assert written and in_seconds(written[1]) == smallest


@given(cases())
def test_later_plans_always_end_with_a_ticket(case):
    """Once a run has begun in earnest it ends with a ticket; its last round has at least one epoch."""
    plan = plan_rounds(*case)

    assert plan.prunings >= 1
    assert plan.epochs >= 1
    assert plan.current >= case[2].done


@given(cases(), st.integers(0, 50))
def test_the_last_round_uses_the_remaining_time(case, done):
    """There is nothing to prune any more; it ends within the budget, or at once where that is over."""
    budget, target, standing, costs, full = case
    done = min(done, full)
    last = BudgetProgress(standing.spent, target, 3, done, full)

    plan = plan_rounds(budget, target, last, costs, full)

    assert (plan.prunings, plan.epochs, plan.rate) == (0, 0, 0)
    assert max(1, done) <= plan.current <= full
    if plan.current > max(1, done):
        assert plan.end <= budget.seconds * (1 + 1e-6)
    if plan.current < full:
        assert plan.end + costs.epoch > budget.seconds * (1 - 1e-6)


@given(TARGETS, st.integers(1, 30), st.integers(10, 10**7))
def test_the_rounds_lead_to_the_sparsity_exactly(target, prunings, weights):
    """Counts never rise on the way, each round removes the same share, and the last count is the requested one."""
    sparsities = [0.0]
    for left in range(prunings, 0, -1):
        sparsities.append(next_sparsity(sparsities[-1], target, left))

    assert sparsities[-1] == target
    assert all(before <= after for before, after in pairwise(sparsities))
    kept = [kept_count(weights, sparsity) for sparsity in sparsities]
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] == kept_count(weights, target)
    rate = rate_of(0.0, target, prunings)
    assert rate == pytest.approx(1 - (1 - target) ** (1 / prunings))
    for before, after in pairwise(sparsities):
        assert (1 - after) == pytest.approx((1 - before) * (1 - rate), abs=1e-9)


def test_the_figures_of_an_example():
    """20 minutes; an epoch of 10 s, 20 of them to a round, 5 s a pruning: dense, and four rounds of 205 s."""
    costs = BudgetCosts(epoch=10, prune=5, score=2, finish=8)
    standing = BudgetProgress(spent=12, done=1, length=20)

    plan = plan_rounds(Budget(1200), 0.9, standing, costs, 20)

    assert (plan.prunings, plan.epochs, plan.current) == (4, 20, 20)
    assert plan.end == 12 + 190 + 4 * 205 + 2 + 8
    assert plan.rate == pytest.approx(1 - 0.1**0.25)


def test_the_figures_of_a_short_budget():
    """In two minutes there is one pruning, and five epochs before and after it."""
    costs = BudgetCosts(epoch=10, prune=5, score=2, finish=8)
    standing = BudgetProgress(spent=12, done=1, length=20)

    plan = plan_rounds(Budget(120), 0.9, standing, costs, 20, may_refuse=True)

    assert (plan.prunings, plan.epochs, plan.current, plan.rate) == (1, 5, 5, pytest.approx(0.9))
    with pytest.raises(BudgetError, match=r"prune.time = 2m is too short here.* at least 8 epochs.* is 186s"):
        plan_rounds(Budget(120, min_round_epochs=8), 0.9, standing, costs, 20, may_refuse=True)
