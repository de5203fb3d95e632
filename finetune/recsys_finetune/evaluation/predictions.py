"""Lists as a file that other judges of the same protocol read: one JSON object a line, ``{"user", "items"}``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from recsys_finetune.evaluation.protocol import Case


def write_predictions(path: Path, cases: Sequence[Case], lists: Sequence[Sequence[str]]) -> None:
    """Writes the list of each case, with the data's own ids.

    Raises:
        OSError: ``path`` cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for case, ranked in zip(cases, lists, strict=True):
            file.write(json.dumps({"user": case.user, "items": list(ranked)}, ensure_ascii=False) + "\n")
