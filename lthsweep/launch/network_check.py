"""Check the networks of a plan before anything is queued, in a child process that builds, trains and prunes each once.

The child imports torch and runs the user's code, so that a crash or a hang there is a message here. Built-in networks
with built-in initializers are tested with lthsweep, and are not tried.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lthsweep.errors import ModelError, SpecError
from lthsweep.launch.fused.groups import largest_ensemble
from lthsweep.launch.preflight import require_data
from lthsweep.launch.process_env import ALLOCATOR_VARIABLES, thread_variables
from lthsweep.launch.task import Task
from lthsweep.models.networks import NETWORKS
from lthsweep.plan.prune_step import PruneStep
from lthsweep.plan.run import Plan, Run
from lthsweep.store.layout import SweepDir
from lthsweep.usercode import is_code

__all__ = ["NetworkTrial", "describe_networks", "require_networks"]

_LIMIT_SECONDS = 1800.0
_LIMIT_VARIABLE = "LTHSWEEP_TRIAL_SECONDS"
_TRAIN_KEYS = ("batch_size", "precision", "label_smoothing", "group_lasso", "optimizer")


@dataclass(frozen=True)
class NetworkTrial:
    """One network to try.

    Attributes:
        task: a dense run with it.
        steps: the pruning steps of its tickets, one for each way of pruning.
        fused: whether its tickets are to be fused.
        describe: whether the answer is to describe the network.
    """

    task: Task
    steps: tuple[PruneStep, ...]
    fused: bool = False
    describe: bool = False


def require_networks(plan: Plan, sweep: SweepDir, cache: Path | None = None) -> None:
    """Try each network of the user or of a library, with each way of pruning it, that a missing run uses.

    A limit of 0 seconds skips it, for login nodes with too little memory for the network.

    Raises:
        ModelError: if a network or a method cannot be used; the message names the reason.
    """
    if not _limit():
        return
    done = set(sweep.record_keys()) if sweep.exists() else set()
    missing = [run for key, run in plan.runs.items() if key not in done and _is_foreign(run)]
    for trial in _trials(plan, missing, cache):
        _answer(trial)


def describe_networks(plan: Plan, cache: Path | None = None) -> list[dict[str, Any]]:
    """Try every network of a plan, and describe it: see `lthsweep.launch.trial_process.description`.

    Raises:
        MissingDataError: if data is missing.
        ModelError: as for `require_networks`.
    """
    require_data(plan, cache)
    trials = _trials(plan, plan.runs.values(), cache)
    return [_answer(replace(trial, describe=True)) for trial in trials]


def _is_foreign(run: Run) -> bool:
    model = run.recipe.model
    return str(model["name"]) not in NETWORKS or is_code(str(model["init"]))


def _trials(plan: Plan, runs: Iterable[Run], cache: Path | None) -> list[NetworkTrial]:
    """One trial for each recipe of runs, without differences that do not matter for a network."""
    fuse = plan.spec.train.fuse
    fused = fuse != "auto" and fuse > 1 and largest_ensemble(plan) > 1
    found: dict[str, tuple[Run, dict[str, PruneStep]]] = {}
    for run in runs:
        recipe = run.recipe
        train = {key: recipe.train[key] for key in _TRAIN_KEYS}
        known = repr((sorted(recipe.model.items()), sorted(recipe.data.items()), train))
        _, steps = found.setdefault(known, (plan[run.trunk], {}))
        if run.prune is not None:
            # The largest amount stands for all of its kind.
            kind = repr(replace(run.prune, sparsity=None, threshold=None, point=None, budget=None))  # type: ignore[arg-type]
            if kind not in steps or _amount(run.prune) > _amount(steps[kind]):
                steps[kind] = run.prune
    place = None if cache is None else str(cache)
    return [
        NetworkTrial(Task(run, cache=place), tuple(steps.values()), fused) for run, steps in found.values()
    ]


def _amount(step: PruneStep) -> float:
    amount = step.threshold if step.sparsity is None else step.sparsity
    assert amount is not None
    return amount


def _answer(trial: NetworkTrial) -> dict[str, Any]:
    name = str(trial.task.run.recipe.model["name"])
    with tempfile.TemporaryDirectory(prefix="lthsweep-trial-") as folder:
        answer, log = Path(folder, "answer.json"), Path(folder, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "lthsweep.launch.trial_process", str(answer)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**_without_mpi(os.environ), **ALLOCATOR_VARIABLES, **thread_variables(1)},
            )
            try:
                process.communicate(_SCHEMA.dump_json(trial), timeout=_limit())
            except subprocess.TimeoutExpired:
                raise ModelError(
                    f"model {name!r} takes more than {_limit():g} seconds for a trial of one step; the last output: "
                    f"{_tail(log)}; {_LIMIT_VARIABLE} sets another limit"
                ) from None
            finally:
                process.kill()
                process.wait()
        if not answer.is_file():
            raise ModelError(
                f"model {name!r}: the process of its trial ended with {_ending(process.returncode)}; its last output: "
                f"{_tail(log)}"
            )
        found: dict[str, Any] = json.loads(answer.read_text())
    if "error" in found:
        raise ModelError(str(found["error"]))
    return found


def _limit() -> float:
    written = os.environ.get(_LIMIT_VARIABLE) or str(_LIMIT_SECONDS)
    try:
        return float(written)
    except ValueError:
        raise SpecError(
            f"{_LIMIT_VARIABLE} = {written!r}: must be a number of seconds, or 0 for no trial"
        ) from None


def _without_mpi(environment: Mapping[str, str]) -> dict[str, str]:
    """A child that imports an MPI library must not take itself for a rank."""
    prefixes = ("OMPI_", "PMI", "PMIX_", "MPI_", "HYDI_")
    return {name: value for name, value in environment.items() if not name.startswith(prefixes)}


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " | ".join(lines[-3:]) or "none"


_SCHEMA = TypeAdapter(NetworkTrial)
