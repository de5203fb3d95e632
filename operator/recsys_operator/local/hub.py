"""``hf://ORG/NAME[:FILE.gguf]`` -> files on this machine, through ``huggingface_hub``.

The client reads HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE by itself; what was fetched before is not fetched
again, and is used when the hub cannot be reached.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_operator.local.uris import UriError

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

Choice = Callable[[Sequence[str], str | None], list[str]]
"""(files of the repository, the file that the address names) -> files to fetch; raises UriError."""

QUANTIZATIONS = ("Q4_K_M", "Q5_K_M", "Q8_0", "Q4_0", "Q6_K", "F16", "BF16", "F32")
"""Which of several GGUF files is taken: a good balance on a CPU first."""

ENCODER_FILES = ("tokenizer.json", "tokenizer_config.json", "hashing.json")
_HUB_URI = re.compile(r"^hf://(?P<repo>[\w.-]+/[\w.-]+?)(?::(?P<file>[^:]+))?$")
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.gguf$")


@dataclass(frozen=True, slots=True)
class HubUri:
    repo: str
    file: str | None


def parse_hub_uri(uri: str) -> HubUri:
    """
    Raises:
        UriError: it does not read hf://ORG/NAME or hf://ORG/NAME:FILE.
    """
    match = _HUB_URI.match(uri)
    if match is None:
        raise UriError(f"{uri}: expected hf://ORG/NAME or hf://ORG/NAME:FILE.gguf")
    return HubUri(match["repo"], match["file"])


def choose_gguf(uri: str, files: Sequence[str], wanted: str | None) -> str:
    """The GGUF file to take from a repository with ``files``: the wanted one, the only one, or the best on a CPU.

    Raises:
        UriError: there is none, or nothing says which.
    """
    models = [file for file in files if file.endswith(".gguf") and "mmproj" not in file and not _SHARD.search(file)]
    if wanted is not None:
        if wanted not in files:
            raise UriError(f"{uri}: no such file in the repository; GGUF files there: {', '.join(models) or 'none'}")
        return wanted
    if not models:
        raise UriError(
            f"{uri}: no GGUF file in the repository; one machine runs llama.cpp, which needs one: "
            f"many models have it in a repository of its own, such as {uri.split(':')[0]}:{uri.split(':')[1]}-GGUF"
        )
    if len(models) == 1:
        return models[0]
    for quantization in QUANTIZATIONS:
        matching = [file for file in models if re.search(rf"[-_.]{quantization}\.gguf$", file, re.IGNORECASE)]
        if len(matching) == 1:
            return matching[0]
    raise UriError(f"{uri}: several GGUF files; say which, as {uri}:FILE, of {', '.join(models)}")


def fetch_language_model(uri: str, revision: str | None) -> Path:
    """The GGUF file of ``uri``, fetched with a progress bar on stderr where it is not here yet.

    Raises:
        UriError: the hub, the repository or the file is not there.
    """
    return _fetch(uri, revision, lambda files, wanted: [choose_gguf(uri, files, wanted)])[0]


def fetch_encoder(uri: str, revision: str | None) -> Path:
    """The folder of an ONNX sentence encoder with its tokenizer.

    Raises:
        UriError: the hub, the repository or one of the two files is not there.
    """
    model = _fetch(uri, revision, lambda files, _: choose_encoder_files(uri, files))[0]
    return model.parent.parent if model.parent.name == "onnx" else model.parent


def choose_encoder_files(uri: str, files: Sequence[str]) -> list[str]:
    """The model first, then what stands beside it.

    Raises:
        UriError: model or tokenizer is missing.
    """
    model = next((file for file in ("model.onnx", "onnx/model.onnx") if file in files), None)
    if model is None:
        raise UriError(f"{uri}: no model.onnx or onnx/model.onnx in the repository; export the encoder to ONNX first")
    beside = [file for file in ENCODER_FILES if file in files]
    if not {"tokenizer.json", "hashing.json"} & set(beside):
        raise UriError(f"{uri}: no tokenizer.json in the repository")
    return [model, *beside, *(file for file in (f"{model}_data",) if file in files)]


def _fetch(uri: str, revision: str | None, choose: Choice) -> list[Path]:
    # Imported here: half a second that other addresses need not pay.
    from httpx2 import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    parsed = parse_hub_uri(uri)
    hub = HfApi(library_name="recsys")
    try:
        info = hub.model_info(parsed.repo, revision=revision)
        chosen = choose([sibling.rfilename for sibling in info.siblings or ()], parsed.file)
        return [Path(str(hub.hf_hub_download(parsed.repo, file, revision=revision))) for file in chosen]
    except HfHubHTTPError as error:
        raise UriError(refusal(uri, revision, error, hub.endpoint)) from None
    except (HTTPError, OSError) as error:
        if (cached := _cached(parsed.repo, revision)) is not None:
            return [cached / file for file in choose(_files_under(cached), parsed.file)]
        raise UriError(
            f"{uri}: the hub at {hub.endpoint} cannot be reached ({_first_line(error)}) and nothing of it is cached; "
            "set HF_ENDPOINT, or give a file:// address"
        ) from None


def refusal(uri: str, revision: str | None, error: HfHubHTTPError, endpoint: str) -> str:
    """Why the hub at ``endpoint`` would not give it, and what to do."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    match error:
        case GatedRepoError():
            return f"{uri}: the repository is gated: accept its terms on the hub and set HF_TOKEN"
        case RevisionNotFoundError():
            return f"{uri}: the repository has no revision {revision}"
        case RepositoryNotFoundError():
            return f"{uri}: no such repository at {endpoint}, or it is private and HF_TOKEN holds no token for it"
        case _:
            return f"{uri}: the hub at {endpoint} refused: {_first_line(error)}"


def _cached(repo: str, revision: str | None) -> Path | None:
    """The folder of a snapshot that was fetched before, or None."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return None
    for known in repositories:
        for snapshot in known.revisions if known.repo_id == repo and known.repo_type == "model" else ():
            if revision == snapshot.commit_hash or (revision or "main") in snapshot.refs:
                return snapshot.snapshot_path
    return None


def _files_under(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
