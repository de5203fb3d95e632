"""The small models' tokenizer: what comes back is what went in, and an item is one token."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recsys_finetune.language_model.tokenizer import (
    BOS,
    EOS,
    SPECIAL_TOKENS,
    chat_example,
    render_chat,
    token_id,
    train_tokenizer,
)
from recsys_gateway.recommend.prompt import item_token
from recsys_gateway.recommend.stages import Message

TEXTS = [
    "A light jacket for rainy hikes, 49.90",
    "가벼운 재킷",
    "<JKT-001> Shell Jacket",
    "two  spaces\nand a line",
] * 4
ITEMS = [item_token("JKT-001"), item_token("재킷 7"), item_token("1682")]
TOKENIZER = train_tokenizer(TEXTS, 400, ITEMS)


def ids(text: str) -> list[int]:
    return list(TOKENIZER.encode(text, add_special_tokens=False).ids)


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_any_text_comes_back_unchanged(text: str) -> None:
    assert TOKENIZER.decode(ids(text), skip_special_tokens=False) == text


@pytest.mark.parametrize("token", ITEMS)
def test_an_item_is_one_token_wherever_it_stands(token: str) -> None:
    found = ids(f'{{"items": ["{token}", "{token}"]}}; {token} Shell Jacket')
    assert found.count(token_id(TOKENIZER, token)) == 3


def test_special_tokens_come_first_and_items_last() -> None:
    assert [token_id(TOKENIZER, token) for token in SPECIAL_TOKENS] == list(range(len(SPECIAL_TOKENS)))
    size = TOKENIZER.get_vocab_size()
    assert [token_id(TOKENIZER, token) for token in ITEMS] == [size - 3, size - 2, size - 1]


def test_each_digit_is_read_by_itself() -> None:
    assert TOKENIZER.encode("1749").tokens == ["1", "7", "4", "9"]


def test_item_tokens_inside_the_corpus_teach_no_merges() -> None:
    plain = train_tokenizer(["<AAAB> x"] * 20, 300)
    assert "AA" not in plain.get_vocab()


def test_a_chat_ends_where_the_assistant_begins() -> None:
    messages = [Message("system", "Rank."), Message("user", "Request: tents")]
    assert render_chat(messages) == "<|system|>Rank.<|user|>Request: tents<|assistant|>"


def test_an_unknown_role_is_a_user_and_an_answer_ends() -> None:
    assert render_chat([Message("tool", "x"), Message("assistant", "y")], add_generation_prompt=False) == (
        "<|user|>x<|assistant|>y<|eos|>"
    )


def test_an_example_is_the_prompt_the_completion_and_the_end() -> None:
    example = chat_example(TOKENIZER, [Message("user", "hikes")], "yes")
    assert example.ids[0] == token_id(TOKENIZER, BOS)
    assert example.ids[-1] == token_id(TOKENIZER, EOS)
    assert TOKENIZER.decode(list(example.ids[example.prompt_length : -1])) == "yes"


def test_a_token_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError, match="JKT-999"):
        token_id(TOKENIZER, item_token("JKT-999"))
