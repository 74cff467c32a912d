"""`status` and `logs`: see how a sweep goes. Both only read."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from lthsweep.commands.seen import Seen
from lthsweep.commands.sources import (
    JsonOption,
    OutOption,
    SetOption,
    Source,
    SourceArgument,
    open_source,
)
from lthsweep.commands.telling import as_text, counts
from lthsweep.commands.telling_json import as_json
from lthsweep.errors import SpecError, StoreError
from lthsweep.launch.disk_status import RunStatus, read_disk_status
from lthsweep.launch.eta import estimate_eta
from lthsweep.launch.local import workers_of
from lthsweep.launch.slurm.glance import Glance, glance
from lthsweep.launch.slurm.journal import Submission, read_journal
from lthsweep.launch.slurm.sites.site import site_of
from lthsweep.launch.slurm.traces import job_logs, last_words
from lthsweep.launch.sweep_status import sweep_status
from lthsweep.launch.work import seconds_per_epoch
from lthsweep.plan.find import find_run
from lthsweep.plan.run import Run
from lthsweep.reduce.spending import spending
from lthsweep.store.layout import SweepDir

__all__ = ["logs", "status"]

EXIT_FAILED = 1
EXIT_INCOMPLETE = 3

_SHARE = 20
"""Of the time between two looks, one part in so many at most is spent looking."""


def status(
    source: SourceArgument,
    overrides: SetOption = None,
    out: OutOption = None,
    json_wanted: JsonOption = False,
    runs: Annotated[bool, typer.Option("--runs", help="One line per run.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every few seconds until nothing more can happen.")
    ] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks at the disk.")] = 5.0,
) -> None:
    """Say how far a sweep is: which runs are done, running, waiting and for what, failed and why, and when it may end.

    Only reads. SLURM is asked once in a while, and only about a sweep that was handed to it.
    """
    opened = open_source(source, overrides=overrides, out=out)
    if watch and not json_wanted and Console().is_terminal:
        seen = _watch(opened, seconds, runs)
    elif watch:
        seen = _follow(opened, seconds, runs, json_wanted)
    else:
        seen = _look(opened)
        typer.echo(_said(opened, seen, runs, json_wanted))
    if seen.states.those(RunStatus.FAILED):
        raise typer.Exit(EXIT_FAILED)
    if not seen.states.is_finished:
        raise typer.Exit(EXIT_INCOMPLETE)


def _look(opened: Source, before: Glance | None = None) -> Seen:
    plan, sweep = opened.plan, opened.sweep
    found = read_disk_status(plan, sweep)
    seen = Glance() if found.is_complete else glance(sweep, lambda: site_of(opened.spec), before)
    states = sweep_status(plan, found, seen)
    known = seconds_per_epoch(plan, sweep)
    return Seen(
        states=states,
        found=found,
        outlook=estimate_eta(plan, states, known, workers_of(opened.spec)),
        spending=spending(sweep, found.done),
        seconds_per_epoch=known,
    )


def _said(opened: Source, seen: Seen, runs: bool, json_wanted: bool) -> str:
    return (
        json.dumps(as_json(opened, seen), indent=2) if json_wanted else as_text(opened, seen, all_runs=runs)
    )


def _watch(opened: Source, seconds: float, runs: bool) -> Seen:
    """On a terminal: one picture, drawn again and again."""
    with Live(console=Console(), auto_refresh=False) as live:
        watching = _Watching(opened, seconds)
        while not watching.is_over():
            live.update(Text(as_text(opened, watching.seen, all_runs=runs)), refresh=True)
            watching.wait()
        live.update(Text(as_text(opened, watching.seen, all_runs=runs)), refresh=True)
    return watching.seen


def _follow(opened: Source, seconds: float, runs: bool, json_wanted: bool) -> Seen:
    """Elsewhere: everything at first and at the end, and between them a line when a number changed."""
    watching = _Watching(opened, seconds)
    typer.echo(_said(opened, watching.seen, runs, json_wanted))
    last = counts(opened, watching.seen)
    changed = False
    while not watching.is_over():
        watching.wait()
        now = counts(opened, watching.seen)
        if json_wanted:
            typer.echo(_said(opened, watching.seen, runs, json_wanted))
        elif now != last:
            typer.echo(f"{time.strftime('%H:%M:%S')} {now}")
        last, changed = now, changed or now != last
        sys.stdout.flush()
    if changed and not json_wanted:
        typer.echo(_said(opened, watching.seen, runs, json_wanted))
    return watching.seen


class _Watching:
    """Looks again and again, and knows when there is nothing left to see."""

    def __init__(self, opened: Source, seconds: float) -> None:
        self._opened = opened
        self._seconds = seconds
        self._quiet = 0
        self.seen = self._look(None)

    def is_over(self) -> bool:
        """Everything is done; or nothing was going on at two looks, between which a worker may have been replaced."""
        return self.seen.states.is_finished or self._quiet >= 2

    def wait(self) -> None:
        """Sleep and look again."""
        time.sleep(max(self._seconds, _SHARE * self._took))
        self.seen = self._look(self.seen.states.glance)

    def _look(self, before: Glance | None) -> Seen:
        started = time.monotonic()
        seen = _look(self._opened, before)
        self._took = time.monotonic() - started
        self._quiet = self._quiet + 1 if seen.states.is_over else 0
        return seen


def logs(
    source: SourceArgument,
    cell: Annotated[
        str,
        typer.Argument(
            metavar="CELL",
            help="The beginning of a run's key, or a cell such as sparsity=0.8,rewind_epoch=1,seed=0.",
        ),
    ],
    out: OutOption = None,
    path: Annotated[bool, typer.Option("--path", help="Print where the log is, not what it says.")] = False,
    job: Annotated[
        bool, typer.Option("--job", help="The log of the SLURM job that has the run, not of the run.")
    ] = False,
) -> None:
    """Print the log of one run, all attempts; or that of the job that has it."""
    opened = open_source(source, out=out)
    run = find_run(opened.plan, cell)
    file = opened.sweep.log(run.key)
    submission = _last_job(opened.sweep, run.key)
    of_job = [] if submission is None else job_logs(opened.sweep, *submission)
    if job:
        if not of_job:
            raise SpecError(f"{run.describe()} ({run.key}): {_no_job_log(opened.sweep, submission)}")
        _print(of_job, path)
        return
    if not file.exists():
        raise SpecError(_never_started(opened, run, submission))
    _print([file], path)
    if of_job and not path:
        typer.echo(f"log of its job: {', '.join(map(str, of_job))}; --job prints it", err=True)


def _print(files: list[Path], path: bool) -> None:
    for file in files:
        if not path and len(files) > 1:
            typer.echo(f"==> {file}")
        typer.echo(str(file) if path else file.read_text(errors="replace"), nl=path)


def _last_job(sweep: SweepDir, key: str) -> tuple[Submission, int] | None:
    """The last submission that has a run and was not given up, and the index of its element."""
    found = None
    try:
        journal = read_journal(sweep)
    except StoreError:  # state/ is its owner's
        return None
    for submission in journal:
        if submission.kind == "train" and submission.fate != "void":
            for index, keys in enumerate(submission.parcels):
                if key in keys:
                    found = submission, index
    return found


def _never_started(opened: Source, run: Run, submission: tuple[Submission, int] | None) -> str:
    said = f"{run.describe()} ({run.key}) has no log: it was not started in {opened.sweep.path}"
    if submission is None:
        return said
    words = last_words(opened.sweep, *submission)
    return f"{said}; {_name(*submission)} is to run it, or was" + (
        f", and said last: {words}" if words else ", and has said nothing"
    )


def _no_job_log(sweep: SweepDir, submission: tuple[Submission, int] | None) -> str:
    if submission is None:
        return "no SLURM job has it; without --job the log of the run itself is printed"
    folder = sweep.submission(submission[0].name)
    return f"{_name(*submission)} has it, and has written nothing yet; its folder is {folder}"


def _name(submission: Submission, index: int) -> str:
    job = "a job whose id is not known" if submission.job is None else f"job {submission.job}_{index}"
    return f"{job} ({submission.name})"
