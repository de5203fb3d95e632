"""A running gateway as a ranker: each case is one ``POST /v1/recommendations`` without words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

import aiohttp
from recsys_gateway.config import RankingMode
from recsys_gateway.recommend.stages import Stage, Usage

from recsys_finetune.evaluation.protocol import Case
from recsys_finetune.evaluation.summary import DEPTH
from recsys_finetune.evaluation.tuned_model import Answered, Answers, answers_of

CONCURRENT = 4
TIMEOUT_SECONDS = 60
LONGEST_HISTORY = 100
"""As many items as a request may name."""


class GatewayRefusedError(RuntimeError):
    """The gateway cannot be asked; the message says what it answered."""


def ask_gateway(url: str, mode: RankingMode | None, cases: Sequence[Case], advance: Callable[[], None]) -> Answers:
    """The gateway's list for each case, given the history before the target; seen items are left out of it.

    An answer that the tuned model had no part in counts as failed.

    Raises:
        GatewayRefusedError: it cannot be reached, or answers with an error.
    """
    return asyncio.run(_ask_all(f"{url.rstrip('/')}/v1/recommendations", cases, advance, mode))


async def _ask_all(route: str, cases: Sequence[Case], advance: Callable[[], None], mode: RankingMode | None) -> Answers:
    free = asyncio.Semaphore(CONCURRENT)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:

        async def one(case: Case) -> Answered:
            async with free:
                answer = await _ask(session, route, case, mode)
            advance()
            return answer

        answers = await asyncio.gather(*map(one, cases))
    return answers_of(answers)


async def _ask(session: aiohttp.ClientSession, route: str, case: Case, mode: RankingMode | None) -> Answered:
    body = {
        "query": "",
        "user_id": case.user,
        "history": case.history[-LONGEST_HISTORY:],
        "k": DEPTH,
        **({"mode": mode.value} if mode else {}),
        "narrate": False,
        "exclude_seen": True,
    }
    asked = time.perf_counter()
    try:
        async with session.post(route, json=body) as response:
            if response.status != HTTPStatus.OK:
                said = " ".join((await response.text())[:300].split())
                raise GatewayRefusedError(f"{route}: {response.status}: {said}")
            answer = await response.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise GatewayRefusedError(f"{route}: {error or type(error).__name__}") from None
    milliseconds = (time.perf_counter() - asked) * 1000
    try:
        degraded = any(each["stage"] == Stage.RANK for each in answer["degraded"])
        items = [str(item["id"]) for item in answer["items"]]
        told = answer["tokens"]["by_stage"][Stage.RANK]
        usage, plain = Usage(int(told["prompt"]), int(told["completion"])), answer["tokens"]["plain_prompt"]
    except (KeyError, TypeError):
        raise GatewayRefusedError(f"{route}: the answer is not that of a recsys gateway") from None
    listed = [item for item in items if item not in case.history]
    return Answered(listed, usage, plain, not degraded, milliseconds)
