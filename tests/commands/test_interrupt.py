"""Signals ask a running sweep to stop; only a further Ctrl-C kills."""

from __future__ import annotations

import os
import signal

import pytest
from rich.console import Console

from lthsweep.commands.interrupt import Interrupt


class CountedPool:
    """Counts kills."""

    killed = 0

    def kill(self):
        self.killed += 1


def after(*numbers):
    """(whether a stop was requested, kills) after these signals."""
    pool, interrupt = CountedPool(), Interrupt(Console(quiet=True))
    interrupt.watch(pool)
    with interrupt.handled():
        for number in numbers:
            os.kill(os.getpid(), number)
    return interrupt.asked(), pool.killed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR2])
def test_the_first_signal_requests_a_stop(number):
    """Runs write their checkpoints."""
    assert after(number) == (True, 0)


def test_another_ctrl_c_kills():
    """Also after a signal of the batch system."""
    assert after(signal.SIGINT, signal.SIGINT) == (True, 1)
    assert after(signal.SIGTERM, signal.SIGINT) == (True, 1)


def test_repeated_sigterm_does_not_kill():
    """SLURM sends SIGTERM to every process of a preempted job, and the batch script forwards its own."""
    assert after(signal.SIGTERM, signal.SIGTERM, signal.SIGUSR2) == (True, 0)


def test_no_signal_requests_no_stop():
    """The initial state."""
    assert after() == (False, 0)
