"""Every preset becomes a plan with a known number of epochs."""

from __future__ import annotations

import re

import pytest

from lthsweep.plan.estimate import cost_of
from lthsweep.plan.expand import expand
from lthsweep.presets import preset_names, preset_text
from lthsweep.spec import load_spec


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_has_its_stated_epochs(name):
    """The number in its header is read before a night of computing."""
    stated = re.search(r"^# Time: ([0-9,]+) epochs", preset_text(name), re.MULTILINE)

    plan = expand(load_spec(name))

    assert stated is not None
    assert float(stated[1].replace(",", "")) == pytest.approx(cost_of(plan).epochs, rel=0.001)
    assert {cell.run for cell in plan.cells} <= plan.runs.keys()


def test_conv6_uses_the_pruning_rates_of_the_paper():
    """Frankle & Carbin 2019, figure 2: 15 % of convolutions, 20 % of fully connected layers, 10 % of the output."""
    plan = expand(load_spec("paper-conv6-cifar10"))

    assert {run.prune.rates for run in plan.tickets if run.prune} == {(("conv*", 0.75), ("fc3", 0.5))}
    assert load_spec("paper-conv6-cifar10").grid.sparsity[0] == 0.2


def test_the_rounds_preset_has_separate_chains():
    """A cell belongs to the level that equals its number of rounds."""
    plan = expand(load_spec("digits-cnn-rounds"))

    assert all(plan[cell.run].level == cell["prune.rounds"] for cell in plan.cells)


def test_resnet20_rewinds_in_iterations_with_global_ranking():
    """Frankle et al. 2020: k = 0, 500 and 2,000 iterations, 160 epochs of 390 steps."""
    plan = expand(load_spec("paper-resnet20-cifar10"))

    assert {str(run.prune.point) for run in plan.tickets if run.prune} == {"0", "500it", "2000it"}
    assert {run.prune.scope for run in plan.tickets if run.prune} == {"global"}


def test_the_small_preset_also_takes_official_images():
    """The command of docs/data.md; both have the same number of steps."""
    small = load_spec("cifar10-mobilenetv2-small")
    official = load_spec(
        "cifar10-mobilenetv2-small",
        ["data.name=cifar10", "data.validation=1000", "data.train_images=25000"],
    )

    assert cost_of(expand(small)).epochs == cost_of(expand(official)).epochs
    assert official.sweep.data.name == "cifar10"
