"""`doctor`: is this installation fit to train, and is everything in a sweep directory what it claims to be?"""

from __future__ import annotations

import json
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from lthsweep.commands.sources import JsonOption
from lthsweep.errors import ClusterSilentError, SpecError, UnknownNameError
from lthsweep.launch.slots import count_gpus, usable_cores
from lthsweep.launch.slurm.cluster.queue import read_queue
from lthsweep.store.layout import SweepDir
from lthsweep.store.verify import Finding, quarantine, verify

__all__ = ["doctor"]

_SLURM_SECONDS = 20.0
_PLACES = ("local", "slurm")
_PACKAGES = ("torch", "torchvision", "numpy", "h5py", "pandas", "pydantic", "duckdb", "submitit", "mpi4py")


def doctor(
    directory: Annotated[
        Path | None, typer.Argument(metavar="SWEEP", help="A sweep directory; without one, the installation.")
    ] = None,
    mend: Annotated[
        bool,
        typer.Option("--quarantine", help="Move damaged files to state/quarantine; run trains them again."),
    ] = False,
    as_json: JsonOption = False,
    on: Annotated[
        str,
        typer.Option(
            "--on", metavar="PLACE", help="local; or slurm, which then has to be there and to answer."
        ),
    ] = "local",
    bench: Annotated[
        bool,
        typer.Option(
            "--bench",
            help="Measure speed beside a naive loop and a bare one; about six minutes on two cores.",
        ),
    ] = False,
) -> None:
    """Check every hash, key and audit of a sweep directory, or the installation."""
    if on not in _PLACES:
        raise UnknownNameError.of("--on", on, known=_PLACES)
    if directory is not None and (bench or on == "slurm"):
        raise SpecError(
            "doctor looks at the installation with --bench or --on slurm; leave the sweep directory out"
        )
    if bench:
        _bench(as_json)
        return
    if directory is None:
        checks = [*_installation(), *_cluster(needed=on == "slurm")]
        if as_json:
            typer.echo(json.dumps([vars(check) for check in checks], indent=2))
        else:
            for check in checks:
                mark = "ok  " if check.ok else "BAD " if check.needed else "note"
                typer.echo(f"{mark}  {check.what}: {check.found}")
        if any(check.needed and not check.ok for check in checks):
            raise typer.Exit(1)
        return
    sweep = SweepDir(directory)
    if not sweep.exists():
        raise SpecError(f"{directory} is no sweep directory; give the folder that `lthsweep run` wrote to")
    findings = [*_doors(sweep), *verify(sweep)]
    moved = quarantine(sweep, findings) if mend else []
    if as_json:
        typer.echo(json.dumps([_plain(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            typer.echo(f"{finding.severity:8} {finding.path}: {finding.what}; {finding.remedy}")
        for path in moved:
            typer.echo(f"moved    {path}")
        errors = sum(finding.severity == "error" for finding in findings)
        if sweep.is_table_alone():
            typer.echo(f"{directory} holds a table and no records: there is nothing to check it against")
        typer.echo(f"{len(sweep.record_keys())} records, {errors} errors, {len(findings) - errors} remarks")
        if errors and not mend:
            typer.echo("add --quarantine to move what is damaged away; `lthsweep run` then trains it again")
    if any(finding.severity == "error" for finding in findings) and not mend:
        raise typer.Exit(1)


def _bench(as_json: bool) -> None:
    """The quick benchmark of docs/benchmarks.md; it trains in processes of its own."""
    from lthsweep.bench.measure import bench
    from lthsweep.bench.table import markdown

    found = bench("quick", tell=lambda line: typer.echo(line, err=True))
    typer.echo(json.dumps(found, indent=2) if as_json else markdown(found))


@dataclass(frozen=True)
class Check:
    """One thing about the installation, and whether it is fit without it."""

    what: str
    found: str
    ok: bool
    needed: bool = True


def _installation() -> Iterator[Check]:
    yield Check("python", platform.python_version(), sys.version_info >= (3, 11))
    for package in _PACKAGES:
        optional = package in ("submitit", "mpi4py")
        try:
            yield Check(package, version(package), True)
        except PackageNotFoundError:
            yield Check(package, "not installed (optional)" if optional else "not installed", optional)
    yield Check("cores", str(len(usable_cores())), True)
    yield Check("GPUs", str(count_gpus()), True)
    # In a process of its own: a broken torch may abort, and this command starts without it.
    program = "import torch, torchvision; print(torch.ones(2).sum().item(), torch.cuda.is_available())"
    tried = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    last = (tried.stdout or tried.stderr).strip().splitlines()[-1:] or ["no output"]
    works = tried.returncode == 0
    found = (
        f"works, CUDA {'available' if last[0].endswith('True') else 'not available'}" if works else last[0]
    )
    yield Check("import torch, torchvision", found, works)


def _cluster(*, needed: bool) -> Iterator[Check]:
    """What `run --on slurm` needs. Packages of SLURM on a machine that is in no cluster are no fault of either."""
    commands = ("sbatch", "squeue", "scancel", "scontrol")
    there = [name for name in commands if shutil.which(name)]
    if not there:
        yield Check("SLURM", "not here", not needed)
        return
    try:
        import submitit  # noqa: F401

        yield Check("import submitit", "works", True)
    except ImportError as error:
        yield Check("import submitit", f"{error}; pip install 'lthsweep[slurm]'", False, needed)
    missing = [name for name in commands if name not in there]
    if missing:
        yield Check("SLURM", f"not on PATH: {', '.join(missing)}", False, needed)
        return
    try:
        number = len(read_queue(seconds=_SLURM_SECONDS))
        yield Check("SLURM", f"answers; {number} of your jobs are in the queue", True)
    except ClusterSilentError as silence:
        yield Check("SLURM", f"does not answer: {silence}", False, needed)


def _doors(sweep: SweepDir) -> Iterator[Finding]:
    """Folders into which somebody else could write what workers then believe; `state/` says even what jobs run."""
    for folder in (sweep.path, sweep.records, sweep.weights, sweep.state, sweep.slurm):
        try:
            mode = folder.stat().st_mode
        except OSError:  # not there, or not this user's to see
            continue
        own = folder in (sweep.state, sweep.slurm)
        if mode & (0o022 if own else 0o002):
            what = f"others may write here (mode {stat.S_IMODE(mode):o})"
            yield Finding("warning", folder, what, f"chmod {'700' if own else 'o-w'} it, after a look inside")


def _plain(finding: Finding) -> dict[str, str]:
    return {
        "severity": finding.severity,
        "path": str(finding.path),
        "what": finding.what,
        "remedy": finding.remedy,
    }
