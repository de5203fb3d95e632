"""What engines tell of an answer's first token, asked as the gateway asks.

TGI by its captured exchanges and by the fake that is held to them, vLLM by a fake written after its source; llama.cpp
itself is in test_llama_cpp_engine.py.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fake_engine.process import FakeEngineProcess
from recsys_gateway.config import EngineType, ServedModel
from recsys_gateway.engines.dialect import ChoiceCall, choice_body
from recsys_gateway.engines.ranking_modes import engine_arguments
from recsys_gateway.engines.registry import DIALECTS, dialect_of
from recsys_gateway.serving.completions import parse_first_token, parse_json
from recsys_gateway.serving.engine_calls import new_session
from recsys_gateway.serving.failures import UpstreamRefused
from recsys_gateway.serving.upstream import Upstream

SHARED = os.environ.get("RECSYS_SHARED")
CAPTURED = Path(SHARED or "/nowhere", "contracts", "tgi")
MESSAGES = [("user", "A or B? @@N:5@@")]


def captured(name: str) -> tuple[dict[str, object], int, str]:
    """Request body, status and response body of one exchange."""
    sent, _, got = (CAPTURED / f"{name}.http").read_text("utf-8").partition("\n<<< response\n")
    head, _, answer = got.partition("\n\n")
    status = re.match(r"HTTP/1.1 (\d+)", head)
    assert status is not None
    return json.loads(sent.rpartition("\n\n")[2]), int(status[1]), answer


@pytest.mark.skipif(SHARED is None, reason="RECSYS_SHARED does not name the folder of the captured exchanges")
def test_tgi_s_captured_answer_is_read() -> None:
    sent, status, answer = captured("203-chat-logprobs")
    asked = choice_body(dialect_of(EngineType.TGI), "any", ChoiceCall([("user", "hello")], 3))
    assert {name: asked[name] for name in ("model", "messages", "logprobs", "top_logprobs")} == {
        name: sent[name] for name in ("model", "messages", "logprobs", "top_logprobs")
    }
    assert status == 200
    told = parse_first_token(parse_json(answer))
    assert told.log_probabilities == ((" The", -0.01), (" qu", -1.51), (" that", -3.01))
    assert told.usage.prompt == 18


@pytest.mark.skipif(SHARED is None, reason="RECSYS_SHARED does not name the folder of the captured exchanges")
def test_tgi_refuses_more_alternatives_than_it_was_started_for() -> None:
    _, status, answer = captured("206-chat-top-logprobs-too-many")
    assert (status, "must be >= 0 and <= 5" in answer) == (422, True)
    assert dialect_of(EngineType.TGI).capabilities.log_probabilities.at_most == 5
    assert engine_arguments(EngineType.TGI)[0] == "--max-top-n-tokens"


async def upstream(engine: EngineType, url: str, model: str) -> AsyncIterator[Upstream]:
    pool = {"name": "a", "endpoints": [{"url": url}]}
    served = ServedModel.model_validate({"name": model, "role": "tuned", "engine": engine, "pools": [pool]})
    async with new_session() as session:
        yield Upstream.to(served, session)


@pytest.mark.parametrize(("engine", "most"), [(EngineType.TGI, 5), (EngineType.VLLM, 20)])
async def test_an_engine_tells_what_it_can_and_refuses_more(engine: EngineType, most: int) -> None:
    with FakeEngineProcess(dialect=engine.value.lower(), token_ms=0) as process:
        async for model in upstream(engine, process.url, "example/tiny-llama"):
            assert model.alternatives == most
            told = await model.choose(ChoiceCall(MESSAGES, most))
            assert len(told.log_probabilities) == most
            assert told.usage.completion == 1
            with pytest.raises(UpstreamRefused):
                await model.choose(ChoiceCall(MESSAGES, most + 1))


@pytest.mark.parametrize("engine", list(EngineType))
def test_every_engine_is_asked_for_one_token_at_temperature_0(engine: EngineType) -> None:
    """After a temperature some engines tell other log-probabilities than the model's; a request has its own below."""
    body = choice_body(DIALECTS[engine], "tuned", ChoiceCall(MESSAGES, 7))
    assert {
        "max_tokens": 1,
        "temperature": 0.0,
        "logprobs": True,
        "top_logprobs": 7,
        "stream": False,
    }.items() <= body.items()
