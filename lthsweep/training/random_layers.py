"""Layers that draw random numbers: whether there are any, and what they draw from."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["cuda_generator", "has_random_layers", "isolated_generators", "seed_generators"]


def has_random_layers(model: nn.Module, example: torch.Tensor) -> bool:
    """Whether a training step of the model draws random numbers (dropout, stochastic depth, anything).

    Found out by trying: a list of layer types would miss the next one. The model itself is not touched.
    """
    trial = copy.deepcopy(model).train()
    with isolated_generators(example.device), torch.no_grad():
        before = _generator_states(example.device)
        trial(example)
        after = _generator_states(example.device)
        return not all(map(torch.equal, before, after))


def seed_generators(seed: int, device: torch.device) -> None:
    """`torch.manual_seed` for the two generators that matter: it visits every backend, 150 µs each time."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        cuda_generator(device).manual_seed(seed)


def cuda_generator(device: torch.device) -> torch.Generator:
    """The generator that layers on a GPU draw from."""
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.default_generators[index]


@contextmanager
def isolated_generators(device: torch.device) -> Iterator[None]:
    """Leave torch's global generators as they were found."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def _generator_states(device: torch.device) -> list[torch.Tensor]:
    """Of the CPU and the device: a layer may draw on either."""
    on_device = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_device]
