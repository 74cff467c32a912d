"""A rank that trains: the worker of every pool, with a channel over MPI."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

from lthsweep.launch.events import Event, event_to_json
from lthsweep.launch.mpi.ranks import DEPARTURE, RANK_INFO, RANK_SLOT, Departure, this_rank
from lthsweep.launch.mpi.wire import Envelope, Tag, Wire, backoff
from lthsweep.launch.process_env import bind_cores, redirect_output, thread_variables, tune_allocator
from lthsweep.launch.task import STALE_SECONDS, Task
from lthsweep.launch.worker import Worker
from lthsweep.store.layout import SweepDir

__all__ = ["MpiChannel", "serve_rank"]


class MpiChannel:
    """The channel of a worker rank to rank 0.

    No thread runs in addition to the training: the channel receives when `is_closed` is called, before every step.

    Args:
        wire: of this rank.
        silence: seconds without a sign of life after which rank 0 is taken for dead, which closes the channel.
        clock: monotonic seconds.

    Attributes:
        signaled: whether a signal closed it.
        deserted: whether rank 0 was silent for too long.
    """

    def __init__(
        self, wire: Wire, silence: float = STALE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.signaled = False
        self.deserted = False
        self.silence = silence
        self._wire = wire
        self._clock = clock
        self._last_sign = clock()
        self._dismissed = False
        self._received: list[Envelope] = []

    def receive(self) -> Task | None:
        """Wait for the next task; None once the channel is closed."""
        envelope = self.wait_for(Tag.TASK)
        return None if envelope is None else Task.from_json(envelope.body)

    def wait_for(self, tag: Tag) -> Envelope | None:
        """Wait for an envelope of a kind; None once the channel is closed."""
        tries = 0
        while not self.is_closed():
            for envelope in self._received:
                if envelope.tag == tag:
                    self._received.remove(envelope)
                    return envelope
            backoff(tries)
            tries += 1
        return None

    def is_closed(self) -> bool:
        """Return whether the worker has to leave."""
        while (envelope := self._wire.receive()) is not None:
            self._last_sign = self._clock()
            self._dismissed |= envelope.tag == Tag.LEAVE
            self._received.append(envelope)
        self._received = [envelope for envelope in self._received if envelope.tag != Tag.ALIVE]
        self.deserted |= self._clock() - self._last_sign > self.silence
        return self._dismissed or self.signaled or self.deserted

    def close(self) -> None:
        """Close the channel because of a signal."""
        self.signaled = True

    def send(self, event: Event) -> None:
        """Send an event to rank 0."""
        self._wire.send(0, Tag.EVENT, event_to_json(event))


def serve_rank(wire: Wire) -> bool:
    """Work for rank 0 until it dismisses this rank or a signal stops it.

    Returns:
        Whether rank 0 is alive, as far as this rank knows.
    """
    channel = MpiChannel(wire)
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda *_: channel.close())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cause = ""
    try:
        _work(wire, channel)
    except Exception:  # rank 0 reports the exception, and the other ranks go on
        cause = traceback.format_exc(limit=-3)
    wire.send(0, Tag.GONE, DEPARTURE.dump_json(Departure(cause, channel.signaled)).decode())
    return not channel.deserted


def _work(wire: Wire, channel: MpiChannel) -> None:
    info = this_rank(wire.rank)
    wire.send(0, Tag.HELLO, RANK_INFO.dump_json(info).decode())
    envelope = channel.wait_for(Tag.SLOT)
    if envelope is None:
        return
    assert "torch" not in sys.modules, "cores and threads must be set before torch is imported"
    place = RANK_SLOT.validate_json(envelope.body)
    channel.silence = place.silence
    bind_cores(place.slot.cores)
    tune_allocator()
    os.environ.update(thread_variables(place.slot.threads))
    sweep = SweepDir(place.sweep)
    log = sweep.logs / f"worker-{info.name}.log"
    with redirect_output(log):
        Worker(sweep, info.name, channel).serve(place.slot.device, place.slot.threads)
    with contextlib.suppress(OSError):
        if not log.stat().st_size:
            log.unlink()
