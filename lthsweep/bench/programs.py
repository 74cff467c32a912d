"""Programs of the benchmark: each trains in a process of its own, so what measures needs neither torch nor a core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from lthsweep.errors import LaunchError

__all__ = ["Standing", "ask", "call"]

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def ask(
    program: str, request: Mapping[str, Any], folder: Path, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a program of this package and return what it prints last.

    Args:
        program: "naive", "bare" or "peak".
        request: what it is to do.
        folder: for the file of the request.
        environment: beside this process's own, less all that sets threads or the allocator.

    Raises:
        LaunchError: if it fails.
    """
    printed = call(_command(program, request, folder / f"{program}.json"), environment or {})
    answer: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return answer


def call(arguments: list[str], environment: Mapping[str, str]) -> str:
    """What a command of this Python prints.

    Raises:
        LaunchError: if it fails; the message ends with its last words.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=_environment(environment),
        check=False,
    )
    if done.returncode:
        words = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise LaunchError(f"{' '.join(arguments[:3])} of the benchmark failed; it said:\n{words}")
    return done.stdout


class Standing:
    """A program that has started up and does its work each time it is told to: "epoch" or "sharing".

    Args:
        program, request, environment: as for `ask`.
        path: of the file of the request.
    """

    def __init__(
        self,
        program: str,
        request: Mapping[str, Any],
        path: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._program = program
        self._process = subprocess.Popen(
            [sys.executable, *_command(program, request, path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(environment or {}),
        )

    def tell(self) -> None:
        """Have it do its work once."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Its next line: one when it is ready, one each time it has done its work.

        Raises:
            LaunchError: if it ended instead.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise LaunchError(
                f"lthsweep.bench.{self._program} ended before it was asked; what it said is above"
            )
        found: dict[str, Any] = json.loads(line)
        return found

    def __enter__(self) -> Standing:
        """Itself; at the end the program is told to leave, and waited for."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()


def _command(program: str, request: Mapping[str, Any], path: Path) -> list[str]:
    path.write_text(json.dumps(request))
    return ["-m", f"lthsweep.bench.{program}", str(path)]


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    plain = {
        name: value
        for name, value in os.environ.items()
        if name not in _THREADS and not name.startswith("MALLOC_")
    }
    return {**plain, **more}
