"""pytest-xdist sends all tests on SLURM to one worker, in every installed version."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launch.processes import PATIENCE

HERE = Path(__file__).parents[1]


@pytest.mark.slow
def test_tests_on_slurm_go_to_one_worker():
    """Checked with tests of that folder that need no SLURM."""
    words = ["-n", "2", "-p", "no:cacheprovider", "-k", "every_verb or unknown_verb or too_long"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-vv", *words, "tests/slurm/test_devcluster.py"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    workers = re.findall(r"^\[(gw\d+)\].* PASSED tests/slurm/", ended.stdout, flags=re.MULTILINE)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "created: 2/2 workers" in ended.stdout
    assert len(workers) >= 6
    assert len(set(workers)) == 1
