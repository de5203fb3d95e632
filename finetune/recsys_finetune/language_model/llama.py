"""The architecture: a small Llama with tied embeddings, that any engine can serve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer

from recsys_finetune.language_model.tokenizer import BOS, EOS, PAD, token_id

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

ROPE_BASE = 10_000.0
COPY_SCALE = 0.5


@dataclass(frozen=True, slots=True)
class LlamaSize:
    """Widths of the network. ``width`` and ``feed_forward`` are multiples of 32: the block of Q8_0."""

    width: int = 192
    layers: int = 4
    heads: int = 6
    feed_forward: int = 512
    context: int = 2048

    def __post_init__(self) -> None:
        if self.width % 32 or self.feed_forward % 32:
            raise ValueError(f"width {self.width} and feed_forward {self.feed_forward} must be multiples of 32")
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(f"width {self.width} must split into {self.heads} heads of an even width")


def new_llama(
    tokenizer: Tokenizer, size: LlamaSize, seed: int, attention_dropout: float = 0.0, deviation: float = 0.02
) -> LlamaForCausalLM:
    """A model with random weights for the vocabulary of ``tokenizer``; the same for the same seed.

    ``deviation`` is the standard deviation of the weights. 0.02 suits widths near a thousand: in a narrow model it
    makes attention nearly uniform at first, and 1/sqrt(width) learns to look things up several times sooner.
    """
    from transformers import LlamaConfig, LlamaForCausalLM  # takes seconds

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=size.width,
        intermediate_size=size.feed_forward,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=size.context,
        attention_dropout=attention_dropout,
        tie_word_embeddings=True,
        initializer_range=deviation,
        bos_token_id=token_id(tokenizer, BOS),
        eos_token_id=token_id(tokenizer, EOS),
        pad_token_id=token_id(tokenizer, PAD),
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
    )
    return LlamaForCausalLM(config)


def size_of(model: LlamaForCausalLM) -> LlamaSize:
    """What ``new_llama`` was given."""
    config = model.config
    return LlamaSize(
        width=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        feed_forward=config.intermediate_size,
        context=config.max_position_embeddings,
    )


def pass_values_through(model: LlamaForCausalLM, seed: int) -> None:
    """Start attention as a copier: what a head reads, it writes, half of the heads with the opposite sign.

    In each layer the value matrix becomes orthogonal, Q, and the output matrix Q' S scaled. So a token that is looked
    at speaks for itself from the first step on (or against itself: what was said already), and only where to look is
    left to learn. Small models that must copy from their prompt learn it several times faster. After the mimetic
    initialisation of Trockman and Kolter (2023). Needs as many key-value heads as heads.
    """
    generator = torch.Generator().manual_seed(seed)
    width, half = model.config.hidden_size, model.config.hidden_size // 2
    signs = torch.cat([torch.ones(half), -torch.ones(width - half)])
    with torch.no_grad():
        for layer in model.model.layers:
            orthogonal, _ = torch.linalg.qr(torch.randn(width, width, generator=generator))
            layer.self_attn.v_proj.weight.copy_(orthogonal)
            layer.self_attn.o_proj.weight.copy_(COPY_SCALE * orthogonal.T * signs)


def parameters(model: LlamaForCausalLM) -> int:
    """Number of weights; tied ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())
