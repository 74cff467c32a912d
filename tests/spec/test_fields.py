"""Allowed values and tables that are generated from registries, with code of the user."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import ConfigDict, Field, ValidationError

from lthsweep.options import Option
from lthsweep.spec.fields import EntryTable, FileTable, NameOf, TableByName, Text, tables_of
from lthsweep.spec.schema import allowed, choices

REGISTRY = {"magnitude": object(), "random": object()}


class Shape(EntryTable):
    color: Text = Field("red", description="Its color.")


class OwnShape(Shape):
    model_config = ConfigDict(extra="allow")

    name: Annotated[Text, NameOf({})] = Field(description="The function that draws it.")


SIDE = {"side": Option(2, "Length of a side.", least=1)}
SHAPES = tables_of(
    Shape,
    {
        "square": ("Four sides.", SIDE),
        "rhombus": ("Four sides.", SIDE),
        "circle": ("Round.", {"fill": Option("none", "Filling.", choices=("none", "solid"))}),
    },
    "The shape.",
)


class Drawing(FileTable):
    method: Annotated[Text, NameOf(REGISTRY)] = Field("magnitude", description="A method.")
    shape: Annotated[Shape, TableByName(SHAPES, own_code=OwnShape)] = Field(description="A shape.")


@pytest.fixture(autouse=True)
def own_module(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("def method(): ...\n")
    monkeypatch.chdir(tmp_path)


def read(**keys):
    return Drawing.model_validate({"shape": {"name": "circle"}, **keys})


def test_code_of_the_user_is_pinned():
    """The hash of its source is part of the key."""
    assert read(method="random").method == "random"
    assert read(method="mine:method").method.startswith("mine:method@")
    shape = read(shape={"name": "mine:method", "corners": 5}).shape
    assert shape.name.startswith("mine:method@")
    assert shape.model_dump() == {"name": shape.name, "color": "red", "corners": 5}


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"method": "randon"}, 'did you mean "random"'),
        ({"method": "other:method"}, "no module 'other'"),
        ({"shape": {"name": "circle", "fill": "half"}}, "'none' or 'solid'"),
        ({"shape": {"name": "square", "side": 0}}, "greater than or equal to 1"),
        ({"shape": {"name": "square", "fill": "solid"}}, "not permitted"),
        ({"shape": {"name": "triangle"}}, "triangle"),
        ({"shape": {}}, "discriminator"),
        ({"shape": "circle"}, "not a table"),
    ],
)
def test_wrong_values_are_refused(keys, reason):
    """By the entry's own options."""
    with pytest.raises(ValidationError, match=reason):
        read(**keys)


def test_names_with_equal_options_share_a_table():
    """The reference page has one section for them."""
    assert SHAPES["square"] is SHAPES["rhombus"] is not SHAPES["circle"]
    assert read(shape={"name": "rhombus"}).shape.model_dump() == {
        "name": "rhombus",
        "color": "red",
        "side": 2,
    }


def test_texts_list_the_entries():
    """Error messages and the reference page use them."""
    method, shape = (Drawing.model_fields[name] for name in ("method", "shape"))

    assert allowed(method) == 'one of "magnitude", "random", or "module:function" of your code'
    assert '"square", "rhombus", "circle"' in allowed(shape)
    assert "module:function" in choices(shape)
