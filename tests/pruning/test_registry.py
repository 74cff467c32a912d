"""Every entry can be loaded, and its attributes determine what the file allows."""

from __future__ import annotations

import dataclasses

import pytest

from lthsweep.errors import CodeError, SpecError, UnknownNameError
from lthsweep.options import load_entry
from lthsweep.pruning.registry import CRITERIA, criterion_of, methods_that
from lthsweep.pruning.selection import SCOPES
from lthsweep.spec import spec_of
from lthsweep.spec.prune_table import PruneSpec
from lthsweep.usercode import pinned


@pytest.mark.parametrize("name", CRITERIA)
def test_every_entry_can_be_loaded(name):
    """The registry names functions without importing them."""
    assert callable(load_entry(CRITERIA[name].scores))


def test_the_file_offers_every_scope():
    """A scope that is offered but not implemented is a mistake."""
    assert set(PruneSpec.model_fields["scope"].annotation.__args__) == SCOPES.keys()


def test_unknown_methods_point_to_the_nearest():
    """A typing mistake in the file."""
    with pytest.raises(UnknownNameError, match="did you mean 'synflow'"):
        criterion_of("synflw")


def test_a_new_entry_becomes_a_file_value(monkeypatch):
    """Nothing else has to be edited: value, rules and messages come from the entry."""
    new = dataclasses.replace(CRITERIA["snip"], undefined_for={"conv*": "it has no text"})
    monkeypatch.setitem(CRITERIA, "new", new)

    def file(model="lenet_300_100", **prune):
        return spec_of(
            {
                "sweep": {"name": "t", "model": {"name": model}, "data": {"name": "digits"}},
                "grid": {"sparsity": [0.5]},
                "prune": {"method": "new", **prune},
            }
        )

    assert file().prune.method == "new"
    with pytest.raises(SpecError, match="is not defined for conv2: it has no text; use"):
        file("conv2")
    with pytest.raises(SpecError, match=r"needs prune\.method"):
        file(scope="layer", rates={"fc3": 0.5})


def test_conditions_list_the_methods_that_meet_them():
    """Messages name the alternatives."""
    assert methods_that(lambda entry: entry.structured) == ("filter",)


def declared(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(source)
    return criterion_of(pinned("mine:scores"))


SCORES = "def scores(context):\n    raise RuntimeError\n"


@pytest.mark.parametrize(
    ("decorator", "attributes"),
    [
        ("", (False, 1)),
        ("@criterion(at_initialization=True)\n", (True, 1)),
        ("@registry.criterion(rounds=3)\n", (False, 3)),
    ],
)
def test_user_attributes_are_read_without_running(tmp_path, monkeypatch, decorator, attributes):
    """Reading a file runs nothing, and the module here would fail."""
    entry = declared(tmp_path, monkeypatch, "1 / 0\n" + decorator + SCORES)

    assert (entry.at_initialization, entry.rounds) == attributes


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("@criterion(rounds=N)\n" + SCORES, "literals"),
        ("@criterion(rounds=0)\n" + SCORES, "from 1 to 1000"),
        ("@criterion(structured=True)\n" + SCORES, "literals"),
        ("def other(): pass\n", "no function 'scores'"),
        ("def scores(:\n", "not valid Python"),
    ],
)
def test_unreadable_declarations_are_refused(tmp_path, monkeypatch, source, message):
    """A file is refused before anything is trained."""
    with pytest.raises(CodeError, match=message):
        declared(tmp_path, monkeypatch, source)


def test_a_missing_module_has_default_attributes(tmp_path, monkeypatch):
    """Tables and pages of a finished sweep can be read without the module."""
    monkeypatch.chdir(tmp_path)

    assert criterion_of("gone:scores@0123456789abcdef").supports_chains


def test_user_criteria_at_initialization_are_one_shot(tmp_path, monkeypatch):
    """A plan must not depend on whether the module is on this machine."""
    declared(tmp_path, monkeypatch, "@criterion(at_initialization=True)\n" + SCORES)

    with pytest.raises(SpecError, match="one-shot"):
        spec_of(
            {
                "sweep": {"name": "t", "model": {"name": "conv2"}, "data": {"name": "digits"}},
                "grid": {"sparsity": [0.5]},
                "prune": {"method": "mine:scores", "schedule": "iterative"},
            }
        )
