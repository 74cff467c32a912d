"""The child process of `network_check`: reads one trial from its input, and writes the answer to a file."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from lthsweep.errors import CodeError, LthsweepError
from lthsweep.launch.inputs import context_of
from lthsweep.launch.network_check import NetworkTrial
from lthsweep.lottery.context import TrainingContext
from lthsweep.lottery.network_trial import NetworkFacts, try_network
from lthsweep.models.identity import library_identity
from lthsweep.models.shapes import TextShape

__all__ = ["description"]


def description(context: TrainingContext, facts: NetworkFacts) -> dict[str, Any]:
    """What `plan --model --json` prints of one network."""
    shape = context.input_shape
    classes = len(context.packed.class_names)
    return {
        "name": context.model["name"],
        "init": context.model["init"],
        "library": library_identity(context.model, shape, classes),
        "data": context.packed.name,
        "input_shape": [shape.length] if isinstance(shape, TextShape) else list(shape),
        "classes": classes,
        "params": facts.cost.params_total,
        "params_prunable": sum(row.parameter.numel() for row in facts.rows if not row.kept_because),
        "macs": facts.cost.macs_dense,
        "uncounted": list(facts.cost.uncounted),
        "parameters": [
            {
                "name": row.name,
                "shape": list(row.parameter.shape),
                "count": row.parameter.numel(),
                "pruned": not row.kept_because,
                "reason": row.kept_because,
                "shared_with": list(row.shared_with),
                "gradient": row.name not in facts.without_gradient,
            }
            for row in facts.rows
        ],
        "buffers": {name: list(shape) for name, shape in facts.buffers.items()},
    }


def _answer(trial: NetworkTrial) -> dict[str, Any]:
    name = trial.task.run.recipe.model["name"]
    try:
        context = context_of(trial.task, torch.device("cpu"))
        facts = try_network(context, trial.task.run.seed, trial.steps, fused=trial.fused)
        return description(context, facts) if trial.describe else {}
    except CodeError as error:
        return {"error": str(error)}
    except LthsweepError as error:
        text = str(error)
        return {"error": text if repr(name) in text or f"{name}" in text else f"model {name!r}: {text}"}
    except Exception as error:
        return {"error": f"model {name!r} fails in a trial of one step: {type(error).__name__}: {error}"}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    trial = TypeAdapter(NetworkTrial).validate_json(sys.stdin.read())
    place = Path(sys.argv[1])
    partial = place.with_suffix(".part")
    partial.write_text(json.dumps(_answer(trial)))
    partial.replace(place)  # an answer is whole or missing
