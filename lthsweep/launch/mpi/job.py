"""`run --on mpi`: this process is one rank of an MPI job. Rank 0 coordinates, the others train."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lthsweep.data.lookup import cache_folder
from lthsweep.errors import SpecError
from lthsweep.launch.coordinator import RunHooks, run_sweep
from lthsweep.launch.dispatch import Pool, RunSummary
from lthsweep.launch.local_pool import LocalPool
from lthsweep.launch.mpi.pool import SILENCE_SECONDS, CombinedPool, MpiPool, gather_ranks
from lthsweep.launch.mpi.rank_worker import serve_rank
from lthsweep.launch.mpi.ranks import slots_of_ranks, this_rank
from lthsweep.launch.mpi.wire import MpiWire, Tag
from lthsweep.plan.run import Plan
from lthsweep.store.layout import SweepDir

__all__ = ["FEW_RANKS", "mpi_job", "run_mpi"]

FEW_RANKS = 2
"""With at most this many ranks, rank 0 trains too by default; otherwise half of the job would be idle."""

_BARRIER_SECONDS = 10.0


@contextlib.contextmanager
def mpi_job() -> Iterator[MpiWire | None]:
    """Join the MPI job in which this process was started.

    On rank 0 the block is entered with its wire, and at its end, however it ends, the other ranks are dismissed. On any
    other rank the block is entered with None, after the rank has done its work.

    Raises:
        SpecError: without mpi4py, or without `mpirun`.
    """
    wire = _join()
    if wire.rank != 0:
        if wire.barrier() if serve_rank(wire) else wire.barrier(_BARRIER_SECONDS):
            yield None
            return
        wire.abort(1)
    # `run` has its own handler while runs train. Before and after, the default action would kill rank 0.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    code = 0
    try:
        yield wire
    except BaseException as error:
        code = int(getattr(error, "exit_code", 1))
        raise
    finally:
        for rank in range(1, wire.size):
            wire.send(rank, Tag.LEAVE)
        if not wire.barrier(_BARRIER_SECONDS):  # a rank hangs, and MPI_Finalize would wait for it without end
            _print_error()
            wire.abort(code)


def run_mpi(
    plan: Plan,
    sweep: SweepDir,
    wire: MpiWire,
    *,
    rank0_trains: bool | None = None,
    silence: float = SILENCE_SECONDS,
    hooks: RunHooks | None = None,
    cache: Path | None = None,
) -> RunSummary:
    """Train all runs of a plan that have no record, on the ranks of an MPI job. Called on rank 0.

    Args:
        plan: all runs.
        sweep: the sweep directory, on a file system that all ranks share; created if it does not exist.
        wire: of `mpi_job`.
        rank0_trains: whether a worker process next to rank 0 trains too; None if there are at most `FEW_RANKS` ranks.
        silence: seconds without a report after which a rank that trains is given up.
        hooks: of the caller.
        cache: folder of packed data; None for the default.

    Raises:
        MissingDataError: if data is missing; nothing is written.
        LaunchError: if ranks do not start, or none is left.
        StoreError: if the directory cannot be written.
    """
    hooks = hooks or RunHooks()
    pools: list[MpiPool] = []

    def start(most: int) -> Pool:
        ranks = gather_ranks(wire)
        both = wire.size <= FEW_RANKS if rank0_trains is None else rank0_trains
        slots = slots_of_ranks([this_rank(0), *ranks] if both else ranks, plan.spec)
        pools.append(MpiPool(sweep, wire, ranks, slots, silence=silence, sole=not both))
        return CombinedPool(pools[0], LocalPool(sweep, [slots[0]])) if both else pools[0]

    def should_stop() -> bool:
        return hooks.should_stop() or any(pool.asked_to_stop for pool in pools)

    return run_sweep(
        plan,
        sweep,
        start,
        hooks=replace(hooks, should_stop=should_stop),
        cache=cache or cache_folder(),  # mpirun does not always pass the environment to other hosts
    )


def _join() -> MpiWire:
    # The wheels of mpi4py load the first MPI library that they find. Under the mpirun of Open MPI it must be Open MPI.
    under_open_mpi = "OMPI_COMM_WORLD_SIZE" in os.environ
    if under_open_mpi:
        os.environ.setdefault("MPI4PY_MPIABI", "openmpi")
    again = " ".join(["lthsweep", *sys.argv[1:]])
    try:
        from mpi4py import MPI
    except ModuleNotFoundError:
        raise SpecError(
            "--on mpi needs mpi4py, which is not installed: pip install 'lthsweep[mpi]', "
            "and an MPI: pip install mpich, or that of your cluster (`module load openmpi`)"
        ) from None
    except (ImportError, RuntimeError) as error:
        raise SpecError(
            f"--on mpi: mpi4py finds no MPI library ({error}); "
            f"pip install mpich, or load that of your cluster (`module load openmpi`)"
        ) from None
    wire = MpiWire(MPI.COMM_WORLD)
    if wire.size > 1:
        return wire
    started = int(os.environ.get("OMPI_COMM_WORLD_SIZE") or os.environ.get("PMI_SIZE") or 1)
    if started > 1:
        library = MPI.Get_library_version().split(",")[0].split("\n")[0].strip()
        raise SpecError(
            f"--on mpi: mpirun started {started} ranks, but mpi4py loaded another MPI library than that of mpirun "
            f"({library}), in which each rank is alone; use the mpirun of that library, or set MPI4PY_MPIABI"
        )
    raise SpecError(
        f"--on mpi needs several ranks, and this is one process without mpirun; run\n"
        f"    mpirun -n {max(2, os.cpu_count() or 2)} {again}\n"
        f"or omit --on mpi to train on this machine"
    )


def _print_error() -> None:
    error = sys.exc_info()[1]
    if error is not None and str(error):
        print(f"lthsweep: {error}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
