"""The starting point of retraining: the dense run at k, the final weights of the parent, or fresh weights.

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
from lthsweep.lottery.context import TrainingContext, to_arrays
from lthsweep.models.layers import state_of
from lthsweep.models.masked_fan import scaled_to_mask
from lthsweep.plan.prune_step import PruneStep
from lthsweep.randomness import stream
from lthsweep.store.weights import Arrays

__all__ = ["REWINDS", "StartingPoint", "fresh_seed", "starting_point_of"]


@dataclass(frozen=True)
class StartingPoint:
    """Weights and optimizer state from which a ticket trains.

    `last_rate` keeps the last learning rate of the schedule instead of following it.
    """

    weights: Arrays
    optimizer: Arrays
    last_rate: bool = False


def starting_point_of(
    prune: PruneStep,
    *,
    context: TrainingContext,
    seed: int,
    final: Arrays,
    snapshot: Arrays | None,
    masks: Mapping[str, torch.Tensor],
) -> StartingPoint:
    """The starting point of a pruning step; only weights that are scaled to the mask are masked already.

    Args:
        prune: pruning step of the run.
        context: builds fresh weights for the controls "reinit" and "reinit-masked".
        seed: of the replicate.
        final: final `state_dict` of the parent.
        snapshot: snapshot of the dense run at k; None where the ticket does not return to it.
        masks: masks of this step, on the device; used by "reinit-masked" only.

    Raises:
        UnknownNameError: if `prune.rewind` is not registered.
        TrainingError: if the snapshot is missing.
    """
    if prune.fresh_weights:
        fresh = state_of(context.build(fresh_seed(seed)))
        if prune.control == "reinit-masked":
            fresh |= scaled_to_mask({name: fresh[name] for name in masks}, masks)
        return StartingPoint(to_arrays(fresh), {})
    if prune.rewind not in REWINDS:
        raise UnknownNameError.of("prune.rewind", prune.rewind, REWINDS)
    return REWINDS[prune.rewind](final, snapshot)


def fresh_seed(seed: int) -> int:
    """The seed of the initial weights that the controls "reinit" and "reinit-masked" share."""
    return stream(seed, "reinit")


def rewind_weights(final: Arrays, snapshot: Arrays | None) -> StartingPoint:
    """Weights and BatchNorm statistics of the dense run at k, a fresh optimizer, and the schedule from k on."""
    return StartingPoint(_section(snapshot, "model/"), {})


def rewind_weights_and_optimizer(final: Arrays, snapshot: Arrays | None) -> StartingPoint:
    """As `rewind_weights`, with the momenta of surviving weights at k."""
    return StartingPoint(_section(snapshot, "model/"), _section(snapshot, "optimizer/"))


def rewind_learning_rate(final: Arrays, snapshot: Arrays | None) -> StartingPoint:
    """The final weights of the parent; only the schedule returns to k."""
    return StartingPoint(final, {})


def fine_tune(final: Arrays, snapshot: Arrays | None) -> StartingPoint:
    """The final weights of the parent, trained as long as a ticket of k at the last learning rate of the schedule."""
    return StartingPoint(final, {}, last_rate=True)


REWINDS: Mapping[str, Callable[[Arrays, Arrays | None], StartingPoint]] = {
    "lr": rewind_learning_rate,
    "none": fine_tune,
    "weights": rewind_weights,
    "weights+optimizer": rewind_weights_and_optimizer,
}


def _section(snapshot: Arrays | None, prefix: str) -> Arrays:
    if snapshot is None:
        raise TrainingError(
            "the snapshot of the dense run at the rewind point is missing; `lthsweep run` restores it"
        )
    return {name.removeprefix(prefix): array for name, array in snapshot.items() if name.startswith(prefix)}
