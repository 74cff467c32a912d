"""A network that a function of the user builds."""

from __future__ import annotations

import pytest
import torch

from lthsweep.errors import CodeError, ModelError
from lthsweep.models.build import build_model
from lthsweep.usercode import pinned

SOURCE = """
import random
import torch
from torch import nn

def tiny(input_shape, classes, *, width=3):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, classes))

def moody(input_shape, classes):
    model = tiny(input_shape, classes)
    with torch.no_grad():
        model[1].weight += random.random()
    return model

def narrow(input_shape, classes):
    return tiny(input_shape, 1)
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "my_nets.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LTHSWEEP_ALLOW_CODE", "my_nets")


def build(function="tiny", seed=0, **options):
    return build_model(
        {"name": pinned(f"my_nets:{function}"), **options}, input_shape=(1, 8, 8), classes=10, seed=seed
    )


def test_user_networks_depend_on_the_seed_only():
    """As for every other network."""
    first, again, other = build(width=5), build(width=5), build(width=5, seed=1)

    assert torch.equal(first[1].weight, again[1].weight)
    assert not torch.equal(first[1].weight, other[1].weight)
    assert first[1].out_features == 5


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("moody", {}, "second call"),
        ("narrow", {}, r"\[1, 10\]"),
        ("tiny", {"depth": 2}, "model.depth"),
    ],
)
def test_a_network_that_breaks_its_contract_is_refused(function, options, message):
    """Runs that cannot be repeated would be worthless."""
    with pytest.raises(ModelError, match=message):
        build(function, **options)


def test_code_that_is_not_allowed_does_not_run(monkeypatch):
    """A file can come from another person."""
    monkeypatch.delenv("LTHSWEEP_ALLOW_CODE")

    with pytest.raises(CodeError, match="LTHSWEEP_ALLOW_CODE"):
        build()
