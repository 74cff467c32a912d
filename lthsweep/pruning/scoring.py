"""Everything that a pruning criterion can use: weights, masks, a batch, gradients; computed only if asked for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache, cached_property
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from lthsweep.data.batching import LabeledBatch
from lthsweep.errors import PruningError
from lthsweep.models.shapes import InputShape
from lthsweep.pruning.coupling import Families, families_of
from lthsweep.pruning.masks import Masks, Weights, dense_masks
from lthsweep.pruning.prunable import prunable_weights

__all__ = ["ScoringContext"]

_Value = TypeVar("_Value")


class ScoringContext:
    """The argument of every pruning criterion.

    The criterion's scores must be a function of this context alone: a ticket and its controls compute their mask
    independently, and it must be the same. All tensors are on the device of the weights. Do not modify them, except for
    `model`, which is a copy.

    Attributes:
        weights: prunable weights by parameter name, in layer order: those of the trained network (the dense run, or the
            level before), or, for a criterion with `at_initialization`, those at initialization. Pruned weights are
            zero.
        masks: what earlier levels (or rounds) left, True = kept; the result is always inside these.
        seed: for criteria that draw random numbers; a function of the replicate's seed.
    """

    def __init__(
        self,
        weights: Weights,
        masks: Masks | None = None,
        *,
        seed: int = 0,
        network: nn.Module | None = None,
        input_shape: InputShape | None = None,
        batch: Callable[[], LabeledBatch] | None = None,
        initial: Callable[[], Weights] | None = None,
        rewound: Callable[[], Weights | None] | None = None,
    ) -> None:
        """Collect the sources; a property without its source raises PruningError.

        Args:
            weights: as above; can be parameters of `network`.
            masks: as above; None keeps everything.
            seed: as above.
            network: the network with these weights; it is not changed.
            input_shape: of one sample.
            batch: source of `batch`, called at most once.
            initial: source of `initial`, called at most once.
            rewound: source of `rewound`, called at most once; returns None if the run does not return to them.
        """
        self.weights = {name: weight.detach() for name, weight in weights.items()}
        self.masks: Masks = dense_masks(self.weights) if masks is None else dict(masks)
        self.seed = seed
        self._network = network
        self._input_shape = input_shape
        # cached here and not by the property, so that the contexts of later rounds share the batch
        self._batch = None if batch is None else cache(batch)
        self._initial = None if initial is None else cache(initial)
        self._rewound = None if rewound is None else cache(rewound)

    @property
    def model(self) -> nn.Module:
        """A new copy of the network on every access, in evaluation mode and without gradients; change it freely."""
        network = copy.deepcopy(_available(self._network, "the network"))
        network.zero_grad(set_to_none=True)
        return network.eval()

    @property
    def initial(self) -> Weights:
        """The prunable weights at initialization, by the same names as `weights`."""
        return _detached(_available(self._initial, "weights at initialization")())

    @property
    def rewound(self) -> Weights:
        """The prunable weights of the dense run at the rewind point, by the same names as `weights`.

        Raises:
            PruningError: if the run does not return to them: `prune.rewind` is "lr" or "none", or the control draws
                fresh weights.
        """
        weights = _available(self._rewound, "weights at the rewind point")()
        if weights is None:
            raise PruningError(
                "this run does not return to the weights at the rewind point, so its criterion cannot use them; set "
                'prune.rewind = "weights", and as controls use only "random" and "random-global"'
            )
        return _detached(weights)

    @property
    def batch(self) -> LabeledBatch:
        """The first training batch: `train.batch_size` samples of epoch 0 in the seed's order, augmented."""
        return _available(self._batch, "a training batch")()

    @cached_property
    def gradients(self) -> dict[str, Tensor]:
        """Gradients of the mean cross-entropy of `batch` by the weights, in single precision.

        BatchNorm normalizes with the batch's own statistics, as a training step does (an untrained network has no
        others). All other modules are in evaluation mode, so dropout adds no noise and nothing is drawn.

        Raises:
            PruningError: if a gradient is NaN or infinite, or does not reach a weight.
        """
        model = self.model
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.train()
            elif isinstance(module, nn.RNNBase):  # cuDNN has gradients in training mode only
                module.train()
                module.dropout = 0.0
        parameters = dict(model.named_parameters())
        inputs, labels = self.batch
        with torch.enable_grad():
            loss = functional.cross_entropy(model(inputs).float(), labels)
            found = torch.autograd.grad(loss, [parameters[name] for name in self.weights], allow_unused=True)
        gradients = dict(zip(self.weights, found, strict=True))
        for name, gradient in gradients.items():
            if gradient is None:
                raise PruningError(
                    f"no gradient of the loss reaches {name!r}, so it cannot be scored by gradients; use "
                    f'prune.method = "magnitude", or exclude the layer: prune.exclude = ["{name}"]'
                )
            if not bool(torch.isfinite(gradient).all()):
                raise PruningError(
                    f"the gradient of {name!r} on the first training batch is not finite; check model.init, "
                    f"data.normalize, and whether the parent run diverged"
                )
        return gradients

    @cached_property
    def families(self) -> Families:
        """Coupled layers whose channels can be removed, for structured criteria; see `lthsweep.pruning.coupling`."""
        network = _available(self._network, "the network")
        if self._input_shape is None:
            raise PruningError("this criterion needs the shape of an input, which its context does not have")
        frozen = prunable_weights(network).keys() - self.weights.keys()
        return families_of(network, self._input_shape, frozen)

    def pruned(self, masks: Masks) -> ScoringContext:
        """The context of the next round: the same network after pruning by these masks."""
        network = copy.deepcopy(_available(self._network, "the network"))
        parameters = dict(network.named_parameters())
        with torch.no_grad():
            for name, mask in masks.items():
                parameters[name].mul_(mask)
        return ScoringContext(
            {name: parameters[name] for name in masks},
            masks,
            seed=self.seed,
            network=network,
            input_shape=self._input_shape,
            batch=self._batch,
            initial=self._initial,
            rewound=self._rewound,
        )


def _available(value: _Value | None, what: str) -> _Value:
    if value is None:
        raise PruningError(f"this criterion needs {what}, which its context does not have")
    return value


def _detached(weights: Weights) -> Weights:
    return {name: weight.detach() for name, weight in weights.items()}
