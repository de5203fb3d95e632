"""A repository of the Hugging Face hub, or of a mirror (HF_ENDPOINT), into a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from recsys_operator.local.hub import choose_encoder_files, choose_gguf, parse_hub_uri, refusal
from recsys_operator.local.uris import UriError
from recsys_operator.pods.arrange import Layout, choose_transformers_files
from recsys_operator.pods.termination import TryAgain

_TOO_MANY_REQUESTS = 429


def fetch_hub(uri: str, folder: Path, layout: Layout, revision: str | None) -> None:
    """The files of ``uri`` that ``layout`` needs; what an earlier try left is used.

    Raises:
        UriError: the hub says that it is not there, or not for this token.
        TryAgain: the hub cannot be reached or fails.
    """
    parsed = parse_hub_uri(uri)
    hub = HfApi(library_name="recsys")
    try:
        info = hub.model_info(parsed.repo, revision=revision)
        files = [sibling.rfilename for sibling in info.siblings or ()]
        for file in _choose(uri, files, parsed.file, layout):
            # By the commit that was listed: a push in between must not mix two versions.
            hub.hf_hub_download(parsed.repo, file, revision=info.sha or revision, local_dir=folder)
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        message = refusal(uri, revision, error, hub.endpoint)
        passes = status == _TOO_MANY_REQUESTS or not 400 <= status < 500
        raise (TryAgain(message) if passes else UriError(message)) from None
    except HTTPError as error:
        raise TryAgain(
            f"{uri}: the hub at {hub.endpoint} cannot be reached ({type(error).__name__}): "
            "see spec.hfEndpoint, spec.proxy and spec.caConfigMapRef"
        ) from None


def _choose(uri: str, files: Sequence[str], wanted: str | None, layout: Layout) -> list[str]:
    match layout:
        case Layout.GGUF:
            return [choose_gguf(uri, files, wanted)]
        case Layout.ENCODER:
            return choose_encoder_files(uri, files)
        case Layout.TRANSFORMERS:
            return choose_transformers_files(uri, files)
