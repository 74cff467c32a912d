"""The GPU benchmark runs end to end, on a CPU at its smallest size. Its figures mean nothing here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.benchmarks.gpu import __main__ as gpu
from tests.benchmarks.gpu.table import recommended

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def settings_as_found(monkeypatch):
    """Restores torch's settings, which the program changes, and hides the data of this machine."""
    monkeypatch.delenv("LTHSWEEP_DATA", raising=False)
    threads = torch.get_num_threads()
    tf32 = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    yield
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = tf32


def measure(tmp_path, *words):
    out = tmp_path / "gpu.json"
    assert gpu.main(["--device", "cpu", "--tiny", "--out", str(out), *words]) == 0
    return json.loads(out.read_text())


@pytest.mark.slow
def test_steps_of_every_way_are_timed(tmp_path, capsys):
    """Every way has a spread and a ratio, and all ways take the same steps."""
    found = measure(tmp_path, "--case", "lenet", "--only", "steps")

    ways = found["steps"]["lenet"]["ways"]
    assert list(ways) == ["one, fp32, eager", "one, bf16, eager", "fused 2, fp32, eager"]
    assert found["steps"]["lenet"]["failed"] == {}
    assert all(way["steps_timed"] >= 3 and not way["captured"] for way in ways.values())
    fused, alone = ways["fused 2, fp32, eager"], ways["one, fp32, eager"]
    assert fused["ratio"]["median"] == pytest.approx(
        fused["cells_per_hour"]["median"] / alone["cells_per_hour"]["median"]
    )
    assert "| fused 2, fp32, eager |" in capsys.readouterr().out


@pytest.mark.slow
def test_the_best_number_of_processes_is_reported(tmp_path, capsys):
    """Slow, because two processes import torch and train."""
    found = measure(tmp_path, "--case", "lenet", "--only", "processes")

    shares = found["processes"]["cases"]["lenet"]
    assert list(shares) == ["1 process × 1 fused", "2 processes × 1 fused"]
    assert found["processes"]["failed"] == {}
    assert "no daemon was started" in found["processes"]["without_mps"]
    assert "Best for lenet: `local.workers = " in capsys.readouterr().out


@pytest.mark.heavy
def test_every_network_is_measured(tmp_path):
    """The whole command, with all parts of all networks."""
    found = measure(tmp_path)

    assert list(found["steps"]) == ["lenet", "resnet20", "mobilenet_v2"]
    assert all(not case["failed"] for case in found["steps"].values())
    assert found["epoch"]["bound_seconds"] == 0.72
    assert found["conditions"]["size"] == "tiny"


def test_the_best_variant_has_most_cells_per_hour():
    """Processes, width and MPS are chosen together."""
    few, most = ({"cells_per_hour": {"median": value}} for value in (10.0, 11.0))

    assert recommended({"cases": {"lenet": {"a": few, "b": most}}}) == {"lenet": most}


def test_missing_packages_are_named():
    """Run with a bare Python, without site packages."""
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-m", "tests.benchmarks.gpu"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )

    assert done.returncode == 2
    assert "needs torch, numpy, torchvision, pydantic; python -m pip install 'torch>=" in done.stderr


@pytest.mark.slow
def test_four_packages_are_sufficient():
    """A machine with a GPU has torch, but usually neither h5py nor pandas."""
    blocked = [
        "duckdb",
        "h5py",
        "matplotlib",
        "pandas",
        "rich",
        "safetensors",
        "scipy",
        "tomli_w",
        "typer",
    ]
    text = (
        f"import sys; sys.modules |= dict.fromkeys({blocked!r})\n"
        "import torch\n"
        "from tests.benchmarks.gpu import measure, table\n"
        "from tests.benchmarks.gpu.cases import CASES, Rig, tiny\n"
        "Rig(tiny(CASES['mobilenet_v2']), torch.device('cpu')).tickets(1, 'fp32')\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False, cwd=ROOT)

    assert done.returncode == 0, done.stderr
