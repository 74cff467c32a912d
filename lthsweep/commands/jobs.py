"""The jobs that `run --on slurm` would submit, as text and JSON for `plan --on slurm`."""

from __future__ import annotations

from collections.abc import Iterator

from lthsweep.commands.sources import OpenedSweep
from lthsweep.launch.slurm.preview import Planned, Preview, preview
from lthsweep.launch.slurm.sites.site import site_of
from lthsweep.launch.slurm.step_decision import WorkerArray
from lthsweep.launch.work import Work
from lthsweep.wording import duration, plural

__all__ = ["jobs_json", "jobs_lines", "jobs_of"]


def jobs_of(opened: OpenedSweep, work: Work) -> Preview:
    """The jobs that would be submitted now; errors as in `lthsweep.launch.slurm.preview`."""
    return preview(opened.plan, opened.sweep, site_of(opened.spec), work)


def jobs_lines(found: Preview, *, all_texts: bool = False) -> Iterator[str]:
    """Lines about the site, limits, worker jobs, runs that follow, and batch scripts.

    Args:
        found: the jobs that would be submitted.
        all_texts: print every script, not only those of the first array and of the controller job.
    """
    yield ""
    yield from found.site.describe()
    yield from _limits(found)
    yield from _before(found)
    yield from _workers(found)
    yield from _controller(found)
    texts = [*found.planned, *([found.controller] if found.controller else [])]
    shown = texts if all_texts else [*found.planned[:1], *([found.controller] if found.controller else [])]
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
            "capacity": found.capacity,
        },
        "jobs": found.jobs,
        "runs_without_a_job": found.unsubmitted,
        "runs_waiting": found.waiting,
        "hours": None if hours is None else round(hours, 4),
        "hours_of": "GPU" if found.site.gpus else "core",
        "halted": None if found.queue.halt is None else found.queue.halt.why,
        "submissions": [_planned_json(planned) for planned in found.planned],
        "controller": None if found.controller is None else _planned_json(found.controller),
    }


def _limits(found: Preview) -> Iterator[str]:
    limits, free = found.limits, found.capacity
    if found.assumed:
        yield (
            f"limits: not read ({found.assumed.split(';')[0]}); assumed: {_arrays(limits.max_array)}, "
            f"any number of jobs, walltime as in the profile"
        )
    else:
        wall = "any walltime" if limits.minutes is None else f"at most {duration(60 * limits.minutes)} each"
        yield f"limits: {_arrays(limits.max_array)}, {wall}"
    for line in limits.named:
        yield f"  {line}"
    if free is not None:
        own = found.site.max_elements
        cap = f" (the site's own limit is {own:,})" if own is not None else ""
        controller = ", in addition to a controller job" if found.controller else ""
        yield f"capacity for {plural(free, 'job')} now{controller}{cap}"


def _arrays(most: int) -> str:
    return (
        f"arrays of at most {most:,} jobs" if most else "no job arrays, so every job is submitted by itself"
    )


def _before(found: Preview) -> Iterator[str]:
    """Jobs already in the queue, and reasons why runs are not submitted."""
    queue = found.queue
    if queue.silence and queue.tasks is not None:
        yield f"SLURM does not answer ({queue.silence}): earlier submissions count as running"
    if queue.tasks is not None and queue.tasks.live:
        jobs = sum(task.is_live and task.submission.kind == "workers" for task in queue.tasks.all)
        yield f"in the queue already: {plural(jobs, 'worker job')}"
    if queue.halt is not None:
        yield f"halted: {queue.halt.why}" + (
            "; `lthsweep run` continues" if queue.halt.by == "user" else "; only --retry-failed continues"
        )
    if found.failed:
        yield f"{plural(found.failed, 'run')} failed or wait for a failed run; --retry-failed submits them too"


def _workers(found: Preview) -> Iterator[str]:
    """The worker jobs that would be submitted now, why that many, and the runs that follow."""
    if not found.planned:
        yield "nothing to submit" + (" yet" if found.unsubmitted or found.waiting else "")
    for planned in found.planned:
        assert planned.array is not None
        shares = planned.array.shares
        runs = sorted(len(share.keys) for share in shares)
        each = f"{runs[0]}" if runs[0] == runs[-1] else f"{runs[0]} to {runs[-1]}"
        start = "starts" if len(shares) == 1 else "each starts"
        yield (
            f"{planned.intent.name}: {plural(len(shares), 'worker job')}, {start} with "
            f"{each} {'run' if each == '1' else 'runs'} ({_expected(found, planned.array)}), "
            f"walltime {duration(60 * planned.array.minutes)}"
        )
    if found.planned:
        workers = plural(found.site.slots, "worker")
        yield (
            f"a job has {workers} and takes any ready run after that, until none is left or its time is nearly over; "
            f"less than {found.site.floor_minutes:g} minutes of work (slurm.floor_minutes) gets no further job"
        )
    if found.unsubmitted:
        yield f"{plural(found.unsubmitted, 'ready run')} without a job now: a worker takes each of them, or another job"
    if found.waiting:
        yield f"{plural(found.waiting, 'run')} for later: a worker takes each of them when its parent has ended"
    if (hours := found.device_hours) is not None:
        yield f"about {hours:,.1f} {'GPU-hours' if found.site.gpus else 'core-hours'} in all"
    else:
        yield "the time of an epoch is not known yet: the first runs measure it"


def _expected(found: Preview, array: WorkerArray) -> str:
    if found.seconds is None:
        return "time not known"
    return f"about {duration(max(share.seconds for share in array.shares))}"


def _controller(found: Preview) -> Iterator[str]:
    if found.controller is not None:
        when = "when all of these have ended"
        if not found.controller.intent.after:
            when = f"in {found.site.controller_minutes:g} minutes"
        yield f"controller: {when}; it merges the table and submits what is left"


def _planned_json(planned: Planned) -> dict[str, object]:
    intent = planned.intent
    return {
        "name": intent.name,
        "jobs": intent.elements,
        "shares": [list(keys) for keys in intent.shares],
        "seconds": None if planned.array is None else [round(s.seconds, 1) for s in planned.array.shares],
        "minutes": intent.minutes,
        "after": list(intent.after),
        "sbatch": planned.text,
    }
