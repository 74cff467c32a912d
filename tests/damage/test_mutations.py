"""Random changes of every kind of file: the damage is named, or no number changes; nothing crashes or hangs.

`LTHSWEEP_MUTATIONS` is the number of changes per kind of file. A failure prints the kind, the seed and the change; set
`LTHSWEEP_MUTATIONS_FROM` to that seed to repeat it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lthsweep.data.cache import open_packed, verify
from lthsweep.data.packed import fingerprint
from lthsweep.data.remembered import newest_source, remember
from lthsweep.data.source import Source, SourceFile
from lthsweep.errors import DataError
from lthsweep.launch.slurm.halt import halt, read_halt, read_reset, reset_attempts
from lthsweep.launch.slurm.job_files import End, read_end, write_end
from lthsweep.launch.slurm.journal import (
    Submission,
    mark_started,
    note_id,
    open_journal,
    publish_intent,
    read_journal,
)
from lthsweep.plan.expand import expand
from lthsweep.spec import load_spec
from lthsweep.store import claims, failures
from lthsweep.store.heartbeats import Heartbeat, read_heartbeats, write_heartbeat
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import this_process
from lthsweep.store.weights import save_arrays
from tests.commands.in_process import lthsweep
from tests.damage.mutations import mutated

NUMBER = int(os.environ.get("LTHSWEEP_MUTATIONS", "20"))
FIRST = int(os.environ.get("LTHSWEEP_MUTATIONS_FROM", "0"))
SEEDS = range(FIRST, FIRST + NUMBER)
TABLES = ("tickets", "runs", "curves", "layers")
DOCUMENTED = (0, 1, 2, 3)
"""Exit codes."""


@dataclass
class Damaged:
    """A sweep directory, one file of which is changed by a test.

    Attributes:
        sweep: the directory: a dense run, three tickets with records, one ticket that failed.
        key: of the failed ticket.
        run_command: the command line, on a machine without SLURM.
        saved: content of the files that were changed, to restore them.
    """

    sweep: SweepDir
    key: str
    run_command: partial
    saved: dict[Path, bytes] = field(default_factory=dict)

    def command(self, *words, ok=DOCUMENTED):
        """Run a command; it ends with a documented exit code."""
        ended = self.run_command(*words)
        assert ended.returncode in ok, (words, ended.returncode, ended.stderr)
        assert "Traceback" not in ended.stderr
        return ended

    def change(self, path, seed, others=()):
        """Mutate a file, or swap it with another one of its kind; return a description for a failed assertion."""
        rng = random.Random(f"{path.name if path.suffix == '.json' else path.suffix} {seed}")
        data = self.remember(path)
        if others and rng.random() < 0.15:
            other = rng.choice(list(others))
            path.write_bytes(self.remember(other))
            other.write_bytes(data)
            return f"seed {seed}: {path.name} and {other.name} swapped"
        name, changed = mutated(data, rng)
        path.write_bytes(changed)
        return f"seed {seed}: {path.name}: {name}"

    def remember(self, path):
        self.saved[path] = path.read_bytes()
        return self.saved[path]

    def restore(self):
        for path, data in self.saved.items():
            path.write_bytes(data)
        self.saved.clear()

    def numbers(self):
        """All tables: name → rows, and the state of each run."""
        found = {}
        for table in TABLES:
            rows = self.command("query", self.sweep.path, "--table", table, "--json")
            found[table] = json.loads(rows.stdout)
        return found


@pytest.fixture(scope="module")
def damaged(finished, cache, tmp_path_factory):
    """A copy of the tiny sweep in which one ticket failed, with one file of each kind of `state/`."""
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copytree(finished.path, folder / "sweep")
    (folder / "bin").mkdir()
    sweep = SweepDir(folder / "sweep")
    plan = expand(load_spec(sweep.sweep_toml))
    key = plan.tickets[-1].key
    sweep.record(key).unlink()
    failures.record_failure(sweep, key, failures.Failure("CUDA error 77", host="node7", attempt=3, time=1e9))
    made = Damaged(sweep, key, partial(lthsweep, cache=cache, environ={"PATH": str(folder / "bin")}))
    made.command("merge", sweep.path, "--quiet", ok=(3,))
    return made


@pytest.fixture
def sweep(damaged):
    """The sweep; the changed files are restored after the test."""
    yield damaged.sweep
    damaged.restore()


@pytest.fixture(scope="module")
def numbers(damaged):
    return damaged.numbers()


def some(paths, seed):
    """One of some files."""
    found = sorted(paths)
    return found[seed % len(found)]


def state_of_each(numbers):
    return {row["key"]: row["state"] for row in numbers["runs"]}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_changed_record_is_damaged(damaged, sweep, numbers, seed):
    """No bit of a record is without meaning: `merge` names the run, and no other row changes."""
    path = some(sweep.records.glob("*.h5"), seed)

    what = damaged.change(path, seed, sorted(set(sweep.records.glob("*.h5")) - {path}))
    keys = {changed.stem for changed in damaged.saved}
    merged = damaged.command("merge", sweep.path, "--quiet", ok=(1,))
    found = damaged.numbers()
    status = damaged.command("status", sweep.path, "--json", ok=(1,))
    doctor = damaged.command("doctor", sweep.path, ok=(1,))

    assert all(key in merged.stderr and key in doctor.stdout for key in keys), what
    assert "doctor" in merged.stderr
    assert json.loads(status.stdout)["damaged_records"].keys() == keys, what
    assert {key for key, state in state_of_each(found).items() if state == "damaged"} == keys, what
    kept = [row for row in numbers["runs"] if row["key"] not in keys]
    assert [row for row in found["runs"] if row["key"] not in keys] == kept, what
    for table in ("curves", "layers"):
        assert found[table] == [row for row in numbers[table] if row["key"] not in keys], what
    damaged.restore()
    damaged.command("merge", sweep.path, "--quiet", ok=(3,))
    assert damaged.numbers() == numbers


@pytest.mark.parametrize("seed", SEEDS)
def test_a_changed_table_gives_no_other_number(damaged, sweep, numbers, tmp_path, seed):
    """A table without records is refused or read right; with records it is made again."""
    damaged.command("merge", sweep.path, "--quiet", ok=(3,))
    good = sweep.table.read_bytes()
    what = damaged.change(sweep.table, seed)
    alone = tmp_path / "table.h5"
    shutil.copyfile(sweep.table, alone)

    for table in TABLES:
        ended = damaged.command("query", alone, "--table", table, "--json", ok=(0, 1))
        if ended.returncode:
            assert "table.h5" in ended.stderr, what
        else:
            assert json.loads(ended.stdout) == numbers[table], what
    assert damaged.numbers() == numbers, what
    damaged.command("merge", sweep.path, "--quiet", ok=(3,))
    assert damaged.numbers() == numbers, what  # HDF5 does not read the space between its objects
    damaged.command("merge", sweep.path, "--full", "--quiet", ok=(3,))

    assert sweep.table.read_bytes() == good, what


@pytest.mark.parametrize("seed", SEEDS)
def test_changed_weights_are_found(damaged, sweep, seed):
    """`doctor` names the file, and the record or the file itself refuses it."""
    files = [path for path in sweep.weights.glob("*/*.safetensors") if path.parent.name != damaged.key]
    path = some(files, seed)

    what = damaged.change(path, seed, [other for other in files if other != path])
    doctor = damaged.command("doctor", sweep.path, ok=(1,))

    assert all(str(changed) in doctor.stdout for changed in damaged.saved), what


@pytest.mark.parametrize("seed", SEEDS)
def test_a_changed_checkpoint_is_not_continued(damaged, sweep, seed, capsys):
    """It is moved to quarantine, and the run starts over; or its content is the same."""
    from lthsweep.launch.checkpoint import load_checkpoint

    rng = np.random.default_rng(seed)
    arrays = {f"model/w{i}": rng.normal(size=(3, i + 1)).astype(np.float32) for i in range(20)}
    keys = [run.key for run in expand(load_spec(sweep.sweep_toml)).tickets][:2]
    for number, key in enumerate(keys):
        progress = json.dumps({"step": 12 + number, "epoch": 1, "samples": 1234})
        save_arrays(sweep.checkpoint(key), arrays, {"run": key, "progress": progress})
    path = sweep.checkpoint(keys[0])
    before = load_checkpoint(sweep, keys[0])

    what = damaged.change(path, seed, [sweep.checkpoint(keys[1])])
    damaged.saved.clear()
    found = load_checkpoint(sweep, keys[0])

    if found is None:
        assert not path.exists() and "quarantine" in capsys.readouterr().out, what
    else:
        assert found.progress == before.progress, what
        assert found.tensors.keys() == before.tensors.keys(), what
        assert all(found.tensors[name].equal(tensor) for name, tensor in before.tensors.items()), what
    assert damaged.command("status", sweep.path, "--json")
    shutil.rmtree(sweep.checkpoints)
    sweep.checkpoints.mkdir()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_changed_failure_is_the_same_or_unreadable(damaged, sweep, seed):
    """Cause and number of attempts are columns of the table."""
    others = [run.key for run in expand(load_spec(sweep.sweep_toml)).tickets if run.key != damaged.key]
    failures.record_failure(sweep, others[0], failures.Failure("another cause", attempt=1))
    before = failures.read_failure(sweep, damaged.key)

    what = damaged.change(sweep.failure(damaged.key), seed, [sweep.failure(others[0])])
    found = failures.read_failure(sweep, damaged.key)
    merged = damaged.command("merge", sweep.path, "--quiet", ok=(3,))
    row = next(row for row in damaged.numbers()["runs"] if row["key"] == damaged.key)
    status = damaged.command("status", sweep.path, "--runs", ok=(1,))

    assert found == before or "cannot be read" in found.cause, what
    assert row["state"] == "failed" and row["cause"] == found.cause[:300], what
    assert found.cause[:20] in status.stdout, what
    assert merged.stderr.startswith("incomplete"), what
    sweep.failure(others[0]).unlink()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_changed_heartbeat_is_the_same_or_ignored(damaged, sweep, seed):
    """It is only shown; a claim decides who trains a run."""
    beat = Heartbeat(
        "w1", key=damaged.key, host="h", pid=3, epoch=1.5, epochs=2, val_accuracy=0.5, time=1e9, started=1e9
    )
    write_heartbeat(sweep, beat)
    (before,) = read_heartbeats(sweep)

    what = damaged.change(sweep.worker("w1"), seed)
    found = read_heartbeats(sweep)

    assert found == [] or repr(found) == repr([before]), what
    damaged.command("status", sweep.path, "--json")
    damaged.saved.clear()
    sweep.worker("w1").unlink()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_changed_claim_holds_no_run_forever(damaged, sweep, seed):
    """It saves work, and no number depends on it: after the time of a lost worker, the run is free."""
    assert claims.take(sweep, damaged.key, this_process(), stale_seconds=900)
    path = sweep.claim(damaged.key)

    what = damaged.change(path, seed)
    os.utime(path, (1e9, 1e9))
    damaged.command("status", sweep.path, "--json", ok=(1, 3))
    owner = claims.holder(sweep, damaged.key, stale_seconds=900)

    assert owner is None or owner.pid == os.getpid(), what
    if owner is None:
        assert claims.take(sweep, damaged.key, this_process(), stale_seconds=900), what
    damaged.saved.clear()
    shutil.rmtree(sweep.claims)
    sweep.claims.mkdir()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_changed_journal_is_the_same_or_unreadable(damaged, sweep, seed):
    """Another job id would cancel another job; another number of attempts would give up too early."""
    open_journal(sweep)
    names = []
    for number in (1, 2):
        shares = ((damaged.key,), ("0" * 20,))
        intent = publish_intent(
            sweep, Submission(number, "", "workers", shares, minutes=10 * number, array=True)
        )
        names.append(intent.name)
        note_id(sweep, intent.name, f"77{number}")
        mark_started(sweep, intent.name, f"77{number}")
        write_end(sweep, intent.name, 0, End(worked=(damaged.key,), node=f"node{number}"))
    reset_attempts(sweep, 1)
    halt(sweep, "it was canceled", "user")
    journal, ends = read_journal(sweep), [read_end(sweep, name, 0) for name in names]
    files = sorted(path for path in sweep.slurm.rglob("*.json"))
    path = some(files, seed)

    what = damaged.change(path, seed, [other for other in files if other != path and other.name == path.name])
    found = read_journal(sweep)
    prefix = open_journal(sweep)
    damaged.command("status", sweep.path, "--json")
    damaged.command("explain", sweep.path)

    assert len(found) == 2, what
    for before, now in zip(journal, found, strict=True):
        assert now == before or now.why == "its intent cannot be read" or unread(before, now), what
    for name, before in zip(names, ends, strict=True):
        assert read_end(sweep, name, 0) in (before, None), what
    assert read_reset(sweep) in (1, 0), what
    assert read_halt(sweep).why in (
        "it was canceled",
        f"{sweep.slurm / 'halted.json'} exists but cannot be read",
    ), what
    assert open_journal(sweep) == prefix, what
    damaged.saved.clear()
    shutil.rmtree(sweep.slurm)


def unread(before, now):
    """True if only an id or an outcome is unknown that was known before."""
    same = (now.number, now.name, now.shares, now.minutes) == (
        before.number,
        before.name,
        before.shares,
        before.minutes,
    )
    return same and now.job in (before.job, None) and now.outcome in (before.outcome, "open")


@pytest.mark.parametrize("seed", SEEDS)
def test_changed_notes_of_the_reducer_change_no_number(damaged, sweep, numbers, seed):
    """Without the notes about verified records, all records are verified again."""
    damaged.command("merge", sweep.path, "--quiet", ok=(3,))
    good = sweep.table.read_bytes()

    what = damaged.change(some([sweep.checked, sweep.timings], seed), seed)
    status = json.loads(damaged.command("status", sweep.path, "--json", ok=(1,)).stdout)
    damaged.command("merge", sweep.path, "--quiet", ok=(3,))

    assert sweep.table.read_bytes() == good, what
    assert status["damaged_records"] == {}, what


@pytest.mark.parametrize("seed", SEEDS)
def test_a_changed_file_of_the_sweep_is_refused(damaged, sweep, numbers, seed):
    """Another margin would be another verdict, another epoch another recipe."""
    what = damaged.change(sweep.sweep_toml, seed)

    ended = damaged.command("query", sweep.path, "--json", ok=(0, 2))
    if ended.returncode == 0:  # another kind of line end, for example
        assert damaged.numbers() == numbers, what
        return
    for words in (("merge", sweep.path, "--quiet"), ("status", sweep.path), ("explain", sweep.path)):
        ended = damaged.command(*words, ok=(2,))
        assert "sweep.toml" in ended.stderr, (what, words)
    assert "sweep.toml" in damaged.command("doctor", sweep.path, ok=(1,)).stdout, what


@pytest.mark.parametrize("seed", SEEDS)
def test_a_changed_note_of_a_source_names_no_other_source(damaged, tmp_path, seed):
    """A wrong size or time only means that the files are read again; a wrong digest would be other data."""
    digest = "ab" * 32
    files = tuple(SourceFile(f"/data/{i}.png", 100 + i, 10**18 + i, 10**18 + i) for i in range(5))
    remember(tmp_path, {"name": "mine"}, Source(digest, files))
    (path,) = tmp_path.rglob("*.json")

    what = damaged.change(path, seed)
    found = newest_source(tmp_path, {"name": "mine"})

    damaged.saved.clear()
    assert found is None or found.digest == digest, what


@pytest.mark.parametrize("seed", SEEDS)
def test_a_changed_pack_trains_nothing(damaged, sweep, cache, seed):
    """An image, a label, or a mean that changed gives other numbers."""
    data = expand(load_spec(sweep.sweep_toml)).dense[0].recipe.data
    before = open_packed(data, cache=cache)

    what = damaged.change(some(before.folder.iterdir(), seed), seed)
    try:
        found = open_packed(data, cache=cache)
    except DataError as error:
        assert "damaged" in str(error), what
        with pytest.raises(DataError):
            verify(data, cache=cache)
    else:  # bytes behind the end of an array, for example
        assert fingerprint(found) == before.fingerprint == found.fingerprint, what
        assert (found.mean, found.std, found.class_names) == (before.mean, before.std, before.class_names), (
            what
        )
