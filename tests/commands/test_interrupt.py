"""Signals to a running sweep: all of them ask, and only another Ctrl-C kills."""

from __future__ import annotations

import os
import signal

import pytest
from rich.console import Console

from lthsweep.commands.interrupt import Interrupt


class CountedPool:
    """Counts how often its workers were killed."""

    killed = 0

    def kill(self):
        self.killed += 1


def after(*numbers):
    """(asked to stop, times killed) after these signals."""
    pool, interrupt = CountedPool(), Interrupt(Console(quiet=True))
    interrupt.watch(pool)
    with interrupt.handled():
        for number in numbers:
            os.kill(os.getpid(), number)
    return interrupt.asked(), pool.killed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR2])
def test_the_first_signal_asks(number):
    assert after(number) == (True, 0)


def test_another_ctrl_c_kills():
    """Also where a batch system asked before."""
    assert after(signal.SIGINT, signal.SIGINT) == (True, 1)
    assert after(signal.SIGTERM, signal.SIGINT) == (True, 1)


def test_a_job_that_is_told_twice_to_end_is_told_the_same():
    """SLURM sends SIGTERM to every process of a preempted job, and the batch script hands its own on."""
    assert after(signal.SIGTERM, signal.SIGTERM, signal.SIGUSR2) == (True, 0)


def test_without_signals_nothing_is_asked():
    assert after() == (False, 0)
