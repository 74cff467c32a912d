"""Figures of the benchmark as Markdown tables, for the terminal and docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["markdown"]

_GRIDS = ("lenet", "resnet20", "mobilenet_v2")


def markdown(found: Mapping[str, Any]) -> str:
    """Tables of the figures that `measure` returns, without parts that were not measured."""
    blocks = [_conditions(found)]
    blocks += [_grid(found[name], found["repeats"]) for name in _GRIDS if name in found]
    for name, block in (("epoch", _epoch), ("loop", _loop), ("pool", _pool), ("memory", _memory)):
        if name in found:
            blocks.append(block(found[name]))
    return "\n\n".join(blocks) + "\n"


def _conditions(found: Mapping[str, Any]) -> str:
    about = found["conditions"]
    load = ", ".join(f"{value:.1f}" for value in about["load_average"])
    return (
        f"Measured {about['date']} on {about['cores']} cores ({about['processor']}), torch {about['torch']}, Python "
        f"{about['python']}; size `{found['size']}`. "
        f"{_foreign(about['others_share'])}; load average at the end {load}."
    )


def _foreign(share: float | None) -> str:
    return (
        "Use by other processes was not measured"
        if share is None
        else f"Other processes used {share:.0%} of the cores"
    )


def _grid(grid: Mapping[str, Any], repeats: int) -> str:
    size = "all images" if grid["train_images"] is None else f"{grid['train_images']:,} training images"
    head = (
        f"**{grid['model']} on {grid['data']}** (images: {grid['images']}; {size}, batches of {grid['batch_size']}, "
        f"{grid['epochs']} epochs; {grid['schedule']}, {len(grid['sparsities'])} sparsities × "
        f"{len(grid['rewinds'])} rewind epochs = {grid['cells']} cells). "
        f"{_sample(grid)}Turns: {repeats}. {_foreign(grid.get('others_share'))}."
    )
    rows = [
        (
            step["name"].strip(),
            f"{step['epochs']:g}",
            _spread(step["seconds"], 1),
            f"{step['cells_per_core_hour']:,.0f}",
            _spread(step["ratio"], 2),
            _agreement(step["agreement"]),
        )
        for step in grid["steps"].values()
    ]
    names = (
        "program",
        "epochs",
        "seconds",
        "cells per core-hour",
        "naive ÷ this",
        "accuracies against naive",
    )
    return f"{head}\n\n{_table(names, rows)}"


def _sample(grid: Mapping[str, Any]) -> str:
    if grid["naive_cells"] == grid["cells"]:
        return ""
    return (
        f"The nested loop without sharing computed {grid['naive_cells']} of them per turn; its seconds are scaled by "
        "epochs. "
    )


def _agreement(found: Mapping[str, Any]) -> str:
    if found["equal"] == found["cells"]:
        return f"all {found['cells']} equal"
    return (
        f"{found['equal']} of {found['cells']} equal; mean difference {found['mean_difference'] * 100:+.2f} points, "
        f"largest {found['largest_difference'] * 100:.1f}"
    )


def _epoch(epoch: Mapping[str, Any]) -> str:
    naive = epoch["ways"]["naive"]["seconds"]["median"]
    rows = [
        (
            way["name"],
            _spread(way["seconds"], 2),
            f"{naive / way['seconds']['median']:.1f}",
            f"{way['accuracy']:.2%}",
        )
        for way in epoch["ways"].values()
    ]
    head = (
        f"**One epoch of {epoch['model']}** (images: {epoch['images']}; {epoch['train_images']:,} training images in "
        f"batches of {epoch['batch_size']}, then {epoch['test_images']:,} test images). For several simultaneous "
        f"processes: wall time ÷ their number. {_foreign(epoch.get('others_share'))}."
    )
    return f"{head}\n\n{_table(('program', 'seconds per epoch', 'naive ÷ this', 'test accuracy'), rows)}"


def _loop(loop: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            f"{both['processor']['seconds_per_step']['median'] * 1e3:.3g} ms",
            _spread(both["processor"]["ratio"], 3),
            _spread(both["wall"]["ratio"], 3),
        )
        for name, both in loop["comparisons"].items()
    ]
    names = ("training", "our step", "speed relative to the bare loop, processor seconds", "wall seconds")
    rounds = ", ".join(
        f"{len(both['processor']['ratio']['values'])} of {name}" for name, both in loop["comparisons"].items()
    )
    return (
        f"**The step loop against one written by hand.** Rounds in turns: {rounds}.\n\n{_table(names, rows)}"
    )


def _pool(pool: Mapping[str, Any]) -> str:
    row = (
        str(pool["runs"]),
        str(pool["workers"]),
        _spread(pool["wall"], 1),
        _spread(pool["bound"], 1),
        _spread(pool["first"], 1),
        _spread(pool["bound_ratio"], 3),
    )
    names = (
        "runs",
        "workers",
        "wall, s",
        "max(total ÷ workers, longest chain), s",
        "first run after, s",
        "ratio",
    )
    sweeps = len(pool["bound_ratio"]["values"])
    return (
        f"**The local pool, including the start of its workers.** Sweeps: {sweeps}.\n\n{_table(names, [row])}"
    )


def _memory(memory: Mapping[str, Any]) -> str:
    peak, shared = memory["peak"], memory["shared"]
    return (
        f"**Memory** (images: {memory['images']}). Peak of a worker's dense run {peak['ours_bytes'] / 1e6:,.0f} MB, "
        f"of the bare loop {peak['bare_bytes'] / 1e6:,.0f} MB: ratio {_spread(peak['ratio'], 3)}. "
        f"{shared['processes']} processes that read the whole pack hold {shared['copies']:.2f} copies of the images "
        f"in total (resident {shared['resident_bytes'] / 1e6:.1f} MB, proportional "
        f"{shared['proportional_bytes'] / 1e6:.1f} MB each)."
    )


def _spread(values: Mapping[str, Any], digits: int) -> str:
    if len(values["values"]) == 1:
        return f"{values['median']:,.{digits}f}"
    return f"{values['median']:,.{digits}f} ({values['low']:,.{digits}f}–{values['high']:,.{digits}f})"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(_lines(names, rows))


def _lines(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(names)} |"
    yield f"|---|{'---:|' * (len(names) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
