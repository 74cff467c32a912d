"""Where a ticket's retraining starts: the trunk at k, the parent's end, or fresh weights.

Rewinding to k > 0: Frankle, Dziugaite, Roy & Carbin, ICML 2020, arXiv:1912.05671, algorithm 2; fine-tuning and
learning-rate rewinding: Renda, Frankle & Carbin, ICLR 2020, arXiv:2003.02389, section 2; random reinitialization:
Frankle & Carbin, ICLR 2019, arXiv:1803.03635, section 2; fresh weights for the fan-in that a mask leaves: Evci et al.,
AAAI 2022, arXiv:2010.03533.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from lthsweep.errors import TrainingError, UnknownNameError
from lthsweep.lottery.material import Arrays, Material, to_arrays
from lthsweep.models.masked_fan import scaled_to_mask
from lthsweep.plan.prune_step import PruneStep
from lthsweep.randomness import stream

__all__ = ["REWINDS", "Origin", "fresh_seed", "origin_of"]


@dataclass(frozen=True)
class Origin:
    """Where retraining starts: weights, optimizer state, and whether the last learning rate is kept."""

    weights: Arrays
    optimizer: Arrays
    last_rate: bool = False


def origin_of(
    step: PruneStep,
    *,
    material: Material,
    seed: int,
    final: Arrays,
    snapshot: Arrays | None,
    masks: Mapping[str, torch.Tensor],
) -> Origin:
    """The state from which a pruning step trains; nothing but what is scaled to the mask is masked yet.

    Args:
        step: of the run.
        material: builds fresh weights for the controls "reinit" and "reinit-masked".
        seed: of the replicate.
        final: the parent's final `state_dict`.
        snapshot: the trunk's at k; None where the step returns no weights.
        masks: of this step, on the device; only "reinit-masked" looks at them.

    Raises:
        UnknownNameError: if there is no such way to rewind.
        TrainingError: if the snapshot is missing.
    """
    if step.fresh_weights:
        fresh = material.build(fresh_seed(seed)).state_dict()
        if step.control == "reinit-masked":
            fresh |= scaled_to_mask({name: fresh[name] for name in masks}, masks)
        return Origin(to_arrays(fresh), {})
    if step.rewind not in REWINDS:
        raise UnknownNameError.of("prune.rewind", step.rewind, REWINDS)
    return REWINDS[step.rewind](final, snapshot)


def fresh_seed(seed: int) -> int:
    """The seed whose initial weights the controls "reinit" and "reinit-masked" share: a stream of the replicate's."""
    return stream(seed, "reinit")


def rewind_weights(final: Arrays, snapshot: Arrays | None) -> Origin:
    """Weights and BatchNorm statistics of the trunk at k; a fresh optimizer; the schedule from k on."""
    return Origin(_section(snapshot, "model/"), {})


def rewind_weights_and_optimizer(final: Arrays, snapshot: Arrays | None) -> Origin:
    """As `rewind_weights`, and the momenta of surviving weights as they were at k."""
    return Origin(_section(snapshot, "model/"), _section(snapshot, "optimizer/"))


def rewind_learning_rate(final: Arrays, snapshot: Arrays | None) -> Origin:
    """The parent's final weights; only the schedule returns to k."""
    return Origin(final, {})


def fine_tune(final: Arrays, snapshot: Arrays | None) -> Origin:
    """The parent's final weights, trained as long as a ticket of k at the schedule's last learning rate."""
    return Origin(final, {}, last_rate=True)


REWINDS: Mapping[str, Callable[[Arrays, Arrays | None], Origin]] = {
    "lr": rewind_learning_rate,
    "none": fine_tune,
    "weights": rewind_weights,
    "weights+optimizer": rewind_weights_and_optimizer,
}


def _section(snapshot: Arrays | None, prefix: str) -> Arrays:
    if snapshot is None:
        raise TrainingError(
            "the trunk's snapshot at the rewind point is missing; `lthsweep run` makes it again"
        )
    return {name.removeprefix(prefix): array for name, array in snapshot.items() if name.startswith(prefix)}
