"""The sentences of ``phrases.yaml``: written from items, and read back into what they claim."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files

import numpy as np
import yaml
from recsys_gateway.document import Frozen

from recsys_finetune.narration.facts import SPOKEN_CATEGORIES, Fact, FactClass, Speakable, parts

ASKED_FIRST = 0.7
_SLOT = re.compile(r"\{(\w+?)(2?)\}")
_BRIEF = 1
"""Facts of each item where one sentence names two."""


@dataclass(frozen=True, slots=True)
class Claim:
    """``value`` is said of the item ``number``; ``kind`` None stands for its category."""

    number: int
    kind: FactClass | None
    value: str


class Phrases(Frozen):
    """The sentences of one language; ``facts`` words a fact of each class, ``joined`` stands between two words."""

    joined: str
    facts: Mapping[FactClass, str]
    lead: tuple[str, ...]
    follow_one: tuple[str, ...]
    follow_two: tuple[str, ...]

    @cached_property
    def _leads(self) -> list[re.Pattern[str]]:
        return [_pattern(template) for template in self.lead]

    @cached_property
    def _follows(self) -> list[re.Pattern[str]]:
        return [_pattern(template) for template in (*self.follow_one, *self.follow_two)]

    def say(self, items: Sequence[Speakable], rng: np.random.Generator) -> str:
        """One sentence about the first of one to three items, and one about the others."""
        first, *others = items
        answer = self._sentence(self.lead, [first], rng)
        if others:
            answer += " " + self._sentence(self.follow_one if len(others) == 1 else self.follow_two, others, rng)
        return answer

    def _sentence(self, templates: Sequence[str], items: Sequence[Speakable], rng: np.random.Generator) -> str:
        possible = [(template, said) for template in templates if (said := self._fill(template, items)) is not None]
        asked = [pair for pair in possible if "{asked}" in pair[0]]
        if asked and rng.random() < ASKED_FIRST:
            possible = asked
        # Of what can be said, what says most: category and facts wherever the prompt gives them.
        most = max(_coverage(template) for template, _ in possible)
        best = [said for template, said in possible if _coverage(template) == most]
        return best[int(rng.integers(len(best)))]

    def _fill(self, template: str, items: Sequence[Speakable]) -> str | None:
        """The sentence, or None where an item lacks what a slot needs."""
        values: dict[str, str] = {}
        for name, second in _SLOT.findall(template):
            if len(items) <= bool(second):
                return None
            value = self._slot(name, items[bool(second)], template, brief=len(items) > 1)
            if not value:
                return None
            values[name + second] = value
        return template.format(**values)

    def _slot(self, name: str, item: Speakable, template: str, *, brief: bool) -> str:
        match name:
            case "item":
                return f"[{item.number}]"
            case "category":
                return self.joined.join(item.categories[:SPOKEN_CATEGORIES])
            case "asked":
                return next(iter(item.asked), "")
            case "use":
                return next((fact.value for fact in item.facts if fact.kind is FactClass.USE), "")
            case _:
                said = {
                    self._slot(other, item, "", brief=brief) for other in ("asked", "use") if f"{{{other}}}" in template
                }
                chosen = [fact for fact in _told(item) if fact.value not in said]
                if name == "qualities":
                    chosen = [fact for fact in chosen if fact.kind not in {FactClass.KIND, FactClass.FACT}]
                return ", ".join(self._worded(fact) for fact in (chosen[:_BRIEF] if brief else chosen))

    def _worded(self, fact: Fact) -> str:
        value = self.joined.join(parts(fact))
        if fact.kind is FactClass.KIND and self.joined == " and ":
            value = _with_article(value)
        return self.facts[fact.kind].format(value)

    def readings(self, answer: str) -> Iterator[list[Claim]]:
        """Every way to read ``answer`` as sentences of this language; none: it is not made of them."""
        ends = [match.start() + 1 for match in re.finditer(r"\.(?: |$)", answer)]
        for end in ends:
            leads = [match for pattern in self._leads if (match := pattern.fullmatch(answer[:end]))]
            rest = answer[end:].strip()
            follows = [match for pattern in self._follows if (match := pattern.fullmatch(rest))]
            for lead in leads:
                if not rest:
                    yield list(self._claims(lead))
                for follow in follows:
                    yield [*self._claims(lead), *self._claims(follow)]

    def _claims(self, match: re.Match[str]) -> Iterator[Claim]:
        groups = match.groupdict()
        for name, text in groups.items():
            number = int(groups["item2" if name.endswith("2") else "item"])
            match name.rstrip("2"):
                case "category":
                    yield from (Claim(number, None, part) for part in text.split(self.joined))
                case "use":
                    yield Claim(number, FactClass.USE, text)
                case "asked":
                    yield Claim(number, FactClass.FACT, text)
                case "desc" | "qualities":
                    yield from (self._read(number, part) for part in text.split(", "))

    def _read(self, number: int, part: str) -> Claim:
        """A worded fact as a claim; what fits no wording but the plain one is a plain fact."""
        for kind, wording in self.facts.items():
            before, after = wording.split("{}")
            if (before or after) and part.startswith(before) and part.endswith(after):
                return Claim(number, kind, part[len(before) : len(part) - len(after)])
        return Claim(number, FactClass.FACT, part)


def _told(item: Speakable) -> list[Fact]:
    """The facts worth telling: the reader sees the title, so a brand that is in it is not said again."""
    return [fact for fact in item.facts if not (fact.kind is FactClass.BRAND and item.brand_in_title)]


def _coverage(template: str) -> int:
    return ("{category}" in template) + ("{desc}" in template or "{qualities}" in template)


def _with_article(kind: str) -> str:
    if kind.endswith("s"):
        return kind
    return f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind}"


def _pattern(template: str) -> re.Pattern[str]:
    """The template with each slot as a named group."""
    pieces, end = [], 0
    for slot in _SLOT.finditer(template):
        name = slot.group(1) + slot.group(2)
        pieces += [re.escape(template[end : slot.start()])]
        pieces += [rf"\[(?P<{name}>\d+)\]" if slot.group(1) == "item" else rf"(?P<{name}>.+?)"]
        end = slot.end()
    return re.compile("".join([*pieces, re.escape(template[end:])]))


@cache
def load_phrases() -> Mapping[str, Phrases]:
    """Language -> its phrases. A language that is not there is answered in English."""
    document = yaml.safe_load(files(__package__).joinpath("phrases.yaml").read_text(encoding="utf-8"))
    return {language: Phrases.model_validate(content) for language, content in document.items()}
