"""A single run on a CPU uses the plain loop and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
import lthsweep.launch.fused  # what a worker imports to train a run
from pathlib import Path
from tests.lottery.cases import dense_of, prune_step, ticket_of
from tests.training.cases import small_digits

dense = dense_of(small_digits(Path(sys.argv[1])))
ticket = ticket_of(dense, prune_step(0.8))
print(ticket.ending)
print([name for name in sys.modules if name.startswith(("lthsweep.training.fused", "lthsweep.training.cuda_graph"))])
"""


@pytest.mark.slow
def test_single_run_imports_no_fused_or_cuda_graph(tmp_path):
    """A dense run and a ticket, in a fresh process: both packages are loaded where they are needed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )

    assert done.stdout.splitlines()[-2:] == ["finished", "[]"], done.stderr
