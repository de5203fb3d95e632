"""How the base model speaks of products and answers phrasings that it never met, through llama.cpp."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
from recsys_gateway.catalog.records import Item

from recsys_finetune.embedder.pairs import korean_wish
from recsys_finetune.narration.checking import Verdict, judge
from recsys_finetune.narration.pairs import Prompt, narration_prompt, phrases_for
from recsys_finetune.narration.worlds import Worlds
from recsys_finetune.shop.queries import Phrasing, make_wish

TIMEOUT_SECONDS = 60
ANSWER_TOKENS = 160
SIZES, SIZE_SHARES = (1, 2, 3), (0.1, 0.2, 0.7)


@dataclass(frozen=True, slots=True)
class Narrated:
    prompt: Prompt
    answer: str
    verdict: Verdict


def held_out_prompts(held_out: Sequence[Item], count: int, rng: np.random.Generator, *, korean: bool) -> list[Prompt]:
    """Prompts about one to three of ``held_out``, with a request for the first in a phrasing that was held out."""
    prompts = []
    for _ in range(count):
        size = int(rng.choice(SIZES, p=SIZE_SHARES))
        items = [held_out[int(index)] for index in rng.choice(len(held_out), size=size, replace=False)]
        wish = korean_wish(items[0], rng) if korean else make_wish(items[0], Phrasing.HELD_OUT, rng)
        prompts.append(narration_prompt(wish.text, items))
    return prompts


def film_prompts(worlds: Worlds, count: int, rng: np.random.Generator) -> list[Prompt]:
    """Prompts about three made-up films each."""
    return [
        narration_prompt("a good film for tonight", [worlds.film(rng) for _ in range(SIZES[-1])]) for _ in range(count)
    ]


def narrate_all(url: str, prompts: Sequence[Prompt], slots: int) -> list[Narrated]:
    """The engine's answer to each prompt at temperature 0, judged; ``slots`` at a time.

    Raises:
        OSError: the engine does not answer.
    """
    with ThreadPoolExecutor(slots) as pool:
        return list(pool.map(lambda prompt: _narrate(url, prompt), prompts))


def _narrate(url: str, prompt: Prompt) -> Narrated:
    body = {
        "messages": [asdict(message) for message in prompt.messages],
        "temperature": 0,
        "max_tokens": ANSWER_TOKENS,
    }
    request = urllib.request.Request(  # noqa: S310 - the URL is our own engine's
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - as above
        choice = json.load(response)["choices"][0]
    answer, stopped = str(choice["message"]["content"]), choice["finish_reason"] == "stop"
    verdict = judge(answer, stopped=stopped, items=prompt.items, phrases=phrases_for(prompt.language))
    return Narrated(prompt, answer, verdict)


def shares(narrated: Sequence[Narrated]) -> dict[str, float]:
    """The number of answers, and the share of them that passes each check of ``Verdict``."""
    names = ("ended", "numbered", "grammatical", "true")
    passed = {name: sum(getattr(each.verdict, name) for each in narrated) / len(narrated) for name in names}
    return {"prompts": len(narrated), **{name: round(share, 4) for name, share in passed.items()}}
