"""YAML that goes into a child: every change of a system writes it anew, so libyaml does it where it is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def yaml_text(content: Mapping[str, Any]) -> str:
    """In the order of ``content``; the same text whoever writes it."""
    return str(yaml.dump(content, Dumper=_DUMPER, sort_keys=False, allow_unicode=True))
