"""Merge the settings of a job: profile, partition and sweep file, where later sources override earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lthsweep.spec.slurm_rules import RIVALS
from lthsweep.spec.slurm_table import JobSettings

__all__ = ["DEFAULTS", "merge_settings"]

DEFAULTS = JobSettings(
    gpu_form="gres",
    workers_per_gpu=1,
    target_minutes=30,
    floor_minutes=10,
    grace_seconds=120,
    controller_minutes=10,
    poll_seconds=60,
    lag_seconds=300,
    attempts=3,
    options={},
)
"""Values for keys that neither the sweep's file nor the profile sets."""


def merge_settings(*layers: JobSettings) -> Mapping[str, Any]:
    """Return each key's value from the last layer that sets it, or from `DEFAULTS`.

    Some settings have two alternative keys (memory, memory_per_cpu); setting one clears the other in earlier layers.
    Options of sbatch are merged by name; options whose final value is false are removed.
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
