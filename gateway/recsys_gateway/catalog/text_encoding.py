"""Texts -> the numbers that a sentence encoder takes, by the files beside it: ``tokenizer.json`` (a real encoder) or
``hashing.json`` (recsys's own subword-hashed one)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.catalog.subword_hashing import PADDING, load_hashing
from recsys_gateway.catalog.unit_vectors import EmbedderError

Encode = Callable[[Sequence[str]], list[list[int]]]

DEFAULT_MAX_TOKENS = 512
CHARACTERS_PER_TOKEN = 32
"""More text than this for each token that counts is cut before tokenising: a 100 kB query must stay cheap."""


@dataclass(frozen=True, slots=True)
class TextEncoding:
    """How a model wants its texts. ``encode`` may be called from several threads."""

    encode: Encode
    padding: int

    @classmethod
    def load(cls, folder: Path) -> TextEncoding:
        """What the files in ``folder`` say.

        Raises:
            EmbedderError: they are absent or unusable.
        """
        hashing, tokenizer = folder / "hashing.json", folder / "tokenizer.json"
        if tokenizer.is_file():
            return cls(*_tokenizer(tokenizer))
        if not hashing.is_file():
            raise EmbedderError(f"{folder}: has neither tokenizer.json nor hashing.json")
        try:
            ids = load_hashing(hashing).ids
        except ValueError as error:
            raise EmbedderError(f"{hashing}: {error}") from None
        return cls(lambda texts: [ids(text) for text in texts], PADDING)

    def padded(self, encoded: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids and attention mask of a batch, [batch, longest]."""
        length = max(1, *map(len, encoded))
        ids = np.full((len(encoded), length), self.padding, np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return ids, mask


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
