"""The outputs of a run: its final weights, its record, and the event for its coordinator."""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from statistics import median

import numpy as np

from lthsweep.errors import CorruptRecordError
from lthsweep.launch.events import Finished, TaskOutcome
from lthsweep.launch.provenance import provenance
from lthsweep.launch.task import Task
from lthsweep.lottery.context import TrainingContext
from lthsweep.lottery.result import Result
from lthsweep.models.identity import library_identity
from lthsweep.store.layout import SweepDir
from lthsweep.store.publish import commit_record
from lthsweep.store.record import Record, curve_table, layer_table
from lthsweep.store.verify import set_aside
from lthsweep.store.weights import load_arrays, pack_sparse, packed_size, save_arrays

__all__ = ["finished_event", "snapshot_metadata", "store_result"]


def store_result(
    sweep: SweepDir,
    task: Task,
    context: TrainingContext,
    result: Result,
    *,
    started: float,
    weights_read: dict[str, str],
    fused_with: Sequence[str] = (),
) -> None:
    """Write weights, then commit the record, so that everything that a record names exists.

    If another worker finished the run in the meantime (this one was taken for dead), its weights stay unchanged and
    the two records are compared.

    Args:
        sweep: the sweep directory.
        task: the run that was trained.
        context: its data and model.
        result: of the training.
        started: when this attempt began, in seconds since the epoch.
        weights_read: "KEY/FILE" → sha256 of the inputs.
        fused_with: keys of the other runs of its ensemble, which share its wall time.

    Raises:
        StoreError: if writing fails; the run then has no record and is trained again from its last checkpoint.
    """
    run = task.run
    path = sweep.final(task.key)
    weights = {}
    packed = pack_sparse(result.weights, result.masks)
    if not sweep.has_record(task.key):
        weights[path.name] = save_arrays(path, packed, {"run": task.key})
        weights |= _snapshot_hashes(sweep, task)
    dense_bytes = sum(array.nbytes for array in result.weights.values())
    mask_bytes = sum(len(zlib.compress(np.packbits(mask).tobytes())) for mask in result.masks.values())
    metrics = replace(
        result.metrics,
        bytes_dense=dense_bytes,
        bytes_sparse=packed_size(packed) + mask_bytes if result.masks else dense_bytes,
        bytes_model=packed_size(result.weights if result.shrunk is None else result.shrunk),
        seconds_wall=(time.time() - started) / (1 + len(fused_with)),
    )
    record = Record(
        key=task.key,
        kind=run.kind,
        manifest=run.manifest,
        resolved={
            **run.recipe.to_dict(),
            "seed": run.seed,
            "prune": None if run.prune is None else run.prune.manifest() | {"scope": run.prune.scope},
            "level": run.level,
            "trunk": run.trunk,
            "parent": run.parent,
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
            context.device,
            attempt=task.attempt,
            precision=context.train.precision,
            started=started,
            data_fingerprint=context.packed.fingerprint,
            weights_read=weights_read,
        )
        | _network_provenance(context)
        | ({"fused": 1 + len(fused_with), "fused_with": list(fused_with)} if fused_with else {})
        | result.notes,
        audit=result.audit,
        weights=weights,
    )
    committed = commit_record(sweep, record)
    if committed.verdict != "first":
        print(f"another worker committed first; comparison: {committed.verdict} {committed.differences}")
    sweep.checkpoint(task.key).unlink(missing_ok=True)


def finished_event(key: str, result: Result) -> Finished:
    """Return the event of a training that came to its end."""
    seconds = median(row.seconds for row in result.curves)
    return Finished(key, TaskOutcome(result.ending), seconds, result.metrics.test_accuracy)


def _network_provenance(context: TrainingContext) -> dict[str, object]:
    """The library of the network with its version; empty for other networks."""
    identity = library_identity(context.model, context.input_shape, len(context.packed.class_names))
    return {} if identity is None else {"network": identity}


def snapshot_metadata(key: str, step: int) -> dict[str, str]:
    """Return the metadata of a snapshot: the dense run and the step that it belongs to."""
    return {"run": key, "step": str(step)}


def _snapshot_hashes(sweep: SweepDir, task: Task) -> dict[str, str]:
    """Return hashes of the snapshots of a dense run; one that diverged early never reached its later rewind points.

    A snapshot that was damaged since it was written is moved to quarantine: the record must not vouch for it. A replay
    writes it again when a ticket needs it.
    """
    if task.run.prune is not None:
        return {}
    hashes = {}
    for step in sweep.snapshot_steps(task.key):
        path = sweep.snapshot(task.key, step)
        try:
            load_arrays(path, expect_metadata=snapshot_metadata(task.key, step))
            hashes[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        except CorruptRecordError as error:
            print(f"{error}; it is now {set_aside(sweep, path)}", flush=True)
    return hashes
