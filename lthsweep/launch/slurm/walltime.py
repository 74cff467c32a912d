"""The walltime to request for a job. Pure."""

from __future__ import annotations

import math

__all__ = ["START_UP", "walltime_minutes"]

SLACK = 1.5
"""Walltime over expected time: nodes differ and file systems can be slow; a job that times out waits twice."""

START_UP = 120.0
"""Seconds until workers train: modules, interpreter, torch, data."""

ROUND_TO = 5
"""Minutes; users request walltimes in such steps."""


def walltime_minutes(seconds: float, shortest: float, limit: float | None) -> int:
    """Return the walltime to request, in minutes.

    Args:
        seconds: expected time of training in the job.
        shortest: minimum request in seconds.
        limit: maximum length of a job in seconds.
    """
    minutes = ROUND_TO * math.ceil((SLACK * seconds + START_UP) / 60 / ROUND_TO)
    minutes = max(minutes, math.ceil(shortest / 60))
    return minutes if limit is None else max(1, min(minutes, math.floor(limit / 60)))
