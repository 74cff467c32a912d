"""SNIP: a connection is worth what the loss would notice of its loss, at initialization, on one batch.

Lee, Ajanthan & Torr, ICLR 2019, arXiv:1810.02340, equations 4 to 6: the sensitivity of the loss to a factor c on a
weight, at c = 1, is gradient times weight. Only its magnitude ranks; that the paper divides by the sum changes no
mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from lthsweep.errors import PruningError

__all__ = ["snip_scores"]


def snip_scores(model: nn.Module, names: Sequence[str], batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """abs(gradient · weight) of the mean cross-entropy over a batch.

    BatchNorm uses the statistics of the batch, as in training: before training it has no others. Everything else
    is in evaluation mode, so that dropout adds no noise and nothing is drawn.

    Args:
        model: at initialization; its modes and BatchNorm's running statistics may change, its weights do not.
        names: of the weights to score, in layer order.
        batch: images [B, C, H, W] and labels [B], on the model's device.

    Raises:
        PruningError: if a score is not finite.
    """
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
    parameters = dict(model.named_parameters())
    images, labels = batch
    loss = functional.cross_entropy(model(images).float(), labels)
    gradients = torch.autograd.grad(loss, [parameters[name] for name in names])
    scores = {
        name: (gradient * parameters[name].detach()).abs()
        for name, gradient in zip(names, gradients, strict=True)
    }
    for name, score in scores.items():
        if not bool(torch.isfinite(score).all()):
            raise PruningError(
                f"SNIP: the gradient of {name!r} at initialization is not finite; "
                f"check model.init and data.normalize"
            )
    return scores
