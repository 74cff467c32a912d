"""Group parcels in batches, one array and one sbatch each, with dependencies between batches. Pure.

A job array can wait for another one in two ways. Element by element (`aftercorr`): element i starts when element i of
the other array has succeeded. Or as a whole (`afterok`): no element starts before all elements of the other array have
succeeded. Waiting for the whole array is slow: the slowest trunk delays the tickets of all others, and one failed trunk
stops them all. With one batch per parcel there would be no unrelated dependencies; but sbatch calls should be a second
apart, and a sweep can have thousands of parcels.

So a stage is split into at most `WIDTH` parallel batches:

- Parcels without dependents get a separate batch, which delays no other.
- Parcels with the same small number of parcels below are lined up. The first of those below go into one batch, the
  second into another, and so on; each waits element by element. Chains of levels, and trunks whose tickets fill a few
  jobs, are of this kind.
- A few trunks with many jobs below are separated instead: each gets a batch, and so do its dependents.
- If both would take too many batches, trunks are separated into as many groups as allowed.
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
"""Maximum number of batches of a stage, split so that few parcels wait for unrelated ones.

The result can be twice as many, because parcels without dependents are extra, and more where arrays must be short. At
one second between calls of sbatch, a stage takes half a minute to submit; the savings are minutes to hours.
"""


@dataclass(frozen=True)
class Batch:
    """One sbatch: an array of parcels, one element each.

    Attributes:
        stage: 0 if its jobs can start at once, else one more than that of the last batch it waits for. Waiting for runs
            in flight counts as one stage.
        parcels: by the index of the element.
        after: positions, in the list of batches, of those with parents of its parcels; all before its position.
        aligned: whether element i needs only element i of the one batch in `after`, which can have more elements, and
            nothing else: `aftercorr`. Otherwise all of `after` must have succeeded: `afterok`.
        waits_for: runs in flight, in jobs submitted before, that its parcels need.
        minutes: walltime to request.
    """

    stage: int
    parcels: tuple[Parcel, ...]
    after: tuple[int, ...]
    aligned: bool
    waits_for: frozenset[str]
    minutes: int

    @property
    def elements(self) -> int:
        """Return the number of jobs as SLURM counts them."""
        return len(self.parcels)

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of all runs, parcel by parcel."""
        return tuple(key for parcel in self.parcels for key in parcel.keys)

    @property
    def runs(self) -> int:
        """Return the number of runs."""
        return sum(parcel.runs for parcel in self.parcels)

    @property
    def seconds(self) -> float:
        """Return the expected time if all elements run at once: that of the longest parcel."""
        return max(parcel.seconds for parcel in self.parcels)


@dataclass(frozen=True)
class Group:
    """Parcels that become one batch, or several where arrays must be short.

    Attributes:
        stage: of the batch.
        bundles: its parcels and their dependents, by the index of the element.
        width: maximum number of groups into which its dependents can be split.
        lined_up: whether each parcel needs the one at the same index in the previous group; else their order is free.
    """

    stage: int
    bundles: tuple[Bundle, ...]
    width: int
    lined_up: bool = False


def line_up(families: Sequence[Sequence[Bundle]], stage: int) -> list[Group]:
    """Divide a forest of parcels into groups.

    Args:
        families: parcels at the top; families wait for different runs, or the only family waits for none.
        stage: of these parcels.

    Returns:
        Groups; a group comes after those that it waits for.
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
    """Convert groups to batches: cut to the maximum length of an array, in a valid order of submission.

    Args:
        groups: see `line_up`.
        max_array: maximum number of elements of an array. Groups are cut alike, so aligned groups stay aligned.
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
    """Return the batches to submit now if the queue accepts only some elements.

    Batches go in order, and the last one is cut to its first parcels. A batch comes after those that it needs, so no
    batch is submitted without them; and batches that can start at once come first, so no waiting job takes the place of
    one that could run. The rest is packed again later, when the results of these are known.

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
    """Split a group with free order: parcels with dependents, where they cannot be lined up, and those without."""
    inner = [bundle for bundle in group.bundles if bundle.below]
    leaves = [bundle for bundle in group.bundles if not bundle.below]
    inner.sort(
        key=lambda bundle: (-len(bundle.below), -bundle.size)
    )  # so that bundles of equal shape line up
    fan = max((len(bundle.below) for bundle in inner), default=0)
    lines = _parts(inner, 1 if fan <= min(len(inner), group.width) else group.width)
    parts = [replace(group, bundles=tuple(line), width=group.width // len(lines)) for line in lines]
    return [*parts, replace(group, bundles=tuple(leaves))] if leaves else parts


def _below(group: Group) -> list[Group]:
    """Return the groups that wait for a group."""
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
    """Make a batch; its dependencies follow from its parcels."""
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
    """Return a batch cut to its first parcels, waiting only for what these need."""
    parcels = batch.parcels[:room]
    needs = frozenset[str]().union(*(parcel.needs for parcel in parcels))
    after = tuple(position for position in batch.after if not needs.isdisjoint(batches[position].keys))
    return replace(batch, parcels=parcels, after=after, waits_for=batch.waits_for & needs)


def _parts(items: Sequence[Item], most: int) -> list[Sequence[Item]]:
    """Return at most `most` consecutive parts of about equal length."""
    size = max(1, math.ceil(len(items) / most))
    return [items[first : first + size] for first in range(0, len(items), size)]
