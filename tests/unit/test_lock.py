"""The lock pins what the packages ask for, with hashes and without the address of an index."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text("utf-8")
PINNED = {match.group(1).lower() for match in re.finditer(r"^([A-Za-z0-9._-]+)==", LOCK, re.MULTILINE)}


def normalised(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name.group()).lower()


def asked_for(folder: str) -> set[str]:
    document = tomllib.loads((ROOT / folder / "pyproject.toml").read_text("utf-8"))
    requirements = list(document["project"].get("dependencies", []))
    for extra in document["project"].get("optional-dependencies", {}).values():
        requirements += extra
    for group in document.get("dependency-groups", {}).values():
        requirements += group
    return {normalised(requirement) for requirement in requirements}


@pytest.mark.parametrize("folder", [".", "gateway", "operator", "finetune"])
def test_every_dependency_is_pinned(folder: str) -> None:
    assert {name for name in asked_for(folder) if not name.startswith("recsys-")} <= PINNED


def test_every_pin_has_a_hash() -> None:
    blocks = re.split(r"\n(?=\S)", LOCK.strip())
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_no_index_is_named() -> None:
    assert "://" not in LOCK
    assert "--index" not in LOCK


@pytest.mark.parametrize("heavy", ["torch", "transformers", "onnx", "gguf"])
def test_the_gateway_and_the_local_run_ask_for_no_torch(heavy: str) -> None:
    assert heavy not in asked_for("gateway") | asked_for("operator")
