"""A full disk gives a clear error, breaks nothing, and with free space again the same commands succeed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.chaos

SCRIPT = Path(__file__).with_name("full_disk.py")
ROOT = SCRIPT.parents[2]


def run(command, folder):
    """The script's last words."""
    done = subprocess.run(
        [*command, sys.executable, str(SCRIPT), "fill" if command else "limit", str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr[-2000:]


def small_disk(folder):
    """A command prefix that limits the disk at `folder` to 2 MB; None if not allowed here."""
    if shutil.which("unshare") is None:
        return None
    mount = f'mount -t tmpfs -o size=2m none "{folder}" && exec "$@"'
    for unshare in (["unshare", "-m"], ["unshare", "-Urm"]):
        prefix = [*unshare, "sh", "-c", mount, "sh"]
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
            return prefix
    return None


def test_a_disk_of_two_megabytes_fills_up(tmp_path):
    """The mount is private to the process and goes with it."""
    prefix = small_disk(tmp_path)
    if prefix is None:
        pytest.skip("CHAOS TEST NOT RUN: this machine does not let us mount a small file system")

    assert run(prefix, tmp_path) == "all as promised\n"


def test_a_file_size_limit_is_a_full_disk(tmp_path):
    """Needs no rights; some clusters set it."""
    assert run([], tmp_path) == "all as promised\n"
