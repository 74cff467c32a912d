"""Which weights a ticket keeps: by its method, and for a random control with the places shuffled."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from lthsweep.lottery.context import Arrays, TrainingContext
from lthsweep.plan.controls import CONTROLS
from lthsweep.plan.run import PruneStep
from lthsweep.pruning.at_initialization import make_initial_mask
from lthsweep.pruning.coupling import families_of
from lthsweep.pruning.make import entry_of, make_mask
from lthsweep.pruning.masks import Masks
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.pruning.registry import AT_INITIALIZATION, WHOLE_FILTERS
from lthsweep.pruning.shuffle import shuffled
from lthsweep.randomness import stream
from lthsweep.training.training import TrainingData

__all__ = ["mask_of"]


def mask_of(
    step: PruneStep,
    *,
    context: TrainingContext,
    data: TrainingData,
    seed: int,
    prunable: Mapping[str, nn.Parameter],
    parent: Arrays,
    network: nn.Module | None = None,
) -> Masks:
    """The masks of a pruning step; a control's are its ticket's, bit for bit, or the same counts shuffled.

    Args:
        step: how and how much is pruned.
        context: builds the initial network for methods that look at no other.
        data: its first training batch is SNIP's batch: `train.batch_size` images of epoch 0 in the seed's order,
            augmented as in training.
        seed: of the replicate.
        prunable: the parent's final weights, on the device.
        parent: its masks; empty for the trunk.
        network: the parent's, whose parameters `prunable` are; methods that take whole filters look at all of it.

    Raises:
        PruningError: if the weights cannot be ranked.
    """
    so_far = {name: torch.from_numpy(mask).to(context.device) for name, mask in parent.items()} or None
    if step.method in AT_INITIALIZATION:
        initial = context.build(seed)
        masks = make_initial_mask(
            initial,
            prunable_weights(initial, step.exclude),
            method=step.method,
            scope=step.scope,
            sparsity=step.sparsity,
            batch=lambda: next(iter(data.train.epoch(0))),
        )
    elif step.method in WHOLE_FILTERS:
        assert network is not None
        frozen = prunable_weights(network).keys() - prunable.keys()
        masks = entry_of(WHOLE_FILTERS[step.method])(
            dict(network.named_parameters()),
            prunable,
            so_far,
            families_of(network, context.input_shape, frozen),
            scope=step.scope,
            sparsity=step.sparsity,
        )
    else:
        masks = make_mask(
            prunable,
            so_far,
            method=step.method,
            scope=step.scope,
            sparsity=step.sparsity,
            threshold=step.threshold,
            rates=step.rates,
            seed=stream(seed, "prune"),
        )
    shuffle = CONTROLS[step.control].shuffle
    if shuffle is None:
        return masks
    return shuffled(masks, seed, across_layers=shuffle == "global")
