"""The loop over epochs and steps, of one training or of several that take their steps together.

Nothing the loop needs is hidden in a generator's state. Order and augmentation come from (seed, epoch, sample), the
learning rate from the step, and random layers are re-seeded before each step from (seed, step). So models,
optimizers and `Progress` are all there is to save. Nothing in a step waits for the device.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from lthsweep.randomness import torch_seed
from lthsweep.training.random_layers import has_random_layers, isolated_generators, seed_generators
from lthsweep.training.team import Team

if TYPE_CHECKING:
    from lthsweep.training.loop import Training

__all__ = ["BetweenSteps", "Ending", "train"]

Ending = Literal["finished", "diverged", "stopped"]
BetweenSteps = Callable[["Training"], bool]


def train(team: Team, hook_of: Mapping[Training, BetweenSteps]) -> dict[Training, Ending]:
    """Train until one of the members has come to its end.

    Args:
        team: at the step where it goes on.
        hook_of: called before every step and once after the last, one for each member; a true result stops everybody
            there.

    Returns:
        How members ended: "finished", "diverged" (the loss of an epoch, or a weight at its end, is not finite), or
        "stopped". Who is not in it may go on, when others have diverged.
    """
    leader = team.members[0]
    device = next(leader.model.parameters()).device
    images, labels = next(iter(leader.data.train.epoch(0)))
    with isolated_generators(device):
        reseed = has_random_layers(leader.model, images[:2])
        team.begin(images, labels)
        while leader.progress.step < leader.total_steps:
            if not _epoch(team, hook_of, reseed):
                return dict.fromkeys(team.members, "stopped")
            gone = _diverged(team)
            if gone:
                return dict.fromkeys(gone, "diverged")
            team.check_pruned()
        return dict.fromkeys(team.members, "stopped" if _asked_to_stop(team, hook_of) else "finished")


def _epoch(team: Team, hook_of: Mapping[Training, BetweenSteps], reseed: bool) -> bool:
    """The rest of the epoch under way, and its scores; false if it was stopped before its end."""
    members = team.members
    leader = members[0]
    epoch, offset = divmod(leader.progress.step, leader.steps_per_epoch)
    before = [member.progress.seconds_epoch for member in members]
    started = time.perf_counter()
    stretch, rates = leader.stretch, leader.rates(epoch)

    def clock() -> None:
        """Time spent together is shared."""
        seconds = (time.perf_counter() - started) / len(members)
        for member, already in zip(members, before, strict=True):
            member.progress.seconds_epoch = already + seconds

    for images, labels in leader.data.train.epoch(epoch, offset):
        clock()  # written back before anybody may look, so that a checkpoint taken here is complete
        if _asked_to_stop(team, hook_of):
            team.sums.read()
            return False
        step = leader.progress.step
        if reseed:
            seed_generators(torch_seed(leader.seed, "layers", step), images.device)
        if leader.stretch is not stretch:
            stretch, rates = leader.stretch, leader.rates(epoch)
        team.sums.add(team.step(images, labels, rates[step - epoch * leader.steps_per_epoch]), labels)
        for member in members:
            member.progress.count(len(labels))
    team.sums.read()
    team.forget_gradients()
    scores = team.scores()
    clock()
    for member, score in zip(members, scores, strict=True):
        member.finish_epoch(epoch + 1, score)
    return True


def _asked_to_stop(team: Team, hook_of: Mapping[Training, BetweenSteps]) -> bool:
    members = team.members
    wishes = [hook_of[member](member) for member in members]
    if not any(wishes):
        return False
    # A wish that came while they were asked is heard by all, so that all leave their checkpoints at this step.
    for member, wish in zip(members, wishes, strict=True):
        if not wish:
            hook_of[member](member)
    return True


def _diverged(team: Team) -> list[Training]:
    """Those whose numbers have come to an end. The last step of an epoch may spoil weights whose loss is not known."""
    return [
        member
        for member, finite in zip(team.members, team.finite(), strict=True)
        if not (finite and math.isfinite(member.progress.curves[-1].train_loss))
    ]
