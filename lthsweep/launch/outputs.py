"""What a finished run leaves: its final weights, then its record."""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from lthsweep.launch.provenance import provenance
from lthsweep.launch.task import Task
from lthsweep.lottery.context import TrainingContext
from lthsweep.lottery.result import Result
from lthsweep.store.layout import SweepDir
from lthsweep.store.publish import commit_record
from lthsweep.store.record import Record, curve_table, layer_table
from lthsweep.store.weights import pack_sparse, packed_size, save_arrays

__all__ = ["store_result"]


def store_result(
    sweep: SweepDir,
    task: Task,
    material: TrainingContext,
    result: Result,
    *,
    started: float,
    weights_read: dict[str, str],
    fused_with: Sequence[str] = (),
) -> None:
    """Write weights, then commit the record: where there is a record, everything it names is there.

    If another worker finished the run meanwhile (this one was thought dead), its weights stay as they are, and the
    two records are compared.

    Args:
        sweep: where to.
        task: what was trained.
        material: with what.
        result: what came out.
        started: seconds since the epoch when this attempt began.
        weights_read: "KEY/FILE" → sha256 of the inputs.
        fused_with: keys of the runs that were trained as one with it. Seconds of the wall are shared among them.

    Raises:
        StoreError: if the disk refused; the run has then no record, and is trained again from its last checkpoint.
    """
    path = sweep.final(task.key)
    weights = {}
    if not sweep.has_record(task.key):
        packed = pack_sparse(result.weights, result.masks)
        weights[path.name] = save_arrays(path, packed, {"run": task.key})
        weights |= _snapshot_hashes(sweep, task)
    dense_bytes = sum(array.nbytes for array in result.weights.values())
    mask_bytes = sum(len(zlib.compress(np.packbits(mask).tobytes())) for mask in result.masks.values())
    metrics = replace(
        result.metrics,
        bytes_dense=dense_bytes,
        bytes_sparse=path.stat().st_size + mask_bytes if result.masks else dense_bytes,
        bytes_model=packed_size(result.weights if result.shrunk is None else result.shrunk),
        seconds_wall=(time.time() - started) / (1 + len(fused_with)),
    )
    record = Record(
        key=task.key,
        kind=task.kind,  # type: ignore[arg-type]
        manifest=task.manifest,
        resolved={
            **task.recipe,
            "seed": task.seed,
            "prune": task.prune,
            "level": task.level,
            "trunk": task.trunk,
            "parent": task.parent,
        },
        outcome="finished" if result.ending == "finished" else "diverged",
        metrics=metrics.to_dict(),
        curves=curve_table(asdict(row) for row in result.curves),
        layers=layer_table(
            [row.name for row in result.layers],
            [row.size for row in result.layers],
            [row.remaining for row in result.layers],
        ),
        masks=result.masks,
        provenance=provenance(
            material.device,
            attempt=task.attempt,
            precision=material.train.precision,
            started=started,
            data_fingerprint=material.packed.fingerprint,
            weights_read=weights_read,
        )
        | ({"fused": 1 + len(fused_with), "fused_with": list(fused_with)} if fused_with else {})
        | result.notes,
        audit=result.audit,
        weights=weights,
    )
    committed = commit_record(sweep, record)
    if committed.verdict != "first":
        print(f"another worker was first, and its record is the {committed.verdict}: {committed.differences}")
    sweep.checkpoint(task.key).unlink(missing_ok=True)


def _snapshot_hashes(sweep: SweepDir, task: Task) -> dict[str, str]:
    """Hashes of all snapshots that a trunk has; one that diverged early never reached its later rewind points."""
    if task.kind != "dense":
        return {}
    paths = [sweep.snapshot(task.key, step) for step in sweep.snapshot_steps(task.key)]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
