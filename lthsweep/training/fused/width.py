"""How many trainings one device should take at a time: the number with the most steps per second, by measuring.

A GPU that one small network leaves idle takes many; one that is busy already takes them no faster, and its memory ends
somewhere. Both are found out by trying twice as many until it does not pay.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import torch

from lthsweep.training.devices import synchronize
from lthsweep.training.fused.ensemble import Ensemble
from lthsweep.training.loop import Training, copy_of
from lthsweep.training.random_layers import isolated_generators

__all__ = ["best_width", "measured_width", "seconds_per_step"]

MOST = 256
"""Members of an ensemble: a run that stops early would hold up too many."""

_WORTH = 1.05
"""A wider ensemble must give so much more, or the narrower one is taken: it ends sooner, and less is lost with it."""

_WARM_UP, _STEPS, _SECONDS = 3, 20, 2.0


def best_width(seconds_of: Callable[[int], float | None], most: int = MOST) -> int:
    """The number of members with the most member-steps per second, of 1, 2, 4, 8 and so on.

    Args:
        seconds_of: number of members → seconds of one step of all of them; None if they do not fit into memory.
        most: more are not tried.

    Returns:
        The widest that was worth at least 5 % over the one before; 1 if not even one fits.
    """
    best, rate = 1, 0.0
    for width in itertools.takewhile(lambda width: width <= most, (2**power for power in itertools.count())):
        seconds = seconds_of(width)
        if seconds is None or width / seconds < rate * _WORTH:
            break
        best, rate = width, width / seconds
    return best


def measured_width(training: Training, most: int = MOST, stop: Callable[[], bool] = lambda: False) -> int:
    """How many trainings like this one its device should take at a time; the training itself is not touched.

    Args:
        training: as for `seconds_per_step`.
        most: more are not tried.
        stop: looked at before each number that is tried; true ends the search.
    """
    return best_width(lambda width: None if stop() else seconds_per_step(training, width), most)


def seconds_per_step(training: Training, width: int) -> float | None:
    """Seconds of one step of an ensemble of copies of a training, the median of some; None if memory ends.

    Args:
        training: at a step where it could go on; neither it nor a random generator is touched.
        width: number of copies.
    """
    device = next(training.model.parameters()).device
    try:
        return _tried(training, width, device)
    except torch.OutOfMemoryError:
        return None
    except RuntimeError as error:  # libraries say in words of their own that they find no memory
        if width == 1:
            raise
        print(f"{width} at a time cannot be trained here: {str(error).partition(chr(10))[0]}", flush=True)
        return None
    finally:
        if device.type == "cuda":  # the ensemble is gone by now, or it would keep what it has
            torch.cuda.empty_cache()


def _tried(training: Training, width: int, device: torch.device) -> float:
    with isolated_generators(device), Ensemble([copy_of(training) for _ in range(width)]) as ensemble:
        seconds = _timed(ensemble, device)
        ensemble.forget_gradients()
        ensemble.scores()  # an epoch ends with them, and they must fit beside what a recording of the step keeps
        return seconds


def _timed(ensemble: Ensemble, device: torch.device) -> float:
    """Batches are made before the clock starts: what they cost is one training's, whatever the width."""
    epoch = ensemble.members[0].data.train.epoch(0)
    batches = list(itertools.islice(epoch, _STEPS))
    ensemble.begin(*batches[0])
    times: list[float] = []
    stop = time.perf_counter() + _SECONDS
    for number, (images, labels) in enumerate(itertools.cycle(batches)):
        started = time.perf_counter()
        ensemble.step(images, labels, 0.0)
        synchronize(device)
        now = time.perf_counter()
        if number >= _WARM_UP:
            times.append(now - started)
        if times and (len(times) == _STEPS or now > stop):
            break
    return sorted(times)[len(times) // 2]
