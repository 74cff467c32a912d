"""What a worker needs of memory: `python -m lthsweep.bench.sharing REQUEST` maps a pack, reads all of it, and waits.

Two such processes at a time show whether they share the images: of a page that two map, each pays one half of its PSS
(proportional set size), while both have it in their resident set.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lthsweep.bench.bare import material_of
from lthsweep.plan.expand import expand
from lthsweep.spec import spec_of

__all__ = ["main", "mapped"]


def main(arguments: list[str] | None = None) -> int:
    """Open the data as a worker does, say so in a line of JSON, and end with standard input.

    The request names `tables` and `cache` of a case. After the line "measure" on standard input a second line tells the
    bytes: `resident` and `proportional`, of the mapping of the training images.
    """
    (path,) = sys.argv[1:] if arguments is None else arguments
    request = json.loads(Path(path).read_text())
    material = material_of(expand(spec_of(request["tables"])), Path(request["cache"]))
    for _ in material.training_data(0).train.epoch(0):
        pass
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(mapped("train_images.npy")), flush=True)
    return 0


def mapped(name: str) -> dict[str, int]:
    """Bytes of this process's mappings of files of a name: `resident`, and `proportional` to who shares them."""
    sums = {"Rss:": 0, "Pss:": 0}
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            inside = line.endswith(f"/{name}")
        elif inside and words[0] in sums:
            sums[words[0]] += int(words[1]) * 1024
    return {"resident": sums["Rss:"], "proportional": sums["Pss:"]}


if __name__ == "__main__":
    sys.exit(main())
