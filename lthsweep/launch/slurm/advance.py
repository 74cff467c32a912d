"""One step of a sweep on SLURM: read the state, and submit as many worker jobs as there is ready work and capacity for.

`lthsweep run --on slurm`, the controller job, and worker jobs whose runs made more runs ready than there are workers
take this step. Any process can take it at any time, and several can take it at once: a decision is published in the
journal before it is submitted to SLURM, and it is valid only if no other decision was published in between.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from lthsweep.errors import NotNowError, RefusedError
from lthsweep.launch.slurm.cluster.limits import Limits, read_limits
from lthsweep.launch.slurm.decisions import note_decision, write_step_note
from lthsweep.launch.slurm.journal import Submission
from lthsweep.launch.slurm.reconcile import SweepView, reconcile
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.slurm.step_decision import decide, in_seconds
from lthsweep.launch.slurm.submitting import Overtaken, submit_controller, submit_workers
from lthsweep.plan.run import Plan
from lthsweep.store.layout import SweepDir
from lthsweep.wording import plural

__all__ = ["Advance", "advance"]


UNCONFIRMED_SECONDS = 10.0
"""How long a step waits for the id of a controller job that another coordinator submits."""


@dataclass(frozen=True)
class Advance:
    """Result of one step.

    Attributes:
        view: the state that the decision is based on.
        limits: of the cluster; None if the step had no runs to submit.
        submitted: the worker jobs submitted by this step.
        controller: the next controller job, new or old; None if none is needed, or SLURM refused it.
        unsubmitted: ready runs that got no job because of limits; a later step submits them.
        refusal: SLURM's message for the first job that it refused for now.
        guessed: the seconds per epoch of some recipe are unknown.
    """

    view: SweepView
    limits: Limits | None = None
    submitted: tuple[Submission, ...] = ()
    controller: Submission | None = None
    unsubmitted: int = 0
    refusal: str = ""
    guessed: bool = False


def advance(plan: Plan, sweep: SweepDir, site: Site, *, own: str | None = None) -> Advance:
    """Take one step.

    Args:
        plan: all runs.
        sweep: its journal must be open.
        site: the cluster.
        own: name of the submission whose job takes this step and ends after it. The job neither counts as the next
            controller job nor takes the place of another job.

    Raises:
        ClusterSilentError: if SLURM does not answer, or it is unknown whether it accepted a job; repeat the step later.
        RefusedError: if SLURM refuses the requested resources; the message names the option to change.
        StoreError: if the journal cannot be written.
    """
    submitted: list[Submission] = []
    patience = time.monotonic() + UNCONFIRMED_SECONDS
    while True:
        view = reconcile(plan, sweep, site)
        if time.monotonic() < patience and view.tasks.has_unconfirmed_controller(
            time.time() - UNCONFIRMED_SECONDS
        ):
            time.sleep(1.0)  # jobs that end at the same moment need one controller job, not one each
            continue
        try:
            step = _act(plan, sweep, site, view, own, submitted)
            write_step_note(sweep, _limit_of(step))
            return step
        except RefusedError as refusal:
            write_step_note(sweep, str(refusal))
            raise
        except Overtaken:
            # Another coordinator published a decision meanwhile, which can make this one unnecessary.
            continue


def _limit_of(step: Advance) -> str:
    """Return why ready runs got no job; "" if all have one."""
    if step.refusal or not step.unsubmitted:
        return step.refusal
    named = "" if step.limits is None else "; ".join(step.limits.named[:1])
    return f"a limit on jobs is reached: {named or 'slurm.max_elements'}"


def _act(
    plan: Plan, sweep: SweepDir, site: Site, view: SweepView, own: str | None, submitted: list[Submission]
) -> Advance:
    if view.halt is not None or view.is_over:
        return Advance(view)
    tasks, number, refusal = view.tasks, view.number, ""
    limits = read_limits(site) if view.open else None
    nodes, guessed = in_seconds(plan, sweep, site, view.open)
    decision = decide(nodes, tasks, view.taken, view.work.found.failures, site, limits, own=own)
    for array in decision.arrays:
        number += 1
        try:
            submitted.append(
                submit_workers(
                    sweep,
                    site,
                    number,
                    array.shares,
                    array.minutes,
                    array=decision.as_arrays,
                    exclude=view.bad_nodes,
                )
            )
        except NotNowError as error:  # no element was queued
            refusal = str(error)
            break
        note_decision(sweep, _submitted(submitted[-1], len(view.open), len(view.taken)))
    missed = decision.missed_by(submitted)
    controller = tasks.next_controller(other_than=own)
    if decision.leaves_controller:
        after = {each.name: each for each in decision.controller_after(tasks, submitted)}
        try:
            controller = submit_controller(
                sweep, site, number + 1, after=tuple(after.values()), exclude=view.bad_nodes
            )
            when = f"after {', '.join(after)}" if after else f"in {site.controller_minutes:g} min"
            note_decision(sweep, f"submitted {controller.name}, job {controller.job}: controller job, {when}")
        except NotNowError as error:  # a worker job takes the next step at its end
            refusal = refusal or str(error)
    return Advance(view, limits, tuple(submitted), controller, missed, refusal, guessed)


def _submitted(submission: Submission, left: int, taken: int) -> str:
    runs = sum(len(keys) for keys in submission.shares)
    return (
        f"submitted {submission.name}, job {submission.job}: {plural(submission.elements, 'worker job')} for "
        f"{plural(runs, 'ready run')}; {plural(left, 'run')} left, {taken} of them at work or in the queue"
    )
