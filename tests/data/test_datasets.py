from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from lthsweep.data.datasets import DATASETS, dataset
from lthsweep.errors import UnknownNameError


def test_every_loader_exists():
    """Entries name their reader without importing it, so only this test would see a wrong name."""
    for entry in DATASETS.values():
        module, function = entry.reader.split(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_keys_are_the_names():
    """A data set is found under the name that it gives itself."""
    assert all(key == entry.name for key, entry in DATASETS.items())


def test_downloads_are_found_where_they_are_put():
    """`prepare` downloads to <root>/<name>, which therefore must be a folder that is looked in."""
    assert all(entry.name in entry.folders for entry in DATASETS.values() if entry.files)


def test_unknown_name_offers_the_nearest():
    """A typing error in the file is answered with the right word."""
    with pytest.raises(UnknownNameError, match="'cifar10'"):
        dataset("cifer10")


@pytest.mark.parametrize("module", ["datasets", "cache", "availability", "split", "order", "augment"])
def test_modules_of_commands_import_no_torch_or_readers(module):
    """Commands that do not train must start quickly; checked by imported modules, not by time."""
    code = (
        f"import sys, lthsweep.data.{module}; "
        "print([name for name in ('torch', 'torchvision', 'sklearn', 'PIL') if name in sys.modules])"
    )

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"


TOY = """
from lthsweep.data.datasets import DATASETS
from lthsweep.data.entry import Dataset
DATASETS["toy"] = Dataset(name="toy", reader="a:b", summary="A toy.", shape=(1, 2, 3), validation=7, embedded=True)

from lthsweep.data.availability import list_datasets
from lthsweep.data.markdown import datasets_markdown
from lthsweep.spec import reference_markdown, spec_of

tables = {"sweep": {"model": {"name": "lenet_300_100"}, "data": {"name": "toy"}}, "grid": {"sparsity": [0.5]}}
print(spec_of(tables).sweep.data.validation)
print([row.state for row in list_datasets() if row.name == "toy"])
print("| `toy` | 1×2×3 |" in datasets_markdown(), "A toy." in reference_markdown())
"""


@pytest.mark.slow
def test_everything_generated_includes_a_new_entry():
    """The file, its reference, the page and `data list`; a fresh process, because the file's types are made once."""
    answer = subprocess.run([sys.executable, "-c", TOY], capture_output=True, text=True, check=False)

    assert answer.stdout.splitlines() == ["7", "['embedded']", "True True"], answer.stderr
