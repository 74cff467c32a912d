"""Counts the steps that each process trains, and slows them down; put this folder on PYTHONPATH.

Every attempt at a run has a file in $LTH_ODOMETER that is mapped into memory, so the counts are right also when the
process is killed between two steps. The counts are independent of the product, whose promises are measured with them.

The file `pace` in the same folder holds the additional seconds of every step, or "hold": an attempt then trains slowly
to its first checkpoint and waits there until the file changes or it is asked to stop. A fault thus happens in the
middle of a run on slow and fast machines. The results do not change.
"""

import importlib.machinery
import os
import sys
import time
from pathlib import Path

FOLDER = os.environ.get("LTH_ODOMETER")
NAME = "lthsweep.launch.checkpoint"

LAYOUT = "<qqqqd"
"""First step of the attempt, last step that it began, step of its last checkpoint, step of the last checkpoint that it
began to write, seconds from its last checkpoint to the last step. A step is -1 until it is known."""
SAVING = 24

SLOW = 0.15
"""Seconds of a step while a held run has no checkpoint. The first is due after one second, long before the end of the
410 steps, on fast machines too."""


class Finder:
    """Finds one module and attaches the counter after the module is executed."""

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
    """Wrap the checkpoint hook: count its calls and its checkpoints."""
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
            pause(lambda: self._saved > self._first_step, self._stop)
        return stopping

    def save(self, training):
        if self._checkpoint is not None:
            self._saving = training.progress.step
            struct.pack_into("<q", self._odometer, SAVING, self._saving)
        write(self, training)
        self._saved = self._saving

    hook.__init__, hook.__call__, hook.save = __init__, __call__, save


def pause(has_checkpoint, stop):
    """Wait between two steps, as the file `pace` demands at this moment."""
    while pace() == "hold":
        if stop():
            return
        time.sleep(SLOW)
        if not has_checkpoint():
            return
    try:
        seconds = float(pace() or 0)
    except ValueError:
        return
    time.sleep(seconds)


def pace():
    """Return the content of the file `pace`; empty without it."""
    try:
        return (Path(FOLDER) / "pace").read_text()
    except OSError:
        return ""


if FOLDER:
    sys.meta_path.insert(0, Finder)
