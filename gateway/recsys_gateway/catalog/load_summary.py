"""What a load did, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from recsys_gateway.catalog.loading import LoadReport, TableReport

_ROWS = {"items": "items", "users": "users", "interactions": "events"}
"""What a short line calls the rows of each table."""


def totals(report: LoadReport) -> str:
    """What the catalogue now holds."""
    tables = _tables(report)
    bad = sum(table.bad_rows for table in tables.values())
    parts = [f"{table.read:,} {_ROWS[name]}" for name, table in tables.items() if table.read]
    return ", ".join(parts + ([f"{bad:,} bad row{'s' if bad > 1 else ''} skipped"] if bad else []))


def changes(report: LoadReport) -> str:
    """What this load changed."""
    tables = _tables(report)
    lines = [", ".join(f"{table.read} {name} ({_changes(table)})" for name, table in tables.items() if table.read)]
    if report.unknown_items:
        lines.append(f"{report.unknown_items} items of the interactions are not in the catalogue")
    return "\n".join(lines)


def skipped(report: LoadReport) -> Iterator[str]:
    """The bad rows that were left out, a line each; the last one of a table says how many more there are."""
    for name, table in _tables(report).items():
        yield from (f"skipped: {problem}" for problem in table.bad)
        if table.bad_rows > len(table.bad):
            yield f"skipped: {table.bad_rows - len(table.bad)} more rows of {name}"


def _tables(report: LoadReport) -> Mapping[str, TableReport]:
    return {"items": report.items, "users": report.users, "interactions": report.interactions}


def _changes(table: TableReport) -> str:
    counts = {"added": table.added, "changed": table.changed, "removed": table.removed}
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "unchanged"
