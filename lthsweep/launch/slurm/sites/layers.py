"""Settings from several places, the later ones above the earlier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lthsweep.spec.slurm import JobSettings
from lthsweep.spec.slurm_rules import RIVALS

__all__ = ["DEFAULTS", "overlay"]

DEFAULTS = JobSettings(
    gpu_form="gres",
    workers_per_gpu=1,
    target_minutes=30,
    floor_minutes=10,
    grace_seconds=120,
    tick_minutes=10,
    poll_seconds=60,
    lag_seconds=300,
    attempts=3,
    options={},
)
"""What holds where neither the sweep's file nor the profile says anything."""


def overlay(*layers: JobSettings) -> Mapping[str, Any]:
    """Key → the value of the last layer that gives one, of `DEFAULTS` if none does.

    Where two keys say the same in two ways (memory, memory_per_cpu), the later layer's way holds. Options of sbatch are
    joined by name, and those that are false at the end left out.
    """
    values: dict[str, Any] = dict(DEFAULTS)
    for layer in layers:
        given = {name: value for name, value in layer if value is not None and name in values}
        for one, other in [*RIVALS.items(), *((each, total) for total, each in RIVALS.items())]:
            if one in given:
                values[other] = None
        given["options"] = {**values["options"], **given.get("options", {})}
        values |= given
    values["options"] = {name: value for name, value in values["options"].items() if value is not False}
    return values
