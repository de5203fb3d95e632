"""The way back: from a GGUF file that ``gguf_export`` wrote to the Llama and its tokenizer, to be trained further."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gguf import GGUFReader, TokenType, quants
from numpy.typing import NDArray
from tokenizers import Tokenizer

from recsys_finetune.language_model.gguf_export import heads_of, tensor_name
from recsys_finetune.language_model.llama import LlamaSize, new_llama
from recsys_finetune.language_model.tokenizer import LLAMA_CPP_PRE_TOKENIZER, tokenizer_of

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

ARCHITECTURE = "llama"


class ForeignModelError(ValueError):
    """A GGUF file that ``export_gguf`` did not write; the message names the file and says by what it is told."""


def load_gguf(path: Path) -> tuple[LlamaForCausalLM, Tokenizer]:
    """The model and its tokenizer, the weights as precise as the file holds them.

    Raises:
        ForeignModelError: it is no such model, or no GGUF file at all.
    """
    try:
        reader = GGUFReader(path)
    except ValueError as error:
        raise ForeignModelError(f"{path}: no GGUF file ({error})") from None
    kind = (_value(reader, "general.architecture"), _value(reader, "tokenizer.ggml.pre"))
    if kind != (ARCHITECTURE, LLAMA_CPP_PRE_TOKENIZER):
        raise ForeignModelError(f"{path}: made by another program: architecture {kind[0]}, pre-tokenizer {kind[1]}")
    tokenizer = _tokenizer(reader)
    model = new_llama(tokenizer, _size(reader), seed=0)
    _fill(model, {tensor.name: quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors})
    return model, tokenizer


def _value(reader: GGUFReader, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()


def _size(reader: GGUFReader) -> LlamaSize:
    def number(key: str) -> int:
        return int(_value(reader, f"{ARCHITECTURE}.{key}"))

    return LlamaSize(
        width=number("embedding_length"),
        layers=number("block_count"),
        heads=number("attention.head_count"),
        feed_forward=number("feed_forward_length"),
        context=number("context_length"),
    )


def _tokenizer(reader: GGUFReader) -> Tokenizer:
    """Item tokens are those of the type USER_DEFINED; they come last, in their order."""
    tokens: list[str] = _value(reader, "tokenizer.ggml.tokens")
    types: list[int] = _value(reader, "tokenizer.ggml.token_type")
    merges = [(left, right) for left, right in (line.split(" ") for line in _value(reader, "tokenizer.ggml.merges"))]
    added = [token for token, kind in zip(tokens, types, strict=True) if kind == TokenType.USER_DEFINED]
    return tokenizer_of(tokens[: len(tokens) - len(added)], merges, added)


def _fill(model: LlamaForCausalLM, arrays: dict[str, NDArray[np.float32]]) -> None:
    heads = heads_of(model)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            array = arrays[tensor_name(key)]
            if (projection := key.split(".")[-2]) in heads:
                array = separated(array, heads[projection])
            parameter.copy_(torch.from_numpy(np.array(array, dtype=np.float32)))


def separated(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """The inverse of ``gguf_export.interleaved``: rows of q or k from pairs back to halves."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2)
    return np.ascontiguousarray(halves.reshape(rows, columns))
