"""What one step computes: the loss of a batch, and from it the masked gradient of every parameter.

The optimizer is not part of it. So the same callable may be the network of one training, several networks as one
(`lthsweep.training.fused.ensemble`), or a recording of either on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn import functional

from lthsweep.pruning.apply import mask_gradients
from lthsweep.training.evaluation import autocast

__all__ = ["Gradients", "Outcome", "gradients_of", "outcome_of"]

Outcome = tuple[Tensor, Tensor]
"""Mean loss of a batch and its logits float32 [B, classes]; of K members [K] and [K, B, classes]. On the device."""

Gradients = Callable[[Tensor, Tensor], Outcome]
"""(images, labels) → outcome, detached, in tensors that no later call changes; the gradients are left in `.grad`."""


def outcome_of(
    network: Callable[[Tensor], Tensor], *, precision: str, smoothing: float
) -> Callable[[Tensor, Tensor], Outcome]:
    """What a batch comes to in one network.

    Args:
        network: images → logits [B, classes].
        precision: of the forward pass, "fp32" or "bf16".
        smoothing: of the labels.

    Returns:
        (images, labels) → outcome, whose loss can be differentiated.
    """

    def outcome(images: Tensor, labels: Tensor) -> Outcome:
        with autocast(images.device, precision):
            logits = network(images)
        logits = logits.float()
        loss = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
        return loss, logits.detach()

    return outcome


def gradients_of(
    outcome: Callable[[Tensor, Tensor], Outcome],
    parameters: Mapping[str, Tensor],
    multipliers: Mapping[str, Tensor],
) -> Gradients:
    """The gradients of a loss, or of the sum of several.

    Pruned weights and their momenta are zero at the start of a training. With a gradient of zero every optimizer here
    leaves them there (decay of zero is zero), so that the weights need no multiplication of their own: a tenth of a
    step of LeNet. The loop looks once an epoch whether it is so.

    Args:
        outcome: (images, labels) → losses and logits, as from `outcome_of`.
        parameters: all that are trained, by name.
        multipliers: of those among them that are masked, from `lthsweep.pruning.apply.mask_multipliers`.
    """
    everything = list(parameters.values())
    masked = {name: parameters[name] for name in multipliers}

    def gradients(images: Tensor, labels: Tensor) -> Outcome:
        for parameter in everything:  # what zero_grad does, without its hooks
            parameter.grad = None
        losses, logits = outcome(images, labels)
        # `backward(ones)` would do for both, and take 5 µs more than a step of LeNet alone can spare.
        (losses.sum() if losses.dim() else losses).backward()  # type: ignore[no-untyped-call]
        if masked:
            mask_gradients(masked, multipliers)
        return losses.detach(), logits

    return gradients
