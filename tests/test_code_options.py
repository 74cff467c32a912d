"""Options of the user's networks and readers: checked when a file is read, without running the code, and axes."""

from __future__ import annotations

import tomllib

import pytest

from lthsweep.code_options import code_options
from lthsweep.errors import CodeError, SpecError
from lthsweep.models.build import build_model
from lthsweep.plan.expand import expand
from lthsweep.spec import commented_template, dump_spec, spec_of
from lthsweep.usercode import ALLOW_VARIABLE, pinned

CODE = """
from typing import Literal
import torch
from torch import nn

def tiny(input_shape, classes, *, width=32, scale=1, act: Literal["relu", "tanh"] = "relu", bias: "bool" = True):
    layers = [nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, classes)]
    return nn.Sequential(*layers)

def needs(input_shape, classes, depth: int): ...

def any_name(input_shape, classes, **options): ...

class Net(nn.Module):
    def __init__(self, input_shape, classes, width: int = 8, dropout: float | None = None): ...

class Inherited(Net): ...

@torch.no_grad()
def decorated(input_shape, classes): ...

rebound = tiny

def load(files, *, size: int = 8): ...
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(CODE)
    return tmp_path


def spec(*overrides, name="mine:tiny", data="digits", **grid):
    tables = {
        "sweep": {"model": {"name": name}, "data": {"name": data}},
        "grid": {"sparsity": [0.5], **grid},
    }
    return spec_of(tables, overrides)


def message(*overrides, **more):
    with pytest.raises(SpecError) as caught:
        spec(*overrides, **more)
    return str(caught.value)


def test_options_of_a_user_network_are_axes(monkeypatch):
    """Each value is another dense run, and reaches the function."""
    monkeypatch.setenv(ALLOW_VARIABLE, "mine")

    plan = expand(spec(**{"model.width": [4, 8]}))

    recipes = [run.recipe.model for run in plan.dense]
    assert [recipe["width"] for recipe in recipes] == [4, 8]
    models = [build_model(recipe, input_shape=(1, 8, 8), classes=10, seed=0) for recipe in recipes]
    assert [model[1].out_features for model in models] == [4, 8]


def test_options_of_user_code_can_be_set():
    """Also as an axis, and for readers."""
    assert spec("model.width=4").sweep.model.width == 4
    assert spec("grid.model.width=[4, 8]").grid.axes["model.width"] == (4, 8)
    assert spec("data.size=10", data="mine:load").sweep.data.size == 10


@pytest.mark.parametrize(
    ("overrides", "more", "expected"),
    [
        (["model.widht=4"], {}, "did you mean `width`?"),
        (["model.width=a"], {}, "must be a number"),
        (["model.act=gelu"], {}, 'must be one of "relu", "tanh"'),
        (["model.bias=1"], {}, "must be true or false"),
        (["model.width=1.5"], {"name": "mine:Net"}, "must be a whole number"),
        (["grid.model.width=[4, 1.5]"], {"name": "mine:Net"}, 'grid."model.width"[1] = 1.5: must be a whole'),
        (["grid.model.depth=[4]"], {}, 'grid."model.depth"[0] = 4: is not an option of mine:tiny'),
        ([], {"name": "mine:needs"}, "sweep.model.depth: is missing; mine:needs requires it"),
        ([], {"model.name": ["mine:tiny", "mine:needs"]}, "sweep.model.depth is missing"),
        (["data.size=a"], {"data": "mine:load"}, "sweep.data.size"),
        (["model.width=4"], {"name": "lenet_300_100"}, "no such key"),
        (["grid.model.depth=[4]"], {"name": "lenet_300_100"}, "no such key"),
        (
            ["grid.model.width=[4]"],
            {"model.name": ["mine:tiny", "lenet_300_100"]},
            "only mobilenet_v2 has it among the built-in names;",
        ),
    ],
)
def test_wrong_options_are_refused_by_name(overrides, more, expected):
    """When the file is read, not by a worker after the queue."""
    assert expected in message(*overrides, **more)


def test_axes_of_model_and_data_are_checked_together():
    """The required option is an axis; an axis of the data must not count it as missing."""
    grid = spec(name="mine:needs", **{"model.depth": [1, 2], "data.validation": [10, 20]}).grid

    assert len(grid.axes) == 5


@pytest.mark.parametrize("name", ["Inherited", "decorated", "rebound"])
def test_signatures_that_the_source_hides_are_unchecked(name):
    """The worker calls the function and reports options that it refuses."""
    assert code_options(pinned(f"mine:{name}"), 2) is None
    assert spec("model.depth=4", name=f"mine:{name}").sweep.model.depth == 4


@pytest.mark.parametrize("place", ["model.name", "data.name", "model.init", "prune.method"])
def test_absent_functions_are_refused_by_name(place):
    """When the file is read: every run would fail in its worker."""
    for overrides in ([f"{place}=mine:absent"], [f'grid.{place}=["mine:absent"]']):
        assert "has no function 'absent'" in message(*overrides)


@pytest.mark.parametrize(
    "code",
    [
        "from elsewhere import found",
        "from elsewhere import other as found",
        "from elsewhere import *",
        "found = make()",
        "try:\n    import found\nexcept ImportError:\n    def found(): ...",
        "def __getattr__(name): ...",
        "globals()['found'] = make()",
        "def make():\n    global found\n    found = 1\nmake()",
    ],
)
def test_every_way_to_define_a_name_counts(here, code):
    (here / "mine.py").write_text(code)

    assert pinned("mine:found").startswith("mine:found@")


@pytest.mark.parametrize("code", ["found", "class A:\n    def found(self): ...", "def f():\n    found = 1"])
def test_names_elsewhere_in_a_module_do_not_count(here, code):
    (here / "mine.py").write_text(code)

    with pytest.raises(CodeError, match="has no function 'found'"):
        pinned("mine:found")


def test_functions_with_free_options_accept_any_name():
    assert spec("model.depth=4", name="mine:any_name").sweep.model.depth == 4


def test_numbers_without_annotation_accept_any_number():
    """A default of 1 can be a factor."""
    assert spec("model.scale=0.5").sweep.model.scale == 0.5


def test_files_without_their_code_are_read(here):
    """Results are read where the code is not."""
    whole = spec("model.width=4")
    (here / "mine.py").unlink()

    for write in (dump_spec, commented_template):
        assert spec_of(tomllib.loads(write(whole))) == whole
