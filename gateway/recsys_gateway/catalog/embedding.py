"""Texts -> unit vectors. Here by an ONNX sentence encoder that runs in this process; ``embedders`` knows the others.

A folder holds ``model.onnx`` (or ``onnx/model.onnx``, as on the hub) beside ``tokenizer.json`` (a real sentence
encoder) or ``hashing.json`` (recsys's own subword-hashed one). The model takes ``input_ids`` and ``attention_mask``,
int64 [batch, length], and gives ``sentence_embedding`` [batch, d], or ``last_hidden_state`` [batch, length, d], which
is averaged over the mask here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.catalog.text_encoding import TextEncoding
from recsys_gateway.catalog.unit_vectors import INPUTS, EmbedderError, output_name, unit_vectors

__all__ = ["BATCH", "PROBE", "Embedder", "EmbedderError"]

BATCH = 32
PROBE = "a light jacket"
"""Sent through an embedder before it is used: what does not fit together is found then, not in a request."""


class Embedder:
    """A loaded sentence encoder. Calls are independent of each other and may come from several threads."""

    problem = ""
    """Nothing lies between it and its callers that could fail for a while."""

    def __init__(self, session: Any, encoding: TextEncoding, source: Path) -> None:
        self._session = session
        self._encoding = encoding
        self._source = source
        self._inputs = {node.name for node in session.get_inputs()}
        self._output = output_name([node.name for node in session.get_outputs()], str(source))
        if not set(INPUTS[:2]) <= self._inputs <= set(INPUTS):
            raise EmbedderError(
                f"{source}: takes {', '.join(sorted(self._inputs))}, where input_ids and attention_mask are needed"
            )
        self.dimension = int(self._forward(encoding.encode([PROBE])).shape[1])

    @classmethod
    def load(cls, folder: Path) -> Embedder:
        """The encoder in ``folder``.

        Raises:
            EmbedderError: folder, model or tokenizer is absent or unusable.
        """
        if not folder.is_dir():
            raise EmbedderError(f"{folder}: no such folder; an embedder is a folder with model.onnx and its tokenizer")
        model = next((path for name in ("model.onnx", "onnx/model.onnx") if (path := folder / name).is_file()), None)
        if model is None:
            raise EmbedderError(f"{folder / 'model.onnx'}: no such file; export the sentence encoder to ONNX first")
        return cls(_session(model), TextEncoding.load(folder), model)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of ``texts``, [len(texts), dimension], each of length 1 and finite.

        A text that the model has nothing to say of (a vector of zeros) gets the same fixed vector each time.

        Raises:
            EmbedderError: the model failed or answered with numbers that are not finite.
        """
        vectors = np.empty((len(texts), self.dimension), np.float32)
        encoded = self._encoding.encode(texts)
        # Texts of like length share a batch: little padding.
        order = sorted(range(len(texts)), key=lambda index: len(encoded[index]))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            vectors[batch] = self._forward([encoded[index] for index in batch])
        return vectors

    def _forward(self, encoded: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        ids, mask = self._encoding.padded(encoded)
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        try:
            (output,) = self._session.run([self._output], {name: feed[name] for name in self._inputs})
        except Exception as error:  # onnxruntime's errors share no public base class
            raise EmbedderError(f"{self._source}: the model failed: {' '.join(str(error).split())[:300]}") from error
        return unit_vectors(output, mask, str(self._source))


def _session(model: Path) -> Any:
    # onnxruntime reports home unless this stands in the environment before its import.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One text takes a millisecond: threads would only take cores from the engines beside.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no public base class
        raise EmbedderError(f"{model}: not an ONNX model: {' '.join(str(error).split())[:300]}") from error
