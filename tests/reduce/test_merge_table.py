from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest
from h5py import h5f, h5o
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reduce_cases import all_results, large_plan, make_plan, make_record, write_records

from lthsweep.errors import StoreError
from lthsweep.launch.disk_status import read_disk_status
from lthsweep.reduce import merge as merge_module
from lthsweep.reduce.merge import current, merge, reduce_records
from lthsweep.reduce.table import Table, TableFile, encode_table
from lthsweep.store.failures import Failure, record_failure
from lthsweep.store.hashed import read_hashed, with_hash
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import encode
from tests.launch.processes import PATIENCE

TABLES = ("tickets", "runs", "curves", "layers")


@pytest.fixture
def plan():
    return make_plan()


@pytest.fixture
def sweep(tmp_path):
    return SweepDir(tmp_path / "sweep")


@pytest.fixture
def reads(monkeypatch):
    """Keys of the records that are read in full."""
    seen = []
    real = merge_module.result_of

    def counted(summary):
        seen.append(summary.key)
        return real(summary)

    monkeypatch.setattr(merge_module, "result_of", counted)
    return seen


def merged(sweep, plan, **options):
    return merge(sweep, plan, **options).read_bytes()


PLAN = make_plan()
RESULTS = all_results(PLAN)


@given(st.permutations(RESULTS), st.sets(st.sampled_from(range(len(RESULTS))), max_size=4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_order_of_records_changes_no_byte(shuffled, absent):
    """The reducer is a pure function of a set of records."""
    gone = {RESULTS[i].key for i in absent}
    failures = {key: Failure("killed", host="h") for key in gone}
    in_order = [one for one in RESULTS if one.key not in gone]
    other = [one for one in shuffled if one.key not in gone]

    expected = encode_table(reduce_records(PLAN, in_order, failures))

    assert encode_table(reduce_records(PLAN, other, dict(reversed(failures.items())))) == expected


def test_merge_is_idempotent(sweep, plan):
    """Merging again changes nothing, whether rows are used again or records are read again."""
    write_records(sweep, plan)

    first = merged(sweep, plan)

    assert merged(sweep, plan) == first
    assert merged(sweep, plan, full=True) == first


def test_the_same_records_elsewhere_give_the_same_bytes(sweep, plan, tmp_path):
    """No path, no time, no order of the folder is in the table: two people can compare hashes."""
    write_records(sweep, plan)
    other = SweepDir(tmp_path / "elsewhere").create()
    for key in reversed(list(plan.runs)):
        shutil.copyfile(sweep.record(key), other.record(key))
    shutil.rmtree(sweep.state)

    assert merged(other, plan) == merged(sweep, plan)


def test_the_table_contains_no_time_of_day():
    """HDF5 stamps objects with the second they were made in, by default, the root group too."""
    with h5py.File(h5f.open_file_image(encode_table(reduce_records(PLAN, RESULTS)))) as file:
        times = {name: h5o.get_info(file[name].id).mtime for name in ("/", *file)}

    assert times == dict.fromkeys(
        ("/", "controls", "curves", "layers", "runs", "structures", "sweep", "tickets"), 0
    )


@pytest.mark.slow
def test_another_process_makes_the_same_bytes():
    """Nothing of a process's memory or hash seed is in the table."""
    code = textwrap.dedent(
        """
        import hashlib, sys
        sys.path[:0] = {paths!r}
        from reduce_cases import all_results, large_plan, make_plan
        from lthsweep.reduce.merge import reduce_records
        from lthsweep.reduce.table import encode_table
        plan = make_plan()
        print(hashlib.sha256(encode_table(reduce_records(plan, all_results(plan)))).hexdigest())
        """
    ).format(paths=sys.path)

    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE
    )

    here = hashlib.sha256(encode_table(reduce_records(PLAN, RESULTS))).hexdigest()
    assert other.stdout.strip() == here


def test_growing_a_sweep_reads_only_new_records(sweep, plan, reads):
    """Rows of the old table are used again, and the bytes are those of a full merge."""
    keys = list(plan.runs)
    write_records(sweep, plan, keys[:6])
    merge(sweep, plan)
    reads.clear()
    write_records(sweep, plan, keys[6:])

    grown = merged(sweep, plan)

    assert sorted(reads) == sorted(keys[6:])
    assert grown == merged(sweep, plan, full=True)
    assert sorted(reads) == sorted(keys[6:] + keys)


@pytest.mark.slow
@given(st.lists(st.sets(st.sampled_from(range(len(RESULTS)))), min_size=1, max_size=4))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_of_merges_gives_equal_bytes(tmp_path_factory, steps):
    """In any order, also after deletions: the table is a function of the records on disk."""
    sweep = SweepDir(tmp_path_factory.mktemp("history")).create()
    keys = list(PLAN.runs)
    for step in steps:
        for path in sweep.records.iterdir():
            path.unlink()
        write_records(sweep, PLAN, [keys[i] for i in step])
        incremental = merged(sweep, PLAN)

        sweep.table.unlink()
        assert merged(sweep, PLAN) == incremental


def test_a_replaced_record_is_read_again(sweep, plan, reads):
    """Rows are used again by the record's sha256, not by its name."""
    write_records(sweep, plan)
    merge(sweep, plan)
    key = next(iter(plan.runs))
    sweep.record(key).write_bytes(encode(make_record(plan.runs[key], accuracy=0.123)))
    reads.clear()

    frames = TableFile(merge(sweep, plan)).frames

    assert reads == [key]
    assert frames["runs"].set_index("key").loc[key, "test_accuracy"] == 0.123


def test_a_larger_grid_reuses_existing_rows(sweep, reads):
    """A file that grows on an existing directory trains and reads only new runs."""
    small, large = make_plan(), make_plan(sparsity=[0.0, 0.5, 0.7, 0.9])
    write_records(sweep, small)
    merge(sweep, small)
    reads.clear()

    frames = TableFile(merge(sweep, large)).frames

    assert reads == []
    assert frames["tickets"]["verdict"].tolist().count("missing") == 2
    assert len(frames["tickets"]) == 8


def test_records_of_an_old_recipe_stay_apart(sweep):
    """Records of the old recipe stay as rows of /runs that no point of the new grid is answered by."""
    old, new = make_plan(), make_plan(train={"epochs": 5})
    write_records(sweep, old)
    merge(sweep, old)

    first = merged(sweep, new)
    frames = TableFile(sweep.table).frames

    assert set(frames["tickets"]["verdict"]) == {"missing"}
    assert frames["runs"]["in_plan"].tolist() == [True] * len(new.runs) + [False] * len(old.runs)
    assert merged(sweep, new, full=True) == first


def test_a_current_table_is_not_rewritten(sweep, plan, reads):
    """Every reading command can start with a merge."""
    write_records(sweep, plan)
    before = merge(sweep, plan).stat()
    reads.clear()

    after = merge(sweep, plan).stat()

    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert reads == []


def test_failures_come_and_go(sweep, plan):
    """A failure is a row while it lasts; with state/ deleted the run is merely missing."""
    write_records(sweep, plan, list(plan.runs)[:1])
    empty = merged(sweep, plan)
    key = list(plan.runs)[1]
    record_failure(sweep, key, Failure("killed by signal 9", host="node7", attempt=2, time=1.0))

    failed = TableFile(merge(sweep, plan)).frames["runs"].set_index("key").loc[key]
    shutil.rmtree(sweep.state)

    assert (failed["state"], failed["cause"], failed["host"]) == ("failed", "killed by signal 9", "node7")
    assert merged(sweep, plan) == empty


def test_the_time_of_a_failure_changes_no_byte(sweep, plan):
    """The table depends only on the displayed part of a failure."""
    sweep.create()
    key = next(iter(plan.runs))
    record_failure(sweep, key, Failure("killed", time=1.0, log="/somewhere"))
    first = merged(sweep, plan)
    record_failure(sweep, key, Failure("killed", time=2.0, log="/elsewhere"))

    assert merged(sweep, plan, full=True) == first


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "foreign", "renamed"])
def test_a_damaged_record_is_a_damaged_row(sweep, plan, damage):
    """One bad file must not keep the other 9,999 from being merged, nor enter as a result."""
    write_records(sweep, plan)
    key, other = list(plan.runs)[1:3]
    good = sweep.record(key).read_bytes()
    sealed = good.index(b"summary-sha256 ") + len(b"summary-sha256 ")
    content = {
        "flip": good[:sealed] + (b"1" if good[sealed] == ord("0") else b"0") + good[sealed + 1 :],
        "cut": good[: len(good) // 2],
        "empty": b"",
        "foreign": b"hello" * 100,
        "renamed": sweep.record(other).read_bytes(),
    }[damage]
    sweep.record(key).write_bytes(content)

    frames = TableFile(merge(sweep, plan)).frames

    row = frames["runs"].set_index("key").loc[key]
    assert row["state"] == "damaged"
    assert "lthsweep doctor" in row["cause"]
    assert frames["runs"]["state"].tolist().count("done") == len(plan.runs) - 1


def flip(path, position):
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("merged_before", [False, True], ids=["first merge", "later merge"])
def test_one_flipped_bit_in_each_record_is_noticed(sweep, merged_before):
    """Of 36 such records, a merge noticed two: most bytes of a record are masks, which a merge does not read."""
    plan = make_plan(sparsity=[0.0, *(0.5 + i / 100 for i in range(17))], rewind_epoch=[0], seed=[0, 1])
    assert len(plan.runs) == 36
    write_records(sweep, plan)
    if merged_before:
        merge(sweep, plan)
    for number, key in enumerate(plan.runs):
        flip(sweep.record(key), 61 * number * number)

    frames = TableFile(merge(sweep, plan)).frames

    assert set(frames["runs"]["state"]) == {"damaged"}
    assert frames["runs"]["test_accuracy"].isna().all()
    assert set(frames["tickets"]["verdict"]) == {"damaged"}
    assert read_disk_status(plan, sweep).damaged.keys() == plan.runs.keys()


def test_two_swapped_records_are_damaged(sweep, plan):
    """Each is whole, and each is the record of another run."""
    write_records(sweep, plan)
    merge(sweep, plan)
    one, other = (sweep.record(key) for key in list(plan.runs)[1:3])
    one_bytes, other_bytes = one.read_bytes(), other.read_bytes()
    one.write_bytes(other_bytes)
    other.write_bytes(one_bytes)

    assert TableFile(merge(sweep, plan)).frames["runs"]["state"].tolist().count("damaged") == 2


def test_decay_without_a_write_is_found_by_full(sweep, plan):
    """A disk that loses bits changes no time of the file; only a hash of all bytes finds it."""
    write_records(sweep, plan)
    merge(sweep, plan)
    key = list(plan.runs)[1]
    flip(sweep.record(key), 2000)
    notes = json.loads(read_hashed(sweep.checked))
    status = sweep.record(key).stat()
    notes[key][1] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    sweep.checked.write_bytes(
        with_hash(sweep.checked, json.dumps(notes).encode())
    )  # as if no time had changed

    unnoticed = TableFile(merge(sweep, plan)).frames["runs"]["state"].tolist()
    noticed = TableFile(merge(sweep, plan, full=True)).frames["runs"]["state"].tolist()

    assert unnoticed.count("damaged") == 0
    assert noticed.count("damaged") == 1


def test_a_ticket_keeps_its_numbers_without_its_dense_run(sweep, plan):
    """Its own record is valid; only the comparison is impossible, and the columns show why."""
    write_records(sweep, plan)
    dense = plan.dense[0]
    flip(sweep.record(dense.key), 3000)

    frames = TableFile(merge(sweep, plan)).frames

    runs = frames["runs"].set_index("key")
    tickets = [run.key for run in plan.tickets if run.trunk == dense.key]
    assert runs.loc[dense.key, "state"] == "damaged"
    assert set(runs.loc[tickets, "state"]) == {"done"}
    assert runs.loc[tickets, "test_accuracy"].notna().all()
    assert (frames["tickets"]["n_damaged"] == 1).all()
    assert (frames["tickets"]["n"] == 1).all()


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "foreign", "schema"])
def test_a_damaged_table_is_created_again(sweep, plan, damage):
    """The table is nothing but a function of the records: it can always be made again."""
    write_records(sweep, plan)
    good = merged(sweep, plan)
    if damage == "schema":
        with h5py.File(sweep.table, "r+") as file:
            row = file["sweep"][()]
            row["schema"] = 99
            file["sweep"][...] = row
    else:
        bad = bytearray(good)
        for place in range(3000, len(bad), 500):
            bad[place] ^= 255
        sweep.table.write_bytes(
            {"flip": bytes(bad), "cut": good[: len(good) // 2], "empty": b"", "foreign": b"x" * 999}[damage]
        )

    assert merged(sweep, plan) == good


def test_a_damaged_table_alone_is_a_clear_error(tmp_path):
    """A table without records has the commands to recreate it."""
    path = tmp_path / "table.h5"
    path.write_bytes(b"x" * 1000)

    with pytest.raises(StoreError, match="lthsweep merge"):
        TableFile(path)


@pytest.mark.parametrize(
    "trick", ["external link", "soft link", "external storage", "virtual", "huge", "group"]
)
def test_a_hostile_table_is_refused(tmp_path, trick):
    """A file from elsewhere must not read other files or fill the memory."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"hunter2 " * 100)
    path = tmp_path / "table.h5"
    path.write_bytes(encode_table(reduce_records(PLAN, RESULTS)))
    with h5py.File(path, "r+") as file:
        del file["runs"]
        dtype = np.dtype([("key", "S8")])
        if trick == "external link":
            file["runs"] = h5py.ExternalLink(str(path), "/tickets")
        elif trick == "soft link":
            file["runs"] = h5py.SoftLink("/tickets")
        elif trick == "external storage":
            file.create_dataset("runs", (100,), dtype, external=[(str(secret), 0, 800)])
        elif trick == "virtual":
            layout = h5py.VirtualLayout((6,), file["tickets"].dtype)
            layout[:] = h5py.VirtualSource(file["tickets"])
            file.create_virtual_dataset("runs", layout)
        elif trick == "huge":
            file.create_dataset("runs", (1 << 40,), dtype, chunks=(1 << 10,))
        else:
            file.create_group("runs")

    frames = TableFile(path).frames

    assert len(frames["tickets"]) == 6
    with pytest.raises(StoreError, match="/runs"):
        frames["runs"]


def test_the_table_survives_the_trip_through_the_file(tmp_path, plan):
    """The file returns the reducer's tables, type for type."""
    table = reduce_records(plan, all_results(plan)[:-1], {})
    path = tmp_path / "copied anywhere.h5"
    path.write_bytes(encode_table(table))

    frames = TableFile(path).frames

    for name in TABLES:
        assert frames[name].equals(table.frames[name])
        assert len(frames[name]) > 0
    assert TableFile(path).sweep == table.sweep


def test_a_sweep_without_any_record_has_a_table(sweep, plan):
    """An empty table is a table: all rows missing, no curve."""
    frames = TableFile(merge(sweep.create(), plan)).frames

    assert set(frames["runs"]["state"]) == {"missing"}
    assert len(frames["curves"]) == len(frames["layers"]) == 0
    assert list(frames["layers"].columns) == ["key", "layer", "size", "remaining", "sparsity", "dead"]


def test_current_writes_nothing(sweep, plan):
    """Reading another user's directory does not change it."""
    write_records(sweep, plan)

    table = current(sweep, plan)

    assert isinstance(table, Table)
    assert not sweep.table.exists()
    merge(sweep, plan)
    assert isinstance(current(sweep, plan), TableFile)


def test_the_table_contains_its_sources(sweep, plan):
    """The file as resolved, and a hash over all records to cite."""
    write_records(sweep, plan)

    made_from = TableFile(merge(sweep, plan)).sweep

    assert made_from.name == "small"
    assert made_from.records == len(plan.runs)
    assert 'name = "lenet_300_100"' in made_from.toml
    assert len(made_from.records_sha256) == 64


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="h5dump is not installed")
def test_h5dump_reads_the_table(sweep, plan):
    """HDF5 1.10 reads the results without this package."""
    write_records(sweep, plan)
    merge(sweep, plan)

    for name in (*TABLES, "sweep"):
        shown = subprocess.run(["h5dump", "-d", f"/{name}", str(sweep.table)], capture_output=True, text=True)
        assert shown.returncode == 0, shown.stderr
    assert '"records_sha256"' in shown.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rewinds", "megabytes"), [(4, 200), pytest.param(49, 1000, marks=pytest.mark.heavy)]
)
def test_thousands_of_records_merge_in_little_memory(tmp_path, rewinds, megabytes):
    """A grid of 3 seeds: all rows are there; 9999 records are merged in less than 1 GB."""
    script = tmp_path / "merge_many.py"
    script.write_text(
        textwrap.dedent(
            """
            import json, sys, time
            sys.path[:0] = {paths!r}
            from pathlib import Path
            from lthsweep.reduce.merge import merge
            from lthsweep.store.layout import SweepDir
            from reduce_cases import large_plan
            sweep, plan = SweepDir(Path({folder!r})), large_plan({rewinds})
            start = time.perf_counter()
            merge(sweep, plan)
            cold = time.perf_counter() - start
            start = time.perf_counter()
            merge(sweep, plan)
            again = time.perf_counter() - start
            # not getrusage: that also counts what the process that started this one once needed
            peak = int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) * 1024
            print(json.dumps([cold, again, peak]))
            """
        ).format(paths=sys.path, folder=str(tmp_path / "sweep"), rewinds=rewinds)
    )
    plan = large_plan(rewinds)
    runs = 3 + 3 * 68 * rewinds
    assert len(plan.runs) == runs
    sweep = SweepDir(tmp_path / "sweep").create()
    for run in plan.runs.values():
        sweep.record(run.key).write_bytes(encode(make_record(run, epochs=30)))

    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    cold, again, peak = json.loads(done.stdout)
    print(f"merge of {len(plan.runs)} records: {cold:.1f} s, again {again:.1f} s, peak {peak / 1e6:.0f} MB")

    frames = TableFile(sweep.table).frames
    assert len(frames["runs"]) == runs
    assert len(frames["tickets"]) == 68 * rewinds
    assert len(frames["curves"]) == runs * 30
    assert set(frames["runs"]["state"]) == {"done"}
    assert peak < megabytes * 1e6
