"""Stage 7: the base model's sentence about the slate, streamed as it is checked; a plain template where it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from recsys_gateway.catalog.records import Item
from recsys_gateway.engines.dialect import ChatCall
from recsys_gateway.recommend.deadline import Deadline
from recsys_gateway.recommend.degradation import Reason, reason_of
from recsys_gateway.recommend.faithfulness import CheckedText, UnfaithfulText
from recsys_gateway.recommend.stages import Message, Usage
from recsys_gateway.recommend.template import plain_answer
from recsys_gateway.serving.completions import Part
from recsys_gateway.serving.failures import UpstreamError

MAX_TOKENS = 160
TEMPERATURE = 0.0


class Storyteller(Protocol):
    """A model whose answer can be streamed. Raises UpstreamError."""

    def stream(self, call: ChatCall) -> AsyncGenerator[Part, None]: ...


@dataclass(frozen=True, slots=True)
class Narration:
    """How the narration went; its text has been yielded before. ``failed`` says why a template had to step in."""

    usage: Usage
    failed: Reason | None = None


async def narrate(
    model: Storyteller | None,
    messages: Sequence[Message],
    checked: CheckedText,
    fallback: Sequence[Item],
    language: str,
    seed: int,
    deadline: Deadline,
) -> AsyncGenerator[str | Narration, None]:
    """Pieces of the answer, each checked before it leaves; then how it went.

    What was yielded stays. Where the model fails, a template follows, unless the sentences before speak of the slate
    already and can stand alone.
    """
    usage, failed, said = Usage(), None if model else Reason.NO_MODEL, False
    if model is not None:
        call = ChatCall(
            messages=[(message.role, message.content) for message in messages],
            max_tokens=MAX_TOKENS,
            temperature=TEMPERATURE,
            seed=seed,
        )
        try:
            async with aclosing(_sentences(model.stream(call), checked, deadline)) as sentences:
                async for each in sentences:
                    if isinstance(each, Usage):
                        usage = each
                    else:
                        yield f" {each}" if said else each
                        said = True
            failed = None if checked.mentioned else Reason.NOTHING_SAID
        except UnfaithfulText:
            failed = Reason.UNFAITHFUL
        except TimeoutError:
            failed = Reason.TIMEOUT
        except UpstreamError as error:
            failed = reason_of(error)
    if failed is not None and not (said and checked.mentioned):
        plain = plain_answer(fallback, language)
        yield f" {plain}" if said else plain
    yield Narration(usage, failed)


async def _sentences(
    parts: AsyncGenerator[Part, None], checked: CheckedText, deadline: Deadline
) -> AsyncGenerator[str | Usage, None]:
    """The checked sentences of a streamed answer, and the usage that the engine states."""
    cut = False
    async with aclosing(parts):
        while True:
            async with asyncio.timeout(deadline.left()):
                part = await anext(parts, None)
            if part is None:
                break
            if part.usage is not None:
                yield Usage(part.usage.prompt, part.usage.completion)
            cut = cut or part.finish_reason == "length"
            for sentence in checked.feed(part.text):
                yield sentence
    for sentence in checked.finish(cut=cut):
        yield sentence
