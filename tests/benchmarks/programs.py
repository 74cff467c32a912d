"""Start the training programs of the benchmark, each in its own process.

The process that measures imports no torch and needs no core.
"""

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

__all__ = ["Program", "answer_of", "call"]

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def answer_of(
    module: str, request: Mapping[str, Any], folder: Path, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run `tests.benchmarks.MODULE` on a request and return the last line that it prints, parsed as JSON.

    Args:
        module: "baseline", "bare", "workloads" or "gpu.processes".
        request: written to a JSON file in `folder`, whose path is the program's argument.
        folder: of the request's file.
        environment: added to this process's environment, without its thread and allocator settings.

    Raises:
        LaunchError: if the program fails.
    """
    printed = call(_command(module, request, folder / f"{module}.json"), environment or {})
    answer: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return answer


def call(arguments: list[str], environment: Mapping[str, str]) -> str:
    """Run this Python with arguments and return its output.

    Raises:
        LaunchError: if it fails; the message ends with the last lines of its output.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=_environment(environment),
        check=False,
    )
    if done.returncode:
        end = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise LaunchError(f"{' '.join(arguments[:3])} of the benchmark failed; its output ends with:\n{end}")
    return done.stdout


class Program:
    """A running program that repeats its work on request; a context manager that ends it.

    Args:
        module, request, environment: as for `answer_of`.
        path: file for the request.
    """

    def __init__(
        self,
        module: str,
        request: Mapping[str, Any],
        path: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, *_command(module, request, path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(environment or {}),
        )

    def start_work(self, request: Mapping[str, Any] | None = None) -> None:
        """Make the program do its work once; the request is one line of JSON on its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request or {}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """The next answer: one after start-up, then one after each piece of work.

        Raises:
            LaunchError: if the program ended instead.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise LaunchError(
                f"tests.benchmarks.{self._module} ended without an answer; see its output above"
            )
        found: dict[str, Any] = json.loads(line)
        return found

    def __enter__(self) -> Program:
        """The program itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()


def _command(module: str, request: Mapping[str, Any], path: Path) -> list[str]:
    path.write_text(json.dumps(request))
    return ["-m", f"tests.benchmarks.{module}", str(path)]


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    plain = {
        name: value
        for name, value in os.environ.items()
        if name not in _THREADS and not name.startswith("MALLOC_")
    }
    return {**plain, **more}
