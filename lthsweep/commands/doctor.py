"""`doctor`: check the installation, or every file of a sweep directory."""

from __future__ import annotations

import json
import platform
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from lthsweep.commands.sources import JsonOption
from lthsweep.errors import ClusterSilentError, LthsweepError, SpecError, UnknownNameError
from lthsweep.launch.slots import count_gpus, usable_cores
from lthsweep.launch.slurm.cluster.queue import read_queue
from lthsweep.plan.expand import expand
from lthsweep.reduce.directory_pool import DirectoryPool, read_pool
from lthsweep.reduce.pooling import Pooling
from lthsweep.spec import load_spec
from lthsweep.store.layout import SweepDir
from lthsweep.store.verify import Finding, quarantine, verify

__all__ = ["doctor"]

_SLURM_SECONDS = 20.0
_PLACES = ("local", "slurm")
_PACKAGES = ("torch", "torchvision", "numpy", "h5py", "pandas", "pydantic", "duckdb", "submitit", "mpi4py")


def doctor(
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="SWEEP", help="Directory to check; default: the installation."),
    ] = None,
    move_damaged: Annotated[
        bool,
        typer.Option(
            "--quarantine", help="Move damaged files to state/quarantine; `run` trains those runs again."
        ),
    ] = False,
    move_set_aside: Annotated[
        bool,
        typer.Option(
            "--move-set-aside",
            help="Move records of other data or networks to state/quarantine; `run` trains those runs again.",
        ),
    ] = False,
    as_json: JsonOption = False,
    on: Annotated[
        str,
        typer.Option(
            "--on", metavar="PLACE", help="local, or slurm to fail if SLURM is missing or does not answer."
        ),
    ] = "local",
) -> None:
    """Check the installation, or every hash, key, and audit of a sweep directory."""
    if on not in _PLACES:
        raise UnknownNameError.of("--on", on, known=_PLACES)
    if directory is not None and on == "slurm":
        raise SpecError("--on slurm checks the installation; leave out the sweep directory")
    if directory is None:
        _check_installation(as_json, slurm_needed=on == "slurm")
    else:
        _check_sweep(directory, as_json, move_damaged, move_set_aside)


def _check_installation(as_json: bool, *, slurm_needed: bool) -> None:
    checks = [*_installation(), *_cluster(needed=slurm_needed)]
    if as_json:
        typer.echo(json.dumps([vars(check) for check in checks], indent=2))
    else:
        for check in checks:
            mark = "ok  " if check.ok else "BAD " if check.needed else "note"
            typer.echo(f"{mark}  {check.name}: {check.found}")
    if any(check.needed and not check.ok for check in checks):
        raise typer.Exit(1)


def _check_sweep(directory: Path, as_json: bool, move_damaged: bool, move_set_aside: bool) -> None:
    sweep = SweepDir(directory)
    if not sweep.exists():
        raise SpecError(f"{directory} is not a sweep directory; give the directory that `lthsweep run` wrote")
    findings = [*_open_permissions(sweep), *verify(sweep)]
    moved = quarantine(sweep, findings) if move_damaged else []
    findings += _check_file(sweep)
    apart = _pool_of(sweep)
    if apart is not None and apart.pool.keys:
        if move_set_aside:
            moved += quarantine(sweep, _set_aside(sweep, apart.pool.keys))
        else:
            remedy = apart.pool.remedy(shlex.quote(str(directory)))
            findings.append(Finding("warning", sweep.records, apart.pool.summary, remedy))
    errors = sum(finding.severity == "error" for finding in findings)
    if as_json:
        typer.echo(json.dumps([_as_json(finding) for finding in findings], indent=2))
    else:
        lines = [
            f"{finding.severity:8} {finding.path}: {finding.what}; {finding.remedy}" for finding in findings
        ]
        lines += [f"moved    {path}" for path in moved]
        if apart is not None:
            lines += replace(apart, pool=Pooling()).notes(shlex.quote(str(directory)))
        if sweep.is_table_alone():
            lines.append(f"{directory} holds a table but no records to check it against")
        lines.append(f"{len(sweep.record_keys())} records, {errors} errors, {len(findings) - errors} remarks")
        if errors and not move_damaged:
            lines.append(
                "add --quarantine to move damaged files away; `lthsweep run` then trains those runs again"
            )
        typer.echo("\n".join(lines))
    if errors:
        raise typer.Exit(1)


