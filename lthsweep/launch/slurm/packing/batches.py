"""Parcels put together into batches: what one sbatch submits as an array, and which batches wait for which. Pure.

A job array may wait for another in two ways. Element by element (`aftercorr`): element i starts when element i of the
other has ended well. Or as a whole (`afterok`): no element starts before every element of the other has ended well. As
a whole is a poor way to wait. The slowest trunk holds up the tickets of all others, and one that fails stops them all.
With a batch for each parcel nothing would have to wait for anything foreign; but sbatch calls are to be a second
apart, and a sweep may have thousands of parcels.

So a stage is split only so far, into `WIDTH` batches side by side:

- What nobody waits for gets a batch of its own: it holds up nobody.
- Parcels of which each has the same few others below it are lined up. The first of those below go into one batch, the
  second into another, and so on; each waits element by element. Chains of levels, and trunks whose tickets fill a few
  jobs, end up so.
- A few trunks with many jobs below are separated instead: each gets a batch, and so does what waits for it.
- If both would take too many batches, trunks are separated into as many groups as there may be.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TypeVar

from lthsweep.launch.slurm.packing.parcels import Bundle, Parcel

__all__ = ["WIDTH", "Batch", "Group", "fit", "line_up", "number"]

Item = TypeVar("Item")

WIDTH = 16
"""Into how many batches a stage may be split so that little waits for what it does not need.

