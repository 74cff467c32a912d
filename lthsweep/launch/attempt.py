"""One attempt of a worker at a run, or at several that it trains as one: claims, heartbeats, logs, and what it says.

Every run of them has its own claim, its own log and its own end. What is printed while they are trained stands in the
log of the first, to which the logs of the others point.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from lthsweep.errors import CanceledError, DataError, LthsweepError, PruningError, StoreError
from lthsweep.launch.line import Line
from lthsweep.launch.outcome import Outcome
from lthsweep.launch.task import Message, Task
from lthsweep.store import claims, failures, heartbeats
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import Owner

__all__ = ["Attempt", "attempts_before", "failure_of"]

_BEAT_SECONDS = 10.0


class Attempt:
    """What a worker does for its runs beside training them.

    Args:
        sweep: the sweep directory.
        worker: name of the worker.
        line: to its coordinator.
        tasks: what is trained, the first of which led to the others.
        owner: of their claims; None where they need none.
    """

    def __init__(
        self, sweep: SweepDir, worker: str, line: Line, tasks: Sequence[Task], owner: Owner | None
    ) -> None:
        self._sweep = sweep
        self._worker = worker
        self._line = line
        self._owner = owner
        self._tasks = {task.key: task for task in tasks}
        self._accuracy: dict[str, float] = {}
        self._canceled: set[str] = set()
        self._started = time.time()
        self._next_beat = 0.0

    @property
    def untold(self) -> list[Task]:
        """Those of which the coordinator was not told how they ended."""
        return list(self._tasks.values())

    def begin(self) -> None:
        """Open the logs and give the first heartbeat."""
        lead = next(iter(self._tasks))
        for key, task in self._tasks.items():
            self._note(
                key,
                f"--- {task.label} ({key}), attempt {task.attempt}, "
                f"host {socket.gethostname()} pid {os.getpid()}, {time.strftime('%Y-%m-%d %H:%M:%S')}",
            )
            if others := [other for other in self._tasks if other != key]:
                self._note(
                    key, f"as one with {', '.join(others)}; what is printed meanwhile goes to {lead}.log"
                )
        self._beat({})

    def stop(self) -> bool:
        """Whether training is to stop before its next step."""
        return bool(self._canceled) or self._line.is_closed()

    def report(self, key: str, values: Mapping[str, Any]) -> None:
        """Say how far a run has come; now and then look after the claims of all, and whether they are still wanted."""
        accuracy = values.get("val_accuracy")
        self._accuracy[key] = float("nan") if accuracy is None else float(accuracy)
        now = time.monotonic()
        if now >= self._next_beat:
            self._next_beat = now + _BEAT_SECONDS
            if self._owner is not None:
                for task in self.untold:
                    claims.refresh(self._sweep, task.key, self._owner)
            self._beat(values)
            self._canceled = {key for key in self._tasks if failures.is_canceled(self._sweep, key)}
        self._line.say(Message("progress", key, values))

    def end(self, key: str, outcome: Outcome) -> None:
        """Say how a run ended."""
        self._note(key, f"--- {outcome}")
        if outcome.ending == "stopped" and key in self._canceled:
            self.canceled(key)
        elif outcome.ending == "stopped" and not self._line.is_closed():
            self.give_back(key, "a run that it was trained with was canceled")
        elif outcome.ending == "stopped":
            self._say("stopped", key)
        else:
            failures.clear_failure(self._sweep, key)
            values = {
                "outcome": outcome.ending,
                "seconds_per_epoch": outcome.seconds_per_epoch,
                "test_accuracy": outcome.test_accuracy,
                "fused": outcome.fused,
            }
            if outcome.width is not None:
                values["width"] = outcome.width
            self._say("finished", key, values)

    def give_back(self, key: str, cause: str, **values: Any) -> None:
        """Return a run that is to be handed out again; `values` are those of a "returned" `Message`."""
        self._note(key, f"{_RETURNED}: {cause}")
        self._say("returned", key, {"cause": cause, **values})

    def canceled(self, key: str) -> None:
        """Say that a run is not wanted any more."""
        error = CanceledError("canceled; `lthsweep run --retry-failed` goes on with it")
        self._say("failed", key, failure_of(error))

    def fail(self, key: str, error: Exception) -> None:
        """Say that a run failed."""
        self._note(key, "".join(traceback.format_exception(error)).rstrip())
        self._say("failed", key, failure_of(error))

    def _say(self, kind: Any, key: str, values: Mapping[str, Any] | None = None) -> None:
        """The last words on a run. Its claim goes first: who hears them may hand it to another worker at once."""
        self._release(key)
        del self._tasks[key]
        self._line.say(Message(kind, key, values or {}))

    def _release(self, key: str) -> None:
        try:
            if self._owner is not None:
                claims.release(self._sweep, key, self._owner)
        except StoreError:  # how the run ended is more important
            traceback.print_exc()

    def _note(self, key: str, text: str) -> None:
        # A log that cannot be written, as on a full disk, is no reason not to go on.
        with contextlib.suppress(OSError), self._sweep.log(key).open("a") as log:
            log.write(f"{text}\n")

    def close(self) -> None:
        """Let go of what nobody can be told of any more."""
        for key in self._tasks:
            self._release(key)

    def _beat(self, values: Mapping[str, Any]) -> None:
        tasks = self.untold
        rate = values.get("images_per_second")
        nan = float("nan")
        with contextlib.suppress(StoreError):  # advice only
            heartbeats.write_heartbeat(
                self._sweep,
                heartbeats.Heartbeat(
                    worker=self._worker,
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    key=tasks[0].key,
                    phase=str(values.get("phase", "train")),
                    epoch=float(values.get("epoch", 0.0)),
                    epochs=float(values.get("epochs", tasks[0].recipe["train"]["epochs"])),
                    value=self._accuracy.get(tasks[0].key, nan),
                    rate=nan if rate is None else float(rate),
                    started=self._started,
                    time=time.time(),
                    others={task.key: self._accuracy.get(task.key, nan) for task in tasks[1:]},
                ),
            )


_RETURNED = "--- returned"


def attempts_before(sweep: SweepDir, key: str) -> int:
    """How often a run was started before, by its log: the coordinator knows of its own attempts only."""
    try:
        lines = sweep.log(key).read_text(errors="replace").splitlines()
    except OSError:
        return 0
    started = sum(line.startswith("--- ") and ", attempt " in line for line in lines)
    return started - sum(line.startswith(_RETURNED) for line in lines)


def failure_of(error: Exception) -> dict[str, Any]:
    """The values of a "failed" `Message`."""
    # What the package itself refuses, it refuses again; what the machine or a library threw may pass.
    own = isinstance(error, LthsweepError)
    return {
        "cause": str(error) if own else f"{type(error).__name__}: {error}",
        "error": type(error).__name__,
        "retry": not own or isinstance(error, StoreError),
        "infrastructure": isinstance(error, OSError | MemoryError) and not isinstance(error, DataError),
        "science": isinstance(error, PruningError),
    }
