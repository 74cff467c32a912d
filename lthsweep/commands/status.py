"""`status`: the state of a sweep, once or until nothing more happens. Only reads."""

from __future__ import annotations

import json
import sys
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from lthsweep.commands import EXIT_FAILED, EXIT_INCOMPLETE
from lthsweep.commands.snapshot import Snapshot, take_snapshot
from lthsweep.commands.sources import (
    JsonOption,
    OpenedSweep,
    OutOption,
    SetOption,
    SourceArgument,
    open_source,
)
from lthsweep.commands.status_json import status_json
from lthsweep.commands.status_text import status_counts, status_text
from lthsweep.launch.data_sources import other_data_here
from lthsweep.launch.disk_status import RunStatus

__all__ = ["status"]

_SHARE = 20
"""Reading takes at most one part in this many of the time between two snapshots."""


def status(
    source: SourceArgument,
    overrides: SetOption = None,
    out: OutOption = None,
    json_wanted: JsonOption = False,
    runs: Annotated[bool, typer.Option("--runs", help="Print one line per run.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Repeat every few seconds until nothing more happens.")
    ] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds between two updates.")] = 5.0,
) -> None:
    """Show the state of every run, failures, and the estimated time left.

    Only reads. SLURM is queried at most once per `slurm.poll_seconds`, and only for a sweep that was submitted to it.
    """
    opened = open_source(source, overrides=overrides, out=out)
    if watch and not json_wanted and Console().is_terminal:
        last = _watch(opened, seconds, runs)
    elif watch:
        last = _follow(opened, seconds, runs, json_wanted)
    else:
        last = take_snapshot(opened)
        typer.echo(_output(last, runs, json_wanted))
        for line in other_data_here(opened.spec):
            typer.echo(line, err=True)
    if last.status.those(RunStatus.FAILED) or last.on_disk.damaged:
        raise typer.Exit(EXIT_FAILED)
    if not last.status.is_finished or last.apart.pool.keys:
        raise typer.Exit(EXIT_INCOMPLETE)


def _output(snapshot: Snapshot, runs: bool, json_wanted: bool) -> str:
    return (
        json.dumps(status_json(snapshot), indent=2) if json_wanted else status_text(snapshot, all_runs=runs)
    )


def _watch(opened: OpenedSweep, seconds: float, runs: bool) -> Snapshot:
    """On a terminal: redraw the text in place."""
    with Live(console=Console(), auto_refresh=False) as live:
        snapshots = _Snapshots(opened, seconds)
        while not snapshots.is_over():
            live.update(Text(status_text(snapshots.last, all_runs=runs)), refresh=True)
            snapshots.wait()
        live.update(Text(status_text(snapshots.last, all_runs=runs)), refresh=True)
    return snapshots.last


def _follow(opened: OpenedSweep, seconds: float, runs: bool, json_wanted: bool) -> Snapshot:
    """Elsewhere: print everything at the start and at the end, and the counts whenever they change."""
    snapshots = _Snapshots(opened, seconds)
    typer.echo(_output(snapshots.last, runs, json_wanted))
    counts = status_counts(snapshots.last)
    changed = False
    while not snapshots.is_over():
        snapshots.wait()
        now = status_counts(snapshots.last)
        if json_wanted:
            typer.echo(_output(snapshots.last, runs, json_wanted))
        elif now != counts:
            typer.echo(f"{time.strftime('%H:%M:%S')} {now}")
        counts, changed = now, changed or now != counts
        sys.stdout.flush()
    if changed and not json_wanted:
        typer.echo(_output(snapshots.last, runs, json_wanted))
    return snapshots.last


class _Snapshots:
    """Takes snapshots repeatedly, and detects when nothing more will change."""

    def __init__(self, opened: OpenedSweep, seconds: float) -> None:
        self._opened = opened
        self._seconds = seconds
        self._idle = 0
        self.last = self._take(None)

    def is_over(self) -> bool:
        """True if all runs are done, or two snapshots were idle: between them, a worker can be replaced."""
        return self.last.status.is_finished or self._idle >= 2

    def wait(self) -> None:
        """Sleep, then take the next snapshot."""
        time.sleep(max(self._seconds, _SHARE * self._took))
        self.last = self._take(self.last)

    def _take(self, before: Snapshot | None) -> Snapshot:
        started = time.monotonic()
        snapshot = take_snapshot(self._opened, before.status.queue if before else None)
        self._took = time.monotonic() - started
        self._idle = self._idle + 1 if snapshot.status.is_over else 0
        return snapshot
