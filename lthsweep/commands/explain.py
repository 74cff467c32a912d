"""`explain`: why runs are not done, what would change that, and which command does. Only reads."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import typer

from lthsweep.commands.snapshot import Snapshot, take_snapshot
from lthsweep.commands.sources import JsonOption, OutOption, SourceArgument, open_source
from lthsweep.commands.status_text import conditions, status_counts
from lthsweep.launch.disk_status import RunStatus
from lthsweep.launch.explanation import Explanation, explain, root_of
from lthsweep.launch.sweep_status import RunState, SweepStatus
from lthsweep.plan.find import find_run
from lthsweep.wording import plural

__all__ = ["explain_command"]

_MOST = 3
"""Number of runs of a group that are named."""


def explain_command(
    source: SourceArgument,
    cell: Annotated[
        str | None,
        typer.Argument(
            metavar="[CELL]",
            help="The beginning of a run's key, or a cell such as sparsity=0.8,rewind_epoch=1,seed=0; default: all.",
        ),
    ] = None,
    out: OutOption = None,
    json_wanted: JsonOption = False,
) -> None:
    """Explain why each run is where it is, what would change that, and which command does."""
    opened = open_source(source, out=out)
    snapshot = take_snapshot(opened)
    states = list(snapshot.status.runs.values())
    if cell is not None:
        states = _with_ancestors(snapshot, find_run(opened.plan, cell).key)
    path = opened.shell_path
    if not opened.sweep.exists():  # then only the file names the sweep
        path = shlex.join([source] if out is None else [source, "--out", str(out)])
    aside = snapshot.apart.pool.keys
    found = [
        (state, _set_aside(path) if state.run.key in aside else explain(state, snapshot.status, path))
        for state in states
    ]
    if json_wanted:
        typer.echo(json.dumps([_as_json(state, text) for state, text in found], indent=2))
        return
    typer.echo(status_counts(snapshot))
    for line in conditions(snapshot):
        typer.echo(line)
    lines = _one_by_one(found) if cell is not None else _in_groups(found, snapshot.status)
    for line in lines:
        typer.echo(line)


def _with_ancestors(snapshot: Snapshot, key: str) -> list[RunState]:
    """The run, and its ancestors that are not done."""
    states = [snapshot.status.runs[key]]
    while (parent := states[-1].run.parent) is not None:
        state = snapshot.status.runs[parent]
        if state.state is RunStatus.DONE:
            break
        states.append(state)
    return states


def _one_by_one(found: list[tuple[RunState, Explanation]]) -> Iterator[str]:
    for state, text in found:
        yield f"{state.run.describe()} ({state.run.key}): {_title(state, text)}"
        yield from _remedy(text)


def _in_groups(found: list[tuple[RunState, Explanation]], status: SweepStatus) -> Iterator[str]:
    """Runs with the same explanation together; finished runs in use are only counted, in the first line.

    Runs that wait are together by the run that they wait for in the end.
    """
    groups: dict[tuple[RunStatus, Explanation], list[RunState]] = {}
    for state, text in found:
        if state.state is RunStatus.WAITING:
            root = root_of(state, status).run
            text = replace(text, reason=f"for {root.describe()} ({root.key[:8]})")
        if state.state is not RunStatus.DONE or text.command:
            groups.setdefault((state.state, text), []).append(state)
    for (_, text), states in groups.items():
        yield f"{plural(len(states), 'run')} {_title(states[0], text)}"
        names = [f"{state.run.describe()} ({state.run.key[:8]})" for state in states[:_MOST]]
        more = [f"{len(states) - _MOST:,} more"] if len(states) > _MOST else []
        yield f"  {'; '.join([*names, *more])}"
        yield from _remedy(text)


def _set_aside(path: str) -> Explanation:
    return Explanation(
        reason="its record is set aside, because it saw other data or another network than the runs in use",
        change="training it again on a machine like theirs, after its record is moved away",
        command=f"lthsweep doctor {path} --move-set-aside",
    )


def _title(state: RunState, text: Explanation) -> str:
    return f"{state.state}: {text.reason}" if text.reason else str(state.state)


def _remedy(text: Explanation) -> Iterator[str]:
    if text.change:
        yield f"  changes with: {text.change}"
    if text.command:
        yield f"  command: {text.command}"


def _as_json(state: RunState, text: Explanation) -> dict[str, str]:
    return {
        "key": state.run.key,
        "run": state.run.describe(),
        "state": state.state,
        "reason": text.reason,
        "change": text.change,
        "command": text.command,
    }
