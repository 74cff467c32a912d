"""The log of decisions: one line each, also if several processes append at once."""

from __future__ import annotations

import os
import socket
from multiprocessing import get_context

import pytest

from lthsweep.launch.slurm.decisions import note_decision
from lthsweep.store.layout import SweepDir

LINES, LONG = 200, 3000


@pytest.fixture
def sweep(tmp_path):
    return SweepDir(tmp_path / "sweep").create()


def lines_of(sweep):
    return (sweep.logs / "controller.log").read_text().splitlines()


def test_each_decision_is_one_line(sweep):
    """With host and process, in order."""
    for text in ("submitted lth-1", "halted the sweep: é"):
        note_decision(sweep, text)

    first, second = lines_of(sweep)
    writer = f"{socket.gethostname()} pid {os.getpid()}: "
    assert first.endswith(f"{writer}submitted lth-1")
    assert second.endswith(f"{writer}halted the sweep: é")


def append(folder, letter, barrier):
    sweep = SweepDir(folder)
    barrier.wait()
    for number in range(LINES):
        note_decision(sweep, f"{letter * LONG} {number}")


def test_appends_of_processes_do_not_mix(sweep):
    """Login nodes, controller jobs and worker jobs write at once. No line is lost."""
    context = get_context("fork")
    barrier = context.Barrier(4)
    processes = [context.Process(target=append, args=(sweep.path, letter, barrier)) for letter in "abcd"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0] * 4
    texts = [line.partition(": ")[2] for line in lines_of(sweep)]
    for letter in "abcd":
        mine = [text for text in texts if text.startswith(letter)]
        assert mine == [f"{letter * LONG} {number}" for number in range(LINES)]
    assert len(texts) == 4 * LINES


def test_an_unwritable_log_is_no_error(sweep):
    """The step continues; a directory in place of the file cannot be opened, not even by root."""
    (sweep.logs / "controller.log").mkdir()

    note_decision(sweep, "submitted lth-1")


def test_a_missing_folder_is_no_error(tmp_path):
    """A user can delete `logs/`."""
    note_decision(SweepDir(tmp_path / "none"), "submitted lth-1")
    assert not (tmp_path / "none").exists()
