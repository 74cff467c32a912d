"""The page is one file: well-formed, escaped, without external addresses."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from report_frames import sweep

from lthsweep.errors import StoreError
from lthsweep.report.content import ReportInput
from lthsweep.report.figures import KINDS, drawings, rendered
from lthsweep.report.page import page
from lthsweep.report.write import write_report
from lthsweep.store.layout import SweepDir

HOSTILE = "</script><script>alert(1)</script><b>\"'&"
_SMALL = {"sparsities": (0.5, 0.9), "rewinds": (0, 2), "epochs": 2, "seeds": 2}
_VOID = {"meta", "input", "br"}


class _Tree(HTMLParser):
    """Checks nesting and collects the elements."""

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
    """The page with two of its figures, which is enough to check how figures are embedded."""
    figures = drawings(report)[:2]
    return page(report, [(one, image.svg) for one, image in zip(figures, rendered(figures), strict=True)])


@pytest.fixture(scope="module")
def ordinary() -> str:
    """A sweep with a missing and a failed grid point."""
    return _page(sweep(**_SMALL, missing=[(0.9, 0)], failed=[(0.9, 2)]))


@pytest.fixture(scope="module")
def hostile() -> str:
    """Markup in every text: sweep, axis value, layer, cause, file."""
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
    """Browsers repair bad nesting in different ways."""
    _Tree(ordinary)


@pytest.mark.parametrize("which", ["ordinary", "hostile"])
def test_the_page_has_no_external_addresses(which, request):
    """Readers have no network on clusters, and open the page years later."""
    text = request.getfixturevalue(which)
    tree = _Tree(text)

    assert re.findall(r"https?:|//[a-z]", text) == []
    assert tree.tags("link") == tree.tags("img") == tree.tags("iframe") == []
    assert all("src" not in attrs for _, attrs in tree.seen)
    links = [attrs["href"] for _, attrs in tree.seen if "href" in attrs]
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_the_page_forbids_fetching(ordinary):
    """Markup that slips through the escaping still cannot load anything."""
    policy = [m["content"] for m in _Tree(ordinary).tags("meta") if m.get("http-equiv")]

    assert policy[0].startswith("default-src 'none'")


def test_all_texts_are_escaped(hostile):
    """Names of sweeps and data sets can contain markup."""
    tree = _Tree(hostile)

    assert len(tree.tags("script")) == 1
    assert tree.tags("b") == []
    assert hostile.count("alert(1)") > 5
    assert "<script>alert" not in hostile


def test_ids_are_unique_across_figures(ordinary):
    """Matplotlib uses the same ids in each figure; figures would share clip paths."""
    ids = [attrs["id"] for _, attrs in _Tree(ordinary).seen if "id" in attrs]

    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", ordinary)) <= set(ids)
    assert set(re.findall(r'href="#([^"]+)"', ordinary)) <= set(ids)


def test_figures_are_inline_with_alternatives(ordinary):
    """The alternative names the content and points to the table."""
    drawn = [svg for svg in _Tree(ordinary).tags("svg") if svg.get("role") == "img"]

    assert len(drawn) == 2
    assert all("The table holds the numbers." in svg["aria-label"] for svg in drawn)


def test_the_table_has_a_row_per_grid_point(ordinary):
    """Missing and failed grid points are rows too."""
    rows = [row["data-verdict"] for row in _Tree(ordinary).tags("tr") if "data-verdict" in row]

    assert len(rows) == 4
    assert rows.count("missing") == 1
    assert rows.count("failed") == 1


def test_table_headings_have_scopes(ordinary):
    """Screen readers need the direction to read a heading with its cells."""
    assert all(head.get("scope") in {"col", "row"} for head in _Tree(ordinary).tags("th"))


def test_missing_and_failed_cells_are_counted_separately(ordinary):
    """Many readers see only these counts."""
    assert "<dt>Cells missing</dt><dd>2 " in ordinary
    assert "<dt>Cells failed</dt><dd>2 " in ordinary
    assert "<dt>Cells finished</dt><dd>4 <small>of 8</small>" in ordinary


def test_failed_runs_are_named_with_their_cause():
    """Later readers have no log."""
    report = sweep(**_SMALL, failed=[(0.9, 2)])
    runs = report.runs.assign(cause=report.runs["state"].map({"failed": "killed by signal 9"}))

    text = page(ReportInput(report.name, 0.002, 0.95, report.tickets, runs))

    assert text.count("killed by signal 9") == 2


def test_audit_problems_and_dead_layers_are_named():
    """Both invalidate or explain a number."""
    report = sweep(sparsities=(0.98,), rewinds=(0,), seeds=1, epochs=1)
    text = page(ReportInput(report.name, 0.002, 0.95, report.tickets.assign(audit_ok=False)))

    assert "Audit problems (1)" in text
    assert "Dead layers (1)" in text
    assert "sparsity = 0.98, k = 0: features.3.conv.0.0, features.3.conv.1.0" in text


def test_a_sound_sweep_has_no_warnings():
    """Readers ignore a section that is always present."""
    assert "Problems to know about" not in page(sweep(**_SMALL))


def test_omitted_rows_are_counted(monkeypatch):
    """Half a table must not look like a whole one."""
    monkeypatch.setattr("lthsweep.report.page.MAX_ROWS", 3)

    text = page(sweep(**_SMALL))

    assert text.count("<tr data-verdict=") == 3
    assert "1 more are in the sweep's table" in text


def test_unknown_numbers_are_dashes():
    """Readers do not know `nan`."""
    report = sweep(**_SMALL)
    tickets = report.tickets.assign(ticket_accuracy=math.nan, macs_dense=0.0, steps_to_dense=-1)

    text = page(ReportInput(report.name, 0.002, 0.95, tickets))

    assert ">nan" not in text
    assert ">never</td>" in text


def test_the_answer_separates_winning_from_matching():
    """Only a ticket from initialization wins; one from a later epoch matches."""
    report = sweep(**_SMALL)
    none = page(ReportInput("s", 0.002, 0.95, report.tickets.assign(verdict="not matching")))
    verdicts = ["winning", "undecided", "undecided", "matching"]
    both = page(ReportInput("s", 0.002, 0.95, report.tickets.assign(verdict=verdicts)))

    assert "No ticket matches its dense run so far." in none
    assert "The sparsest matching ticket keeps <strong>10.0 %</strong>" in both
    assert "From initialization, the sparsest winning ticket keeps <strong>50.0 %</strong>" in both


@pytest.mark.slow
def test_write_report_writes_page_and_figures(tmp_path):
    """Each figure as PNG for slides and SVG for a paper."""
    paths = write_report(SweepDir(tmp_path), sweep(**{**_SMALL, "sparsities": (0.5,), "rewinds": (0,)}))

    assert paths[0] == tmp_path / "report.html"
    assert sorted(path.name for path in paths[1:]) == sorted(
        f"{k}.{e}" for k in KINDS for e in ("svg", "png")
    )
    assert all(path.stat().st_size > 0 for path in paths)


@pytest.mark.slow
def test_write_report_names_the_unwritable_path(tmp_path):
    """Reports into directories of other users are a common mistake."""
    (tmp_path / "figures").write_text("a file where the folder should be")

    with pytest.raises(StoreError, match="figures"):
        write_report(SweepDir(tmp_path), sweep(sparsities=(0.5,), rewinds=(0,), seeds=1, epochs=1))


def test_combinations_without_figure_are_counted():
    """Figures stop at a number of combinations."""
    text = page(sweep(sparsities=(0.5,), rewinds=(0,), seeds=1, epochs=1), without_figure=2)

    assert "2 more combinations of the axes without a figure" in text


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


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium on PATH")
def test_the_table_sorts_and_filters_in_a_browser(tmp_path):
    """Unknown values sort last in both directions; a filter only hides rows."""
    report = sweep(**_SMALL, missing=[(0.9, 2)])
    accuracies = [0.5, 0.7, 0.6, math.nan]
    text = page(ReportInput("s", 0.002, 0.95, report.tickets.assign(ticket_accuracy=accuracies)))
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
