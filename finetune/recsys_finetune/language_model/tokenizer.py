"""Byte-level BPE with one token an item, and the chat template that goes with it.

The text is split as llama.cpp splits it for the pre-tokenizer that it calls ``smollm``: each digit by itself, then the
pattern of GPT-2. So prices and ages are read digit by digit, and both programs give the same ids for the same text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from recsys_gateway.recommend.stages import Message
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits
from tokenizers.pre_tokenizers import Sequence as PreTokenizers
from tokenizers.trainers import BpeTrainer

BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"
SPECIAL_TOKENS = (BOS, EOS, PAD, "<|system|>", "<|user|>", "<|assistant|>")
LLAMA_CPP_PRE_TOKENIZER = "smollm"
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- set role = message.role if message.role in ['system', 'assistant'] else 'user' -%}"
    "{{- '<|' + role + '|>' + message.content -}}"
    "{%- if role == 'assistant' -%}{{- '<|eos|>' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)

_ITEM_TOKEN = re.compile(r"<[^<>\s]*>")


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of a prompt and its completion; ``prompt_length`` of them are the prompt, which earns no loss."""

    ids: tuple[int, ...]
    prompt_length: int


def train_tokenizer(texts: Iterable[str], vocabulary_size: int, item_tokens: Sequence[str] = ()) -> Tokenizer:
    """A tokenizer for ``texts``: special tokens first, then bytes and merges, then ``item_tokens``.

    ``vocabulary_size`` leaves out the item tokens. Item tokens inside ``texts`` are not learnt from.
    """
    tokenizer = _around(BPE())
    trainer = BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((_ITEM_TOKEN.sub("\n", text) for text in texts), trainer)
    return _with_items(tokenizer, item_tokens)


def tokenizer_of(tokens: Sequence[str], merges: Sequence[tuple[str, str]], item_tokens: Sequence[str]) -> Tokenizer:
    """The tokenizer that was trained before, from its vocabulary in the order of the ids; ``item_tokens`` come last."""
    tokenizer = _around(BPE({token: index for index, token in enumerate(tokens)}, list(merges)))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return _with_items(tokenizer, item_tokens)


def _around(model: BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = PreTokenizers([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = ByteLevelDecoder()
    return tokenizer


def _with_items(tokenizer: Tokenizer, item_tokens: Sequence[str]) -> Tokenizer:
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in item_tokens])
    return tokenizer


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a token that must be in the vocabulary.

    Raises:
        KeyError: it is not.
    """
    index = tokenizer.token_to_id(token)
    if index is None:
        raise KeyError(token)
    return index


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    return ImmutableSandboxedEnvironment().from_string(CHAT_TEMPLATE)


def render_chat(messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
    """The conversation as the model reads it. The engine puts the beginning-of-text token before it."""
    plain: list[Mapping[str, str]] = [{"role": message.role, "content": message.content} for message in messages]
    return _template().render(messages=plain, add_generation_prompt=add_generation_prompt)


def chat_example(tokenizer: Tokenizer, messages: Sequence[Message], completion: str) -> Example:
    """What the engine would feed the model for ``messages``, followed by the completion and the end token."""
    prompt = tokenizer.encode(BOS + render_chat(messages), add_special_tokens=False).ids
    answer = tokenizer.encode(completion, add_special_tokens=False).ids
    return Example((*prompt, *answer, token_id(tokenizer, EOS)), len(prompt))


def save_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """Write ``tokenizer.json``, as the ``tokenizers`` library reads it."""
    tokenizer.save(str(path))
