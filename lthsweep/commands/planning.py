"""`init`, `presets`, `plan`: write a file, list the presets, and show the runs and the cost of a sweep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lthsweep.commands.console import simple_table
from lthsweep.commands.jobs import jobs_json, jobs_lines, jobs_of
from lthsweep.commands.network_text import print_network
from lthsweep.commands.sources import (
    CacheOption,
    JsonOption,
    OpenedSweep,
    OutOption,
    SetOption,
    SourceArgument,
    changed_data,
    missing_data,
    open_source,
    pending_keys,
    require_samples,
    table_alone,
    unused_files,
)
from lthsweep.data.entry import describe_data
from lthsweep.errors import SpecError, UnknownNameError
from lthsweep.launch.fused.groups import largest_ensemble
from lthsweep.launch.local import profile_recipes, workers_of
from lthsweep.launch.network_check import describe_networks
from lthsweep.launch.work import seconds_per_epoch, work_left
from lthsweep.plan.estimate import Estimate, PlanCost, cost_json, cost_of, estimate
from lthsweep.plan.steps import recipe_steps
from lthsweep.presets import preset_names, preset_summary, preset_text
from lthsweep.reduce.directory_pool import read_pool
from lthsweep.spec import commented_template, load_spec
from lthsweep.wording import duration, plural

__all__ = ["init", "plan", "presets"]

PLACES = ("local", "slurm")


def init(
    file: Annotated[Path, typer.Argument(help="The file to write.")] = Path("sweep.toml"),
    preset: Annotated[str | None, typer.Option(help="Start from this preset's values.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a TOML file in which every key is explained."""
    text = commented_template(load_spec(preset) if preset else None)
    if file.exists() and not force:
        raise SpecError(f"{file} exists; choose another name, or add --force to overwrite it")
    if not file.parent.is_dir():
        raise SpecError(f"{file.parent} is not a directory; create it, or choose another path")
    file.write_text(text)
    typer.echo(f"wrote {file}; next: lthsweep plan {file}")


