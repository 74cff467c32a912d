"""Samples and optimizer steps of an epoch, and checks that a recipe leaves something to train on."""

from __future__ import annotations

from collections.abc import Iterable

from lthsweep.data.datasets import dataset
from lthsweep.data.order import steps_per_epoch
from lthsweep.errors import SpecError
from lthsweep.plan.rewind import RewindPoint
from lthsweep.plan.run import Recipe

__all__ = ["check_lengths", "recipe_samples", "recipe_steps"]


def recipe_steps(recipe: Recipe) -> int | None:
    """Optimizer steps in one epoch, or None where the size of the data set is not known before it is read.

    Raises:
        DataError: if more images are held out than there are.
    """
    samples = recipe_samples(recipe)
    return None if samples is None else steps_per_epoch(samples, recipe.batch_size)


def recipe_samples(recipe: Recipe) -> int | None:
    """Images to train on, or None where the size of the data set is not known before it is read."""
    wanted = recipe.train_images
    samples = dataset(recipe.dataset).n_train
    if wanted or samples is None:
        return wanted or None
    return samples - recipe.held_out


def check_lengths(recipe: Recipe, points: Iterable[RewindPoint], samples: int | None) -> None:
    """Check the settings that depend on the number of samples, and so of steps.

    Args:
        recipe: of a variant.
        points: to which its tickets rewind.
        samples: training samples, including those held out; None if unknown.

    Raises:
        SpecError: if nothing is left to train on, or to train.
    """
    name, held_out, wanted = recipe.dataset, recipe.held_out, recipe.train_images
    if samples is not None and held_out >= samples:
        raise SpecError(
            f"data.validation = {held_out} holds out all {samples} training samples of {name}; lower it"
        )
    if samples is not None and wanted > samples - held_out:
        raise SpecError(
            f"data.train_images = {wanted}: {name} has {samples - held_out} training samples in addition to "
            f"the {held_out} held out (data.validation); lower one of the two, or set it to 0 for all of them"
        )
    trained = wanted or (None if samples is None else samples - held_out)
    if trained is None:
        return
    steps = steps_per_epoch(trained, recipe.batch_size)
    if not steps:
        raise SpecError(
            f"train.batch_size = {recipe.batch_size}: {trained} training samples of {name} make no batch; "
            f"lower it, or data.validation"
        )
    total = recipe.epochs * steps
    for point in points:
        if point.step(steps) >= total:
            raise SpecError(
                f"grid.rewind_epoch: {point} is step {point.step(steps)} of the {total} in {recipe.epochs} epochs "
                f"of {steps}: nothing is left to train; choose an earlier point"
            )
