"""The user's code: naming it runs nothing, changed code gets another name, and it runs only if it is allowed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lthsweep.errors import CodeError, ModelError, SpecError
from lthsweep.models.build import build_model
from lthsweep.plan.expand import expand
from lthsweep.spec import dump_spec, load_spec, spec_of
from lthsweep.usercode import ALLOW_VARIABLE, Code, is_code, load, pinned, require_allowed
from tests.launch.sweeps import command, environment

SCHEME = """
import torch

def small(model):
    for parameter in model.parameters():
        parameter.normal_(0, 0.01)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a module `my_inits` that may be run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ALLOW_VARIABLE, "my_inits")
    (tmp_path / "my_inits.py").write_text(SCHEME)
    return tmp_path


def build(init, name="lenet_300_100", seed=0):
    return build_model({"name": name, "init": init}, input_shape=(1, 8, 8), classes=10, seed=seed)


def tables(init, **grid):
    return {
        "sweep": {"model": {"name": "lenet_300_100", "init": init}, "data": {"name": "digits"}},
        "grid": {"sparsity": [0.5], **grid},
    }


def keys(spec):
    return list(expand(spec).runs)


def test_user_code_initializes_the_model_from_the_seed(here):
    name = pinned("my_inits:small")

    one, same, other = build(name), build(name), build(name, seed=1)

    assert 0.009 < one.fc1.weight.std().item() < 0.011
    assert torch.equal(one.fc1.weight, same.fc1.weight)
    assert not torch.equal(one.fc1.weight, other.fc1.weight)


def test_the_file_gets_the_hash_of_the_source(here):
    """On the grid as well, so that the resolved file, the keys and the tables say which code was meant."""
    spec = spec_of(tables("my_inits:small", **{"model.init": ["default", "my_inits:small"]}))

    name = pinned("my_inits:small")
    assert spec.sweep.model.init == name
    assert spec.grid.dotted["model.init"] == ("default", name)
    assert name in dump_spec(spec)


def test_changed_code_changes_every_key(here):
    before = keys(spec_of(tables("my_inits:small")))
    again = keys(spec_of(tables("my_inits:small")))
    (here / "my_inits.py").write_text(SCHEME.replace("0.01", "0.02"))

    after = keys(spec_of(tables("my_inits:small")))

    assert again == before
    assert not set(after) & set(before)


def test_a_resolved_file_needs_no_code(here):
    """Readers of results need no code and get the stored keys."""
    spec = spec_of(tables("my_inits:small"))
    (here / "sweep.toml").write_text(dump_spec(spec))
    (here / "my_inits.py").unlink()

    assert keys(load_spec(here / "sweep.toml")) == keys(spec)


def test_reading_and_planning_run_no_user_code(here):
    """Neither the module nor its package, even where it is allowed."""
    (here / "loud").mkdir()
    (here / "loud" / "__init__.py").write_text("raise SystemExit('was run')")
    (here / "loud" / "inits.py").write_text("raise SystemExit('was run')\ndef scheme(model): pass")

    expand(spec_of(tables("loud.inits:scheme")))

    assert "loud" not in sys.modules


def test_user_code_runs_only_if_allowed(here, monkeypatch):
    """Only the environment allows it, module by module; no file can."""
    name = pinned("my_inits:small")
    for value in ("", "other", "my_inits2", "true", "1"):
        monkeypatch.setenv(ALLOW_VARIABLE, value)
        with pytest.raises(CodeError, match="LTHSWEEP_ALLOW_CODE=my_inits"):
            build(name)

    monkeypatch.setenv(ALLOW_VARIABLE, "other, my_inits")
    require_allowed(name)


def test_code_changed_since_the_plan_is_not_run(here):
    name = pinned("my_inits:small")
    (here / "my_inits.py").write_text("raise SystemExit('was run')")

    with pytest.raises(CodeError, match="is not the source"):
        build(name)


def test_exactly_the_hashed_bytes_are_run(here):
    """Neither an imported module of that name, nor a compiled file next to the source."""
    first = load(pinned("my_inits:small"))
    (here / "my_inits.py").write_text(SCHEME.replace("small", "other"))

    assert load(pinned("my_inits:other")).__name__ == "other"
    assert first.__name__ == "small"


