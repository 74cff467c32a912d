"""Run `commit_victim.py` with a fault injected by strace."""

from __future__ import annotations

import functools
import re
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import pytest

VICTIM = Path(__file__).with_name("commit_victim.py")
ROOT = VICTIM.parents[2]

_SECONDS = 300  # until one of them hangs


def calls_of(verb: str, folder: Path) -> list[tuple[str, int]]:
    """The system calls of an undisturbed act, in order: name, and which one of that name it is."""
    with tempfile.NamedTemporaryFile("r") as log:
        code, error = run_victim(verb, folder, None, log.name)
        assert code == 0, error
        called = re.findall(r"^\d+ +(\w+)\(", log.read(), re.MULTILINE)
    return [(name, called[: i + 1].count(name)) for i, name in enumerate(called)]


def run_victim(verb: str, folder: Path, inject: str | None, log: str = "/dev/null") -> tuple[int, str]:
    """Let the victim act under one injection, e.g. "write:signal=KILL:when=3".

    Args:
        verb: of the victim.
        folder: where it acts.
        inject: as strace has it; `when` counts calls of one name from the moment the victim acts.
        log: where strace writes the calls.

    Returns:
        Its return code, -9 if it was killed, and its stderr.
    """
    victim = subprocess.Popen(
        [sys.executable, str(VICTIM), verb, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    try:
        assert _line_of(victim.stdout) == "ready\n"
        return _traced(victim, inject, log)
    finally:
        victim.kill()
        victim.communicate()


def _traced(victim: subprocess.Popen[str], inject: str | None, log: str) -> tuple[int, str]:
    tracer = subprocess.Popen(
        [
            "strace",
            "-f",
            "-o",
            log,
            *([] if inject is None else ["-e", f"inject={inject}"]),
            "-p",
            str(victim.pid),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # "strace: Process 123 attached": from here on every system call is seen
        line = _line_of(tracer.stderr)
        if "attached" not in line:
            raise RuntimeError(f"strace: {line.strip()}")
        _, error = victim.communicate("\n", timeout=_SECONDS)
        return victim.returncode, error
    finally:
        victim.kill()  # and with it ends its tracer
        tracer.communicate(timeout=_SECONDS)


def _line_of(stream: IO[str] | None) -> str:
    """The first line that a process prints."""
    assert stream is not None
    ready, _, _ = select.select([stream], [], [], _SECONDS)
    assert ready, f"no output for {_SECONDS} s"
    return stream.readline()


@functools.cache
def why_no_tracing() -> str | None:
    """Why faults cannot be injected on this machine, or None if they can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    with tempfile.TemporaryDirectory() as folder:
        try:
            code, _ = run_victim("replace", Path(folder), "write:error=EIO:when=1")
        except RuntimeError as error:
            return f"this machine does not let strace attach: {error}"
    return None if code == 3 else "strace on this machine cannot inject faults"


def need_tracing() -> None:
    """Skip the test, and say why, where faults cannot be injected."""
    reason = why_no_tracing()
    if reason:
        pytest.skip(f"CHAOS TEST NOT RUN: {reason}")
