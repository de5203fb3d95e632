"""Whether a narration keeps to its prompt. Strict: what is no sentence of ours counts as untrue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from recsys_finetune.narration.facts import FactClass, Speakable, parts
from recsys_finetune.narration.phrasing import Claim, Phrases

_NUMBER = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Verdict:
    """``ended``: a full stop and an end token. ``numbered``: speaks of [1] and of no item that is not in the prompt.

    ``grammatical``: made of the phrases of its language. ``true``: grammatical, and each category and fact that it
    names stands in the prompt's line for that very item.
    """

    ended: bool
    numbered: bool
    grammatical: bool
    true: bool


def judge(answer: str, *, stopped: bool, items: Sequence[Speakable], phrases: Phrases) -> Verdict:
    """The verdict on ``answer``; ``stopped`` says that the model ended it itself."""
    numbers = {int(number) for number in _NUMBER.findall(answer)}
    known = numbers <= {item.number for item in items}
    readings = list(phrases.readings(answer))
    return Verdict(
        ended=stopped and answer.endswith("."),
        numbered=known and 1 in numbers,
        grammatical=bool(readings),
        true=known and any(all(holds(claim, items, phrases.joined) for claim in reading) for reading in readings),
    )


def holds(claim: Claim, items: Sequence[Speakable], joined: str) -> bool:
    """Whether the prompt says of the item what the claim says."""
    item = next((item for item in items if item.number == claim.number), None)
    if item is None:
        return False
    if claim.kind is None:
        return claim.value in item.categories
    said = claim.value
    for fact in item.facts:
        worded = {fact.value, joined.join(parts(fact))}
        if fact.kind is FactClass.KIND:
            worded |= {f"a {fact.value}", f"an {fact.value}"}
        fits = claim.kind in {fact.kind, FactClass.FACT} or _worded_alike(claim.kind, fact.kind)
        if fits and said in worded:
            return True
    return claim.kind is FactClass.FACT and any(said in parts(fact) for fact in item.facts)


def _worded_alike(one: FactClass, other: FactClass) -> bool:
    """Colour and material are both "in …", kind, feature and plain fact stand as they are."""
    alike = ({FactClass.COLOUR, FactClass.MATERIAL}, {FactClass.KIND, FactClass.FEATURE, FactClass.FACT})
    return any({one, other} <= group for group in alike)
