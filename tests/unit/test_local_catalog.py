"""What is said at the end of loading a catalogue."""

from __future__ import annotations

from pathlib import Path

from recsys_gateway.catalog.importers.row_error import RowError
from recsys_gateway.catalog.loading import LoadReport, TableReport
from recsys_operator.local.catalog_job import BadRowError
from recsys_operator.local.catalog_process import finished


def test_totals_are_short_and_the_summary_tells_what_changed() -> None:
    report = LoadReport(
        items=TableReport(read=366, added=366), users=TableReport(read=1000), interactions=TableReport(read=19665)
    )
    said = finished(report)
    assert said.totals == "366 items, 1,000 users, 19,665 events"
    assert said.summary == "366 items (366 added), 1000 users (unchanged), 19665 interactions (unchanged)"
    assert said.skipped == ()


def test_bad_rows_are_counted_and_the_first_are_told() -> None:
    bad = RowError(Path("items.csv"), 4, "no id")
    said = finished(LoadReport(items=TableReport(read=2, added=2, bad_rows=3, bad=[bad])))
    assert said.totals == "2 items, 3 bad rows skipped"
    assert said.skipped == (f"skipped: {bad}", "skipped: 2 more rows of items")


def test_a_bad_row_comes_with_what_to_type() -> None:
    told = BadRowError("items.csv:4: no id").with_hint("recsys up")
    assert str(told) == "items.csv:4: no id (recsys up --on-error skip loads the rest)"