def presets(
    name: Annotated[str | None, typer.Argument(help="Print this preset's file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the included studies, or print the file of one."""
    if name is not None:
        typer.echo(preset_text(name), nl=False)
        return
    listed = {preset: preset_summary(preset) for preset in preset_names()}
    if as_json:
        typer.echo(json.dumps(listed, indent=2))
        return
    table = simple_table()
    for preset, summary in listed.items():
        table.add_row(preset, summary)
    Console().print(table)
    typer.echo("\nlthsweep plan NAME shows what one costs; lthsweep presets NAME prints its file.")


def plan(
    source: SourceArgument,
    overrides: SetOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
    runs: Annotated[bool, typer.Option("--runs", help="Print one line per run.")] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Train for a few seconds to measure the time of an epoch.")
    ] = False,
    model: Annotated[
        bool,
        typer.Option(
            "--model",
            help="Try each network for a step, and list its parameters and which of them are pruned.",
        ),
    ] = False,
    on: Annotated[
        str,
        typer.Option(
            "--on", metavar="PLACE", help="local, or slurm to show the jobs that would be submitted now."
        ),
    ] = "local",
    sbatch: Annotated[
        bool, typer.Option("--sbatch", help="With --on slurm: print every batch script.")
    ] = False,
    cache: CacheOption = None,
) -> None:
    """Show the runs of a sweep, their cost, and how many are done. Trains and writes nothing."""
    if on not in PLACES:
        raise UnknownNameError.of("--on", on, known=PLACES)
    opened = open_source(source, overrides=overrides, out=out, cache=cache, data_now=True)
    require_samples(opened, cache)
    work = work_left(opened.plan, opened.sweep)
    jobs = jobs_of(opened, work) if on == "slurm" else None
    done = work.found.done
    cost = cost_of(opened.plan, done)
    known = profile_recipes(opened.plan, cache) if profile else seconds_per_epoch(opened.plan, opened.sweep)
    networks = describe_networks(opened.plan, cache) if model else None
    expected = estimate(opened.plan, done, known, workers=workers_of(opened.spec))
    if as_json:
        output = _plan_json(opened, cost, expected, known, done, runs)
        output["missing_data"] = missing_data(opened, cache)
        if networks is not None:
            output["networks"] = networks
        output["pending_data"] = [describe_data(data) for data in opened.plan.pending_data]
        output["changed_data"] = changed_data(opened, cache)
        if jobs is not None:
            output["slurm"] = jobs_json(jobs)
        typer.echo(json.dumps(output, indent=2))
        return
    replayed = sum(node.cost for node in work.nodes if node.key in work.replays)
    warnings = (*_fused(opened), *missing_data(opened, cache)) if cost.done < cost.runs else ()
    for line in (
        *_lines(opened, cost, expected, replayed, here=jobs is None),
        *warnings,
        *pending_keys(opened, cache),
        *changed_data(opened, cache),
        *unused_files(opened, cache),
        *table_alone(opened),
        *(() if opened.plan.pending_data else read_pool(opened.plan, opened.sweep).notes(opened.shell_path)),
        *(() if jobs is None else jobs_lines(jobs, all_texts=sbatch)),
    ):
        typer.echo(line)
    for network in networks or ():
        print_network(network)
    if runs:
        for run in opened.plan.runs.values():
            epochs = run.epochs(recipe_steps(run.recipe))
            length = f"{epochs:6g} epochs" if run.budget is None else f"{duration(run.budget.seconds):>13}"
            typer.echo(f"{run.key}  {work.found.states[run.key]:8}  {length}  {run.describe()}")


def _lines(
    opened: OpenedSweep, cost: PlanCost, expected: Estimate | None, replayed: float, *, here: bool
) -> list[str]:
    axes = ", ".join(f"{name} × {len(values)}" for name, values in opened.spec.grid.axes.items())
    lines = [
        f"{opened.spec.sweep.name}: {plural(cost.cells, 'cell')} ({axes})",
        f"{plural(cost.runs, 'run')}: {cost.dense_runs:,} dense, {plural(cost.ticket_runs, 'ticket')}; "
        f"{cost.done:,} done",
        f"{cost.epochs:,g} epochs instead of {cost.epochs_naive:,g} in a naive loop "
        f"({cost.saving:.2f} times fewer); {cost.epochs_left:,g} left to train",
    ]
    if cost.budget_runs:
        lines.append(
            f"and {cost.budget_runs:,} runs with a time budget, {duration(cost.seconds_budgeted)} in all; "
            f"{duration(cost.seconds_budgeted_left)} left"
        )
    if replayed:
        lines.append(f"and {replayed:g} epochs to replay, for rewind epochs added to the grid later")
    if expected is None:
        which = "time of the others" if cost.budget_runs else "time"
        lines.append(f"{which}: not known yet; --profile measures an epoch, and so does the first run")
    elif cost.done < cost.runs:
        lines.append(
            f"time: at least {duration(expected.wall)} on {expected.workers} workers here "
            f"({duration(expected.work)} of work, longest chain {duration(expected.longest_chain)})"
            if here
            else f"time: {duration(expected.work)} on one worker, longest chain {duration(expected.longest_chain)}"
        )
    else:
        lines.append(f"nothing to train: lthsweep merge {opened.shell_path}")
    return lines


def _fused(opened: OpenedSweep) -> tuple[str, ...]:
    """A warning if `train.fuse` is larger than the number of runs that can be fused."""
    asked = opened.spec.train.fuse
    if asked in ("auto", 1) or (most := largest_ensemble(opened.plan)) >= int(asked):
        return ()
    fact = f"at most {most} of these runs" if most > 1 else "no two of these runs"
    return (f"train.fuse = {asked}: {fact} can be fused (see docs/fusing.md)",)


def _plan_json(
    opened: OpenedSweep,
    cost: PlanCost,
    expected: Estimate | None,
    known: dict[str, float],
    done: frozenset[str],
    with_runs: bool,
) -> dict[str, object]:
    output: dict[str, object] = {
        "name": opened.spec.sweep.name,
        "directory": str(opened.sweep.path),
        "axes": {name: list(values) for name, values in opened.spec.grid.axes.items()},
        **cost_json(cost),
        "seconds_per_epoch": known,
        "seconds": None
        if expected is None
        else {
            "work": round(expected.work, 3),
            "longest_chain": round(expected.longest_chain, 3),
            "workers": expected.workers,
            "at_least": round(expected.wall, 3),
        },
    }
    if with_runs:
        output["run_list"] = [
            {
                "key": run.key,
                "kind": run.kind,
                "seed": run.seed,
                "level": run.level,
                "trunk": run.trunk,
                "parent": run.parent,
                "epochs": run.epochs(recipe_steps(run.recipe)),
                "budget": None if run.budget is None else run.budget.seconds,
                "sparsity": run.prune.sparsity if run.prune else None,
                "threshold": run.prune.threshold if run.prune else None,
                "rewind_epoch": str(run.prune.point) if run.prune else None,
                "done": run.key in done,
            }
            for run in opened.plan.runs.values()
        ]
    return output
