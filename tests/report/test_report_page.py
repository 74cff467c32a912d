"""The page is one file: whole, escaped, without any address outside itself."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from report_frames import sweep

from lthsweep.errors import StoreError
from lthsweep.report import page_table
from lthsweep.report.content import ReportInput
from lthsweep.report.figures import KINDS, draw_figures
from lthsweep.report.page import page
from lthsweep.report.write import write_report
from lthsweep.store.layout import SweepDir

HOSTILE = "</script><script>alert(1)</script><b>\"'&"
_SMALL = {"sparsities": (0.5, 0.9), "rewinds": (0, 2), "epochs": 2, "seeds": 2}
_VOID = {"meta", "input", "br"}


class _Tree(HTMLParser):
    """Checks nesting, and collects what the tests look at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def tags(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.seen if tag == name]


def _page(report: ReportInput) -> str:
    return page(report, draw_figures(report))


@pytest.fixture(scope="module")
def ordinary() -> str:
    """A sweep with a missing and a failed grid point."""
    return _page(sweep(**_SMALL, missing=[(0.9, 0)], failed=[(0.9, 2)]))


@pytest.fixture(scope="module")
def hostile() -> str:
    """Names as nobody should choose them: sweep, axis value, layer, cause, file."""
    report = sweep(**_SMALL, further={"data.label": [HOSTILE]}, name=HOSTILE, failed=[(0.9, 2)])
    tickets = report.tickets.assign(dead_layers=HOSTILE)
    runs = report.runs.assign(cause=HOSTILE)
    layers = report.layers.assign(layer=HOSTILE + report.layers["layer"])
    return _page(
        ReportInput(
            HOSTILE,
            0.002,
            0.95,
            tickets,
            runs,
            report.curves,
            layers,
            description=HOSTILE,
            folder=HOSTILE,
            digest=HOSTILE,
            spec_text=HOSTILE,
        )
    )


def test_the_page_is_well_nested(ordinary):
    """A browser repairs bad nesting in its own way, and a table in pieces is no table."""
    _Tree(ordinary)


@pytest.mark.parametrize("which", ["ordinary", "hostile"])
def test_the_page_refers_to_nothing_outside(which, request):
    """It is read on clusters without a network, and years later."""
    text = request.getfixturevalue(which)
    tree = _Tree(text)

    assert re.findall(r"https?:|//[a-z]", text) == []
    assert tree.tags("link") == tree.tags("img") == tree.tags("iframe") == []
    assert all("src" not in attrs for _, attrs in tree.seen)
    links = [attrs["href"] for _, attrs in tree.seen if "href" in attrs]
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_the_page_forbids_the_browser_to_fetch(ordinary):
    """Should a name slip through the escaping, it still reaches nothing."""
    policy = [m["content"] for m in _Tree(ordinary).tags("meta") if m.get("http-equiv")]

    assert policy[0].startswith("default-src 'none'")


def test_names_are_escaped_wherever_they_stand(hostile):
    """A sweep's name or a class label of a foreign data set may hold markup."""
    tree = _Tree(hostile)

    assert len(tree.tags("script")) == 1
    assert tree.tags("b") == []
    assert hostile.count("alert(1)") > 5
    assert "<script>alert" not in hostile


def test_ids_are_unique_over_all_figures(ordinary):
    """Matplotlib names things alike in each figure; a shared id would draw one with the other's clip path."""
    ids = [attrs["id"] for _, attrs in _Tree(ordinary).seen if "id" in attrs]

    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", ordinary)) <= set(ids)
    assert set(re.findall(r'href="#([^"]+)"', ordinary)) <= set(ids)


def test_each_figure_is_inline_with_a_text_alternative(ordinary):
    """A reader who cannot see it is told what it shows, and that the table has the numbers."""
    drawn = [svg for svg in _Tree(ordinary).tags("svg") if svg.get("role") == "img"]

    assert len(drawn) == len(KINDS)
    assert all("The table holds the numbers." in svg["aria-label"] for svg in drawn)


def test_the_table_has_a_row_per_grid_point(ordinary):
    """Missing and failed grid points are rows, never silently absent."""
    rows = [row["data-verdict"] for row in _Tree(ordinary).tags("tr") if "data-verdict" in row]

    assert len(rows) == 4
    assert rows.count("missing") == 1
    assert rows.count("failed") == 1


def test_every_heading_of_a_table_has_a_scope(ordinary):
    """Screen readers read the heading with each cell only if they know its direction."""
    assert all(head.get("scope") in {"col", "row"} for head in _Tree(ordinary).tags("th"))


def test_missing_and_failed_cells_are_counted_apart(ordinary):
    """The head line is what most readers take along."""
    assert "<dt>Cells missing</dt><dd>2 " in ordinary
    assert "<dt>Cells failed</dt><dd>2 " in ordinary
    assert "<dt>Cells finished</dt><dd>4 <small>of 8</small>" in ordinary


def test_failed_runs_are_named_with_their_cause():
    """Whoever reads the page weeks later has no other log at hand."""
    report = sweep(**_SMALL, failed=[(0.9, 2)])
    runs = report.runs.assign(cause=report.runs["state"].map({"failed": "killed by signal 9"}))

    text = page(ReportInput(report.name, 0.002, 0.95, report.tickets, runs), [])

    assert text.count("killed by signal 9") == 2


