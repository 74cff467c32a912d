"""What a process must settle before it imports torch: its cores, its threads, its allocator, where its words go."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

__all__ = ["ALLOCATOR_VARIABLES", "log_to", "settle_allocator", "settle_cores", "thread_variables"]

# glibc gives freed memory back to the kernel at once and faults it in again for the next activation; holding on to
# it is worth 1.3 times the speed of a convolutional net on CPU (docs/architecture.md).
ALLOCATOR_VARIABLES = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
"""Environment of a process that is yet to be started."""

# malloc.h: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD. mallopt takes a C int, so 2 GiB less one is the most.
_MALLOPT = {-3: 1 << 30, -1: (1 << 31) - 1, -2: 64 << 20}


def thread_variables(threads: int) -> dict[str, str]:
    """Environment that gives the libraries under torch this many threads."""
    return {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def settle_cores(cores: Collection[int]) -> None:
    """Bind this process to cores; an empty collection leaves it as it is."""
    if cores:
        with contextlib.suppress(
            OSError
        ):  # a core may have been taken from us since; then the kernel chooses
            os.sched_setaffinity(0, cores)


def settle_allocator() -> None:
    """Give a process that runs already what `ALLOCATOR_VARIABLES` give to one that starts; only glibc knows how."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in _MALLOPT.items():
            mallopt(ctypes.c_int(parameter), ctypes.c_int(value))


@contextlib.contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Append everything this process prints, C libraries included, to a log."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError:  # a log that cannot be written is no reason not to train
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
