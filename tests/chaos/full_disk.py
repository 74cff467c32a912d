"""Fill a small disk, and see that nothing breaks: run by `test_commit_disk_full.py`.

python full_disk.py fill FOLDER     FOLDER is on a file system of 2 MB
python full_disk.py limit FOLDER    under a limit on the size of a file
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np

from lthsweep.errors import StoreError
from lthsweep.store.claims import release, take
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import this_process
from lthsweep.store.publish import commit_record
from lthsweep.store.record import decode, encode
from lthsweep.store.verify import verify
from lthsweep.store.weights import load_arrays, save_arrays
from tests.store.factory import make_record, names

SMALL = make_record(1, layers=3)
LARGE = make_record(
    2, layers=8, weights_per_layer=500_000, sparsity=0.5
)  # 0.5 MB of masks that gzip cannot shrink
WEIGHTS = {"w": np.arange(200_000, dtype=np.float32)}


def refused(act) -> None:
    """The act must end in an error with a remedy."""
    try:
        act()
    except StoreError as error:
        text = str(error)
        assert "MB needed" in text and "then run the same command again" in text, text
    else:
        raise AssertionError("it fitted")


def check_refusals(sweep: SweepDir) -> None:
    """Nothing large can be written; all that is there stays good, and nothing is left behind."""
    refused(lambda: commit_record(sweep, LARGE))
    refused(lambda: save_arrays(sweep.final(SMALL.key), WEIGHTS | {"x": np.zeros(9)}))
    assert names(sweep.records) == [f"{SMALL.key}.h5"]
    assert names(sweep.weights_of(SMALL.key)) == ["final.safetensors"]
    assert encode(decode(sweep.record(SMALL.key))) == encode(SMALL)
    assert load_arrays(sweep.final(SMALL.key))["w"].tobytes() == WEIGHTS["w"][:9].tobytes()
    assert [finding for finding in verify(sweep) if finding.severity == "error"] == []


def prepare(folder: Path) -> SweepDir:
    """A sweep with one record and one file of weights."""
    sweep = SweepDir(folder).create()
    assert commit_record(sweep, SMALL).verdict == "first"
    save_arrays(sweep.final(SMALL.key), {"w": WEIGHTS["w"][:9]})
    return sweep


def check_recovery(sweep: SweepDir) -> None:
    """With free space again the same commands succeed."""
    assert commit_record(sweep, LARGE).verdict == "first"
    assert commit_record(sweep, LARGE).verdict == "same"
    save_arrays(sweep.final(SMALL.key), WEIGHTS)
    assert [finding for finding in verify(sweep) if finding.severity == "error"] == []


def fill(folder: Path) -> None:
    """Leave nothing, then a little, then almost enough, on a disk of 2 MB."""
    sweep, filler = prepare(folder), folder / "filler"
    owner = this_process()
    assert take(sweep, LARGE.key, owner, 60.0)
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            taken = file.tell()
    for free in (0, 4096, 65_536, 400_000):
        with filler.open("r+b") as file:
            file.truncate(taken - free)
        check_refusals(sweep)
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    release(sweep, LARGE.key, owner)
    filler.unlink()
    assert take(sweep, LARGE.key, this_process(), 60.0)
    check_recovery(sweep)


def limit(folder: Path) -> None:
    """`ulimit -f`: the kernel's signal must not kill the worker."""
    sweep = prepare(folder)
    for size in (0, 1000, 65_536, 400_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        check_refusals(sweep)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    check_recovery(sweep)


if __name__ == "__main__":
    {"fill": fill, "limit": limit}[sys.argv[1]](Path(sys.argv[2]))
    print("all as promised")
