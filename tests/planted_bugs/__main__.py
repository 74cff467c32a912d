"""Plant each bug in a copy of the project and run the tests that must notice: `python -m tests.planted_bugs [WORD...]`.

A bug that no test notices is printed as NOT NOTICED, and the exit status is 1. A word selects the bugs whose name
or module contains it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.planted_bugs.bugs import BUGS, Bug

ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if the tests noticed every chosen bug, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted_bugs", description=__doc__)
    parser.add_argument("words", nargs="*", help="only bugs whose name or module contains one of these")
    words = parser.parse_args(arguments).words
    chosen = [bug for bug in BUGS if not words or any(word in f"{bug.name} {bug.file}" for word in words)]
    missed = [bug for bug in chosen if not _noticed(bug)]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} bugs noticed")
    return 1 if missed else 0


def _noticed(bug: Bug) -> bool:
    with tempfile.TemporaryDirectory(prefix="planted-bug-") as folder:
        copy = Path(folder, "project")
        _copy_project(copy)
        module = copy / "lthsweep" / bug.file
        source = module.read_text(encoding="utf-8")
        module.write_text(source.replace(bug.right, bug.wrong), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:randomly", "-o", "addopts="]
        ended = subprocess.run(
            [*command, *bug.tests.split()],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True,
            text=True,
            check=False,
        )
    # pytest's exit status: 1 means that tests failed; 2 to 5 mean that none could be judged
    noticed = ended.returncode == 1
    failed = [line for line in ended.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    print(f"{'noticed' if noticed else 'NOT NOTICED'}: {bug.name} ({bug.file})", flush=True)
    reason = failed or ended.stdout.splitlines()[-1:] or [f"pytest ended with {ended.returncode}"]
    print(f"    {reason[0][:150]}", flush=True)
    return noticed


def _copy_project(target: Path) -> None:
    """Copy the files that git tracks, as they are in the working tree."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


if __name__ == "__main__":
    sys.exit(main())