Twice as many may come out, because what nobody waits for counts extra, and more where arrays must be short. At a
second between calls of sbatch, a stage takes half a minute to submit; what it saves is counted in minutes to hours.
"""


@dataclass(frozen=True)
class Batch:
    """What one sbatch submits: an array of parcels, one element each.

    Attributes:
        stage: 0 if its jobs may start at once, else one more than that of the last batch it waits for. A wait for runs
            in flight counts as one stage.
        parcels: by the index of the element.
        after: positions, in the list of batches, of those that contain what its parcels need; all before its own.
        aligned: whether element i needs only element i of the one batch in `after`, which may have more elements, and
            nothing else: `aftercorr`. Otherwise all of `after` must have ended well: `afterok`.
        waits_for: runs in flight, in jobs submitted before, that its parcels need.
        minutes: walltime to ask for.
    """

    stage: int
    parcels: tuple[Parcel, ...]
    after: tuple[int, ...]
    aligned: bool
    waits_for: frozenset[str]
    minutes: int

    @property
    def elements(self) -> int:
        """How many jobs SLURM counts."""
        return len(self.parcels)

    @property
    def keys(self) -> tuple[str, ...]:
        """Of all runs, parcel by parcel."""
        return tuple(key for parcel in self.parcels for key in parcel.keys)

    @property
    def runs(self) -> int:
        """How many."""
        return sum(parcel.runs for parcel in self.parcels)

    @property
    def seconds(self) -> float:
        """Expected time if all elements run at once: that of the longest parcel."""
        return max(parcel.seconds for parcel in self.parcels)


@dataclass(frozen=True)
class Group:
    """Parcels that become one batch, or several where arrays must be short.

    Attributes:
        stage: of the batch.
        bundles: its parcels and what waits for them, by the index of the element.
        width: into how many groups what waits may be split.
        lined_up: whether each parcel needs the one at its own place in the group before; else their order is free.
    """

    stage: int
    bundles: tuple[Bundle, ...]
    width: int
    lined_up: bool = False


def line_up(families: Sequence[Sequence[Bundle]], stage: int) -> list[Group]:
    """Divide a forest of parcels into groups.

    Args:
        families: parcels at the top; the families wait for different things, or the only one for nothing.
        stage: of these.

    Returns:
        Groups, those that others wait for in front of these.
    """
    parts = _parts(families, WIDTH)
    pending = deque(
        Group(stage, tuple(bundle for family in part for bundle in family), WIDTH // len(parts))
        for part in parts
    )
    done: list[Group] = []
    while pending:
        group = pending.popleft()
        for part in [group] if group.lined_up else _separate(group):
            done.append(part)
            pending.extend(_below(part))
    return done


def number(groups: Sequence[Group], max_array: int, minutes: Callable[[float], int]) -> list[Batch]:
    """Make batches of groups: cut to the length of an array, in an order in which they can be submitted.

    Args:
        groups: see `line_up`.
        max_array: elements of an array at most. Groups are cut alike, so what was lined up stays so.
        minutes: expected seconds → walltime.
    """
    arrays = [
        (group.stage, [bundle.parcel for bundle in group.bundles[first : first + max_array]])
        for group in sorted(groups, key=lambda group: group.stage)
        for first in range(0, len(group.bundles), max_array)
    ]
    place = {
        key: (position, index)
        for position, (_, parcels) in enumerate(arrays)
        for index, parcel in enumerate(parcels)
        for key in parcel.keys
    }
    return [_batch(stage, parcels, place, minutes) for stage, parcels in arrays]


def fit(batches: Sequence[Batch], room: int | None) -> list[Batch]:
    """What may be submitted now, if there is room for so many elements in the queue.

    Batches go in order, and the last one is cut to its first parcels. What a batch needs comes before it, so nothing
    goes without what it needs; and as what may start at once comes first, no waiting job takes the place of one that
    could run. The rest is to be packed again later, when it is known what became of these.

    Args:
        batches: from `pack`.
        room: elements; None for any number.
    """
    fitting: list[Batch] = []
    for batch in batches:
        if room is not None and batch.elements > room:
            return [*fitting, _first(batch, room, batches)] if room > 0 else fitting
        fitting.append(batch)
        room = None if room is None else room - batch.elements
    return fitting


def _separate(group: Group) -> list[Group]:
    """Take apart what may be in any order: what others wait for, as far as it cannot be lined up, and the leaves."""
    inner = [bundle for bundle in group.bundles if bundle.below]
    leaves = [bundle for bundle in group.bundles if not bundle.below]
    inner.sort(key=lambda bundle: (-len(bundle.below), -bundle.size))  # so that those alike in shape line up
    fan = max((len(bundle.below) for bundle in inner), default=0)
    lines = _parts(inner, 1 if fan <= min(len(inner), group.width) else group.width)
    parts = [replace(group, bundles=tuple(line), width=group.width // len(lines)) for line in lines]
    return [*parts, replace(group, bundles=tuple(leaves))] if leaves else parts


def _below(group: Group) -> list[Group]:
    """The groups that wait for a group."""
    stage = group.stage + 1
    counts = [len(bundle.below) for bundle in group.bundles]
    fan = max(counts)
    if len(counts) > 1 and 0 < fan <= group.width and counts == sorted(counts, reverse=True):
        layers = zip_longest(*(bundle.below for bundle in group.bundles))
        return [
            Group(stage, tuple(bundle for bundle in layer if bundle), group.width // fan, lined_up=True)
            for layer in layers
        ]
    together = tuple(child for bundle in group.bundles for child in bundle.below)
    return [Group(stage, together, group.width)] if together else []


def _batch(
    stage: int,
    parcels: Sequence[Parcel],
    place: Mapping[str, tuple[int, int]],
    minutes: Callable[[float], int],
) -> Batch:
    """What a batch waits for is read off its parcels."""
    needs = frozenset[str]().union(*(parcel.needs for parcel in parcels))
    after = sorted({place[key][0] for key in needs if key in place})
    in_flight = frozenset(key for key in needs if key not in place)
    return Batch(
        stage=stage,
        parcels=tuple(parcels),
        after=tuple(after),
        aligned=len(after) == 1
        and all(
            place.get(key) == (after[0], index)
            for index, parcel in enumerate(parcels)
            for key in parcel.needs
        ),
        waits_for=in_flight,
        minutes=minutes(max(parcel.seconds for parcel in parcels)),
    )


def _first(batch: Batch, room: int, batches: Sequence[Batch]) -> Batch:
    """A batch cut to its first parcels, waiting only for what these need."""
    parcels = batch.parcels[:room]
    needs = frozenset[str]().union(*(parcel.needs for parcel in parcels))
    after = tuple(position for position in batch.after if not needs.isdisjoint(batches[position].keys))
    return replace(batch, parcels=parcels, after=after, waits_for=batch.waits_for & needs)


def _parts(items: Sequence[Item], most: int) -> list[Sequence[Item]]:
    """Consecutive parts of about equal length, at most so many."""
    size = max(1, math.ceil(len(items) / most))
    return [items[first : first + size] for first in range(0, len(items), size)]
