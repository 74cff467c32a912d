"""The display of a running sweep: bars on a terminal, lines elsewhere."""

from __future__ import annotations

from collections import defaultdict
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from lthsweep.commands.console import print_lines
from lthsweep.commands.live_progress import LiveProgress
from lthsweep.launch.events import (
    Failed,
    Finished,
    Held,
    Message,
    Ready,
    Requeued,
    RunProgress,
    Stopped,
    TaskOutcome,
)
from lthsweep.launch.work import Work
from lthsweep.plan.run import Plan
from lthsweep.wording import duration

__all__ = ["Display"]

_OUTCOMES = {
    TaskOutcome.DIVERGED: "DIVERGED",
    TaskOutcome.PRESENT: "finished by another coordinator",
    TaskOutcome.REPLAYED: "snapshots written for the new rewind epochs",
}


class Display:
    """Shows the events of a sweep's workers.

    Args:
        plan: the plan, for descriptions of runs.
        work: the runs left to train.
        console: the output; bars need a terminal.
    """

    def __init__(self, plan: Plan, work: Work, console: Console) -> None:
        self._plan = plan
        self._live = LiveProgress(plan, work)
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

    def __call__(self, message: Message) -> None:
        """Show a message of a worker (an `OnMessage`)."""
        worker, event = message.worker, message.event
        if isinstance(event, Ready):
            return
        self._live.note(event)
        if isinstance(event, RunProgress):
            phase = "" if event.phase == "train" else f", {event.phase}"
            text = self._plan[event.key].describe() + phase
            note = f"{event.images_per_second or '…'} samples/s"
            self._bar(worker, event.key, text, self._live.fraction_of(event.key), note)
        else:
            self._runs_of[worker].discard(event.key)
            if not self._runs_of[worker] and worker in self._bars:
                self._progress.remove_task(self._bars.pop(worker))
            self._line(event)
        self._progress.update(self._overall, completed=self._live.fraction(), note=self._eta())

    def _bar(self, worker: str, key: str, text: str, fraction: float, note: str) -> None:
        """Update the bar of a worker, which can train several runs at once."""
        runs = self._runs_of[worker]
        runs.add(key)
        if len(runs) > 1:
            text = f"{self._plan[min(runs)].describe()} and {len(runs) - 1} more"
        if worker not in self._bars:
            self._bars[worker] = self._progress.add_task(text, total=1.0, note=note)
        self._progress.update(self._bars[worker], description=f"  {text}", completed=fraction, note=note)

    def _line(self, event: Finished | Failed | Stopped | Held | Requeued) -> None:
        text = self._plan[event.key].describe()
        if isinstance(event, Finished):
            self._done.add(event.key)
            ended = _OUTCOMES.get(event.outcome) or f"test accuracy {event.test_accuracy:.4f}"
            print_lines(self._console, f"[{len(self._done)}/{self._runs}] {text}: {ended}{self._eta(', ')}")
        elif isinstance(event, Failed):
            state = "failed, will be retried" if event.retry else "failed"
            print_lines(self._console, f"{text}: {state}: {event.cause}  (run {event.key})")
        elif isinstance(event, Stopped):
            print_lines(self._console, f"{text}: stopped; it goes on from its checkpoint next time")
        elif isinstance(event, Held) and event.key not in self._held:
            self._held.add(event.key)
            print_lines(self._console, f"{text}: another coordinator trains it; waiting for its record")

    def _eta(self, before: str = "") -> str:
        left = self._live.seconds_left()
        return "" if left is None else f"{before}about {duration(left)} left"
