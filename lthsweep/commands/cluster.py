"""`run --on slurm`, `tick`, `cancel`: hand a sweep to a cluster, see to it, take it back."""

from __future__ import annotations

import contextlib
import json
import shlex
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lthsweep.commands.display import duration
from lthsweep.commands.sources import (
    JsonOption,
    OutOption,
    Source,
    SourceArgument,
    open_source,
    require_sweep,
)
from lthsweep.errors import ClusterSilentError, SpecError
from lthsweep.launch.disk_status import read_disk_status
from lthsweep.launch.slurm.advance import Advance, advance
from lthsweep.launch.slurm.canceling import cancel_runs, cancel_sweep
from lthsweep.launch.slurm.halt import read_halt
from lthsweep.launch.slurm.journal import Submission, come_alive, open_journal
from lthsweep.launch.slurm.look import look
from lthsweep.launch.slurm.run import run_slurm
from lthsweep.launch.slurm.sites.site import Site, site_of
from lthsweep.launch.slurm.traces import End, write_end
from lthsweep.launch.work import seconds_per_epoch, work_left
from lthsweep.plan.estimate import estimate
from lthsweep.plan.find import find_run

__all__ = ["cancel", "submit", "tick"]

EXIT_FAILED = 1
EXIT_INCOMPLETE = 3


def submit(opened: Source, console: Console, *, retry_failed: bool, wait: bool, cache: Path | None) -> None:
    """What `run --on slurm` does: submit, say what was submitted, leave; or stay and wait for the records."""
    site = site_of(opened.spec)
    left = len(work_left(opened.plan, opened.sweep).nodes)
    _say(
        console,
        f"{opened.spec.sweep.name}: {left} of {len(opened.plan.runs)} runs left, profile {site.profile}, "
        f"{f'partition {site.partition}, ' if site.partition else ''}results in {opened.sweep.path}",
    )
    for line in (*site.warnings, *site.advice.splitlines()):
        _say(console, f"note: {line}")
    step = run_slurm(opened.plan, opened.sweep, site, retry_failed=retry_failed, cache=cache)
    for line in describe_step(opened, site, step):
        _say(console, line)
    if wait and step.view.halt is None:
        wait_for(opened, site)
    _merge(opened)
    found = read_disk_status(opened.plan, opened.sweep)
    if read_halt(opened.sweep) or (found.failures and (wait or step.view.is_over)):
        raise typer.Exit(EXIT_FAILED)
    if wait and not found.is_complete:
        raise typer.Exit(EXIT_INCOMPLETE)


def wait_for(opened: Source, site: Site) -> None:
    """Wait until nothing is left to train, or the sweep is halted; looks at the disk, and seldom at SLURM."""
    asked = time.monotonic()
    while True:
        found = read_disk_status(opened.plan, opened.sweep)
        if read_halt(opened.sweep) or found.is_complete:
            return
        if time.monotonic() - asked >= site.poll_seconds:
            asked = time.monotonic()
            with contextlib.suppress(ClusterSilentError):  # nothing follows from silence
                if look(opened.plan, opened.sweep, site).is_over:
                    return
        time.sleep(min(5.0, site.poll_seconds))


def describe_step(opened: Source, site: Site, step: Advance) -> list[str]:
    """What a step did, in a few lines."""
    path = opened.sweep.path
    if step.view.halt is not None:
        return [
            f"halted: {step.view.halt.why}",
            f"mend the cause, then `lthsweep run {path} --on slurm --retry-failed`",
        ]
    lines = [_describe(submission) for submission in step.submitted]
    running = step.view.standing.live
    if running:
        lines.append(
            f"in the queue before: {count(len(running), 'array')} with {count(len(step.view.standing.covered), 'run')}"
        )
    if step.guessed:
        lines.append(
            "how long an epoch takes is not known yet: the dense runs go first and will tell, "
            "the follow-up packs the tickets by it"
        )
    if step.refusal:
        lines.append(f"SLURM takes no more for now ({step.refusal})")
    if step.later:
        lines.append(f"{step.later} runs are submitted later, by the follow-up")
    if step.tick is not None:
        lines.append(
            f"follow-up: job {step.tick.job or '?'} {step.tick.name}; it merges the table and goes on"
        )
    if step.view.bad_nodes:
        lines.append(
            f"nodes left out, because everything fails there: {', '.join(sorted(step.view.bad_nodes))}"
        )
    for key, cause in step.view.given_up.items():
        lines.append(f"  failed {key[:8]} {opened.plan[key].describe()}: {cause}")
    if step.view.given_up:
        lines.append(f"`lthsweep run {path} --on slurm --retry-failed` tries these again")
    if step.view.is_over:
        lines.append("nothing is left to submit")
    else:
        lines += _when(opened, site, step)
        lines.append(f"how it goes: lthsweep status {shlex.quote(str(path))} --watch")
    return lines


