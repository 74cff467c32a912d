"""Combine pieces of a forest to parcels, the work of one job. Pure; times in seconds.

Pieces share a parcel only with pieces that wait for the same parcel, their family. So every parcel waits for at most
one other, and parcels form a forest like runs do.

A parcel without dependents is filled to the target length of a job. A parcel with dependents is filled only to the
minimum length, and beyond that only with runs that take no extra time, on workers that would be idle during the longest
piece.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from lthsweep.launch.scheduler import Node
from lthsweep.launch.slurm.packing.forest import Forest, Piece
from lthsweep.launch.slurm.packing.walltime import Lengths, Shift, expected_seconds

__all__ = ["Bundle", "Parcel", "bundle_up"]


@dataclass(frozen=True)
class Parcel:
    """The work of one job, an element of an array.

    Attributes:
        keys: of its runs, parents first, and longest remaining chain first.
        seconds: expected time, with all workers of the job.
        needs: unfinished parents outside the parcel; its runs start only after they are finished.
    """

    keys: tuple[str, ...]
    seconds: float
    needs: frozenset[str] = frozenset()

    @property
    def runs(self) -> int:
        """Return the number of runs."""
        return len(self.keys)


@dataclass(eq=False)
class Bundle:
    """A parcel and all parcels that wait for it.

    Attributes:
        parcel: the parcel.
        below: parcels that need a run of this parcel, and no other parcel.
        size: total number of parcels.
    """

    parcel: Parcel
    below: list[Bundle] = field(default_factory=list)
    size: int = 1


def bundle_up(roots: Sequence[Node], forest: Forest, lengths: Lengths) -> list[Bundle]:
    """Return the parcels of all runs under some roots, which all wait for the same run or for none."""
    top: list[Bundle] = []
    made: list[Bundle] = []
    families = deque([(roots, top)])
    while families:
        roots, siblings = families.popleft()
        for load in _share(roots, forest, lengths):
            bundle = Bundle(load.parcel)
            siblings.append(bundle)
            made.append(bundle)
            if load.rest:
                families.append((load.rest, bundle.below))
    for bundle in reversed(made):  # parcels below were appended later
        bundle.size += sum(child.size for child in bundle.below)
    return top


class _Load:
    """A scheduled list of pieces for one parcel."""

    def __init__(self, pieces: Sequence[Piece], forest: Forest, lengths: Lengths) -> None:
        runs = forest.in_order(node for piece in pieces for node in piece.runs)
        inside = {node.key for node in runs}
        needs = {node.parent for node in runs if node.parent is not None} - inside
        self.pieces = list(pieces)
        self.parcel = Parcel(
            keys=tuple(node.key for node in runs),
            seconds=expected_seconds(runs, lengths.workers),
            needs=frozenset(parent for parent in needs if forest.is_unfinished(parent)),
        )
        self.rest = forest.in_order(node for piece in pieces for node in piece.rest)
        self.rank = forest.rank(runs[0])
        self.is_short = self.parcel.seconds < lengths.floor


def _share(roots: Sequence[Node], forest: Forest, lengths: Lengths) -> list[_Load]:
    """Divide a family into parcels; the first contains the run with the longest remaining chain."""
    pieces = [forest.cut(root) for root in roots]
    crowns = _fill([piece for piece in pieces if piece.rest], lengths.floor, lengths)
    trees = _fill([piece for piece in pieces if not piece.rest], lengths.aim, lengths)
    loads = _settle([*crowns, *reversed(trees)], forest, lengths)  # the shortest of both kinds are adjacent
    return sorted(loads, key=lambda load: load.rank)


def _fill(pieces: Sequence[Piece], full: float, lengths: Lengths) -> list[list[Piece]]:
    """Fill parcels one after the other, longest pieces first, by the pessimistic clock.

    A parcel takes the next piece if it then lasts no longer than `full`, or than its longest piece.
    """
    empty = Shift.of(lengths.workers)
    alone = [(empty.plus(piece.runs), piece) for piece in pieces]
    parcels: list[list[Piece]] = []
    shift, longest = empty, 0.0
    for own, piece in sorted(alone, key=lambda pair: -pair[0].seconds):
        then = shift.plus(piece.runs)
        if parcels and then.seconds <= min(max(full, longest), lengths.ceiling):
            parcels[-1].append(piece)
            shift = then
        else:
            parcels.append([piece])
            shift, longest = own, own.seconds
    return parcels


def _settle(parcels: Sequence[list[Piece]], forest: Forest, lengths: Lengths) -> list[_Load]:
    """Schedule filled parcels: halve those that are too long, and join those that are too short to the next one."""
    loads: list[_Load] = []
    pending = deque(parcels)
    while pending:
        load = _Load(pending.popleft(), forest, lengths)
        if load.parcel.seconds > lengths.ceiling and len(load.pieces) > 1:
            half = len(load.pieces) // 2
            pending.extendleft([load.pieces[half:], load.pieces[:half]])
            continue
        if loads and loads[-1].is_short:
            load = _joined(loads, load, forest, lengths)
        loads.append(load)
    if loads and loads[-1].is_short:
        loads.append(_joined(loads, loads.pop(), forest, lengths))
    return loads


def _joined(loads: list[_Load], load: _Load, forest: Forest, lengths: Lengths) -> _Load:
    """Return a load joined with the last of `loads`, which is removed; or the load alone if both are too long."""
    if loads:
        both = _Load([*loads[-1].pieces, *load.pieces], forest, lengths)
        if both.parcel.seconds <= lengths.ceiling:
            loads.pop()
            return both
    return load
