"""A command asked in this very process: what it prints and how it leaves, without the second in which Python starts."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from lthsweep.cli import main
from tests.launch.sweeps import environment


def lthsweep(
    *arguments: str | Path, cache: Path, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """As the function of that name in `tests.launch.sweeps`, which starts a process; workers are processes here too."""
    words = ["lthsweep", *map(str, arguments)]
    out, err = io.BytesIO(), io.BytesIO()
    with (
        patch.object(sys, "argv", words),
        patch.dict(os.environ, {**environment(cache), **(environ or {})}),
        redirect_stdout(io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)),
        redirect_stderr(io.TextIOWrapper(err, encoding="utf-8", newline="", write_through=True)),
    ):
        try:
            main()
            code = 0
        except SystemExit as left:
            code = left.code or 0
        told = [stream.getvalue().decode() for stream in (out, err)]  # while their wrappers keep them open
    return subprocess.CompletedProcess(words, code, *told)