def _describe(submission: Submission) -> str:
    runs = sum(len(keys) for keys in submission.parcels)
    after = f", after {', '.join(submission.after)}" if submission.after else ""
    return (
        f"submitted {submission.name}: job {submission.job}, {submission.elements} "
        f"element{'' if submission.elements == 1 else 's'}, {runs} run{'' if runs == 1 else 's'}, "
        f"at most {duration(60 * submission.minutes)} each{after}"
    )


def _when(opened: Source, site: Site, step: Advance) -> list[str]:
    """When the sweep may be done, if somebody measured an epoch before."""
    arrays = {submission.name: submission for submission in (*step.view.standing.live, *step.submitted)}
    jobs = sum(submission.elements for submission in arrays.values())
    known = seconds_per_epoch(opened.plan, opened.sweep)
    expected = estimate(opened.plan, step.view.work.found.done, known, workers=jobs * site.slots)
    if expected is None or not jobs:
        return []
    end = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + expected.wall))
    which = "the job" if jobs == 1 else f"all {jobs} jobs"
    return [f"done not before {end}, if {which} started now ({duration(expected.wall)} of training)"]


def count(number: int, word: str) -> str:
    """ "1 job", "2 jobs"."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def tick(
    source: SourceArgument,
    out: OutOption = None,
    submission: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="The submission whose job this is.")
    ] = None,
    patience: Annotated[
        float, typer.Option(min=0, help="Minutes to go on asking a SLURM that does not answer.")
    ] = 45.0,
) -> None:
    """Take the next step of a sweep on SLURM: settle, submit what fits, merge. The sweep submits this itself."""
    import os

    opened = open_source(source, out=out)
    require_sweep(opened)
    open_journal(opened.sweep)
    if submission and not come_alive(opened.sweep, submission, os.environ.get("SLURM_JOB_ID", "")):
        typer.echo(f"{submission} was given up before this job started; there is nothing to do")
        return
    site = site_of(opened.spec)
    until = time.monotonic() + 60 * patience
    _merge(opened)
    while True:
        try:
            step = advance(opened.plan, opened.sweep, site, own=submission)
            break
        except ClusterSilentError as silence:
            typer.echo(f"{time.strftime('%H:%M:%S')} {silence}")
            if time.monotonic() >= until:
                raise
            time.sleep(site.poll_seconds)
    for line in describe_step(opened, site, step):
        typer.echo(line)
    _merge(opened)
    if submission:
        write_end(opened.sweep, submission, 0, End(worked=("tick",)))


def cancel(
    source: SourceArgument,
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CELL]...",
            help="Beginnings of keys, or cells such as sparsity=0.8,rewind_epoch=1,seed=0; all if left out.",
        ),
    ] = None,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take runs back, or the whole sweep: jobs leave the queue, workers write checkpoints. Records stay."""
    opened = open_source(source, out=out)
    require_sweep(opened)
    if not runs:
        if not opened.sweep.slurm.is_dir():
            raise SpecError(
                f"{opened.sweep.path} was never handed to SLURM; Ctrl-C stops what runs here, and single runs are "
                f"canceled by their keys, which `lthsweep status {opened.sweep.path} --runs` lists"
            )
        found = cancel_sweep(opened.sweep)
        said = f"canceled: {count(len(found), 'job')}; `lthsweep run {opened.sweep.path} --on slurm` goes on"
    else:
        keys = [find_run(opened.plan, key).key for key in runs]
        there = set(opened.sweep.record_keys())
        if done := [key for key in keys if key in there]:
            raise SpecError(f"{', '.join(done)}: finished already; a record is never taken back")
        found = cancel_runs(opened.plan, opened.sweep, keys)
        where = "--on slurm " if opened.sweep.slurm.is_dir() else ""
        said = (
            f"canceled: {count(len(keys), 'run')}, and what descends from them; workers stop within seconds; "
            f"`lthsweep run {opened.sweep.path} {where}--retry-failed` goes on with them"
        )
    typer.echo(json.dumps({"jobs": found, "runs": runs or []}) if as_json else said)


def _merge(opened: Source) -> None:
    from lthsweep.reduce.merge import merge  # pandas and scipy: not before they are needed

    merge(opened.sweep, opened.plan)


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
