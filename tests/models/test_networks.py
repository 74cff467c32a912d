"""The registry of networks: entries name code that exists, and everything else is generated from them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lthsweep.models.networks import INITIALIZERS, NETWORKS
from lthsweep.options import load_entry

TOY = """
from lthsweep.models.networks import NETWORKS, Network
from lthsweep.options import Option
NETWORKS["toy"] = Network("none:toy", "A toy.", options={"hidden": Option(64, "Units of the toy.", least=1)})

from lthsweep.errors import SpecError
from lthsweep.spec import reference_markdown, spec_of

tables = {"sweep": {"model": {"name": "toy"}, "data": {"name": "digits"}}, "grid": {"sparsity": [0.5]}}
print(spec_of(tables).sweep.model.hidden)
try:
    spec_of(tables, ["model.hidden=0"])
except SpecError as error:
    print("model.hidden" in str(error))
print("A toy." in reference_markdown(), "Units of the toy." in reference_markdown())
"""


@pytest.mark.parametrize(
    "place", sorted({*INITIALIZERS.values(), *(entry.builder for entry in NETWORKS.values())})
)
def test_every_entry_can_be_loaded(place):
    """Entries name their code without importing it."""
    assert callable(load_entry(place))


def test_everything_generated_includes_a_new_entry():
    """The file, its errors and its reference; a fresh process, because the file's types are made once."""
    answer = subprocess.run([sys.executable, "-c", TOY], capture_output=True, text=True, check=False)

    assert answer.stdout.splitlines() == ["64", "True", "True True"], answer.stderr