def _as_json(finding: Finding) -> dict[str, str]:
    return {name: str(getattr(finding, name)) for name in ("severity", "path", "what", "remedy")}


def _check_file(sweep: SweepDir) -> Iterator[Finding]:
    """Check `sweep.toml`, which stays in its place: only its user can write it again."""
    try:
        if sweep.sweep_toml.is_file():
            load_spec(sweep.path)
    except SpecError as error:
        yield Finding("error", sweep.sweep_toml, str(error), "run the file of the sweep again")


def _pool_of(sweep: SweepDir) -> DirectoryPool | None:
    """Return which records are pooled; None without a valid sweep.toml, by which runs are compared."""
    try:
        return read_pool(expand(load_spec(sweep.path)), sweep)
    except LthsweepError:
        return None


def _set_aside(sweep: SweepDir, keys: Iterable[str]) -> Iterator[Finding]:
    """Yield the record and the weights of each run that is set aside: a new training writes other weights."""
    for key in sorted(keys):
        for path in (sweep.record(key), sweep.weights_of(key)):
            yield Finding("error", path, "it is set aside", "")


@dataclass(frozen=True)
class InstallationCheck:
    """One property of the installation; `needed` is false where training works without it."""

    name: str
    found: str
    ok: bool
    needed: bool = True


def _installation() -> Iterator[InstallationCheck]:
    yield InstallationCheck("python", platform.python_version(), sys.version_info >= (3, 11))
    for package in _PACKAGES:
        optional = package in ("submitit", "mpi4py")
        try:
            yield InstallationCheck(package, version(package), True)
        except PackageNotFoundError:
            yield InstallationCheck(
                package, "not installed (optional)" if optional else "not installed", optional
            )
    yield InstallationCheck("cores", str(len(usable_cores())), True)
    yield InstallationCheck("GPUs", str(count_gpus()), True)
    # In a separate process: a broken torch can abort, and this command itself starts without torch.
    program = "import torch, torchvision; print(torch.ones(2).sum().item(), torch.cuda.is_available())"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    last = (result.stdout or result.stderr).strip().splitlines()[-1:] or ["no output"]
    works = result.returncode == 0
    found = (
        f"works, CUDA {'available' if last[0].endswith('True') else 'not available'}" if works else last[0]
    )
    yield InstallationCheck("import torch, torchvision", found, works)


def _cluster(*, needed: bool) -> Iterator[InstallationCheck]:
    """Check what `run --on slurm` needs; a machine outside a cluster passes unless `needed`."""
    commands = ("sbatch", "squeue", "scancel", "scontrol")
    present = [name for name in commands if shutil.which(name)]
    if not present:
        yield InstallationCheck("SLURM", "not installed", not needed)
        return
    try:
        import submitit  # noqa: F401

        yield InstallationCheck("import submitit", "works", True)
    except ImportError as error:
        yield InstallationCheck("import submitit", f"{error}; pip install 'lthsweep[slurm]'", False, needed)
    missing = [name for name in commands if name not in present]
    if missing:
        yield InstallationCheck("SLURM", f"not on PATH: {', '.join(missing)}", False, needed)
        return
    try:
        number = len(read_queue(seconds=_SLURM_SECONDS))
        yield InstallationCheck("SLURM", f"answers; {number} of your jobs in the queue", True)
    except ClusterSilentError as silence:
        yield InstallationCheck("SLURM", f"does not answer: {silence}", False, needed)


def _open_permissions(sweep: SweepDir) -> Iterator[Finding]:
    """Warn of directories that other users can write to: workers trust their content.

    `state/` must also be closed to the group, because it holds the scripts that jobs run.
    """
    for folder in (sweep.path, sweep.records, sweep.weights, sweep.state, sweep.slurm):
        try:
            mode = folder.stat().st_mode
        except OSError:  # missing, or not readable by this user
            continue
        private = folder in (sweep.state, sweep.slurm)
        if mode & (0o022 if private else 0o002):
            what = f"other users can write here (mode {stat.S_IMODE(mode):o})"
            yield Finding(
                "warning", folder, what, f"chmod {'700' if private else 'o-w'} it, then check its files"
            )
