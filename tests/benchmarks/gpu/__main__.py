"""Measure CUDA graphs, fused cells and several processes on a GPU; prints a table and writes a JSON file.

    python -m tests.benchmarks.gpu                       # under nine minutes on an H100 or H200
    python -m tests.benchmarks.gpu --quick --out gpu.json
    python -m tests.benchmarks.gpu --device cpu --tiny   # checks that it runs

Run it from the root of a checkout; the package need not be installed, torch, numpy, torchvision and pydantic
suffice. Images are generated, or read from LTHSWEEP_DATA. The benchmark times training steps of the package's own loop
with the data path, without validation. The ways to train take turns, several times each. When the time is over,
the remaining rounds are skipped, and the table shows how many there were.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path

NEEDED = {
    "torch": "torch>=2.10",
    "numpy": "numpy>=2.0",
    "torchvision": "torchvision>=0.25",
    "pydantic": "pydantic>=2.9",
}
PARTS = ("steps", "epoch", "processes")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, and write the figures; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="fewer widths and shorter turns: under three minutes"
    )
    parser.add_argument("--tiny", action="store_true", help="smallest sizes, one round: checks that it runs")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="file for the figures")
    parser.add_argument("--minutes", type=float, help="total time; default 8.5, with --quick 2.75")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; can be repeated")
    parser.add_argument("--case", action="append", help="a network; can be repeated")
    options = parser.parse_args(arguments)
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        wanted = " ".join(f"'{NEEDED[name]}'" for name in missing)
        print(f"this benchmark needs {', '.join(missing)}; python -m pip install {wanted}", file=sys.stderr)
        return 2
    import torch

    try:
        device = torch.device(options.device)
    except RuntimeError:
        parser.error(f"--device {options.device}: no device; write cpu or cuda:0")
    if options.out.is_dir() or not options.out.parent.is_dir():
        parser.error(f"--out {options.out} cannot be written; name a file in an existing folder")
    if device.type == "cuda" and not torch.cuda.is_available():
        print(
            "torch finds no GPU; check nvidia-smi, or try the benchmark with --device cpu --tiny",
            file=sys.stderr,
        )
        return 2
    from tests.benchmarks.gpu.measure import Measurement
    from tests.benchmarks.gpu.steps import use
    from tests.benchmarks.gpu.table import markdown

    use(device)

    found = Measurement(options, device).measure(options.only or PARTS)
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    print(markdown(found))
    print(f"figures: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
