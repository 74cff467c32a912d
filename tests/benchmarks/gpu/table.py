"""Figures of the GPU benchmark as Markdown tables, for the terminal and docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]


def markdown(found: Figures) -> str:
    """Tables of all measured parts, and the best settings."""
    blocks = [_conditions(found["conditions"])]
    for part, block in _BLOCKS.items():
        if found.get(part):
            blocks += block(found)
    return "\n\n".join(blocks) + "\n"


def _conditions(about: Figures) -> str:
    images = ", ".join(f"{name} {source}" for name, source in about["images"].items())
    return (
        f"Measured {about['date']} on {about['device']} (driver {about['driver']}, CUDA {about['cuda']}, cuDNN "
        f"{about['cudnn']}), torch {about['torch']}; size `{about['size']}`, {about['seconds']:.0f} s. Images: "
        f"{images}."
        + "".join(f" Not measured, {part}: {why}." for part, why in about.get("failed", {}).items())
    )


def _steps(found: Figures) -> Iterator[str]:
    for name, case in found["steps"].items():
        rows = [
            (
                way,
                f"{1000 * row['seconds_per_step']['median']:.3f}",
                _spread(row["cells_per_hour"], ",.0f" if row["cells_per_hour"]["median"] >= 100 else ".2f"),
                _spread(row["ratio"], ".2f") if row["ratio"] else "–",
                f"{row['peak_bytes'] / 2**30:.2f}",
                "" if row["captured"] or not row["graph"] else "no graph was captured",
            )
            for way, row in case["ways"].items()
        ]
        rows += [(way, "–", "–", "–", "–", why) for way, why in case["failed"].items()]
        head = (
            f"**{name}**, batch {case['batch']}; a cell has {case['steps_of_a_cell']:,} steps. Ratio to one at a time, "
            f"eager, in the same precision. Aim for fused cells: {case['aim']:g}; reached: {_best_ratio(case)}."
        )
        columns = ("way", "ms per step", "cells per hour", "ratio", "peak, GiB", "")
        yield f"{head}\n\n{_table(columns, rows)}"


def _epoch(found: Figures) -> Iterator[str]:
    epoch = found["epoch"]
    rows = [
        (
            name,
            _spread(seconds, ".2f"),
            f"{seconds['median'] / epoch['bound_seconds']:.2f}",
            f"{seconds['median'] / epoch['bound_seconds_here']:.2f}",
        )
        for name, seconds in epoch["seconds"].items()
    ]
    head = (
        f"**A dense epoch of MobileNetV2** ({epoch['images']:,} images, bf16). Aim: within 3 of "
        f"{epoch['bound_seconds']} s. A large copy here moves {epoch['copy_bytes_per_second'] / 1e12:.2f} TB/s, so the "
        f"lower bound here is {epoch['bound_seconds_here']:.2f} s."
    )
    columns = ("way", "seconds", f"÷ {epoch['bound_seconds']} s", "÷ bound here")
    yield f"{head}\n\n{_table(columns, rows)}"


def _processes(found: Figures) -> Iterator[str]:
    processes = found["processes"]
    rows = [
        (
            name,
            share,
            _spread(row["cells_per_hour"], ",.0f" if row["cells_per_hour"]["median"] >= 100 else ".2f"),
        )
        for name, shares in processes["cases"].items()
        for share, row in shares.items()
    ]
    rows += [(*share.split(": ", 1), why) for share, why in processes["failed"].items()]
    without = f" MPS was not measured: {processes['without_mps']}" if processes["without_mps"] else ""
    head = f"**Processes on one GPU**, each with a graph where there is one.{without}"
    yield f"{head}\n\n{_table(('network', 'processes', 'cells per hour'), rows)}"
    yield "\n".join(
        f"Best for {name}: `local.workers = {best['processes']}`, `train.fuse = {best['width']}`"
        f"{', with MPS' if best['mps'] else ''} ({best['cells_per_hour']['median']:,.2f} cells per hour)."
        for name, best in recommended(processes).items()
    )


def recommended(processes: Figures) -> dict[str, Figures]:
    """Case → the way of sharing the GPU with the most cells per hour."""
    return {
        name: max(shares.values(), key=lambda row: float(row["cells_per_hour"]["median"]))
        for name, shares in processes["cases"].items()
    }


_BLOCKS = {"steps": _steps, "epoch": _epoch, "processes": _processes}


def _best_ratio(case: Figures) -> str:
    fused = [row["ratio"]["median"] for row in case["ways"].values() if row["width"] > 1 and row["ratio"]]
    return f"{max(fused):.2f}" if fused else "not measured"


def _spread(values: Figures, form: str) -> str:
    median = format(values["median"], form)
    if len(values["values"]) == 1:
        return f"{median} (once)"
    return f"{median} ({format(values['low'], form)}–{format(values['high'], form)}, {len(values['values'])} times)"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
