"""Settings of a process that must be made before it imports torch: cores, threads, allocator, output."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

__all__ = [
    "ALLOCATOR_VARIABLES",
    "EXIT_DEVICE_LOST",
    "bind_cores",
    "redirect_output",
    "thread_variables",
    "tune_allocator",
]

EXIT_DEVICE_LOST = 75
"""Exit status of a worker that can no longer use its device. It has not begun the task that it received last."""

# By default glibc returns freed memory to the kernel at once and faults it in again for the next activation. Keeping
# it makes a convolutional network on a CPU 1.3 times as fast (docs/architecture.md).
ALLOCATOR_VARIABLES = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
"""Environment of a process that is not started yet."""

# M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_TOP_PAD of malloc.h. mallopt takes a C int: 2 GiB − 1 is the largest value.
_MALLOPT = {-3: 1 << 30, -1: (1 << 31) - 1, -2: 64 << 20}


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment that gives the libraries under torch this many threads."""
    return {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def bind_cores(cores: Collection[int]) -> None:
    """Bind this process to cores; an empty collection changes nothing."""
    if cores:
        # A core can be taken away from the process after it was listed. Then the kernel chooses.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cores)


def tune_allocator() -> None:
    """Give a running process the settings of `ALLOCATOR_VARIABLES`. Works with glibc only."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in _MALLOPT.items():
            mallopt(ctypes.c_int(parameter), ctypes.c_int(value))


@contextlib.contextmanager
def redirect_output(path: Path) -> Iterator[None]:
    """Append everything that this process prints, C libraries included, to a log."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError:  # training goes on without a log
        yield
        return
    saved = os.dup(1), os.dup(2)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in enumerate(saved, start=1):
            os.dup2(copy, number)
            os.close(copy)
        os.close(handle)
