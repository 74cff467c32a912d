"""`logs`: the log of one run, or of the SLURM job that trains it. Only reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lthsweep.commands.sources import OpenedSweep, OutOption, SourceArgument, open_source
from lthsweep.errors import SpecError, StoreError
from lthsweep.launch.slurm.job_files import job_logs, last_log_line, raw_ids, read_end
from lthsweep.launch.slurm.journal import Submission, read_journal
from lthsweep.launch.task import STALE_SECONDS
from lthsweep.plan.find import find_run
from lthsweep.plan.run import Run
from lthsweep.store import claims
from lthsweep.store.layout import SweepDir

__all__ = ["logs"]


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
    path: Annotated[bool, typer.Option("--path", help="Print the path of the log only.")] = False,
    job: Annotated[
        bool, typer.Option("--job", help="Print the log of the SLURM job instead of the run's.")
    ] = False,
) -> None:
    """Print the log of one run with all its attempts, or of the job that trains it."""
    opened = open_source(source, out=out)
    run = find_run(opened.plan, cell)
    file = opened.sweep.log(run.key)
    submission = _last_submission(opened.sweep, run.key)
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


def _last_submission(sweep: SweepDir, key: str) -> tuple[Submission, int] | None:
    """The last valid submission with a worker job that has, had or pulled a run, and the index of the job."""
    found = None
    try:
        journal = read_journal(sweep)
    except StoreError:  # state/ belongs to another user
        return None
    owner = claims.holder(sweep, key, STALE_SECONDS)
    for submission in journal:
        if submission.kind == "workers" and submission.outcome != "void":
            for index, keys in enumerate(submission.shares):
                end = read_end(sweep, submission.name, index)
                pulled = end is not None and key in (*end.worked, *end.broke, *end.failed)
                claimed = owner is not None and owner.job in raw_ids(sweep, submission.name, index)
                if key in keys or pulled or claimed:
                    found = submission, index
                if claimed:
                    return found
    return found


def _never_started(opened: OpenedSweep, run: Run, submission: tuple[Submission, int] | None) -> str:
    text = f"{run.describe()} ({run.key}) has no log: it was not started in {opened.sweep.path}"
    if submission is None:
        return text
    output = last_log_line(opened.sweep, *submission)
    return f"{text}; it was submitted with {_name(*submission)}, " + (
        f"whose last output is: {output}" if output else "which has no output"
    )


def _no_job_log(sweep: SweepDir, submission: tuple[Submission, int] | None) -> str:
    if submission is None:
        return "no SLURM job has it; without --job, the log of the run itself is printed"
    folder = sweep.submission(submission[0].name)
    return f"{_name(*submission)} has it, and has no output yet; its directory is {folder}"


def _name(submission: Submission, index: int) -> str:
    job = submission.job_id(index)
    return f"{'a job of unknown id' if job is None else f'job {job}'} ({submission.name})"
