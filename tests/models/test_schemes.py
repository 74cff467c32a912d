"""A custom initialization fills every weight, or is refused with the weights that it left."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from lthsweep.errors import ModelError
from lthsweep.models.build import build_model
from lthsweep.models.networks import NETWORKS
from lthsweep.models.shapes import TextShape
from lthsweep.usercode import ALLOW_VARIABLE, pinned

PAGE = Path(__file__).parents[2] / "docs" / "initialization.md"
NETS = """
import torch
from torch import nn

def small(input_shape, classes):
    zeros = nn.Linear(4, classes)
    nn.init.zeros_(zeros.weight)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4), zeros
    )
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ALLOW_VARIABLE, "my_inits,my_nets")
    (tmp_path / "my_nets.py").write_text(NETS)
    return tmp_path


def filled(body: str, name: str | None = None) -> nn.Module:
    Path("my_inits.py").write_text(f"import torch\nfrom torch import nn\ndef scheme(model):\n{body}")
    options = {"name": name or pinned("my_nets:small"), "init": pinned("my_inits:scheme")}
    return build_model(options, input_shape=(1, 4, 4), classes=3, seed=0)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    pass", r"fills nothing: 1.weight, 4.weight kept"),
        ("    nn.init.normal_(model[1].weight)", r"fills only a part: 4.weight kept"),
        (
            "    nn.init.normal_(model[1].weight)\n    nn.init.normal_(model[4].weight[:1])",
            r"fills only a part: 4.weight",
        ),
        ("    nn.init.zeros_(model[1].bias)", r"fills nothing"),
        ("    return nn.Linear(3, 3)", r"returns another model; fill"),
        ("    import copy\n    return copy.deepcopy(model)", r"returns another model"),
        ("    model = nn.Linear(2, 2)\n    nn.init.normal_(model.weight)", r"fills nothing"),
    ],
)
def test_a_scheme_that_leaves_weights_is_refused(here, body, message):
    """Zeros of the constructor in the last layer are no random values, so they may stay."""
    with pytest.raises(ModelError, match=message):
        filled(body)


@pytest.mark.parametrize(
    "body",
    [
        "    [nn.init.normal_(m.weight) for m in model.modules() if isinstance(m, nn.Linear)]",
        "    [m.reset_parameters() for m in model.modules() if isinstance(m, nn.Linear)]",
        "    for p in model.parameters():\n        p.mul_(0.5)",
        "    for p in model.parameters():\n        p.fill_(0.25)\n    return model",
    ],
)
def test_schemes_that_fill_every_weight_are_accepted(here, body):
    """The constructor's own distribution from the same seed, scaling in place, and constants included."""
    filled(body)


def test_frozen_weights_and_embeddings_may_stay(here):
    (here / "my_nets.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, input_shape, classes):\n"
        "        super().__init__()\n"
        "        self.table = nn.Embedding(4, 5)\n"
        "        self.frozen = nn.Linear(16, 5).requires_grad_(False)\n"
        "        self.out = nn.Linear(5, classes)\n"
        "    def forward(self, x):\n"
        "        return self.out(self.frozen(x.flatten(1)) + self.table.weight[0])\n"
    )

    filled("    nn.init.normal_(model.out.weight)", pinned("my_nets:Net"))


def test_the_documented_network_is_built(here):
    page = (PAGE.parent / "models.md").read_text()
    block = re.search(r'```python title="my_nets.py"\n(.*?)```', page, re.DOTALL)
    assert block is not None
    (here / "my_nets.py").write_text(block[1])

    options = {"name": pinned("my_nets:SharedCnn"), "width": 8}
    model = build_model(options, input_shape=(1, 8, 8), classes=10, seed=0)

    assert model.second.weight is model.first.weight


@pytest.mark.parametrize("name", NETWORKS)
def test_the_documented_scheme_fills_every_built_in_network(here, name):
    """Also those whose convolutions have no bias."""
    block = re.search(r'```python title="my_inits.py"\n(.*?)```', PAGE.read_text(), re.DOTALL)
    assert block is not None
    (here / "my_inits.py").write_text(block[1])
    shape = TextShape(12, 20) if NETWORKS[name].reads == "texts" else (3, 32, 32)

    model = build_model(
        {"name": name, "init": pinned("my_inits:half_kaiming")}, input_shape=shape, classes=3, seed=0
    )

    assert all(bool(torch.isfinite(weight).all()) for weight in model.parameters())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def small(input_shape, classes): return nn.LazyLinear(classes)", r"lazy layers.*weight"),
        ("def small(input_shape, classes): return nn.Flatten()", "has no parameters"),
        ("small = nn.Linear(16, 3)", "is built already"),
        ("def small(input_shape, classes): return 3", "returns int; return a torch.nn.Module"),
        ("def small(channels): return nn.Linear(16, 3)", r"build\(input_shape, classes, \*\*options\)"),
        ("class small(nn.Module):\n    pass", r"build\(input_shape, classes, \*\*options\)"),
    ],
)
def test_networks_that_do_not_keep_the_contract_are_refused(here, text, message):
    (here / "my_nets.py").write_text(f"from torch import nn\n{text}")
    with pytest.raises(ModelError, match=message):
        build_model({"name": pinned("my_nets:small")}, input_shape=(1, 4, 4), classes=3, seed=0)
