"""How a model's files lie in their folder, whatever they came from: engines are given fixed names."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from recsys_operator.local.uris import UriError

GGUF_FILE = "model.gguf"
_TEXT = (".json", ".txt", ".model", ".jinja", ".tiktoken", ".py")


class Layout(StrEnum):
    """As ``Format`` of the builders, by whose values it is asked for."""

    TRANSFORMERS = "transformers"
    GGUF = "gguf"
    ENCODER = "encoder"


def choose_transformers_files(uri: str, files: Sequence[str]) -> list[str]:
    """What of a repository an engine reads: weights once, in safetensors where they are, and what stands beside them.

    Raises:
        UriError: it holds no model, or no adapter, as transformers saves one.
    """
    top = [file for file in files if "/" not in file]
    if not {"config.json", "adapter_config.json"} & set(top):
        raise UriError(f"{uri}: no config.json in it: this engine reads models as transformers saves them")
    weights = [file for file in top if file.endswith(".safetensors") and not file.startswith("consolidated")]
    if not weights:
        weights = [file for file in top if file.endswith(".bin")]
    if not weights:
        raise UriError(f"{uri}: neither .safetensors nor .bin files in it")
    return [*weights, *(file for file in top if file.endswith(_TEXT))]


def arrange(uri: str, folder: Path, layout: Layout) -> None:
    """Bring the files in ``folder`` to the names that engines are given.

    Raises:
        UriError: the folder lacks what the layout needs.
    """
    match layout:
        case Layout.GGUF:
            _one_gguf(uri, folder)
        case Layout.ENCODER:
            _flat_encoder(uri, folder)
        case Layout.TRANSFORMERS:
            choose_transformers_files(uri, [path.name for path in folder.iterdir()])


def _one_gguf(uri: str, folder: Path) -> None:
    target = folder / GGUF_FILE
    # An earlier try may have ended between the renaming and the mark of completeness.
    found = sorted(path for path in folder.rglob("*.gguf") if path != target) or sorted(folder.glob(GGUF_FILE))
    if len(found) != 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in found) or "none"
        raise UriError(f"{uri}: one .gguf file is needed, and there is {names}")
    found[0].replace(target)


def _flat_encoder(uri: str, folder: Path) -> None:
    for nested in sorted(folder.glob("onnx/*")):
        nested.replace(folder / nested.name)
    if not (folder / "model.onnx").is_file():
        raise UriError(f"{uri}: no model.onnx in it; export the encoder to ONNX first")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "hashing.json")):
        raise UriError(f"{uri}: no tokenizer.json in it")
