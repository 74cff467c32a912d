"""A rank that works: the worker of every pool, with a line over MPI."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from lthsweep.launch.ranks import say_hello
from lthsweep.launch.settle import log_to, settle_allocator, settle_cores, thread_variables
from lthsweep.launch.task import STALE_SECONDS, Message, Task
from lthsweep.launch.wire import Parcel, Tag, Wire, rest
from lthsweep.launch.worker import Worker
from lthsweep.store.layout import SweepDir

__all__ = ["MpiLine", "serve_rank"]


class MpiLine:
    """A worker rank's line to rank 0.

    Nothing runs beside the training: the line looks for parcels when it is asked, before every step.

    Args:
        wire: this rank's.
        silence: seconds after which a rank 0 that says nothing is taken for dead, which closes the line.
        clock: seconds, monotonic.

    Attributes:
        signaled: a signal closed it.
        deserted: rank 0 was silent for too long.
    """

    def __init__(
        self, wire: Wire, silence: float = STALE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.signaled = False
        self.deserted = False
        self.silence = silence
        self._wire = wire
        self._clock = clock
        self._heard = clock()
        self._dismissed = False
        self._parcels: list[Parcel] = []

    def take(self) -> Task | None:
        """Wait for the next task; None once the line is closed."""
        parcel = self.wait_for(Tag.TASK)
        return None if parcel is None else Task.from_json(parcel.values["task"])

    def wait_for(self, tag: Tag) -> Parcel | None:
        """Wait for a parcel of a kind; None once the line is closed."""
        looks = 0
        while not self.is_closed():
            for parcel in self._parcels:
                if parcel.tag == tag:
                    self._parcels.remove(parcel)
                    return parcel
            rest(looks)
            looks += 1
        return None

    def is_closed(self) -> bool:
        """Whether the worker is to leave."""
        while (parcel := self._wire.receive()) is not None:
            self._heard = self._clock()
            self._dismissed |= parcel.tag == Tag.LEAVE
            self._parcels.append(parcel)
        self._parcels = [parcel for parcel in self._parcels if parcel.tag != Tag.ALIVE]
        self.deserted |= self._clock() - self._heard > self.silence
        return self._dismissed or self.signaled or self.deserted

    def close(self) -> None:
        """Leave, because of a signal."""
        self.signaled = True

    def say(self, message: Message) -> None:
        """Send to rank 0."""
        values = {"kind": message.kind, "key": message.key, "values": dict(message.values)}
        self._wire.send(0, Tag.MESSAGE, values)


def serve_rank(wire: Wire) -> bool:
    """Work for rank 0 until it says that all is done, or a signal asks to stop.

    Returns:
        Whether rank 0 is still there, as far as this rank knows.
    """
    line = MpiLine(wire)
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda *_: line.close())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cause = ""
    try:
        _work(wire, line)
    except Exception:  # whatever it is, the other ranks go on, and rank 0 says what it was
        cause = traceback.format_exc(limit=-3)
    wire.send(0, Tag.GONE, {"signaled": line.signaled, "cause": cause})
    return not line.deserted


def _work(wire: Wire, line: MpiLine) -> None:
    hello = say_hello(wire.rank)
    wire.send(0, Tag.HELLO, hello.to_dict())
    parcel = line.wait_for(Tag.SLOT)
    if parcel is None:
        return
    assert "torch" not in sys.modules, "cores and threads are settled before torch is imported"
    place = parcel.values
    line.silence = float(place["silence"])
    settle_cores(place["cores"])
    settle_allocator()
    os.environ.update(thread_variables(int(place["threads"])))
    sweep = SweepDir(Path(place["sweep"]))
    log = sweep.logs / f"worker-{hello.name}.log"
    with log_to(log):
        Worker(sweep, hello.name, line).serve(str(place["device"]), int(place["threads"]))
    with contextlib.suppress(OSError):
        if not log.stat().st_size:
            log.unlink()
