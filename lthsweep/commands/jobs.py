"""The jobs that `run --on slurm` would submit, as text and JSON for `plan --on slurm`."""

from __future__ import annotations

from collections.abc import Iterator

from lthsweep.commands.sources import OpenedSweep
from lthsweep.launch.slurm.packing.batches import Batch
from lthsweep.launch.slurm.preview import Planned, Preview, preview
from lthsweep.launch.slurm.sites.site import site_of
from lthsweep.launch.work import Work
from lthsweep.wording import duration, plural

__all__ = ["jobs_json", "jobs_lines", "jobs_of"]

_MOST = 40
"""Number of batches listed; the others are counted."""


def jobs_of(opened: OpenedSweep, work: Work) -> Preview:
    """The jobs that would be submitted now; errors as in `lthsweep.launch.slurm.preview`."""
    return preview(opened.plan, opened.sweep, site_of(opened.spec), work)


def jobs_lines(found: Preview, *, all_texts: bool = False) -> Iterator[str]:
    """Lines about the site, limits, batches, later submissions, and batch scripts.

    Args:
        found: the jobs that would be submitted.
        all_texts: print every script, not only those of the first array and of the follow-up.
    """
    yield ""
    yield from found.site.describe()
    yield from _limits(found)
    yield from _before(found)
    if found.costs.guessed:
        runs = len(found.costs.nodes)
        yield (
            f"the time of an epoch is not known yet: {plural(runs, 'run')} without an unfinished parent go first, "
            f"planned with {found.site.target_minutes:g} minutes each; "
            f"the follow-up packs the other {found.costs.waiting:,} by the measured times"
        )
    yield from _batches(found)
    yield from _follow(found)
    texts = [*found.planned, *([found.tick] if found.tick else [])]
    shown = texts if all_texts else [*found.planned[:1], *([found.tick] if found.tick else [])]
    for planned in shown:
        yield f"\n--- {planned.intent.name}.sh"
        yield planned.text.rstrip()
    if len(shown) < len(texts):
        yield f"\n--- {len(texts) - len(shown)} more like the first: --sbatch prints all"


def jobs_json(found: Preview) -> dict[str, object]:
    """The same as JSON; the names are part of the interface of `lthsweep plan --on slurm --json`."""
    hours = found.device_hours
    return {
        "profile": found.site.profile,
        "partition": found.site.partition,
        "workers_per_job": found.site.slots,
        "limits": {
            "assumed": found.assumed or None,
            "max_array": found.limits.max_array,
            "minutes": found.limits.minutes,
            "named": list(found.limits.named),
            "room": found.room,
        },
        "measured": not found.costs.guessed,
        "jobs": found.jobs,
        "jobs_now": found.jobs_now,
        "runs_later": found.runs_later,
        "hours": None if hours is None else round(hours, 4),
        "hours_of": "GPU" if found.site.gpus else "core",
        "halted": None if found.glance.halt is None else found.glance.halt.why,
        "batches": [_batch_json(batch) for batch in found.batches],
        "submissions": [_planned_json(planned) for planned in found.planned],
        "follow_up": None if found.tick is None else _planned_json(found.tick),
    }


def _limits(found: Preview) -> Iterator[str]:
    limits, free = found.limits, found.room
    if found.assumed:
        yield (
            f"limits: not read ({found.assumed.split(';')[0]}); assumed: arrays of at most {limits.max_array:,} jobs, "
            f"any number of jobs, walltime as in the profile"
        )
    else:
        wall = "any walltime" if limits.minutes is None else f"at most {duration(60 * limits.minutes)} each"
        yield f"limits: arrays of at most {limits.max_array:,} jobs, {wall}"
    for line in limits.named:
        yield f"  {line}"
    if free is not None:
        own = found.site.max_elements
        cap = f" (the site's own limit is {own:,})" if own is not None else ""
        yield f"capacity for {plural(free, 'job')} now, in addition to a follow-up{cap}"


def _before(found: Preview) -> Iterator[str]:
    """Jobs already in the queue, and reasons why runs are not submitted."""
    queue = found.glance
    if queue.silence and queue.standing is not None:
        yield f"SLURM does not answer ({queue.silence}): earlier submissions count as running"
    if queue.standing is not None and queue.standing.live:
        jobs = plural(len(queue.standing.live), "array")
        yield f"in the queue already: {plural(len(queue.standing.covered), 'run')} in {jobs}"
    if queue.halt is not None:
        yield f"halted: {queue.halt.why}" + (
            "; `lthsweep run` continues" if queue.halt.by == "user" else "; only --retry-failed continues"
        )
    if found.failed:
        yield f"{plural(found.failed, 'run')} failed or wait for a failed run; --retry-failed submits them too"


def _batches(found: Preview) -> Iterator[str]:
    if not found.batches:
        yield "nothing to submit" + (" yet" if found.costs.waiting else "")
        return
    rows = [("array", "jobs", "runs", "expected", "walltime", "waits for")]
    for number, batch in enumerate(found.batches[:_MOST], start=1):
        expected = "not known" if found.costs.guessed else duration(batch.seconds)
        jobs = f"{batch.elements:,}"
        rows.append(
            (str(number), jobs, f"{batch.runs:,}", expected, duration(60 * batch.minutes), _after(batch))
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
    if (rest := len(found.batches) - _MOST) > 0:
        yield f"  … and {rest} more"
    hours = found.device_hours
    unit = "GPU-hours" if found.site.gpus else "core-hours"
    cost = "" if hours is None else f", about {hours:,.1f} {unit}"
    yield f"{plural(found.jobs, 'job')} in all{cost}; {plural(found.jobs_now, 'job')} would be submitted now"


def _after(batch: Batch) -> str:
    """The earlier arrays, and the runs in the queue, that a batch waits for."""
    parts = [f"{place + 1}, job by job" if batch.aligned else f"all of {place + 1}" for place in batch.after]
    if batch.waits_for:
        parts.append(f"{plural(len(batch.waits_for), 'run')} in the queue")
    return "; ".join(parts) or "nothing"


def _follow(found: Preview) -> Iterator[str]:
    if found.runs_later:
        yield f"{plural(found.runs_later, 'run')} later, by the follow-up"
    if found.tick is not None:
        when = "when all of these have ended"
        if not found.tick.intent.after:
            when = f"in {found.site.tick_minutes:g} minutes"
        yield f"follow-up: {when}; it merges the table and submits what is left"


def _batch_json(batch: Batch) -> dict[str, object]:
    return {
        "stage": batch.stage,
        "jobs": batch.elements,
        "runs": batch.runs,
        "seconds": round(batch.seconds, 1),
        "minutes": batch.minutes,
        "after": list(batch.after),
        "aligned": batch.aligned,
        "waits_for": sorted(batch.waits_for),
        "parcels": [list(parcel.keys) for parcel in batch.parcels],
    }


def _planned_json(planned: Planned) -> dict[str, object]:
    intent = planned.intent
    return {
        "name": intent.name,
        "jobs": intent.elements,
        "minutes": intent.minutes,
        "after": list(intent.after),
        "sbatch": planned.text,
    }
