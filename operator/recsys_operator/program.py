"""How the user types this program, for the commands that messages name."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

NAME = "recsys"


def program() -> str:
    """``recsys`` where the PATH leads to this one, else the path that was typed."""
    given = Path(sys.argv[0])
    if given.name != NAME:
        return NAME
    found = shutil.which(NAME)
    return NAME if found is not None and Path(found).resolve() == given.resolve() else str(given)
