"""The tables and the headline for a terminal."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from report_frames import sweep
from rich.console import Console

from lthsweep.report.terminal import headline, ticket_table

_SMALL = {"sparsities": (0.5, 0.95), "rewinds": (0, 4), "epochs": 1}


def _printed(table: object, width: int = 100) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(table)
    return out.getvalue()


def test_the_table_fits_in_100_columns():
    """A wrapped number is misread; terminals over SSH are narrow."""
    report = sweep(**_SMALL, missing=[(0.95, 4)], failed=[(0.5, 4)])

    lines = [line.rstrip() for line in _printed(ticket_table(report.tickets)).splitlines() if line.strip()]

    assert len(lines) == 2 + 4
    assert max(map(len, lines)) <= 100


def test_states_are_words_not_only_colors():
    """Logs have no colors, and some readers see none."""
    report = sweep(**_SMALL, missing=[(0.95, 4)], failed=[(0.5, 4)])

    rows = _printed(ticket_table(report.tickets)).splitlines()[2:]

    assert [("missing" in r, "failed" in r, "2 dead layers" in r) for r in rows if r.strip()] == [
        (False, False, False),
        (False, True, False),
        (False, False, True),
        (True, False, False),
    ]


def test_a_failed_audit_is_a_remark():
    """It makes the numbers of its row invalid."""
    tickets = sweep(**_SMALL).tickets.assign(audit_ok=False)

    assert "audit failed" in _printed(ticket_table(tickets), width=140)


def test_brackets_in_values_are_not_markup():
    """Rich reads [brackets] as markup."""
    report = sweep(sparsities=(0.5,), rewinds=(0,), seeds=1, epochs=1, further={"data.label": ["[red]x"]})

    assert "[red]x" in _printed(ticket_table(report.tickets, title="[b]t"))
    assert "[b]t" in _printed(ticket_table(report.tickets, title="[b]t"))


def test_the_table_counts_omitted_rows():
    """Half a table must not look like a whole one."""
    table = ticket_table(sweep(**_SMALL).tickets, limit=3)

    assert table.row_count == 3
    assert "1 row more; `lthsweep query` shows them" in _printed(table)


def test_threshold_sweeps_show_weights_left():
    """A threshold does not determine how sparse its ticket is."""
    by_threshold = ticket_table(sweep(**{**_SMALL, "sparsities": (0.01,)}, cut="threshold").tickets)
    by_sparsity = ticket_table(sweep(**_SMALL).tickets)

    assert "left %" in _printed(by_threshold)
    assert "left %" not in _printed(by_sparsity)


def test_the_headline_names_the_sparsest_matching_tickets():
    """It counts cells by state, and lists rewind epochs without a match."""
    report = sweep(**_SMALL, seeds=2)
    tickets = report.tickets.assign(
        verdict=["undecided", "matching", "not matching", "missing"], n_missing=[0, 0, 0, 2]
    )

    lines = headline(tickets, name="demo", margin=0.002, confidence=0.95)

    assert lines[0] == "demo: 4 grid points, 8 cells: 6 finished, 2 missing, 0 failed"
    assert lines[1] == (
        "verdicts (margin 0.2 points, 95 % interval): 1 matching, 1 not matching, 1 undecided, 1 missing"
    )
    assert lines[-2] == "  k = 0: none (1 undecided: more seeds can decide)"
    assert lines[-1].startswith("  k = 4: sparsity 0.5, 50.0 % of weights left (2.0×), ")
    assert lines[-1].endswith(" matching")


def test_a_dense_row_is_no_ticket():
    """Sparsity 0 matches by identity."""
    tickets = sweep(sparsities=(0.0,), rewinds=(0,), seeds=2, epochs=1).tickets.assign(verdict="matching")

    assert headline(tickets, margin=0.002, confidence=0.95)[-1] == "  k = 0: none"


@pytest.mark.slow
def test_terminal_tables_import_no_matplotlib_or_torch():
    """`merge` and `query` print this table and must start fast."""
    program = (
        "import sys; from lthsweep.report import content, summary, terminal; "
        "print({'matplotlib', 'torch'} & set(sys.modules))"
    )

    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert out.strip() == "set()"