def test_audit_problems_and_dead_layers_are_named():
    """Both say that a number is not what it looks like."""
    report = sweep(sparsities=(0.98,), rewinds=(0,), seeds=1, epochs=1)
    text = page(ReportInput(report.name, 0.002, 0.95, report.tickets.assign(audit_ok=False)), [])

    assert "Audit problems (1)" in text
    assert "Dead layers (1)" in text
    assert "sparsity = 0.98, k = 0: features.3.conv.0.0, features.3.conv.1.0" in text


def test_a_sweep_without_problems_has_no_warnings():
    """A warning that is always there is read by nobody."""
    assert "To be aware of" not in page(sweep(**_SMALL), [])


def test_rows_beyond_the_limit_are_announced(monkeypatch):
    """A page that silently shows half a table would lie."""
    monkeypatch.setattr(page_table, "MAX_ROWS", 3)
    monkeypatch.setattr("lthsweep.report.page.MAX_ROWS", 3)

    text = page(sweep(**_SMALL), [])

    assert text.count("<tr data-verdict=") == 3
    assert "1 more are in the sweep&#x27;s table" in text or "1 more are in the sweep's table" in text


def test_a_grid_point_without_numbers_shows_dashes_not_nan():
    """`nan` is an answer only to a programmer."""
    report = sweep(**_SMALL)
    tickets = report.tickets.assign(ticket_accuracy=math.nan, macs_dense=0.0, steps_to_dense=-1)

    text = page(ReportInput(report.name, 0.002, 0.95, tickets), [])

    assert ">nan" not in text
    assert ">never</td>" in text


def test_the_answer_tells_a_winning_ticket_from_a_matching_one():
    """Only a ticket from initialization wins; a rewound one matches."""
    report = sweep(**_SMALL)
    none = page(ReportInput("s", 0.002, 0.95, report.tickets.assign(verdict="not matching")), [])
    verdicts = ["winning", "undecided", "undecided", "matching"]
    both = page(ReportInput("s", 0.002, 0.95, report.tickets.assign(verdict=verdicts)), [])

    assert "No ticket matches its dense run so far." in none
    assert "The sparsest matching ticket keeps <strong>10.0 %</strong>" in both
    assert "From initialization, the sparsest winning ticket keeps <strong>50.0 %</strong>" in both


def test_write_report_writes_the_page_and_both_forms_of_each_figure(tmp_path):
    """Two forms: PNG for slides, SVG for a paper."""
    paths = write_report(SweepDir(tmp_path), sweep(**_SMALL))

    assert paths[0] == tmp_path / "report.html"
    assert sorted(path.name for path in paths[1:]) == sorted(
        f"{k}.{e}" for k in KINDS for e in ("svg", "png")
    )
    assert all(path.stat().st_size > 0 for path in paths)


def test_write_report_says_where_it_cannot_write(tmp_path):
    """A report into somebody else's directory is a usual mistake."""
    (tmp_path / "figures").write_text("a file where the folder should be")

    with pytest.raises(StoreError, match="figures"):
        write_report(SweepDir(tmp_path), sweep(sparsities=(0.5,), rewinds=(0,), seeds=1, epochs=1))


def test_the_page_tells_how_many_combinations_have_no_figure(tmp_path):
    """Figures stop at a number of combinations; the reader must know."""
    report = sweep(sparsities=(0.5,), rewinds=(0,), seeds=1, epochs=1, further={"train.epochs": [1, 2, 3]})

    write_report(SweepDir(tmp_path), report, max_parts=1)

    assert "2 more combinations of the axes without a figure" in (tmp_path / "report.html").read_text()


_SCRIPT = """
const heads = [...document.querySelectorAll("#tickets thead th")];
const shown = () => [...document.querySelectorAll("#tickets tbody tr")].filter((r) => !r.hidden);
const order = () => shown().map((r) => r.cells[0].textContent + "/" + r.cells[1].textContent).join(" ");
const press = (name) => heads.find((h) => h.textContent === name).querySelector("button").click();
const out = [];
press("ticket %"); out.push(order());
press("ticket %"); out.push(order());
const form = document.getElementById("filters");
const set = (change) => { change(); form.dispatchEvent(new Event("input")); };
set(() => { form.querySelector("[value=missing]").checked = true; }); out.push(order());
form.querySelector("[value=missing]").checked = false;
set(() => { form.querySelector("select").value = "=0.5"; });
out.push(order());
document.getElementById("theme").click();
out.push(document.documentElement.dataset.theme);
document.body.setAttribute("data-out", out.join("|"));
"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium on PATH")
def test_the_table_sorts_and_filters_in_a_browser(tmp_path):
    """What is not known sorts last both ways, and a filter hides rows without losing them."""
    report = sweep(**_SMALL, missing=[(0.9, 2)])
    accuracies = [0.5, 0.7, 0.6, math.nan]
    text = page(ReportInput("s", 0.002, 0.95, report.tickets.assign(ticket_accuracy=accuracies)), [])
    file = tmp_path / "page.html"
    file.write_text(text.replace("</body>", f"<script>{_SCRIPT}</script></body>"))

    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-sync",
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    dumped = subprocess.run(
        ["chromium", *flags, "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout

    found = re.search(r'data-out="([^"]*)"', dumped)
    assert found
    assert found[1].split("|") == [
        "0.5/0 0.9/0 0.5/2 0.9/2",
        "0.5/2 0.9/0 0.5/0 0.9/2",
        "0.9/2",
        "0.5/2 0.5/0",
        "dark",
    ]
