"""`doctor` finds all damage, and moves exactly the files away that make results wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import os

import pytest

from lthsweep.store.layout import SweepDir
from lthsweep.store.publish import commit_record
from lthsweep.store.record import encode
from lthsweep.store.verify import quarantine, verify
from lthsweep.store.weights import save_arrays
from tests.store.factory import fill, make_record, names
from tests.store.test_weights import ARRAYS


@pytest.fixture
def sweep(tmp_path):
    return SweepDir(tmp_path / "sweep").create()


def with_weights(sweep, number=1):
    """A published record whose weights are on disk."""
    record = make_record(number, layers=2)
    digest = save_arrays(sweep.final(record.key), ARRAYS)
    record = dataclasses.replace(record, weights={"final.safetensors": digest})
    commit_record(sweep, record)
    return record


def only(findings):
    """The one finding, in words that are easy to compare."""
    (finding,) = findings
    return finding.severity, finding.path, finding.what


def test_a_good_sweep_has_no_findings(sweep):
    """An alarm without a fire teaches to ignore alarms."""
    fill(sweep, 3)
    with_weights(sweep, 9)

    assert verify(sweep) == []
    assert verify(SweepDir(sweep.path / "missing")) == []


def test_a_damaged_record_is_moved_away(sweep):
    """So that `run` finds it missing and trains it again."""
    (key,) = fill(sweep, 1)
    data = bytearray(sweep.record(key).read_bytes())
    data[1000] ^= 1
    sweep.record(key).write_bytes(data)

    findings = verify(sweep)
    moved = quarantine(sweep, findings)

    severity, path, what = only(findings)
    assert (severity, path) == ("error", sweep.record(key))
    assert "sha256" in what
    assert [path.read_bytes() for path in moved] == [bytes(data)]
    assert moved[0].parent == sweep.quarantine
    assert sweep.record_keys() == []
    assert quarantine(sweep, findings) == []


def test_a_record_under_another_name_is_an_error(sweep):
    """A copied file contains the key of the original."""
    (key,) = fill(sweep, 1)
    sweep.record("ab").write_bytes(sweep.record(key).read_bytes())

    severity, path, what = only(verify(sweep))

    assert (severity, path) == ("error", sweep.record("ab"))
    assert key in what


def test_a_manifest_of_another_run_is_an_error(sweep):
    """The key is a hash of the computation."""
    record = dataclasses.replace(make_record(1), manifest={"another": "run"})
    sweep.record(record.key).write_bytes(encode(record))

    assert "manifest" in only(verify(sweep))[2]


def test_a_failed_audit_is_an_error(sweep):
    """Its number contradicts the table."""
    record = make_record(1, audit={"ok": False, "exact": False, "pruned_weights_zero": True})
    commit_record(sweep, record)

    assert only(verify(sweep))[2].endswith("audit: exact")


def test_damaged_weights_go_with_their_record(sweep):
    """The record vouches for them; without it the run is trained again, weights and all."""
    record = with_weights(sweep)
    sweep.final(record.key).write_bytes(b"other")

    findings = verify(sweep)
    moved = quarantine(sweep, findings)

    assert only(findings)[:2] == ("error", sweep.final(record.key))
    assert len(moved) == 2
    assert sweep.record_keys() == []
    assert names(sweep.weights_of(record.key)) == []


def test_missing_weights_do_not_spoil_the_result(sweep):
    """Users delete weights to free space; the measurement remains valid."""
    record = with_weights(sweep)
    sweep.final(record.key).unlink()

    findings = verify(sweep)

    assert only(findings)[0] == "warning"
    assert quarantine(sweep, findings) == []
    assert sweep.record_keys() == [record.key]


def test_weights_cannot_be_named_outside(sweep):
    """A foreign record can name any file."""
    record = make_record(1, weights={"../../../etc/passwd": "0" * 64})
    commit_record(sweep, record)

    assert only(verify(sweep))[:2] == ("error", sweep.record(record.key))


def test_unneeded_files_are_noted(sweep):
    """The space can be freed without losing a result."""
    record = with_weights(sweep)
    save_arrays(sweep.snapshot(record.key, 5), ARRAYS)
    save_arrays(sweep.final("ab"), ARRAYS)
    (sweep.records / "notes.txt").touch()
    old, young = sweep.records / ".x.h5.00.tmp", sweep.weights_of(record.key) / ".y.00.tmp"
    for path, when in ((old, 1000), (young, 9000)):
        path.touch()
        os.utime(path, (when, when))

    findings = verify(sweep, temps_older_than=3600, now=10_000)

    assert {finding.severity for finding in findings} == {"note"}
    assert {finding.path for finding in findings} == {
        old,
        sweep.records / "notes.txt",
        sweep.snapshot(record.key, 5),
        sweep.weights_of("ab"),
    }
    assert quarantine(sweep, findings) == []


def test_a_conflict_is_a_warning(sweep):
    """Two results of one deterministic run need attention."""
    record = make_record(1)
    commit_record(sweep, record)
    commit_record(sweep, dataclasses.replace(record, outcome="diverged"))

    severity, path, _ = only(verify(sweep))

    assert severity == "warning"
    assert path.parent == sweep.conflicts


def test_a_record_of_another_version_is_left_alone(sweep):
    """An older lthsweep must not remove files of a newer one."""
    data = encode(make_record(1))
    head = data[:-65].replace(b"lthsweep-record 0001", b"lthsweep-record 0002")
    sweep.record("ab").write_bytes(head + hashlib.sha256(head).hexdigest().encode() + b"\n")

    findings = verify(sweep)

    assert only(findings)[0] == "warning"
    assert quarantine(sweep, findings) == []


def test_each_finding_has_a_remedy(sweep):
    """A finding without a remedy is a complaint."""
    sweep.record("ab").write_bytes(b"x")

    assert all(finding.remedy for finding in verify(sweep))
