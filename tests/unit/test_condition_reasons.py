"""Every reason that a condition may carry is explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OPERATOR = ROOT / "operator" / "recsys_operator"
GIVEN = re.compile(r'\b(?:Problem|Shortfall|Note)\(\s*"([A-Z][A-Za-z]+)"')
ABSENT = re.compile(r'"([A-Z][A-Za-z]+Absent)"')


def reasons() -> set[str]:
    texts = [
        path.read_text(encoding="utf-8")
        for folder in ("reconcile", "components")
        for path in (OPERATOR / folder).rglob("*.py")
        if path.name != "alerts.py"  # alerts have names of that form too
    ]
    return {reason for text in texts for pattern in (GIVEN, ABSENT) for reason in pattern.findall(text)}


@pytest.mark.parametrize("reason", sorted(reasons()))
def test_it_is_in_the_table_of_reasons(reason: str) -> None:
    table = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8").split("## Conditions and reasons")[1]
    assert f"`{reason}`" in table


def test_reasons_are_found_at_all() -> None:
    assert {"ImagePullFailed", "RolloutInProgress", "MonitoringApiAbsent"} <= reasons()
