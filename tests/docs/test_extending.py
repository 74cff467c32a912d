"""Every recipe of `docs/extending.md` works for a reader who follows it."""

from __future__ import annotations

import csv
from textwrap import indent

import pytest

from tests.docs.recipes import add_entry, command, copy_package, follow, titled_blocks

pytestmark = pytest.mark.slow

SWEEP = """
[sweep]
name = "recipe"
model = { name = "two_layers", hidden = 8 }
data = { name = "even_digits" }

[train]
epochs = 1

[prune]
method = "movement"

[grid]
sparsity = [0.8]
rewind_epoch = [0]
seed = [0]

[local]
workers = 1
"""


def test_a_criterion_of_the_user_runs(tmp_path, cache):
    """In a folder outside the package, with the page's own module, file and commands."""
    *_, table = follow("Your own module", tmp_path, cache)

    assert "my_criteria:movement@" in table
    assert "my_criteria:gradient@" in table


def test_additions_to_the_package_run(tmp_path, cache):
    """Criterion, network, data set: one module and one entry. Metric: one field and one line.

    The file, the commands, the reference and a run know each of them. One sweep uses all four, because each process
    that trains takes seconds to start. The recipes change different modules, so none can hide a gap of another.
    """
    package = tmp_path / "lthsweep"
    copy_package(tmp_path)
    for heading, title, registry in (
        ("In the package", "pruning/criteria/movement.py", "pruning/registry.py: CRITERIA"),
        ("Add a network", "models/two_layers.py", "models/networks.py: NETWORKS"),
        ("Add a data set", "data/even_digits.py", "data/datasets.py: _ENTRIES"),
    ):
        path, name = registry.split(": ")
        blocks = titled_blocks(heading)
        (package / title).write_text(blocks[f"lthsweep/{title}"])
        add_entry(package / path, blocks[f"entry of {name}"])
    _add_metric(package)
    (tmp_path / "recipe.toml").write_text(SWEEP)

    command("python docs/refresh.py", tmp_path, cache)
    listed = command("lthsweep data list", tmp_path, cache)
    command("lthsweep run recipe.toml", tmp_path, cache)
    (ticket,) = _query("--columns method,ticket_accuracy,weight_norm,n", tmp_path, cache)
    runs = _query("--table runs --columns kind,params_prunable,weight_norm", tmp_path, cache)

    reference = (tmp_path / "docs/the-file.md").read_text()
    assert "movement removes the weights that moved least" in reference
    assert "Units of the hidden layer." in reference
    assert "Even handwritten digits" in reference
    assert "| `even_digits` | 1×8×8 | 5 | 791 / 100 |" in (tmp_path / "docs/data.md").read_text()
    assert "Euclidean norm of the prunable weights" in (tmp_path / "docs/the-table.md").read_text()
    assert "even_digits" in listed
    assert (ticket["method"], ticket["n"]) == ("movement", "1")
    assert float(ticket["ticket_accuracy"]) > 0
    assert [float(run["params_prunable"]) for run in runs] == [64 * 8 + 8 * 5] * 2
    assert float(ticket["weight_norm"]) > 0
    assert ticket["weight_norm"] in [run["weight_norm"] for run in runs]


def _add_metric(package):
    blocks = titled_blocks("Add a metric")
    line = indent(blocks["line of measure"], "    ")
    for name, before, added in (
        ("store/metrics.py", "    sparsity_achieved: float", indent(blocks["field of Metrics"], "    ")),
        ("lottery/result.py", "    return Metrics(\n", line),
        ("lottery/result.py", "        sparsity_achieved=", "        weight_norm=weight_norm,\n"),
    ):
        path = package / name
        source = path.read_text()
        assert before in source, f"{path} has no {before!r}"
        path.write_text(source.replace(before, added + before, 1))


def _query(options, folder, cache):
    """The rows of a query as dictionaries of strings."""
    return list(
        csv.DictReader(command(f"lthsweep query results/recipe {options} --csv", folder, cache).splitlines())
    )
