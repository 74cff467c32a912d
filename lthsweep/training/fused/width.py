"""How many trainings one device should train as one: the number with the most steps per second, measured.

A GPU that one small network leaves idle takes many; one that is busy takes them no faster, and its memory is limited.
Twice as many are tried until it no longer pays.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import torch

from lthsweep.training.devices import isolated_generators, synchronize
from lthsweep.training.fused.ensemble import Ensemble
from lthsweep.training.state import Training, copy_of

__all__ = ["best_width", "measured_width", "seconds_per_step"]

MOST = 256
"""Members of an ensemble at most: a member that stops early would hold up too many."""

_WORTH = 1.05
"""A wider ensemble must be faster by this factor; a narrower one ends sooner, and less is lost with it."""

_WARM_UP, _STEPS, _SECONDS = 3, 20, 2.0


def best_width(seconds_of: Callable[[int], float | None], most: int = MOST) -> int:
    """The number of members, of 1, 2, 4, 8 and so on, with the most member-steps per second.

    Args:
        seconds_of: number of members → seconds of one step of all of them; None if they do not fit into memory.
        most: largest number that is tried.

    Returns:
        The widest that was at least 5 % faster than the one before; 1 if not even one fits.
    """
    best, rate = 1, 0.0
    for width in itertools.takewhile(lambda width: width <= most, (2**power for power in itertools.count())):
        seconds = seconds_of(width)
        if seconds is None or width / seconds < rate * _WORTH:
            break
        best, rate = width, width / seconds
    return best


def measured_width(training: Training, most: int = MOST, stop: Callable[[], bool] = lambda: False) -> int:
    """How many trainings like this one its device should train as one; the training is not changed.

    Args:
        training: as for `seconds_per_step`.
        most: largest number that is tried.
        stop: called before each number that is tried; true ends the search.
    """
    return best_width(lambda width: None if stop() else seconds_per_step(training, width), most)


def seconds_per_step(training: Training, width: int) -> float | None:
    """Median seconds of one step of an ensemble of copies of a training; None if memory does not suffice.

    Args:
        training: at any step; neither it nor a random generator is changed.
        width: number of copies.
    """
    device = next(training.model.parameters()).device
    try:
        return _measured(training, width, device)
    except torch.OutOfMemoryError:
        return None
    except RuntimeError as error:  # cuBLAS and cuDNN report missing memory in other messages
        if width == 1:
            raise
        print(f"{width} runs cannot be fused here: {str(error).partition(chr(10))[0]}", flush=True)
        return None
    finally:
        if device.type == "cuda":  # the ensemble is freed by now
            torch.cuda.empty_cache()


def _measured(training: Training, width: int, device: torch.device) -> float:
    with isolated_generators(device), Ensemble([copy_of(training) for _ in range(width)]) as ensemble:
        seconds = _timed(ensemble, device)
        ensemble.release_gradients()
        ensemble.scores()  # every epoch ends with it, so it must fit into memory next to the recorded step
        return seconds


def _timed(ensemble: Ensemble, device: torch.device) -> float:
    """Median seconds of a step. Batches are made before the clock starts: they cost the same for every width."""
    batches = list(itertools.islice(ensemble.data.train.epoch(0), _STEPS))
    step = ensemble.step_function()
    times: list[float] = []
    stop = time.perf_counter() + _SECONDS
    for number, (inputs, labels) in enumerate(itertools.cycle(batches)):
        started = time.perf_counter()
        step(inputs, labels, 0.0)
        synchronize(device)
        now = time.perf_counter()
        if number >= _WARM_UP:
            times.append(now - started)
        if times and (len(times) == _STEPS or now > stop):
            break
    return sorted(times)[len(times) // 2]
