"""A sentence encoder on a Triton server, by gRPC. Texts become numbers here, numbers become vectors there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient import grpc as triton
from tritonclient.utils import InferenceServerException

from recsys_gateway.catalog.remote_embedding import EmbedderAway
from recsys_gateway.catalog.text_encoding import TextEncoding
from recsys_gateway.catalog.unit_vectors import INPUTS, EmbedderError, output_name, unit_vectors
from recsys_gateway.config import TritonEmbedder

_MESSAGE_BYTES = 2**31 - 1
_CHANNEL = [
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    # A name with several addresses gets calls on all of them.
    ("grpc.lb_policy_name", "round_robin"),
    # The server is in the cluster; and one that comes back is found within a second.
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]
_AWAY = frozenset(map(str, (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)))
_TIME_OUT = str(grpc.StatusCode.DEADLINE_EXCEEDED)


class TritonServer:
    """A ``VectorServer``. What the model takes and gives is asked of the server once."""

    def __init__(self, config: TritonEmbedder) -> None:
        """
        Raises:
            EmbedderError: the tokenizer cannot be read, the server cannot be reached, or its model is no encoder.
        """
        self._encoding = TextEncoding.load(config.path)
        self._model = config.model
        host = config.url.host or ""
        address = f"{host}:{config.url.port}"
        self._source = f"Triton at {address}, model {config.model}"
        self._client = triton.InferenceServerClient(
            address,
            ssl=config.url.scheme == "https",
            root_certificates=os.environ.get("SSL_CERT_FILE") or None,
            channel_args=_CHANNEL,
        )
        metadata = self._answer("get_model_metadata", config.timeout_seconds)
        self._inputs = {each["name"]: each["datatype"] for each in metadata.get("inputs", ())}
        self._output = output_name((each["name"] for each in metadata.get("outputs", ())), self._source)
        if not set(INPUTS[:2]) <= set(self._inputs) <= set(INPUTS):
            taken = ", ".join(sorted(self._inputs)) or "nothing"
            raise EmbedderError(f"{self._source}: takes {taken}, where input_ids and attention_mask are needed")
        settings = self._answer("get_model_config", config.timeout_seconds)["config"]
        self.batch = min(config.batch, int(settings.get("max_batch_size", 0)) or config.batch)

    def vectors(self, texts: Sequence[str], seconds: float) -> NDArray[np.float32]:
        ids, mask = self._encoding.padded(self._encoding.encode(texts))
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        inputs = []
        for name, datatype in self._inputs.items():
            numbers = feed[name].astype(np.int32) if datatype == "INT32" else feed[name]
            one = triton.InferInput(name, list(numbers.shape), datatype)
            one.set_data_from_numpy(numbers)
            inputs.append(one)
        wanted = [triton.InferRequestedOutput(self._output)]
        try:
            answer = self._client.infer(self._model, inputs, outputs=wanted, client_timeout=seconds)
        except InferenceServerException as error:
            raise self._failed(error) from error
        return unit_vectors(answer.as_numpy(self._output), mask, self._source)

    def _answer(self, method: str, seconds: float) -> dict[str, Any]:
        try:
            found: dict[str, Any] = getattr(self._client, method)(self._model, as_json=True, client_timeout=seconds)
        except InferenceServerException as error:
            raise self._failed(error) from error
        return found

    def _failed(self, error: InferenceServerException) -> EmbedderError:
        status = str(error.status())
        message = " ".join(str(error.message()).split())[:300]
        if status == _TIME_OUT:
            return EmbedderError(f"{self._source}: no answer in time")
        kind = EmbedderAway if status in _AWAY else EmbedderError
        return kind(f"{self._source}: {message}")
