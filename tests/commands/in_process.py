"""Runs a command in this process, which saves the start of Python."""

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
    """Run the command line as `tests.launch.sweeps.lthsweep` does in a new process; workers are processes here too."""
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
        except SystemExit as error:
            code = error.code or 0
        texts = [stream.getvalue().decode() for stream in (out, err)]  # while their wrappers are open
    return subprocess.CompletedProcess(words, code, *texts)
