"""A Llama checkpoint and its tokenizer as one GGUF file, which llama.cpp serves as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType, quants
from numpy.typing import NDArray
from tokenizers import Tokenizer

from recsys_finetune.language_model.tokenizer import (
    BOS,
    CHAT_TEMPLATE,
    EOS,
    LLAMA_CPP_PRE_TOKENIZER,
    PAD,
    SPECIAL_TOKENS,
    token_id,
)

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

_NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


class Precision(StrEnum):
    """How matrices are stored. Q8_0 is 8.5 bits a weight, F16 is 16; vectors are always F32."""

    F16 = "F16"
    Q8_0 = "Q8_0"


def export_gguf(model: LlamaForCausalLM, tokenizer: Tokenizer, path: Path, *, name: str, precision: Precision) -> int:
    """Write ``path`` and return its size in bytes. ``name`` is what the file calls the model."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(str(path), "llama")
    _add_architecture(writer, model, name, precision)
    _add_vocabulary(writer, tokenizer)
    for tensor_name, tensor in _tensors(model):
        _add_tensor(writer, tensor_name, tensor, precision)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.stat().st_size


def _add_architecture(writer: GGUFWriter, model: LlamaForCausalLM, name: str, precision: Precision) -> None:
    config = model.config
    writer.add_name(name)
    writer.add_file_type(LlamaFileType.MOSTLY_Q8_0 if precision is Precision.Q8_0 else LlamaFileType.MOSTLY_F16)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _add_vocabulary(writer: GGUFWriter, tokenizer: Tokenizer) -> None:
    """Item tokens are USER_DEFINED: text matches them whole, and a grammar sees their text. Specials are CONTROL."""
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()} - set(SPECIAL_TOKENS)
    vocabulary = tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(LLAMA_CPP_PRE_TOKENIZER)
    writer.add_token_list(tokens)
    writer.add_token_types([_token_type(token, added) for token in tokens])
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(token_id(tokenizer, BOS))
    writer.add_eos_token_id(token_id(tokenizer, EOS))
    writer.add_pad_token_id(token_id(tokenizer, PAD))
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _token_type(token: str, added: set[str]) -> TokenType:
    if token in SPECIAL_TOKENS:
        return TokenType.CONTROL
    return TokenType.USER_DEFINED if token in added else TokenType.NORMAL


def _tensors(model: LlamaForCausalLM) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """GGUF names and arrays; the output matrix is absent, llama.cpp then takes the embeddings (they are tied)."""
    heads = heads_of(model)
    for key, value in model.state_dict().items():
        if key == "lm_head.weight":
            continue
        array: NDArray[np.float32] = value.detach().float().cpu().numpy()
        if (projection := key.split(".")[-2]) in heads:
            array = interleaved(array, heads[projection])
        yield tensor_name(key), array


def heads_of(model: LlamaForCausalLM) -> dict[str, int]:
    """Number of heads of the projections whose rows llama.cpp wants in another order."""
    return {"q_proj": model.config.num_attention_heads, "k_proj": model.config.num_key_value_heads}


def tensor_name(key: str) -> str:
    """What GGUF calls the tensor that the checkpoint calls ``key``."""
    if key == "model.embed_tokens.weight":
        return "token_embd.weight"
    if key == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, *rest, suffix = key.split(".")
    return f"blk.{layer}.{_NAMES['.'.join(rest)]}.{suffix}"


def interleaved(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of q or k from halves (x, y of a pair lie half a head apart) to pairs, as llama.cpp's RoPE turns them."""
    rows, columns = weight.shape
    paired = weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2)
    return np.ascontiguousarray(paired.reshape(rows, columns))


def _add_tensor(writer: GGUFWriter, name: str, tensor: NDArray[np.float32], precision: Precision) -> None:
    if tensor.ndim == 1:
        writer.add_tensor(name, tensor)
    elif precision is Precision.F16:
        writer.add_tensor(name, tensor.astype(np.float16))
    else:
        kind = GGMLQuantizationType.Q8_0
        writer.add_tensor(name, quants.quantize(tensor, kind), raw_dtype=kind)
