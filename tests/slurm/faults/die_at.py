"""`lthsweep ARGUMENTS`, killed at one step of a submission: python die_at.py KIND STEP ARGUMENTS.

KIND is "workers" or "controller". STEP is one of STEPS; the process gets SIGKILL there, nothing is flushed or undone.
At "orphan", sbatch is started and continues: it submits the job after the coordinator has ended.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from lthsweep.launch.slurm import submitting
from lthsweep.launch.slurm.cluster import sbatch

STEPS = ("before intent", "intent", "orphan", "submitted", "noted")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(kind: str, step: str) -> None:
    """Make this process die at a step of the first submission of a kind."""
    publish, submit, note = submitting._publish, submitting.submit, submitting.note_id
    ours: list[str] = []

    def _publish(sweep, intent):
        if intent.kind == kind and step == "before intent":
            die()
        published = publish(sweep, intent)
        if published.kind == kind:
            ours.append(published.name)
            if step == "intent":
                die()
        return published

    def hand(job, site):
        if job.name in ours and step == "orphan":
            start = sbatch.ask

            def ask(command, **options):
                if command[0] == "sbatch":
                    if os.fork() == 0:  # the orphan submits after its parent has ended
                        os.setsid()
                        time.sleep(1)
                        start(command, **options)
                        os._exit(0)
                    die()
                return start(command, **options)

            sbatch.ask = ask
        number = submit(job, site)
        if job.name in ours and step == "submitted":
            die()
        return number

    def note_id(sweep, name, job):
        note(sweep, name, job)
        if name in ours and step == "noted":
            die()

    submitting._publish, submitting.submit, submitting.note_id = _publish, hand, note_id


if __name__ == "__main__":
    from lthsweep.cli import main

    kind, step, *arguments = sys.argv[1:]
    assert kind in ("workers", "controller")
    assert step in STEPS
    arm(kind, step)
    sys.argv = ["lthsweep", *arguments]
    sys.exit(main())
