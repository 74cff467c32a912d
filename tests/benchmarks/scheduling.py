"""The scheduling loop against its lower bound: on real MPI ranks with sleeping tasks, and simulated on up to
1,024 workers.

    mpirun -n 8 python -m tests.benchmarks.scheduling ranks
    mpirun -n 2 python -m tests.benchmarks.scheduling ranks --rank0-coordinates --shortest 0 --longest 0
    python -m tests.benchmarks.scheduling simulate

The bound of any schedule is max(total work ÷ workers, longest chain).
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
import tempfile
import time
from pathlib import Path

from lthsweep.launch.dispatch import dispatch
from lthsweep.launch.events import Finished, Message
from lthsweep.launch.local_pool import LocalPool
from lthsweep.launch.mpi.job import mpi_job
from lthsweep.launch.mpi.pool import CombinedPool, MpiPool, gather_ranks
from lthsweep.launch.mpi.ranks import slots_of_ranks, this_rank
from lthsweep.launch.scheduler import Node, Scheduler
from lthsweep.launch.task import Task
from lthsweep.spec import spec_of
from lthsweep.store.layout import SweepDir
from tests.launch.cases import make_task

SPEC = {
    "sweep": {"name": "bench", "model": {"name": "lenet_300_100"}, "data": {"name": "digits"}},
    "grid": {"sparsity": [0.5]},
}


def bound(nodes: list[Node], workers: int) -> float:
    """Lower bound of the duration of any schedule, in seconds."""
    scheduler = Scheduler(nodes)
    longest = max(scheduler.remaining_chain(node.key) for node in nodes)
    return max(sum(node.cost for node in nodes) / workers, longest)


def sweep_of(count: int, levels: int, seconds: tuple[float, float], seed: int = 0) -> list[Node]:
    """A graph like that of an iterative sweep: dense runs with ten chains of `levels` tickets each."""
    draw = random.Random(seed)
    nodes: list[Node] = []
    while len(nodes) < count:
        dense_run = Node(f"r{len(nodes):06d}", None, draw.uniform(*seconds))
        nodes.append(dense_run)
        for _ in range(10):
            parent = dense_run.key
            for _ in range(levels):
                nodes.append(Node(f"r{len(nodes):06d}", parent, draw.uniform(*seconds)))
                parent = nodes[-1].key
    return nodes[:count]


class SimulatedPool:
    """Workers with a simulated clock: a run takes its cost, everything else takes no time."""

    def __init__(self, workers: int, costs: dict[str, float]) -> None:
        self.now = 0.0
        self._costs = costs
        self._idle = dict.fromkeys(f"w{number}" for number in range(workers))
        self._ends: list[tuple[float, str, str]] = []

    def devices(self) -> set[str]:
        return {"cpu"}

    def idle(self) -> list[str]:
        return list(self._idle)

    def starting(self) -> int:
        return 0

    def give(self, worker: str, task: Task) -> None:
        del self._idle[worker]
        heapq.heappush(self._ends, (self.now + self._costs[task.key], worker, task.key))

    def wait(self, seconds: float) -> list[Message]:
        if not self._ends:
            return []
        self.now, worker, key = heapq.heappop(self._ends)
        self._idle[worker] = None
        return [Message(worker, Finished(key))]

    def stop(self) -> list[Message]:
        return []

    def kill(self) -> None:
        pass


def simulate(count: int, workers: int, levels: int) -> tuple[float, float, float]:
    """Makespan, its bound, and the real seconds of scheduler and loop."""
    nodes = sweep_of(count, levels, (0.2, 2.0))
    pool = SimulatedPool(workers, {node.key: node.cost for node in nodes})
    started = time.perf_counter()
    summary = dispatch(Scheduler(nodes), pool, make_task, clock=lambda: pool.now)
    seconds = time.perf_counter() - started
    assert len(summary.finished) == count
    return pool.now, bound(nodes, workers), seconds


def simulations() -> None:
    """Print a Markdown table of simulated sweeps."""
    print("| runs | workers | levels | makespan | bound | makespan ÷ bound | loop, µs per run |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for count in (10_000, 100_000):
        for workers in (8, 64, 256, 1024):
            for levels in (1, 8):
                makespan, least, seconds = simulate(count, workers, levels)
                print(
                    f"| {count:,} | {workers:,} | {levels} | {makespan:,.1f} s | {least:,.1f} s "
                    f"| {makespan / least:.4f} | {seconds / count * 1e6:.0f} |",
                    flush=True,
                )


def sleepers(nodes: list[Node]) -> dict[str, Task]:
    """Tasks that sleep for their node's cost and leave no record; claim, log and heartbeat are real."""
    return {node.key: make_task(node.key, sleep_seconds=node.cost) for node in nodes}


def on_ranks(count: int, seconds: tuple[float, float], rank0_trains: bool) -> None:
    """Run sleeping tasks on the ranks of this MPI job; rank 0 optionally starts a local worker."""
    started = time.perf_counter()
    with mpi_job() as wire, tempfile.TemporaryDirectory() as folder:
        if wire is None:
            return
        sweep = SweepDir(Path(folder)).create()
        ranks = gather_ranks(wire)
        slots = slots_of_ranks([this_rank(0), *ranks], spec_of(SPEC))
        local = [LocalPool(sweep, [slots[0]])] if rank0_trains else []
        pool = CombinedPool(MpiPool(sweep, wire, ranks, slots, sole=False), *local)
        workers = wire.size - 1 + len(local)
        while len(pool.idle()) < workers:
            pool.wait(0.1)
        print(f"{workers} workers, ready after {time.perf_counter() - started:.1f} s", flush=True)
        draw = random.Random(0)
        nodes = [Node(f"s{number}", None, draw.uniform(*seconds)) for number in range(count)]
        report(nodes, pool, workers)


def report(nodes: list[Node], pool: CombinedPool, workers: int) -> None:
    """Run all nodes and print the wall time until the last one is reported as finished."""
    tasks = sleepers(nodes)
    ended = 0.0

    def on_message(message: Message) -> None:
        nonlocal ended
        if isinstance(message.event, Finished):
            ended = time.perf_counter()

    busy = time.process_time()
    started = time.perf_counter()
    summary = dispatch(Scheduler(nodes), pool, tasks.__getitem__, on_message=on_message)
    wall, busy = ended - started, time.process_time() - busy
    assert len(summary.finished) == len(nodes), summary
    total, least = sum(node.cost for node in nodes), bound(nodes, workers)
    print(
        f"{len(nodes)} tasks: wall {wall:.2f} s, bound {least:.2f} s"
        + (f", ratio {wall / least:.4f}" if least else "")
        + f"; a worker waits {(wall * workers - total) / len(nodes) * 1e3:.2f} ms per task, "
        f"{(wall - total / workers) / len(nodes) * 1e3:.2f} ms of wall time per task are not work, "
        f"rank 0 computes {busy / len(nodes) * 1e3:.2f} ms per task",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.scheduling")
    parser.add_argument("what", choices=["ranks", "simulate"])
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--shortest", type=float, default=0.2, help="seconds")
    parser.add_argument("--longest", type=float, default=2.0, help="seconds")
    parser.add_argument("--rank0-coordinates", action="store_true")
    options = parser.parse_args()
    if options.what == "simulate":
        simulations()
    else:
        on_ranks(options.tasks, (options.shortest, options.longest), not options.rank0_coordinates)
    return 0


if __name__ == "__main__":
    sys.exit(main())
