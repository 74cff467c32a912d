"""Random generators and synchronization of the device that a training runs on."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["cuda_generator", "has_random_layers", "isolated_generators", "seed_generators", "synchronize"]


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished all queued work; on a CPU nothing is queued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def has_random_layers(model: nn.Module, example: torch.Tensor) -> bool:
    """True if a training step of the model draws random numbers (dropout, stochastic depth, anything).

    Determined by a trial on a copy: a list of layer types would miss the next one.
    """
    trial = copy.deepcopy(model).train()
    with isolated_generators(example.device), torch.no_grad():
        before = _generator_states(example.device)
        trial(example)
        after = _generator_states(example.device)
        return not all(map(torch.equal, before, after))


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the generators of the CPU and of the device.

    `torch.manual_seed` visits every backend, which takes 150 µs.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        cuda_generator(device).manual_seed(seed)


def cuda_generator(device: torch.device) -> torch.Generator:
    """The generator from which layers on a GPU draw."""
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.default_generators[index]


@contextmanager
def isolated_generators(device: torch.device) -> Iterator[None]:
    """Restore torch's global generators at the end of the block."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def _generator_states(device: torch.device) -> list[torch.Tensor]:
    """States of both generators: a layer can draw on the CPU as well as on the device."""
    on_device = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_device]
