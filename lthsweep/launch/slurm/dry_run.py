"""Dry run: check with SLURM that it accepts the jobs of a sweep, before any file of the sweep is written.

A wrong partition, account or option found here costs nothing. If a controller job found it at night, it would stop a
working sweep, because the sweep's file would already be stored.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from lthsweep.errors import NotNowError, SpecError
from lthsweep.launch.slurm.cluster.ask import ask
from lthsweep.launch.slurm.cluster.limits import Limits, read_limits
from lthsweep.launch.slurm.cluster.refusals import refusal_of
from lthsweep.launch.slurm.cluster.sbatch import SECONDS
from lthsweep.launch.slurm.cluster.script import text_of
from lthsweep.launch.slurm.journal import Submission
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.slurm.submitting import controller_job, workers_job
from lthsweep.store.layout import SweepDir

__all__ = ["dry_run"]


def dry_run(sweep: SweepDir, site: Site) -> Limits:
    """Let SLURM check a worker job and a controller job of this site without queuing them.

    Args:
        sweep: the sweep directory, which need not exist; jobs name it.
        site: the cluster.

    Returns:
        The limits of the cluster.

    Raises:
        SpecError: if SLURM, or sbatch's syntax, does not allow a setting; the message names the option to change.
        RefusedError: if the cluster has no such partition.
        ClusterSilentError: if SLURM does not answer.
        LaunchError: if submitit is not installed.
    """
    limits = read_limits(site)
    intent = Submission(1, "lth-dryrun-0001", "workers", (("run",),), minutes=5, array=limits.max_array > 0)
    jobs = {
        "a worker job": workers_job(sweep, site, intent),
        "a controller job": controller_job(sweep, site, intent, []),
    }
    texts = {kind: text_of(job, site) for kind, job in jobs.items()}
    for kind, text in texts.items():
        _ask(kind, text)
    return limits


def _ask(kind: str, text: str) -> None:
    with tempfile.TemporaryDirectory(prefix="lthsweep-") as folder:
        script = Path(folder) / "dry-run.sh"
        script.write_text(text, encoding="utf-8", errors="surrogateescape")
        answer = ask(["sbatch", "--test-only", str(script)], seconds=SECONDS)
    if answer.code == 0:
        return
    refusal = refusal_of(answer, kind, os.environ)
    if not isinstance(refusal, NotNowError):
        raise SpecError(f"{refusal}; nothing was written or submitted") from refusal
