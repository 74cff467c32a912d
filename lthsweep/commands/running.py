"""`run`, `status`, `logs`: train what is missing, and see how it goes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lthsweep.commands.display import Display, duration, plain_console
from lthsweep.commands.interrupt import Interrupt
from lthsweep.commands.sources import (
    CacheOption,
    JsonOption,
    OutOption,
    SetOption,
    Source,
    SourceArgument,
    open_source,
)
from lthsweep.commands.tables import print_table
from lthsweep.errors import SpecError, UnknownNameError
from lthsweep.launch.coordinate import work_left
from lthsweep.launch.on_local import run_local, slots_of, workers_of
from lthsweep.launch.on_pool import SweepRun
from lthsweep.launch.survey import Survey, seconds_per_epoch, survey
from lthsweep.plan.cost import cost_of, estimate
from lthsweep.plan.find import find_run

__all__ = ["logs", "run", "status"]

EXIT_FAILED = 1
EXIT_INCOMPLETE = 3
PLACES = ("local", "mpi", "slurm")


def run(
    source: SourceArgument,
    overrides: SetOption = None,
    out: OutOption = None,
    on: Annotated[
        str,
        typer.Option(
            "--on",
            metavar="PLACE",
            help="Where the runs are trained: local processes, mpi for mpirun's ranks, slurm for jobs of a cluster.",
        ),
    ] = "local",
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            help="With --on slurm: also runs that failed or were cancelled. Elsewhere they are always tried again.",
        ),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="With --on slurm: stay until the sweep is done.")
    ] = False,
    rank0_trains: Annotated[
        bool | None,
        typer.Option(
            "--rank0-trains/--rank0-coordinates",
            help="With --on mpi: rank 0 trains too, in a process of its own; default if there are 2 ranks.",
            show_default=False,
        ),
    ] = None,
    silence: Annotated[
        float,
        typer.Option(
            min=1.0, help="With --on mpi: seconds after which a rank that says nothing is given up."
        ),
    ] = 900.0,
    cache: CacheOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:
    """Train whatever the file asks for and is not done yet, then merge the table. Safe to repeat at any time."""
    if on not in PLACES:
        raise UnknownNameError.of("--on", on, known=PLACES)
    if on == "local":
        opened = open_source(source, overrides=overrides, out=out)
        slots = slots_of(opened.spec)
        devices = ", ".join(sorted({slot.device for slot in slots}))

        def workers(left: int) -> str:
            return f"workers: {min(len(slots), max(left, 1))} on {devices}"

        _train(opened, run_local, workers, cache, plain_console(quiet=quiet))
        return
    if on == "slurm":
        from lthsweep.commands.cluster import submit

        opened = open_source(source, overrides=overrides, out=out)
        submit(opened, plain_console(quiet=quiet), retry_failed=retry_failed, wait=wait, cache=cache)
        return
    from lthsweep.launch.on_mpi import mpi_job, run_mpi

    with mpi_job() as wire:
        if wire is not None:  # any other rank has done its work by now, and rank 0 says how it went
            opened = open_source(source, overrides=overrides, out=out)
            launch = partial(run_mpi, wire=wire, rank0_trains=rank0_trains, silence=silence)
            where = f"MPI ranks: {wire.size}"
            _train(opened, launch, lambda left: where, cache, plain_console(quiet=quiet, lines=True))


def _train(
    opened: Source,
    launch: Callable[..., SweepRun],
    where: Callable[[int], str],
    cache: Path | None,
    console: Console,
) -> None:
    work = work_left(opened.plan, opened.sweep)
    _announce(opened, work.found, len(work.nodes), where(len(work.nodes)), console)
    interrupt = Interrupt(console)
    with interrupt.handled(), Display(opened.plan, work, console) as display:
        ended = launch(
            opened.plan,
            opened.sweep,
            listen=display,
            asked_to_stop=interrupt.asked,
            on_pool=interrupt.watch,
            cache=cache,
        )
    from lthsweep.reduce.merge import merge  # pandas and scipy: not before the work is done

    merge(opened.sweep, opened.plan)
    if not console.quiet:
        print_table(opened.sweep.path, console)
    _report_end(opened, ended, console)
    if ended.tally.failed:
        if console.quiet:  # quiet is for progress and tables, not for what went wrong
            _report_end(opened, ended, Console(stderr=True, width=120))
        raise typer.Exit(EXIT_FAILED)
    if ended.tally.stopped:
        raise typer.Exit(EXIT_INCOMPLETE)


def status(
    source: SourceArgument,
    overrides: SetOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every few seconds until all is done.")
    ] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 5.0,
) -> None:
    """Say how far a sweep is: done, running, waiting and failed runs, and when it may be finished."""
    opened = open_source(source, overrides=overrides, out=out)
    while True:
        found = survey(opened.plan, opened.sweep)
        typer.echo(
            json.dumps(_status_json(opened, found), indent=2) if as_json else _status_text(opened, found)
        )
        if not watch or _is_over(opened, found):
            break
        time.sleep(seconds)
    if found.failures:
        raise typer.Exit(EXIT_FAILED)
    if not _is_over(opened, found):
        raise typer.Exit(EXIT_INCOMPLETE)


def _is_over(opened: Source, found: Survey) -> bool:
    """Nothing is left that can be trained."""
    return len(found.done) + found.count("cut off") == len(opened.plan.runs)


def logs(
    source: SourceArgument,
    key: Annotated[str, typer.Argument(help="A run's key, or the beginning of it.")],
    out: OutOption = None,
    path: Annotated[bool, typer.Option("--path", help="Print where the log is, not what it says.")] = False,
) -> None:
    """Print the log of one run, all attempts."""
    opened = open_source(source, out=out)
    wanted = find_run(opened.plan, key)
    file = opened.sweep.log(wanted.key)
    if not file.exists():
        raise SpecError(
            f"{wanted.describe()} ({wanted.key}) has no log: it was not started in {opened.sweep.path}"
        )
    typer.echo(str(file) if path else file.read_text(errors="replace"), nl=path)


def _announce(opened: Source, found: Survey, left: int, where: str, console: Console) -> None:
    console.print(
        f"{opened.spec.sweep.name}: {_runs(left)} left of {len(opened.plan.runs)}, "
        f"{where}, results in {opened.sweep.path}",
        highlight=False,
        soft_wrap=True,
    )
    if found.foreign:
        console.print(
            f"{len(found.foreign)} records there belong to another grid or recipe; they stay, and are kept apart",
            highlight=False,
        )


def _runs(number: int) -> str:
    return f"{number} run{'' if number == 1 else 's'}"


def _report_end(opened: Source, ended: SweepRun, console: Console) -> None:
    tally = ended.tally
    console.print(
        f"{_runs(len(tally.finished))} finished in {duration(ended.seconds)}, {ended.found_done} were done before"
        f"{f' and {len(tally.present)} by others meanwhile' if tally.present else ''}, "
        f"{len(tally.failed)} failed, {len(tally.blocked)} wait for a failed one",
        highlight=False,
    )
    if tally.cut_off:
        console.print(
            f"{len(tally.cut_off)} tickets cannot be made: the run they descend from diverged",
            highlight=False,
        )
    for key, cause in tally.failed.items():
        console.print(
            f"  {key} {opened.plan[key].describe()}: {cause}", highlight=False, markup=False, soft_wrap=True
        )
        console.print(f"    lthsweep logs {opened.sweep.path} {key[:8]}", highlight=False, soft_wrap=True)
    if tally.stopped:
        console.print(f"stopped; `lthsweep run {opened.sweep.path}` goes on", highlight=False, soft_wrap=True)
    console.print(
        f"table: {opened.sweep.table}   figures: lthsweep report {opened.sweep.path}",
        highlight=False,
        soft_wrap=True,
    )


def _status_text(opened: Source, found: Survey) -> str:
    lines = [
        f"{opened.spec.sweep.name}: {len(found.done)} of {len(opened.plan.runs)} runs done, "
        f"{found.count('running')} running, {found.count('ready')} ready, {found.count('waiting')} waiting, "
        f"{found.count('failed')} failed, {found.count('blocked')} blocked by a failed run"
        + (f", {found.count('cut off')} cut off by a diverged run" if found.count("cut off") else "")
    ]
    for key, beat in found.heartbeats.items():
        if found.states.get(key) == "running":
            lines.append(
                f"  running {key[:8]} {opened.plan[key].describe()}: epoch {beat.epoch:.1f} of {beat.epochs:g}, "
                f"host {beat.host} pid {beat.pid}, seen {duration(max(0.0, time.time() - beat.time))} ago"
            )
    for key, failure in found.failures.items():
        lines.append(
            f"  failed  {key[:8]} {opened.plan[key].describe()}: {failure.cause} (attempt {failure.attempt})"
        )
    expected = _estimate(opened, found)
    if expected and not _is_over(opened, found):
        lines.append(f"  at least {duration(expected)} left with the workers of this machine")
    return "\n".join(lines)


def _status_json(opened: Source, found: Survey) -> dict[str, Any]:
    cost = cost_of(opened.plan, found.done)
    return {
        "name": opened.spec.sweep.name,
        "directory": str(opened.sweep.path),
        "runs": cost.runs,
        "epochs": cost.epochs,
        "epochs_left": cost.epochs_left,
        "seconds_left": _estimate(opened, found),
        "foreign_records": len(found.foreign),
        "states": {
            state: found.count(state)
            for state in ("done", "running", "ready", "waiting", "failed", "blocked", "cut off")
        },
        "running": [
            {
                "key": key,
                "run": opened.plan[key].describe(),
                "epoch": beat.epoch,
                "epochs": beat.epochs,
                "host": beat.host,
                "pid": beat.pid,
                "seen": beat.time,
            }
            for key, beat in found.heartbeats.items()
            if found.states.get(key) == "running"
        ],
        "failures": {
            key: {"run": opened.plan[key].describe(), "cause": failure.cause, "attempt": failure.attempt}
            for key, failure in found.failures.items()
        },
    }


def _estimate(opened: Source, found: Survey) -> float | None:
    known = seconds_per_epoch(opened.plan, opened.sweep)
    expected = estimate(opened.plan, found.done, known, workers=workers_of(opened.spec))
    return None if expected is None else round(expected.wall, 1)
