"""A small right file, and ways to make it wrong."""

from __future__ import annotations

import copy
import tomllib
from typing import Any

import pytest

from lthsweep.errors import SpecError
from lthsweep.spec import Spec, spec_of

GOOD = """\
[sweep]
name = "small"
model = { name = "mobilenet_v2", width = 0.5 }
data = { name = "digits" }

[train]
epochs = 8
optimizer = { name = "sgd", lr = 0.05, momentum = 0.9 }
schedule = { name = "cosine", warmup = 1 }

[prune]
scope = "layer"

[grid]
sparsity = [0.5, 0.8]
rewind_epoch = [0, 2]
seed = [0, 1]
"""


def tables(**changes: Any) -> dict[str, Any]:
    """The good file as tables, with keys changed by path: `train__epochs=3`; None removes a key."""
    out = copy.deepcopy(tomllib.loads(GOOD))
    for dotted, value in changes.items():
        *parents, name = dotted.split("__")
        here = out
        for parent in parents:
            here = here.setdefault(parent, {})
        if value is None:
            here.pop(name, None)
        else:
            here[name] = value
    return out


def spec(*overrides: str, **changes: Any) -> Spec:
    """The spec of the good file with changes."""
    return spec_of(tables(**changes), overrides)


def message(*overrides: str, **changes: Any) -> str:
    """The problems of the good file after changes that make it wrong."""
    with pytest.raises(SpecError) as caught:
        spec_of(tables(**changes), overrides)
    return str(caught.value)
