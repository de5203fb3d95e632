"""A tiny random Llama as GGUF: llama.cpp must read the same ids, say the same tokens, and obey a schema."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from recsys_finetune.language_model.engine import EngineStartError, running_engine
from recsys_finetune.language_model.gguf_export import Precision, export_gguf
from recsys_finetune.language_model.gguf_import import ForeignModelError, load_gguf
from recsys_finetune.language_model.llama import LlamaSize, new_llama, size_of
from recsys_finetune.language_model.tokenizer import BOS, chat_example, render_chat, token_id, train_tokenizer
from recsys_gateway.recommend.prompt import item_token
from recsys_gateway.recommend.rank import recommend_schema
from recsys_gateway.recommend.stages import Message

ITEMS = [item_token(f"JKT-{number:03d}") for number in range(20)]
TEXTS = ["Rank light jackets and shoes, 49.90 | waterproof", "가벼운 재킷 추천", '{"items": ["'] * 10
TOKENIZER = train_tokenizer(TEXTS, 500, ITEMS)
MODEL = new_llama(TOKENIZER, LlamaSize(width=64, layers=2, heads=2, feed_forward=96, context=512), seed=3).eval()
MESSAGES = (Message("system", "Rank."), Message("user", "History: <JKT-001> Jacket; <JKT-013> 12\nRequest: 재킷"))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    export_gguf(MODEL, TOKENIZER, path, name="tiny", precision=Precision.F16)
    with running_engine(path) as address:
        yield address


def post(address: str, body: object) -> Any:
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


@pytest.mark.parametrize(
    "text",
    [
        "A light jacket, 49.90 | waterproof",
        "two  spaces,   three\n\n\tand a tab ",
        "it's 2026-10-05; don't, we'll, THEY'RE",
        "가벼운 재킷 추천해줘 😀 ½ ⅷ ²",
        "<JKT-001>; <JKT-999> <JKT-013>Jacket <notanitem> < > <<JKT-002>>",
        "\r\n\x0b \u00a0\u2003 é e\u0301",
        "trailing spaces   ",
    ],
)
def test_llama_cpp_reads_the_same_ids(url: str, text: str) -> None:
    found = post(f"{url}/tokenize", {"content": text, "add_special": False, "parse_special": True})["tokens"]
    assert found == TOKENIZER.encode(text, add_special_tokens=False).ids


def test_the_template_inside_the_file_is_the_one_of_training(url: str) -> None:
    plain = [{"role": message.role, "content": message.content} for message in MESSAGES]
    prompt = post(f"{url}/apply-template", {"messages": plain})["prompt"]
    assert prompt == render_chat(MESSAGES)
    found = post(f"{url}/tokenize", {"content": prompt, "add_special": True, "parse_special": True})["tokens"]
    assert found == list(chat_example(TOKENIZER, MESSAGES, "").ids[:-1])


def test_llama_cpp_says_the_same_tokens(url: str) -> None:
    prompt = [token_id(TOKENIZER, BOS), *TOKENIZER.encode(render_chat(MESSAGES), add_special_tokens=False).ids]
    ids = torch.tensor([prompt])
    with torch.no_grad():
        for _ in range(12):
            ids = torch.cat([ids, MODEL(ids).logits[:, -1:].argmax(dim=-1)], dim=1)
    body = {"prompt": prompt, "n_predict": 12, "temperature": 0, "return_tokens": True, "ignore_eos": False}
    assert post(f"{url}/completion", body)["tokens"] == ids[0, len(prompt) :].tolist()


def test_even_a_random_model_answers_within_the_schema(url: str) -> None:
    shown = ITEMS[3:8]
    schema = recommend_schema(shown, 4)
    body = {
        "messages": [{"role": message.role, "content": message.content} for message in MESSAGES],
        "response_format": {"type": "json_object", "schema": schema, "value": schema},
        "temperature": 1,
        "max_tokens": 400,
    }
    for seed in range(5):
        said = post(f"{url}/v1/chat/completions", {**body, "seed": seed})["choices"][0]["message"]["content"]
        items = json.loads(said)["items"]
        assert 1 <= len(items) <= 4
        assert set(items) <= set(shown)


def test_q8_is_half_the_size_and_says_nearly_the_same(tmp_path: Path) -> None:
    sizes = {
        precision: export_gguf(MODEL, TOKENIZER, tmp_path / f"{precision}.gguf", name="tiny", precision=precision)
        for precision in Precision
    }
    assert sizes[Precision.Q8_0] < 0.75 * sizes[Precision.F16]
    with running_engine(tmp_path / "Q8_0.gguf") as address:
        prompt = [0, 7, 8, 9]
        body = {"prompt": prompt, "n_predict": 1, "temperature": 0, "n_probs": 5}
        first = post(f"{address}/completion", body)["completion_probabilities"][0]["top_logprobs"]
    with torch.no_grad():
        expected = torch.log_softmax(MODEL(torch.tensor([prompt])).logits[0, -1], dim=-1)
    for token in first:
        assert token["logprob"] == pytest.approx(expected[token["id"]].item(), abs=0.1)


def test_what_was_written_is_read_back_and_written_the_same(tmp_path: Path) -> None:
    first, again = tmp_path / "first.gguf", tmp_path / "again.gguf"
    export_gguf(MODEL, TOKENIZER, first, name="tiny", precision=Precision.Q8_0)
    model, tokenizer = load_gguf(first)
    assert size_of(model) == size_of(MODEL)
    assert tokenizer.encode("A <JKT-003> jacket 재킷").ids == TOKENIZER.encode("A <JKT-003> jacket 재킷").ids
    export_gguf(model, tokenizer, again, name="tiny", precision=Precision.Q8_0)
    assert first.read_bytes() == again.read_bytes()


def test_a_file_to_go_on_from_that_is_no_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / "nonsense.gguf"
    path.write_bytes(b"nonsense" * 10)
    with pytest.raises(ForeignModelError, match=r"nonsense\.gguf: no GGUF file"):
        load_gguf(path)


def test_a_file_that_is_no_model_is_an_error_that_says_which(tmp_path: Path) -> None:
    path = tmp_path / "nonsense.gguf"
    path.write_bytes(b"nonsense")
    with pytest.raises(EngineStartError, match=r"nonsense\.gguf"), running_engine(path):
        pass
