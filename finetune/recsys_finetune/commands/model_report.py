"""``report.json`` beside the sample models: one section a model, so that each command rewrites its own alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

NAME = "report.json"


def write_section(folder: Path, model: str, section: Mapping[str, object]) -> None:
    """Put ``section`` in place of the one of ``model``; the other sections stay as they are."""
    path = folder / NAME
    report: dict[str, object] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    report[model] = dict(section)
    ordered = {name: report[name] for name in sorted(report)}
    path.write_text(json.dumps(ordered, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def described(model: Path, section: str) -> dict[str, object]:
    """What a model file is: the digest of its bytes, and how the report beside it says that it was made."""
    path = model.parent / NAME
    report = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    made = report.get(section, {})
    told = {name: made[name] for name in ("command", "training_seconds", "stages", "validation") if name in made}
    return {"sha256": hashlib.sha256(model.read_bytes()).hexdigest(), **told}
