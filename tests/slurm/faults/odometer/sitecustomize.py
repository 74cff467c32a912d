"""Counts the steps that each process trains, and paces them; put this folder on PYTHONPATH.

Every attempt at a run gets a file of its own in $LTH_ODOMETER, mapped into memory, so that it is right also when the
process is killed between two steps. It is written beside the product, not by it: what is promised about work done
twice is not to be measured by whoever promises it.

`pace` in the same folder holds the seconds that every step is to last longer; tests hold a run with it until their
fault has happened, however slow the machine is, and the science does not change by it.
"""

import importlib.machinery
import os
import sys
import time
from pathlib import Path

FOLDER = os.environ.get("LTH_ODOMETER")
NAME = "lthsweep.launch.checkpoint"

LAYOUT = "<qqqqd"
"""First step of the attempt, the last that it began, the step of its last checkpoint, that of the last one that it
began to write, seconds from the former to the last step; -1 for what was not yet."""
SAVING = 24


class Finder:
    """Finds one module, and adds the odometer to it when it has been executed."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != NAME:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            attach(module)

        spec.loader.exec_module = exec_module
        return spec


def attach(module):
    """Wrap the watch that is asked between steps, and what saves a checkpoint."""
    import mmap
    import struct

    hook = module.CheckpointHook
    begin, between, write = hook.__init__, hook.__call__, hook.save

    def __init__(self, checkpoint, seconds, stop, report):
        begin(self, checkpoint, seconds, stop, report)
        key = "walk" if checkpoint is None else checkpoint.stem
        path = Path(FOLDER) / f"{key}.{time.time_ns()}.{os.getpid()}.steps"
        path.write_bytes(struct.pack(LAYOUT, -1, -1, -1, -1, 0.0))
        with path.open("r+b") as file:
            self._odometer = mmap.mmap(file.fileno(), 0)
        self._first_step = None
        self._saving = self._saved = -1
        self._since = time.monotonic()

    def __call__(self, training):
        now, step, before = time.monotonic(), training.progress.step, self._saved
        self._first_step = step if self._first_step is None else self._first_step
        stopping = between(self, training)
        if self._saved != before:
            self._since = time.monotonic()
        begun = step if stopping or step == training.total_steps else step + 1
        counts = self._first_step, begun, self._saved, self._saving
        struct.pack_into(LAYOUT, self._odometer, 0, *counts, max(0.0, now - self._since))
        if not stopping:
            pause()
        return stopping

    def save(self, training):
        if self._checkpoint is not None:
            self._saving = training.progress.step
            struct.pack_into("<q", self._odometer, SAVING, self._saving)
        write(self, training)
        self._saved = self._saving

    hook.__init__, hook.__call__, hook.save = __init__, __call__, save


def pause():
    """As long as the test says, looked up at every step."""
    try:
        seconds = float((Path(FOLDER) / "pace").read_text() or 0)
    except (OSError, ValueError):
        return
    time.sleep(seconds)


if FOLDER:
    sys.meta_path.insert(0, Finder)
