"""`run --on mpi`: this process is one rank of an MPI job; rank 0 coordinates, the others train."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lthsweep.data.cache import cache_folder
from lthsweep.errors import SpecError
from lthsweep.launch.local import LocalPool
from lthsweep.launch.mpi import SILENCE_SECONDS, MpiPool, gather_hellos
from lthsweep.launch.mpi_worker import serve_rank
from lthsweep.launch.on_pool import UNATTENDED, Attended, SweepRun, run_on_pool
from lthsweep.launch.pool import Pool
from lthsweep.launch.ranks import say_hello, slots_of_ranks
from lthsweep.launch.together import Together
from lthsweep.launch.wire import MpiWire, Tag
from lthsweep.plan.run import Plan
from lthsweep.store.layout import SweepDir

__all__ = ["FEW_RANKS", "mpi_job", "run_mpi"]

FEW_RANKS = 2
"""Up to this many ranks, rank 0 trains too unless told otherwise: it would leave half of the job idle."""

_PART_SECONDS = 10.0


@contextlib.contextmanager
def mpi_job() -> Iterator[MpiWire | None]:
    """Be a rank of the MPI job that this process was started in.

    On rank 0, the block is entered with its wire; whatever happens in it, the other ranks are told to leave at its
    end. On any other rank the block is entered with None, after the rank has done its work.

    Raises:
        SpecError: without mpi4py, or without `mpirun`.
    """
    wire = _join()
    if wire.rank != 0:
        if wire.part() if serve_rank(wire) else wire.part(_PART_SECONDS):
            yield None
            return
        wire.abort(1)
    # While runs go on, `run` has its own handler. Before and after there is nothing to stop; do not die of it.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    code = 0
    try:
        yield wire
    except BaseException as error:
        code = int(getattr(error, "exit_code", 1))
        raise
    finally:
        for rank in range(1, wire.size):
            wire.send(rank, Tag.LEAVE, {})
        if not wire.part(_PART_SECONDS):  # a rank hangs, and the end of MPI would wait for it for ever
            _say_last_words()
            wire.abort(code)


def run_mpi(
    plan: Plan,
    sweep: SweepDir,
    wire: MpiWire,
    *,
    rank0_trains: bool | None = None,
    silence: float = SILENCE_SECONDS,
    attended: Attended = UNATTENDED,
    cache: Path | None = None,
) -> SweepRun:
    """Train whatever of the plan has no record yet, on the ranks of an MPI job. Called on rank 0.

    Args:
        plan: all runs.
        sweep: the sweep directory, on a file system that all ranks share; made if it is not there.
        wire: of `mpi_job`.
        rank0_trains: whether a worker process beside rank 0 trains too; None for "if ranks are few".
        silence: seconds after which a rank with a run that says nothing is given up.
        attended: by whom.
        cache: folder of packed data, None for the default.

    Raises:
        MissingDataError: before anything is written.
        LaunchError: if ranks do not start, or none is left.
        StoreError: if the directory cannot be written.
    """
    ranks: list[MpiPool] = []

    def start(most: int) -> Pool:
        hellos = gather_hellos(wire)
        both = wire.size <= FEW_RANKS if rank0_trains is None else rank0_trains
        slots = slots_of_ranks([say_hello(0), *hellos] if both else hellos, plan.spec)
        ranks.append(MpiPool(sweep, wire, hellos, slots, silence=silence, sole=not both))
        return Together(ranks[0], LocalPool(sweep, [slots[0]])) if both else ranks[0]

    def asked_to_stop() -> bool:
        return attended.asked_to_stop() or any(pool.asked_to_stop for pool in ranks)

    return run_on_pool(
        plan,
        sweep,
        start,
        attended=replace(attended, asked_to_stop=asked_to_stop),
        cache=cache or cache_folder(),  # mpirun need not hand our environment to other hosts
    )


def _join() -> MpiWire:
    # mpi4py's wheels load the first MPI library they find. Under Open MPI's mpirun that must be Open MPI's.
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
            f"--on mpi: mpirun started {started} ranks, but mpi4py loaded another MPI than that of mpirun "
            f"({library}), in which each rank is alone; use the mpirun of that MPI, or set MPI4PY_MPIABI"
        )
    raise SpecError(
        f"--on mpi needs several ranks, and this is one process without mpirun; run\n"
        f"    mpirun -n {max(2, os.cpu_count() or 2)} {again}\n"
        f"or leave --on mpi away to train on this machine"
    )


def _say_last_words() -> None:
    error = sys.exc_info()[1]
    if error is not None and str(error):
        print(f"lthsweep: {error}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
