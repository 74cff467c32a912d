"""Measure the parts of the GPU benchmark within the time limit."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lthsweep.errors import LthsweepError
from lthsweep.training.devices import synchronize
from tests.benchmarks.figures import spread
from tests.benchmarks.gpu.cases import CASES, Rig, tiny
from tests.benchmarks.gpu.processes import Share, process_groups, total_rate
from tests.benchmarks.gpu.steps import Way, speed_of, tidy, ways_of

__all__ = ["Measurement"]

ROOT = Path(__file__).resolve().parents[3]
BOUND_SECONDS = 0.72
"""Lower bound for a MobileNetV2 epoch of 50,000 images in bf16: 62 MB of traffic per image at an H200's 4.3 TB/s."""
BOUND_BYTES = 62e6


class Measurement:
    """All parts of the benchmark, within the time limit.

    Args:
        options: of the command line.
        device: to measure on.
    """

    def __init__(self, options: argparse.Namespace, device: Any) -> None:

        self._options = options
        self._device = device
        self._cuda = device.type == "cuda"
        self._began = time.monotonic()
        self._seconds = 60 * (options.minutes or (2.75 if options.quick else 8.5))
        self._rounds = 1 if options.tiny else 3
        self._turn = 0.01 if options.tiny else 0.25 if options.quick else 0.6
        self._widths = [2] if options.tiny else [4, 16, 64] if options.quick else [2, 4, 8, 16, 32, 64]
        chosen = {name: CASES[name] for name in options.case or CASES}
        cases = {name: tiny(case) if options.tiny else case for name, case in chosen.items()}
        self._progress("images")
        self._rigs = {name: Rig(case, device) for name, case in cases.items()}

    def measure(self, parts: Sequence[str]) -> dict[str, Any]:
        """Conditions and figures of the parts; writes the output file after each part."""

        found: dict[str, Any] = {"conditions": _conditions(self._device)}
        measures: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "steps": self._steps,
            "epoch": self._epoch,
            "processes": self._processes,
        }
        for part, measure in measures.items():
            if part not in parts:
                continue
            self._progress(part)
            try:
                found[part] = measure(found)
            except (RuntimeError, LthsweepError) as error:  # the other parts still count
                self._progress(f"{part} failed: {error}")
                found["conditions"].setdefault("failed", {})[part] = f"{type(error).__name__}: {error}"
            self._options.out.write_text(json.dumps(found, indent=2) + "\n")
        found["conditions"] |= {
            "size": "tiny" if self._options.tiny else "quick" if self._options.quick else "full",
            "seconds": round(time.monotonic() - self._began, 1),
            "images": {name: rig.source for name, rig in self._rigs.items()},
        }
        return found

    def _steps(self, found: dict[str, Any]) -> dict[str, Any]:
        """Speed of every way of every case, in turns."""

        speeds: dict[str, dict[Way, list[Any]]] = {name: {} for name in self._rigs}
        failed: dict[str, dict[Way, str]] = {name: {} for name in self._rigs}
        for _ in self._turns(0.6):
            for name, rig in self._rigs.items():
                for way in ways_of(rig.case.precision, self._widths, cuda=self._cuda):
                    if way in failed[name] or self._over(0.6 if way in speeds[name] else 0.7):
                        continue
                    try:
                        speed = speed_of(rig, way, self._turn)
                    except (RuntimeError, LthsweepError) as error:  # out of memory, or a missing kernel
                        failed[name][way] = str(error).splitlines()[0]
                    else:
                        speeds[name].setdefault(way, []).append(speed)
        answer: dict[str, Any] = {}
        for name, ways in speeds.items():
            case = self._rigs[name].case
            rows = {}
            for way, each in ways.items():
                alone = ways.get(Way(way.precision), [])
                ratios = [
                    way.width * one.seconds / other.seconds for one, other in zip(alone, each, strict=False)
                ]
                rows[str(way)] = {
                    "width": way.width,
                    "graph": way.graph,
                    "precision": way.precision,
                    "captured": all(one.captured for one in each),
                    "seconds_per_step": spread([one.seconds for one in each]),
                    "cells_per_hour": spread([3600 * way.width / (one.seconds * case.steps) for one in each]),
                    "ratio": spread(ratios) if ratios else None,
                    "peak_bytes": max(one.peak for one in each),
                    "steps_timed": sum(one.steps for one in each),
                }
            wanted = ways_of(case.precision, self._widths, cuda=self._cuda)
            left = {way: "no time was left" for way in wanted if way not in ways}
            answer[name] = {
                "batch": case.batch,
                "steps_of_a_cell": case.steps,
                "aim": case.aim,
                "ways": rows,
                "failed": {str(way): why for way, why in (left | failed[name]).items()},
            }
        return answer

    def _epoch(self, found: dict[str, Any]) -> dict[str, Any]:
        """A dense epoch of MobileNetV2 in bf16, against the time of its memory traffic."""

        rig = self._rigs.get("mobilenet_v2")
        if rig is None:
            return {}
        steps = rig.case.images // rig.case.batch
        each: dict[str, list[float]] = {}
        for _ in self._turns(0.7):
            for graph in (False, True) if self._cuda else (False,):
                way = Way("bf16", graph=graph)
                speed = speed_of(rig, way, 0.0 if self._options.tiny else 2.0)
                each.setdefault(str(way), []).append(speed.seconds * steps)
        copied = _copy_bandwidth(self._device)
        return {
            "images": steps * rig.case.batch,
            "seconds": {name: spread(values) for name, values in each.items()},
            "bound_seconds": BOUND_SECONDS,
            "copy_bytes_per_second": copied,
            "bound_seconds_here": BOUND_BYTES * steps * rig.case.batch / copied,
        }

    def _processes(self, found: dict[str, Any]) -> dict[str, Any]:
        """1, 2 and 4 processes, with and without MPS, unfused and at the best width of one process."""

        tidy(self._device)
        small = self._options.tiny
        counts = (1, 2) if small else (1, 2, 4)
        rates: dict[Share, list[float]] = {}
        failed: dict[Share, str] = {}
        with process_groups(max(counts), self._device, small=small) as (group_of, why):
            shares = [
                Share(name, rig.case.precision, width, count, mps)
                for name, rig in self._rigs.items()
                for width in sorted({1, _best_width(found, name)})
                for count in counts
                for mps in group_of
                if count > 1 or not mps
            ]
            for _ in self._turns(1.0):
                for share in shares:
                    if share in failed or self._over(1.0):
                        continue
                    try:
                        rate = total_rate(group_of[share.mps], share, self._turn)
                        rates.setdefault(share, []).append(rate)
                    except RuntimeError as error:
                        failed[share] = str(error).splitlines()[0]
        answer: dict[str, Any] = {"without_mps": why, "cases": {}}
        for share, values in rates.items():
            steps = self._rigs[share.case].case.steps
            answer["cases"].setdefault(share.case, {})[str(share)] = {
                "processes": share.processes,
                "width": share.width,
                "mps": share.mps,
                "cells_per_hour": spread([3600 * share.width * rate / steps for rate in values]),
            }
        answer["failed"] = {f"{share.case}: {share}": reason for share, reason in failed.items()}
        return answer

    def _turns(self, share: float) -> Iterator[int]:
        """Round numbers, until all are done or a share of the time limit is over; at least one."""
        for number in range(self._rounds):
            if number and self._over(share):
                return
            yield number

    def _over(self, share: float) -> bool:
        return time.monotonic() - self._began > share * self._seconds

    def _progress(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {what}", file=sys.stderr, flush=True)


def _best_width(found: dict[str, Any], case: str) -> int:
    """Width of the fused way with the most cells per hour; 1 if none was measured."""
    ways = found.get("steps", {}).get(case, {}).get("ways", {})
    cells = {way["width"]: way["cells_per_hour"]["median"] for way in ways.values() if way["width"] > 1}
    return max(cells, key=lambda width: float(cells[width]), default=1)


def _copy_bandwidth(device: Any) -> float:
    """Bytes read and written per second by a large copy on the device; the best of ten."""
    source = torch.ones((1 << 30) if device.type == "cuda" else 1 << 20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = []
    for _ in range(10):
        synchronize(device)
        started = time.perf_counter()
        target.copy_(source)
        synchronize(device)
        times.append(time.perf_counter() - started)
    return 2 * source.numel() / min(times)


def _conditions(device: Any) -> dict[str, Any]:
    cuda = device.type == "cuda"
    return {
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "device": torch.cuda.get_device_name(device) if cuda else platform.processor() or "cpu",
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "driver": _first_line("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        if cuda
        else None,
        "python": platform.python_version(),
        "commit": _first_line("git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"),
    }


def _first_line(*command: str) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split(
            "\n"
        )[0]
    except (OSError, subprocess.SubprocessError):
        return None
