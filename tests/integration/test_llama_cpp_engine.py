"""The sample models on llama.cpp's real server, asked as the gateway asks: schema, seeds, tokens, streams."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio
from recsys_gateway.config import ServedModel
from recsys_gateway.engines.dialect import ChatCall, ChoiceCall
from recsys_gateway.recommend.rank import parse_items, recommend_schema
from recsys_gateway.serving.engine_calls import new_session
from recsys_gateway.serving.upstream import Upstream
from running_gateway import SAMPLES, wait_for_status

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKENS = {f"<JKT-{number:03}>": f"JKT-{number:03}" for number in range(1, 9)}


@contextmanager
def engine(name: str, port: int) -> Iterator[str]:
    """The sample model ``name``, served as ``recsys up`` serves it."""
    command = [sys.executable, "-m", "recsys_operator.local.engine_process", "--alias", name, "--port", str(port)]
    process = subprocess.Popen([*command, "--model", str(SAMPLES / "models" / f"{name}.gguf")])
    try:
        wait_for_status(f"http://127.0.0.1:{port}/health", 200, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tuned(port: Callable[[], int]) -> AsyncIterator[Upstream]:
    with engine("tuned", port()) as url:
        pool = {"name": "a", "endpoints": [{"url": url}]}
        served = {"name": "tuned", "role": "tuned", "engine": "LlamaCpp", "pools": [pool]}
        async with new_session() as session:
            yield Upstream.to(ServedModel.model_validate(served), session)


def call(*, schema: bool = True, temperature: float = 0.0, seed: int = 1) -> ChatCall:
    return ChatCall(
        [("system", "You rank items."), ("user", "Candidates:\n" + "\n".join(TOKENS) + "\nRequest: a jacket")],
        max_tokens=80,
        temperature=temperature,
        seed=seed,
        schema=recommend_schema(list(TOKENS), 4) if schema else None,
    )


async def test_a_schema_holds_the_answer_to_the_candidates(tuned: Upstream) -> None:
    for seed in range(5):
        completion = await tuned.chat(call(temperature=2.0, seed=seed))
        assert set(json.loads(completion.text)["items"]) <= set(TOKENS)
        assert parse_items(completion.text, TOKENS)
        assert completion.usage.prompt > 20
        assert completion.usage.completion > 0


async def test_a_seed_repeats_an_answer(tuned: Upstream) -> None:
    first = [(await tuned.chat(call(temperature=1.5, seed=seed))).text for seed in range(4)]
    assert first == [(await tuned.chat(call(temperature=1.5, seed=seed))).text for seed in range(4)]
    assert len(set(first)) > 1


async def test_an_item_is_one_token(tuned: Upstream) -> None:
    assert await tuned.count(["<JKT-001>", "<JKT-001><JKT-002>", "", "<JKT-003>"]) == [1, 2, 0, 1]


async def test_the_first_token_tells_as_many_alternatives_as_are_asked_for(tuned: Upstream) -> None:
    """llama.cpp has no bound: the whole vocabulary, where it is asked for. Log-probabilities of one distribution."""
    assert tuned.alternatives is None
    messages = call().messages
    few = await tuned.choose(ChoiceCall(messages, 5))
    whole = await tuned.choose(ChoiceCall(messages, 1_000_000))
    assert len(few.log_probabilities) == 5
    assert [token for token, _ in few.log_probabilities] == [token for token, _ in whole.log_probabilities[:5]]
    scores = [score for _, score in whole.log_probabilities[:5]]
    assert [score for _, score in few.log_probabilities] == pytest.approx(scores, abs=1e-4), "but for its float32"
    assert math.fsum(math.exp(each) for _, each in whole.log_probabilities) == pytest.approx(1, abs=1e-3)
    assert few.usage.completion == 1
    assert set(TOKENS) <= {token for token, _ in whole.log_probabilities}
    assert {*"ABCDEFGHIJKLMNOPQRST"} <= {token for token, _ in whole.log_probabilities}


async def test_log_probabilities_are_those_of_temperature_1_whatever_is_sampled(tuned: Upstream) -> None:
    """The same twice: nothing of it depends on a seed."""
    asked = ChoiceCall(call().messages, 40)
    once, again = await tuned.choose(asked), await tuned.choose(asked)
    assert once.log_probabilities[0][0] == again.log_probabilities[0][0]
    assert dict(once.log_probabilities) == pytest.approx(dict(again.log_probabilities), abs=1e-4)


async def test_a_stream_says_the_same_as_the_whole_answer(tuned: Upstream) -> None:
    parts = [part async for part in tuned.stream(call())]
    whole = await tuned.chat(call())
    assert "".join(part.text for part in parts) == whole.text
    assert [part.usage for part in parts if part.usage] == [whole.usage]
    assert await tuned.healthy()
