"""What a running sweep shows: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import defaultdict
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from lthsweep.commands.pace import Pace
from lthsweep.launch.dispatch import Heard
from lthsweep.launch.work import Work
from lthsweep.plan.run import Plan

__all__ = ["Display", "duration", "plain_console"]


_OUTCOMES = {
    "diverged": "DIVERGED",
    "present": "finished by another coordinator",
    "walked": "snapshots made for the new rewind points",
}


def duration(seconds: float) -> str:
    """`75.2` → `1m15s`; `4000` → `1h07m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


class Display:
    """Listens to a sweep and shows how far it has come.

    Args:
        plan: for the names of runs.
        work: what is left to do.
        console: where to print; bars only if it is a terminal.
    """

    def __init__(self, plan: Plan, work: Work, console: Console) -> None:
        self._plan = plan
        self._pace = Pace(plan, work)
        self._runs = len(work.nodes)
        self._held: set[str] = set()
        self._console = console
        self._done: set[str] = set()
        self._bars: dict[str, TaskID] = {}
        self._runs_of: defaultdict[str, set[str]] = defaultdict(set)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._overall = self._progress.add_task(f"{self._runs} runs", total=1.0, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for bar in self._bars.values():
            self._progress.remove_task(bar)
        self._progress.stop()

    def __call__(self, heard: Heard) -> None:
        """Take note of a message (a `Listener`)."""
        message = heard.message
        if message.kind == "ready":
            return
        self._pace.hear(message)
        if message.kind == "progress":
            rate = message.values.get("images_per_second")
            phase = f", {message.values['phase']}" if "phase" in message.values else ""
            text = self._plan[message.key].describe() + phase
            self._bar(heard, text, self._pace.part_of(message.key), f"{rate or '…'} samples/s")
        else:
            self._runs_of[heard.worker].discard(message.key)
            if not self._runs_of[heard.worker] and heard.worker in self._bars:
                self._progress.remove_task(self._bars.pop(heard.worker))
            self._line(heard)
        self._progress.update(self._overall, completed=self._pace.part(), note=self._eta())

    def _bar(self, heard: Heard, text: str, fraction: float, note: str) -> None:
        """One bar for each worker, however many runs it trains as one."""
        worker = heard.worker
        runs = self._runs_of[worker]
        runs.add(heard.message.key)
        if len(runs) > 1:
            text = f"{self._plan[min(runs)].describe()} and {len(runs) - 1} more"
        if worker not in self._bars:
            self._bars[worker] = self._progress.add_task(text, total=1.0, note=note)
        self._progress.update(self._bars[worker], description=f"  {text}", completed=fraction, note=note)

    def _line(self, heard: Heard) -> None:
        message = heard.message
        text = self._plan[message.key].describe()
        if message.kind == "finished":
            self._done.add(message.key)
            outcome = message.values.get("outcome")
            accuracy = message.values.get("test_accuracy")
            told = _OUTCOMES.get(str(outcome)) or f"test accuracy {accuracy:.4f}"
            self._print(f"[{len(self._done)}/{self._runs}] {text}: {told}{self._eta(', ')}")
        elif message.kind == "failed":
            again = "will be tried again" if message.values.get("retry") else "failed"
            self._print(f"{text}: {again}: {message.values.get('cause')}  (run {message.key})")
        elif message.kind == "stopped":
            self._print(f"{text}: stopped; it goes on from its checkpoint next time")
        elif message.kind == "held" and message.key not in self._held:
            self._held.add(message.key)
            self._print(f"{text}: a worker of another coordinator has it; waiting for its record")

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _eta(self, before: str = "") -> str:
        left = self._pace.seconds_left()
        return "" if left is None else f"{before}about {duration(left)} left"


def plain_console(*, quiet: bool = False, lines: bool = False) -> Console:
    """Standard output; a pipe or a log file, which has no width, gets lines that hold the whole table.

    Args:
        quiet: print nothing.
        lines: lines in any case. Open MPI gives its ranks a terminal, whatever comes behind it.
    """
    console = Console(quiet=quiet)
    return (
        console
        if console.is_terminal and not lines
        else Console(quiet=quiet, width=120, force_terminal=False)
    )
