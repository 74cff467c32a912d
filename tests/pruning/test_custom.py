"""Criteria of the user: the contract, and every way to break it."""

from __future__ import annotations

import pytest
import torch

from lthsweep.errors import CodeError, PruningError
from lthsweep.pruning.make import make_masks
from lthsweep.pruning.scoring import ScoringContext
from lthsweep.usercode import ALLOW_VARIABLE, pinned

WEIGHTS = {"a": torch.tensor([1.0, -3.0, 2.0]), "b": torch.tensor([0.5])}


@pytest.fixture
def masks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ALLOW_VARIABLE, "mine")

    def made(body, head=""):
        (tmp_path / "mine.py").write_text(f"import torch\n{head}\ndef scores(context):\n    {body}\n")
        context = ScoringContext(WEIGHTS, seed=3)
        return make_masks(pinned("mine:scores"), context, scope="global", sparsity=0.5)

    return made


def test_highest_scores_stay(masks):
    """Here those of the largest weights with their sign."""
    found = masks("return dict(context.weights)")

    assert (found["a"].tolist(), found["b"].tolist()) == ([True, False, True], [False])


def test_code_that_is_not_allowed_is_not_run(masks, monkeypatch):
    """The file cannot allow it."""
    monkeypatch.setenv(ALLOW_VARIABLE, "")

    with pytest.raises(CodeError, match=ALLOW_VARIABLE):
        masks("return dict(context.weights)")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return {'a': context.weights['a']}", "one tensor for each of a, b"),
        ("return {n: w.sum() for n, w in context.weights.items()}", r"tensor of shape \(3,\)"),
        ("return {n: torch.rand(w.shape) for n, w in context.weights.items()}", "second call"),
        ("return {n: w / 0 * 0 for n, w in context.weights.items()}", "is NaN"),
        ("return context.gradients", "needs the network"),
        ("return context.no_such", "AttributeError"),
    ],
)
def test_broken_contracts_are_named(masks, body, message):
    """Before anything is trained with a wrong mask."""
    with pytest.raises(PruningError, match=message):
        masks(body)


def test_a_function_of_two_arguments_is_refused(masks):
    """The contract is scores(context)."""
    with pytest.raises(PruningError, match=r"scores\(context\)"):
        masks("pass\ndef scores(a, b): pass")


def test_attributes_that_were_not_read_are_refused(masks):
    """Under another name the decorator is not found in the source, and its attributes would be lost."""
    head = "from lthsweep.pruning.registry import criterion as c\n@c(rounds=2)"

    with pytest.raises(PruningError, match="@criterion"):
        masks("return dict(context.weights)", head)
