"""The metric columns of the table as Markdown, for docs/the-table.md."""

from __future__ import annotations

from lthsweep.store.metrics import METRICS

__all__ = ["metrics_markdown"]

_RUNS = {"all": "", "tickets": " (tickets)", "budget": " (budget runs)"}


def metrics_markdown(table: str) -> str:
    """Return a Markdown table with the metric columns of `/runs` or `/tickets`, one row each.

    Args:
        table: "runs" or "tickets".
    """
    rows = ["| column | meaning |", "|---|---|"]
    for name, info in METRICS.items():
        if table == "tickets" and info.over_seeds is None:
            continue
        suffix = (
            _RUNS[info.runs] if table == "runs" else "; median over seeds" * (info.over_seeds == "median")
        )
        rows.append(f"| `{name}` | {info.description}{suffix} |")
    return "\n".join(rows)
