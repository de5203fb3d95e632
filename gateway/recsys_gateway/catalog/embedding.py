"""Texts -> unit vectors, by an ONNX sentence encoder that runs in this process.

A folder holds ``model.onnx`` (or ``onnx/model.onnx``, as on the hub) beside ``tokenizer.json`` (a real sentence
encoder) or ``hashing.json`` (recsys's own subword-hashed one). The model takes ``input_ids`` and ``attention_mask``,
int64 [batch, length], and gives ``sentence_embedding`` [batch, d], or ``last_hidden_state`` [batch, length, d], which
is averaged over the mask here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.catalog.subword_hashing import PADDING, load_hashing

Encode = Callable[[Sequence[str]], list[list[int]]]

BATCH = 32
DEFAULT_MAX_TOKENS = 512
CHARACTERS_PER_TOKEN = 32
"""More text than this for each token that counts is cut before tokenising: a 100 kB query must stay cheap."""


class EmbedderError(Exception):
    """An embedder that cannot be loaded, or whose answer is unusable; the message names the file and says why."""


class Embedder:
    """A loaded sentence encoder. Calls are independent of each other and may come from several threads."""

    def __init__(self, session: Any, encode: Encode, padding: int, source: Path) -> None:
        self._session = session
        self._encode = encode
        self._padding = padding
        self._source = source
        self._inputs = {node.name for node in session.get_inputs()}
        self._output = _output_name([node.name for node in session.get_outputs()], source)
        if not {"input_ids", "attention_mask"} <= self._inputs <= {"input_ids", "attention_mask", "token_type_ids"}:
            raise EmbedderError(
                f"{source}: takes {', '.join(sorted(self._inputs))}, where input_ids and attention_mask are needed"
            )
        # One text through the whole of it: a model and a tokenizer that do not fit are found now, not in a request.
        self.dimension = int(self._forward(self._encode(["a light jacket"])).shape[1])

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
        encode, padding = _encoding(folder)
        return cls(_session(model), encode, padding, model)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of ``texts``, [len(texts), dimension], each of length 1 and finite.

        A text that the model has nothing to say of (a vector of zeros) gets the same fixed vector each time.

        Raises:
            EmbedderError: the model failed or answered with numbers that are not finite.
        """
        vectors = np.empty((len(texts), self.dimension), np.float32)
        encoded = self._encode(texts)
        # Texts of like length share a batch: little padding.
        order = sorted(range(len(texts)), key=lambda index: len(encoded[index]))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            vectors[batch] = self._forward([encoded[index] for index in batch])
        return vectors

    def _forward(self, encoded: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        length = max(1, *map(len, encoded))
        ids = np.full((len(encoded), length), self._padding, np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        try:
            (output,) = self._session.run([self._output], {name: feed[name] for name in self._inputs})
        except Exception as error:  # onnxruntime's errors share no public base class
            raise EmbedderError(f"{self._source}: the model failed: {' '.join(str(error).split())[:300]}") from error
        vectors = np.asarray(output, np.float32)
        if vectors.ndim == 3:
            vectors = (vectors * mask[..., None]).sum(1) / np.maximum(mask.sum(1, keepdims=True), 1)
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise EmbedderError(
                f"{self._source}: answered {vectors.shape} numbers, not all finite or not one vector a text"
            )
        return _unit(vectors.astype(np.float32))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1; a row of zeros becomes the vector with equal parts."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    flat = np.float32(1 / np.sqrt(vectors.shape[1]))
    return np.where(norms > 1e-12, vectors / np.maximum(norms, np.float32(1e-12)), flat).astype(np.float32)


def _output_name(names: Sequence[str], source: Path) -> str:
    for name in ("sentence_embedding", "last_hidden_state"):
        if name in names:
            return name
    raise EmbedderError(f"{source}: gives {', '.join(names)}, where sentence_embedding or last_hidden_state is needed")


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


def _encoding(folder: Path) -> tuple[Encode, int]:
    """How the model of ``folder`` wants its texts, and its padding id."""
    hashing, tokenizer = folder / "hashing.json", folder / "tokenizer.json"
    if tokenizer.is_file():
        return _tokenizer(tokenizer)
    if not hashing.is_file():
        raise EmbedderError(f"{folder}: has neither tokenizer.json nor hashing.json beside the model")
    try:
        ids = load_hashing(hashing).ids
    except ValueError as error:
        raise EmbedderError(f"{hashing}: {error}") from None
    return lambda texts: [ids(text) for text in texts], PADDING


def _tokenizer(path: Path) -> tuple[Encode, int]:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain Exception
        raise EmbedderError(f"{path}: not a tokenizer: {error}") from error
    padding = (tokenizer.padding or {}).get("pad_id", 0)
    limit = (tokenizer.truncation or {}).get("max_length") or _model_max_length(path.with_name("tokenizer_config.json"))
    # Many tokenizer.json pad every text to a fixed length: slow, so padding is done per batch here.
    tokenizer.no_padding()
    tokenizer.enable_truncation(limit)

    def encode(texts: Sequence[str]) -> list[list[int]]:
        # Lone surrogates can come from JSON and cannot go to Rust.
        cut = [text[: limit * CHARACTERS_PER_TOKEN].encode("utf-8", "replace").decode() for text in texts]
        return [encoding.ids for encoding in tokenizer.encode_batch(cut)]

    return encode, padding


def _model_max_length(config: Path) -> int:
    """``model_max_length`` of a tokenizer_config.json; checkpoints that know none write 1e30 there."""
    if not config.is_file():
        return DEFAULT_MAX_TOKENS
    try:
        limit = json.loads(config.read_text(encoding="utf-8")).get("model_max_length", DEFAULT_MAX_TOKENS)
        return int(limit) if 1 <= limit <= 100_000 else DEFAULT_MAX_TOKENS
    except (ValueError, TypeError, AttributeError) as error:
        raise EmbedderError(f"{config}: unreadable: {error}") from None
