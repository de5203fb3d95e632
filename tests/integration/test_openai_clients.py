"""OpenAI's own client and LangChain's, as they are, against the gateway before a TGI and a vLLM."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import openai
import pytest
from fake_engine.process import FakeEngineProcess
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel
from running_gateway import EMBEDDER, running_gateway, wait_for_status

ENGINES = {"TGI": "tgi", "VLLM": "vllm"}


class Person(BaseModel):
    name: str
    age: int


class Team(BaseModel):
    leader: Person
    members: list[Person]


@tool
def weather(place: str) -> str:
    """The weather of a place."""
    return f"rain in {place}"


@pytest.fixture(scope="module", params=ENGINES)
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, port: object) -> Iterator[str]:
    """A gateway with one model, ``base``, behind one kind of engine, and an embedder; its address."""
    folder = tmp_path_factory.mktemp("openai")
    model = "base" if request.param == "VLLM" else "example/tiny-llama"
    with FakeEngineProcess(dialect=ENGINES[request.param], token_ms=0, model=model) as engine:
        pools = [{"name": "a", "slots": 8, "endpoints": [{"url": engine.url}]}]
        config = {
            "models": [{"name": "base", "role": "base", "engine": request.param, "pools": pools}],
            "embedder": {"path": str(EMBEDDER)},
        }
        with running_gateway(config, port(), folder) as (url, _):  # type: ignore[operator]  gives a free port
            yield url


@pytest.fixture
def client(gateway: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway}/v1", api_key="none", max_retries=0)


@pytest.fixture
def chat(gateway: str) -> ChatOpenAI:
    return ChatOpenAI(base_url=f"{gateway}/v1", api_key="none", model="base", max_retries=0, top_p=1)


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="base", messages=said("hi @@N:4@@"), temperature=0)
    assert answer.choices[0].message.content == " The quick brown fox"
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


def test_a_stream(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="base", messages=said("hi @@N:4@@"), stream=True, stream_options={"include_usage": True}
        )
    )
    words = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(words) == " The quick brown fox"
    assert any(chunk.usage for chunk in chunks)


def test_a_completion(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="base", prompt="hi @@N:3@@", max_tokens=10)
    assert answer.choices[0].text == " The quick brown"


def test_what_openai_takes_and_tgi_refuses_works(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="base", messages=said("hi @@N:9@@"), stop="fox", top_p=1, n=1, response_format={"type": "text"}
    )
    assert answer.choices[0].message.content == " The quick brown fox"


def test_structured_output(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(model="base", messages=said("who?"), response_format=Team)
    team = parsed.choices[0].message.parsed
    assert team is not None
    assert team.leader == Person(name="fox", age=3)


def test_json_mode(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="base", messages=said("who?"), response_format={"type": "json_object"}
    )
    assert (answer.choices[0].message.content or "").startswith("{")


def test_a_tool_call(client: openai.OpenAI) -> None:
    parameters = {"type": "object", "properties": {"place": {"type": "string", "enum": ["Seoul"]}}}
    function = {"name": "weather", "parameters": parameters}
    for choice in ("auto", "required", {"type": "function", "function": {"name": "weather"}}):
        answer = client.chat.completions.create(
            model="base",
            messages=said("rain?"),
            tools=[{"type": "function", "function": function}],
            tool_choice=choice,
        )
        calls = answer.choices[0].message.tool_calls
        assert calls is not None
        assert (calls[0].function.name, calls[0].function.arguments) == ("weather", '{"place":"Seoul"}')


def test_models_are_listed_and_unknown_ones_are_not_found(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["base", "embedder"]
    assert client.models.retrieve("base").id == "base"
    with pytest.raises(openai.NotFoundError, match="'gpt-4' does not exist; models: base"):
        client.chat.completions.create(model="gpt-4", messages=said("hi"))


def test_what_the_engine_refuses_keeps_its_status_and_its_words(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="base", messages=said("hi"), top_p=3)
    assert caught.value.status_code in {400, 422}
    assert "top_p" in caught.value.message


def test_embeddings(client: openai.OpenAI, gateway: str) -> None:
    wait_for_status(f"{gateway}/readyz", 200)
    floats = client.embeddings.create(model="embedder", input=["a rain jacket"], encoding_format="float")
    packed = client.embeddings.create(model="embedder", input=["a rain jacket"])
    assert packed.data[0].embedding == pytest.approx(floats.data[0].embedding)
    assert sum(part * part for part in packed.data[0].embedding) == pytest.approx(1, abs=1e-5)


def test_langchain_chats_and_streams(chat: ChatOpenAI) -> None:
    assert chat.invoke("hi @@N:2@@").content == " The quick"
    assert "".join(str(part.content) for part in chat.stream("hi @@N:3@@")) == " The quick brown"
    assert chat.bind(stop=["quick"]).invoke("hi @@N:4@@").content == " The quick"


def test_langchain_calls_tools(chat: ChatOpenAI) -> None:
    assert [call["name"] for call in chat.bind_tools([weather]).invoke("rain?").tool_calls] == ["weather"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_langchain_structures_output(chat: ChatOpenAI, method: str) -> None:
    structured = chat.with_structured_output(Person, method=method)  # type: ignore[arg-type]  a literal
    assert structured.invoke("who?") == Person(name="fox", age=3)


def test_langchain_embeds(gateway: str) -> None:
    wait_for_status(f"{gateway}/readyz", 200)
    embedder = OpenAIEmbeddings(
        base_url=f"{gateway}/v1", api_key="none", model="embedder", check_embedding_ctx_length=False
    )
    near, far = embedder.embed_documents(["a waterproof jacket", "a frying pan"])
    query = embedder.embed_query("a rain jacket")
    assert _dot(query, near) > _dot(query, far)


def _dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("raw", [b"", b"[1]", b"{", b"\xff", b'{"model": 3}'])
def test_bodies_that_are_no_request_are_told_so(gateway: str, raw: bytes) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{gateway}/v1/chat/completions", data=raw, timeout=5)
    assert caught.value.code == 400
    assert json.load(caught.value)["error"]["type"] == "invalid_request_error"
