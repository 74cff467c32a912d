"""`run --on slurm`, `controller`, `cancel`: submit a sweep to SLURM, continue it, and cancel it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lthsweep.commands import EXIT_FAILED, EXIT_INCOMPLETE
from lthsweep.commands.console import print_lines
from lthsweep.commands.sources import (
    JsonOption,
    OpenedSweep,
    OutOption,
    SourceArgument,
    damaged_records,
    open_source,
    require_sweep,
)
from lthsweep.errors import ClusterSilentError, SpecError
from lthsweep.launch.disk_status import read_disk_status
from lthsweep.launch.slurm.advance import Advance, advance
from lthsweep.launch.slurm.canceling import cancel_runs, cancel_sweep
from lthsweep.launch.slurm.cluster.ask import ignored_variables
from lthsweep.launch.slurm.cluster.sbatch import requeue
from lthsweep.launch.slurm.halt import read_halt
from lthsweep.launch.slurm.job_files import End, write_end
from lthsweep.launch.slurm.journal import Submission, mark_started, open_journal
from lthsweep.launch.slurm.sites.site import Site, site_of
from lthsweep.launch.slurm.start import run_slurm
from lthsweep.launch.work import seconds_per_epoch, work_left
from lthsweep.plan.estimate import estimate
from lthsweep.plan.find import find_run
from lthsweep.reduce.directory_pool import read_pool
from lthsweep.wording import duration, plural

__all__ = ["cancel", "controller", "submit"]


def submit(
    opened: OpenedSweep, console: Console, *, retry_failed: bool, wait: bool, cache: Path | None
) -> None:
    """Submit a sweep and print the submitted jobs; with `wait`, return when all records exist."""
    site = site_of(opened.spec)
    left = len(work_left(opened.plan, opened.sweep).nodes)
    print_lines(
        console,
        f"{opened.spec.sweep.name}: {left} of {len(opened.plan.runs)} runs left, profile {site.profile}, "
        f"{f'partition {site.partition}, ' if site.partition else ''}results in {opened.sweep.path}",
        *read_pool(opened.plan, opened.sweep).notes(opened.shell_path),
    )
    print_lines(console, *(f"note: {line}" for line in (*site.warnings, *site.advice.splitlines())))
    if ignored := ignored_variables():
        print_lines(
            console, f"note: {', '.join(ignored)} in your environment have no effect: use [slurm] instead"
        )
    step = run_slurm(opened.plan, opened.sweep, site, retry_failed=retry_failed, cache=cache)
    print_lines(console, *describe_step(opened, site, step))
    if wait and step.view.halt is None:
        wait_for(opened, site, console)
    _merge(opened)
    found = read_disk_status(opened.plan, opened.sweep)
    for line in damaged_records(opened, found):
        typer.echo(line, err=True)
    if read_halt(opened.sweep) or found.damaged or (found.failures and (wait or step.view.is_over)):
        raise typer.Exit(EXIT_FAILED)
    set_aside = read_pool(opened.plan, opened.sweep).pool.keys
    if wait and (set_aside or not found.is_complete):
        raise typer.Exit(EXIT_INCOMPLETE)


def wait_for(opened: OpenedSweep, site: Site, console: Console) -> None:
    """Take the steps of the sweep until nothing is left to train or the sweep is halted.

    Jobs take them too. On clusters where compute nodes cannot submit jobs, only this process does.
    """
    next_step = time.monotonic() + site.poll_seconds
    while True:
        found = read_disk_status(opened.plan, opened.sweep)
        if read_halt(opened.sweep) or found.is_complete:
            return
        if time.monotonic() >= next_step:
            next_step = time.monotonic() + site.poll_seconds
            with contextlib.suppress(ClusterSilentError):  # no answer means no information
                step = advance(opened.plan, opened.sweep, site)
                print_lines(console, *map(_describe, step.submitted))
                if step.view.is_over:
                    return
        time.sleep(min(5.0, site.poll_seconds))


def describe_step(opened: OpenedSweep, site: Site, step: Advance) -> list[str]:
    """Lines about what one step of the coordinator did."""
    path = opened.shell_path
    tasks = step.view.tasks
    if step.view.halt is not None:
        return [
            f"halted: {step.view.halt.why}",
            f"fix the cause, then `lthsweep run {path} --on slurm --retry-failed`",
        ]
    lines = [_describe(submission) for submission in step.submitted]
    if queued := sum(task.is_live and task.submission.kind == "workers" for task in tasks.all):
        lines.append(f"queued before: {plural(queued, 'worker job')}")
    if step.guessed:
        lines.append("the time of an epoch is not known yet: the first runs measure it")
    if step.refusal:
        lines.append(f"SLURM accepts no more jobs for now ({step.refusal})")
    if step.unsubmitted:
        lines.append(
            f"{plural(step.unsubmitted, 'ready run')} without a job, because a limit on jobs is reached; "
            f"workers pull them, and the controller job submits more"
        )
    if step.controller is not None:
        job = step.controller
        lines.append(f"controller: job {job.job or '?'} {job.name}; it merges the table and continues")
    if step.view.bad_nodes:
        lines.append(f"nodes excluded, because all runs fail there: {', '.join(sorted(step.view.bad_nodes))}")
    for key, cause in step.view.failed.items():
        lines.append(f"  failed {key[:8]} {opened.plan[key].describe()}: {cause}")
    if step.view.failed:
        lines.append(f"`lthsweep run {path} --on slurm --retry-failed` retries these")
    if step.view.is_over:
        lines.append("nothing is left to submit")
    else:
        lines += _when(opened, site, step)
        lines.append(f"progress: lthsweep status {path} --watch")
    return lines


def _describe(submission: Submission) -> str:
    runs = sum(len(keys) for keys in submission.shares)
    return (
        f"submitted {submission.name}: job {submission.job}, {plural(submission.elements, 'worker job')} "
        f"for {plural(runs, 'run')} and any ready run after that, walltime {duration(60 * submission.minutes)}"
    )


def _when(opened: OpenedSweep, site: Site, step: Advance) -> list[str]:
    """The earliest end of the sweep, if an epoch was measured before."""
    arrays = {submission.name: submission for submission in (*step.view.tasks.live, *step.submitted)}
    jobs = sum(submission.elements for submission in arrays.values())
    known = seconds_per_epoch(opened.plan, opened.sweep)
    expected = estimate(opened.plan, step.view.work.found.done, known, workers=jobs * site.slots)
    if expected is None or not jobs:
        return []
    end = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + expected.wall))
    which = "the job" if jobs == 1 else f"all {jobs} jobs"
    return [f"done at {end} at the earliest, if {which} started now ({duration(expected.wall)} of training)"]


def controller(
    source: SourceArgument,
    out: OutOption = None,
    submission: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="The submission whose job this is.")
    ] = None,
    patience: Annotated[
        float, typer.Option(min=0, help="Minutes to keep querying a SLURM that does not answer.")
    ] = 45.0,
) -> None:
    """Take the next step of a sweep on SLURM: reconcile, submit, merge. Controller jobs run this command."""
    opened = open_source(source, out=out)
    require_sweep(opened)
    open_journal(opened.sweep)
    if submission and not mark_started(opened.sweep, submission, os.environ.get("SLURM_JOB_ID", "")):
        typer.echo(f"{submission} was given up before this job started; nothing to do")
        return
    site = site_of(opened.spec)
    _merge(opened)
    step = _patient_step(opened, site, submission, until=time.monotonic() + 60 * patience)
    if step is None:
        typer.echo("no further job was accepted; back in the queue")
        if not (submission and requeue(os.environ.get("SLURM_JOB_ID", ""))):
            raise typer.Exit(EXIT_INCOMPLETE)
        return
    for line in describe_step(opened, site, step):
        typer.echo(line)
    _merge(opened)
    if submission:
        write_end(opened.sweep, submission, 0, End(worked=("controller",)))


def _patient_step(opened: OpenedSweep, site: Site, own: str | None, until: float) -> Advance | None:
    """Take a step that leaves a successor, waiting for a SLURM that is silent, or accepts no job for now.

    Returns:
        None if SLURM accepted no successor until the end; the job requeues itself then, and continues when it can.

    Raises:
        ClusterSilentError: if SLURM did not answer until the end.
    """
    while True:
        try:
            step = advance(opened.plan, opened.sweep, site, own=own)
            view = step.view
            # A worker that SLURM lists takes the next step at its end.
            has_worker = any(t.queued is not None and t.submission.kind == "workers" for t in view.tasks.all)
            if step.controller or step.submitted or has_worker or view.is_over or view.halt:
                return step
            reason = step.refusal
            if time.monotonic() >= until:
                return None
        except ClusterSilentError as silence:
            reason = str(silence)
            if time.monotonic() >= until:
                raise
        typer.echo(f"{time.strftime('%H:%M:%S')} {reason}")
        time.sleep(site.poll_seconds)


def cancel(
    source: SourceArgument,
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CELL]...",
            help="Beginnings of keys, or cells such as sparsity=0.8,rewind_epoch=1,seed=0; default: all.",
        ),
    ] = None,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cancel runs or the whole sweep: jobs leave the queue, workers write checkpoints. Records stay."""
    opened = open_source(source, out=out)
    require_sweep(opened)
    if not runs:
        if not opened.sweep.slurm.is_dir():
            raise SpecError(
                f"{opened.sweep.path} was never submitted to SLURM; Ctrl-C stops local workers; give the keys "
                f"of single runs, which `lthsweep status {opened.shell_path} --runs` lists"
            )
        found = cancel_sweep(opened.sweep)
        text = (
            f"canceled: {plural(len(found), 'job')}; `lthsweep run {opened.shell_path} --on slurm` continues"
        )
    else:
        keys = [find_run(opened.plan, key).key for key in runs]
        recorded = set(opened.sweep.record_keys())
        if done := [key for key in keys if key in recorded]:
            raise SpecError(f"{', '.join(done)}: already finished; records cannot be canceled")
        found = cancel_runs(opened.plan, opened.sweep, keys)
        where = "--on slurm " if opened.sweep.slurm.is_dir() else ""
        text = (
            f"canceled: {plural(len(keys), 'run')} and their descendants; workers stop within seconds; "
            f"`lthsweep run {opened.shell_path} {where}--retry-failed` resumes them"
        )
    typer.echo(json.dumps({"jobs": found, "runs": runs or []}) if as_json else text)


def _merge(opened: OpenedSweep) -> None:
    from lthsweep.reduce.merge import merge  # pandas and scipy: only when needed

    merge(opened.sweep, opened.plan)
