"""Manifests compared with files under tests/golden. After a change that is meant: ``make golden``, read the diff."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

GOLDEN = Path(__file__).parent / "golden"
UPDATE = "RECSYS_UPDATE_GOLDEN"


class _Plain(yaml.SafeDumper):
    """No anchors, and texts of several lines as blocks: a person reads these files."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _text)


def assert_golden(name: str, manifests: Sequence[Any]) -> None:
    """``manifests`` are those of ``tests/golden/NAME.yaml``."""
    path = GOLDEN / f"{name}.yaml"
    text = yaml.dump_all(manifests, Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)
    if os.environ.get(UPDATE):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"{path} is not there: make golden"
    assert list(manifests) == list(yaml.safe_load_all(path.read_text(encoding="utf-8"))), f"{path}: differs"
