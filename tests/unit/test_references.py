"""The reference pages say what the code does: they are generated, and a page that is behind fails here."""

import subprocess
import sys
from pathlib import Path

GENERATOR = Path(__file__).parents[2] / "docs" / "generate_references.py"


def test_the_generated_pages_are_up_to_date() -> None:
    check = subprocess.run([sys.executable, GENERATOR, "--check"], capture_output=True, text=True, timeout=120)
    assert check.stderr == ""
    assert check.returncode == 0
