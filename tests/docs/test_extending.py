"""Every recipe of `docs/extending.md` works for a reader who follows it."""

from __future__ import annotations

from textwrap import indent

import pytest

from tests.docs.recipes import add_entry, command, copy_package, follow, titled_blocks

pytestmark = pytest.mark.slow

SWEEP = """
[sweep]
name = "recipe"
model = { name = "lenet_300_100" }
data = { name = "digits" }

[train]
epochs = 1

[grid]
sparsity = [0.8]
rewind_epoch = [0]
seed = [0]
"""


def test_a_criterion_of_the_user_runs(tmp_path, cache):
    """In a folder outside the package, with the page's own module, file and commands."""
    *_, table = follow("Your own module", tmp_path, cache)

    assert "my_criteria:movement@" in table
    assert "my_criteria:gradient@" in table


def test_a_criterion_added_to_the_package_runs(tmp_path, cache):
    """One module and one entry: the file, the reference and the run know the name."""
    copy_package(tmp_path)
    blocks = titled_blocks("In the package")
    title = "lthsweep/pruning/criteria/movement.py"
    (tmp_path / title).write_text(blocks[title])
    add_entry(tmp_path / "lthsweep/pruning/registry.py", blocks["entry of CRITERIA"])
    (tmp_path / "recipe.toml").write_text(SWEEP + '"prune.method" = ["movement"]\n')

    command("python docs/refresh.py", tmp_path, cache)
    command("lthsweep run recipe.toml", tmp_path, cache)
    table = command("lthsweep query results/recipe --columns method,ticket_accuracy", tmp_path, cache)

    assert "movement removes the weights that moved least" in (tmp_path / "docs/the-file.md").read_text()
    assert "movement" in table


def test_a_network_added_to_the_package_runs(tmp_path, cache):
    """One module and one entry: the file takes its option, and the reference describes it."""
    copy_package(tmp_path)
    blocks = titled_blocks("Add a network")
    title = "lthsweep/models/two_layers.py"
    (tmp_path / title).write_text(blocks[title])
    add_entry(tmp_path / "lthsweep/models/networks.py", blocks["entry of NETWORKS"])
    (tmp_path / "recipe.toml").write_text(SWEEP)

    command("python docs/refresh.py", tmp_path, cache)
    network = "--set model.name=two_layers --set model.hidden=8 --set data.size=8"
    command(f"lthsweep run recipe.toml {network}", tmp_path, cache)
    query = "lthsweep query results/recipe --table runs --columns kind,params_prunable --csv"
    rows = command(query, tmp_path, cache).splitlines()[1:]

    assert [float(row.split(",")[1]) for row in rows] == [64 * 8 + 8 * 10] * 2
    assert "Units of the hidden layer." in (tmp_path / "docs/the-file.md").read_text()


def test_a_data_set_added_to_the_package_runs(tmp_path, cache):
    """One reader and one entry: the commands of data, the file, the reference and a run know the name."""
    copy_package(tmp_path)
    blocks = titled_blocks("Add a data set")
    title = "lthsweep/data/even_digits.py"
    (tmp_path / title).write_text(blocks[title])
    add_entry(tmp_path / "lthsweep/data/datasets.py", blocks["entry of _ENTRIES"])
    (tmp_path / "recipe.toml").write_text(SWEEP)

    command("python docs/refresh.py", tmp_path, cache)
    listed = command("lthsweep data list", tmp_path, cache)
    command("lthsweep run recipe.toml --set data.name=even_digits", tmp_path, cache)
    table = command("lthsweep query results/recipe --columns ticket_accuracy,n --csv", tmp_path, cache)

    assert "even_digits" in listed
    assert table.splitlines()[1].endswith(",1")
    assert "Even handwritten digits" in (tmp_path / "docs/the-file.md").read_text()
    assert "| `even_digits` | 1×8×8 | 5 | 791 / 100 |" in (tmp_path / "docs/data.md").read_text()


def test_a_metric_is_one_field_and_one_line(tmp_path, cache):
    """Record, columns of two tables and the page follow from the field."""
    copy_package(tmp_path)
    blocks = titled_blocks("Add a metric")
    line = indent(blocks["line of measure"], "    ")
    for name, before, added in (
        ("store/metrics.py", "    sparsity_achieved: float", indent(blocks["field of Metrics"], "    ")),
        ("lottery/result.py", "    return Metrics(\n", line),
        ("lottery/result.py", "        sparsity_achieved=", "        weight_norm=weight_norm,\n"),
    ):
        path = tmp_path / "lthsweep" / name
        path.write_text(path.read_text().replace(before, added + before, 1))
    (tmp_path / "recipe.toml").write_text(SWEEP)

    command("python docs/refresh.py", tmp_path, cache)
    command("lthsweep run recipe.toml", tmp_path, cache)
    query = "lthsweep query results/recipe --columns weight_norm --csv"
    (ticket,) = command(query, tmp_path, cache).splitlines()[1:]
    runs = command(f"{query} --table runs", tmp_path, cache).splitlines()[1:]

    assert float(ticket) > 0
    assert len(runs) == 2 and ticket in runs
    assert "Euclidean norm of the prunable weights" in (tmp_path / "docs/the-table.md").read_text()