def test_a_module_can_import_modules_of_its_package(here, monkeypatch):
    monkeypatch.syspath_prepend(here)
    (here / "neighbor_of_inits.py").write_text("SCALE = 0.5\n")
    (here / "my_inits.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from neighbor_of_inits import SCALE\n"
        "@dataclass(frozen=True)\n"
        "class Scheme:\n"
        "    scale: float\n"
        "    def __call__(self, model):\n"
        "        for parameter in model.parameters():\n"
        "            parameter.fill_(self.scale)\n"
        "half = Scheme(SCALE)\n"
    )

    assert build(pinned("my_inits:half")).fc1.weight.unique().tolist() == [0.5]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("small = 3", "names no function: small in .* is a int"),
        ("def other(model): pass", "has no function 'small'"),
        ("def small(): pass", r"cannot be called as scheme\(model\)"),
        ("def small(model, gain): pass", r"cannot be called as scheme\(model\)"),
        ("def small(model): model.nothing", "fails: AttributeError"),
        ("1 / 0\ndef small(model): pass", "fails when it is run: ZeroDivisionError"),
        ("def small(model: broken syntax", "fails when it is run: SyntaxError"),
        ("def small(model): model.fc1.weight.fill_(float('nan'))", "not finite in fc1.weight"),
        ("def small(model): del model.fc1.bias; model.fc1.bias = None", "in place"),
        (
            "import random\ndef small(model): model.fc1.weight.fill_(random.random())",
            "second call",
        ),
    ],
)
def test_code_that_does_not_fit_is_an_error(here, body, message):
    (here / "my_inits.py").write_text(body)

    with pytest.raises((CodeError, ModelError), match=message):
        build(pinned("my_inits:small"))


def test_a_missing_module_is_a_file_error(here):
    with pytest.raises(SpecError, match=r"sweep\.model\.init.*no module 'no_inits'.*PYTHONPATH"):
        spec_of(tables("no_inits:small"))
    with pytest.raises(SpecError, match=r"no module 'no_inits'"):
        spec_of(tables("default", **{"model.init": ["default", "no_inits:small"]}))


@pytest.mark.parametrize(
    "name", ["a:", ":b", "a:b:c", "a/b:c", "../a:b", "a..b:c", "a:b@", "a:b@12", "a:b@x" + "0" * 15]
)
def test_an_invalid_name_is_refused(here, name):
    assert is_code(name)
    with pytest.raises(CodeError, match="names no code"):
        Code.parse(name)
    with pytest.raises(SpecError):
        spec_of(tables(name))


def test_runs_without_user_code_keep_their_keys():
    """Keys of runs with the schemes of the package are those of before there was any such thing."""
    spec = spec_of(tables("kaiming_normal"))

    assert expand(spec).dense[0].manifest["model"] == {"name": "lenet_300_100", "init": "kaiming_normal"}


FILE = """
[sweep]
model = { name = "lenet_300_100" }
data = { name = "digits", size = 8, validation = 100 }

[train]
epochs = 1
batch_size = 64

[grid]
sparsity = [0.5]
"model.init" = ["my_inits:small", "orthogonal"]

[local]
workers = 1
"""


def run(here: Path, cache: Path, allow: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=here,
        env={**environment(cache), ALLOW_VARIABLE: allow, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_a_sweep_with_user_code_runs_if_allowed(here, cache):
    """Through the command line and the workers: the environment reaches them, the file could not."""
    (here / "own.toml").write_text(FILE)

    refused = run(here, cache, "", "run", "own.toml", "--out", "sweep")
    assert refused.returncode == 2
    assert "LTHSWEEP_ALLOW_CODE=my_inits" in refused.stderr
    assert not (here / "sweep").exists()

    trained = run(here, cache, "my_inits", "run", "own.toml", "--out", "sweep", "--quiet")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    (here / "my_inits.py").unlink()
    again = run(here, cache, "", "run", "sweep", "--quiet")
    assert again.returncode == 0, "nothing is left that would need the code"
    asked = run(here, cache, "", "query", "sweep", "--json")
    assert [row["model.init"].split("@")[0] for row in json.loads(asked.stdout)] == [
        "my_inits:small",
        "orthogonal",
    ]
    assert {row["n"] for row in json.loads(asked.stdout)} == {1}
