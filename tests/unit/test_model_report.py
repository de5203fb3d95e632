"""The report of the sample models: a section a model, written one at a time."""

from __future__ import annotations

import json
from pathlib import Path

from recsys_finetune.commands.model_report import write_section


def test_a_section_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    write_section(tmp_path, "tuned", {"bytes": 1})
    write_section(tmp_path, "base", {"bytes": 2})
    write_section(tmp_path, "tuned", {"bytes": 3})
    assert json.loads((tmp_path / "report.json").read_text()) == {"base": {"bytes": 2}, "tuned": {"bytes": 3}}
