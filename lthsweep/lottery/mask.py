"""Which weights a ticket keeps: scored by its method, and for a random control shuffled."""

from __future__ import annotations

import torch
from torch import nn

from lthsweep.lottery.context import TrainingContext
from lthsweep.plan.prune_step import CONTROLS, PruneStep
from lthsweep.pruning.make import make_masks
from lthsweep.pruning.masks import Masks, Weights
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.pruning.registry import criterion_of
from lthsweep.pruning.scoring import ScoringContext
from lthsweep.pruning.shuffle import shuffled
from lthsweep.randomness import stream
from lthsweep.store.weights import Arrays
from lthsweep.training.state import TrainingData

__all__ = ["mask_of"]


def mask_of(
    prune: PruneStep,
    *,
    context: TrainingContext,
    data: TrainingData,
    seed: int,
    network: nn.Module,
    masks: Arrays,
    snapshot: Arrays | None,
) -> Masks:
    """The masks of a pruning step; those of a control equal its ticket's bit for bit, or are shuffled.

    Args:
        prune: how and how much is pruned.
        context: builds the network at initialization.
        data: its first training batch is the batch of the scoring context.
        seed: of the replicate.
        network: the trained network, on the device; not changed.
        masks: of the level before; empty for the dense run.
        snapshot: of the dense run at the rewind point; None if the ticket does not return weights.

    Raises:
        PruningError: if the weights cannot be ranked.
    """

    def initial() -> nn.Module:
        return context.build(seed)

    ranked = initial() if criterion_of(prune.method).at_initialization else network
    weights = prunable_weights(ranked, prune.exclude)
    scoring = ScoringContext(
        weights,
        {name: torch.from_numpy(mask).to(context.device) for name, mask in masks.items()} or None,
        seed=stream(seed, "prune"),
        network=ranked,
        input_shape=context.input_shape,
        batch=lambda: next(iter(data.train.epoch(0))),
        initial=lambda: prunable_weights(initial(), prune.exclude),
        rewound=lambda: _at_rewind_point(snapshot, weights),
    )
    made = make_masks(
        prune.method,
        scoring,
        scope=prune.scope,
        sparsity=prune.sparsity,
        threshold=prune.threshold,
        rates=prune.rates,
    )
    shuffle = CONTROLS[prune.control].shuffle
    return made if shuffle is None else shuffled(made, seed, across_layers=shuffle == "global")


def _at_rewind_point(snapshot: Arrays | None, weights: Weights) -> Weights | None:
    if snapshot is None:
        return None
    return {
        name: torch.from_numpy(snapshot[f"model/{name}"]).to(weight.device)
        for name, weight in weights.items()
    }
