"""report.html: one file that needs nothing else; it opens from a disk, in light or dark, and on paper."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from html import escape
from importlib import resources

from lthsweep.report.content import ReportInput
from lthsweep.report.controls import controls_section
from lthsweep.report.figures import Drawing
from lthsweep.report.inline_svg import inline_svg
from lthsweep.report.numbers import plural
from lthsweep.report.page_headline import answer, best_table, lead, tiles
from lthsweep.report.page_notices import notices
from lthsweep.report.page_table import MAX_ROWS, filters, ticket_rows, verdict_badge
from lthsweep.report.summary import sparsest_matching
from lthsweep.report.verdicts import definitions, points_of

__all__ = ["page"]

# The browser itself refuses whatever is not in the file, should a name ever slip through the escaping.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def page(report: ReportInput, drawings: Sequence[Drawing], *, left_out: int = 0) -> str:
    """The whole document.

    Args:
        report: what to show.
        drawings: the figures, put inline in this order.
        left_out: combinations of the further axes that have no figure; the page says so.
    """
    best = sparsest_matching(report.tickets, report.steps_per_epoch)
    figures = "\n".join(_figure(number, drawing) for number, drawing in enumerate(drawings, start=1))
    if left_out:
        figures += (
            f"<p>{plural(left_out, 'more combination')} of the axes without a figure; the table has all.</p>"
        )
    more = len(report.tickets) - MAX_ROWS
    cut = f"<p>The first {MAX_ROWS:,} rows; {more:,} more are in the sweep's table.</p>" if more > 0 else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(report.name)} · lthsweep</title>
<style>
{_asset("page.css")}</style>
</head>
<body>
<header>
<div class="top"><h1>{escape(report.name)}</h1><button id="theme" type="button" hidden>Theme</button></div>
{lead(report)}
<p class="answer">{answer(report, best)}</p>
{tiles(report)}
</header>
<main>
<section aria-labeledby="best"><h2 id="best">Sparsest matching ticket per rewind epoch</h2>
{best_table(report, best)}</section>
{notices(report)}
<section aria-labeledby="figures"><h2 id="figures">Figures</h2>
{figures}</section>
{controls_section(report)}
<section aria-labeledby="table"><h2 id="table">All grid points</h2>
{filters(report)}
<div class="scroll tall" tabindex="0" role="region" aria-label="table of all grid points">
{ticket_rows(report)}
</div>{cut}</section>
<section aria-labeledby="words"><h2 id="words">What the verdicts mean</h2>
{_definitions(report)}</section>
<section aria-labeledby="again"><h2 id="again">How to repeat this</h2>
{_reproduce(report)}</section>
</main>
<script>
{_asset("page.js")}</script>
</body>
</html>
"""


def _asset(name: str) -> str:
    return resources.files("lthsweep.report").joinpath(name).read_text(encoding="utf-8")


def _figure(number: int, drawing: Drawing) -> str:
    svg = inline_svg(drawing.svg, prefix=f"f{number}", alt=drawing.alt)
    files = f"figures/{drawing.name}.svg"
    return (
        f"<figure><h3>{escape(drawing.title)}</h3>\n{svg}\n"
        f"<figcaption>{escape(drawing.caption)} "
        f"Files: <code>{escape(files)}</code> and <code>.png</code>.</figcaption></figure>"
    )


def _definitions(report: ReportInput) -> str:
    margin = points_of(report.margin).replace("point", "percentage point")
    intro = (
        "A ticket is compared with the dense run of its own seed. From these paired differences of test "
        f"accuracy at the last epoch comes Student's {100 * report.confidence:g} % interval; the margin is "
        f"{margin}. No choice of the sweep was made on test data."
    )
    words = definitions(report.margin, report.confidence)
    inner = "".join(f"<dt>{verdict_badge(name)}</dt><dd>{escape(text)}</dd>" for name, text in words.items())
    return f'<p>{escape(intro)}</p><dl class="words">{inner}</dl>'


def _reproduce(report: ReportInput) -> str:
    where = report.where
    folder = shlex.quote(where)
    program = f"import lthsweep; print(lthsweep.load({json.dumps(where, ensure_ascii=False)}).tickets)"
    commands = (
        f"lthsweep run {folder}        # trains what is missing, nothing twice\n"
        f"lthsweep merge {folder}      # records → table.h5\n"
        f"lthsweep query {folder} \"verdict = 'matching'\" --sort weights_remaining\n"
        f"lthsweep report {folder}     # this page\n"
        f"\n"
        f"python -c {shlex.quote(program)}"
    )
    cite = (
        f"<p>Made from the records with hash <code>{escape(report.digest)}</code>.</p>"
        if report.digest
        else ""
    )
    spec = (
        "<details><summary>The file, defaults written out</summary>"
        f"<pre><code>{escape(report.spec_text)}</code></pre></details>"
        if report.spec_text
        else ""
    )
    return f"<pre><code>{escape(commands)}</code></pre>{cite}{spec}"
