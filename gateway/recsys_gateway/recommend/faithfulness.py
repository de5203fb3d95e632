"""Whether a text speaks only of the slate: checked sentence by sentence, while it is being written. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from recsys_gateway.recommend.claims import Claims
from recsys_gateway.recommend.inflection import words
from recsys_gateway.recommend.keywords import STOPWORDS
from recsys_gateway.recommend.prompt import TITLE_CHARACTERS, one_line

MAX_SENTENCE = 600
"""Characters without an end of a sentence after which a model is taken to have run away."""

_END = re.compile(r"[.!?…。！？]+[\"'”’)]*(?=\s)|\n+")
_BRACKET = re.compile(r"\[\s*(\d+(?:\s*(?:,|&|and)\s*\d+)*)\s*\]")
_GRAMMAR_WORDS = """
    a an and are at be for from i in is it of or that the this to with would you your
"""
_GRAMMAR = frozenset(_GRAMMAR_WORDS.split())
_NUMBER = re.compile(r"\d+")
_OPEN_BRACKET = re.compile(r"\[[^\]]*$")
_YEAR = re.compile(r"\s*\(\d{4}\)\s*$")
_ARTICLE = re.compile(r"^(.*), (the|an?)$", re.IGNORECASE)


class UnfaithfulText(Exception):
    """The text speaks of something outside the slate, or in a way that cannot be checked."""


def spoken(title: str) -> str:
    """A title as one says it: "Usual Suspects, The (1995)" is "The Usual Suspects"."""
    bare = _YEAR.sub("", title)
    match = _ARTICLE.match(bare)
    return f"{match.group(2)} {match.group(1)}" if match else bare


def _shown(title: str) -> str:
    return one_line(title, TITLE_CHARACTERS)


def _normal(text: str) -> str:
    return f" {' '.join(words(text))} "


@dataclass(frozen=True, slots=True)
class Outside:
    """Titles that must not be spoken of, ready for search.

    ``phrases`` hold two telling words or more and are found in any case. The others ("Heat", "To Die For") may be plain
    words of a sentence: ``exact`` are found only as they are written, with a capital.
    """

    phrases: frozenset[str] = frozenset()
    exact: frozenset[str] = frozenset()

    @classmethod
    def of(cls, titles: Iterable[str], slate: Iterable[str], request: str) -> Outside:
        """The titles outside the slate; one that the request names itself, or that a slate's title equals, is none."""
        allowed, asked = {_normal(spoken(title)) for title in slate}, _normal(request)
        phrases, exact = set[str](), set[str]()
        for title in titles:
            said = spoken(title)
            normal = _normal(said)
            if normal in allowed or normal in asked or not normal.strip():
                continue
            if sum(word not in STOPWORDS for word in normal.split()) > 1:
                phrases.add(normal)
            elif any(character.isupper() for character in said):
                exact.add(said)
        return cls(frozenset(phrases), frozenset(exact))

    def named_in(self, normal: str, written: str, allowed: Iterable[str]) -> bool:
        """Whether one of them is named: ``normal`` is the text so far, ``written`` the sentence as it is written.

        A phrase that is part of an ``allowed`` title is not named where that title is.
        """
        found = (phrase for phrase in self.phrases if phrase in normal)
        if any(not any(phrase in title and title in normal for title in allowed) for phrase in found):
            return True
        return any(_stands_in(title, written) for title in self.exact if title in written)


def _stands_in(title: str, sentence: str) -> bool:
    """As whole words; a single word not at the beginning, where a capital says nothing."""
    places = [match.start() for match in re.finditer(rf"(?<!\w){re.escape(title)}(?!\w)", sentence)]
    first = re.search(r"\w", sentence)
    return any(" " in title or first is None or place != first.start() for place in places)


@dataclass(slots=True)
class CheckedText:
    """Takes a model's text in pieces and gives it back in sentences that are checked, with ``[n]`` as titles.

    ``titles`` are numbered from 1, and ``documents`` are what the catalogue says of them. A title of the slate may be
    written out, too. What a sentence claims must stand in the document of an item that it names, or in ``request``.
    In Korean (``language``) no English word of grammar may stand between the names and facts of a catalogue.
    ``mentioned`` says whether anything of the slate has been spoken of so far.
    """

    titles: Sequence[str]
    outside: Outside
    slate: Sequence[str] = ()
    documents: Sequence[str] = ()
    claims: Claims = field(default_factory=Claims)
    request: str = ""
    language: str = "en"
    mentioned: bool = False
    _pending: str = ""
    _said: str = ""
    _allowed: list[str] = field(init=False)

    def __post_init__(self) -> None:
        said = {_normal(form(title)) for title in (*self.titles, *self.slate) for form in (spoken, _shown)}
        self._allowed = [each for each in said if each.strip()]

    def feed(self, piece: str) -> list[str]:
        """The sentences that ``piece`` completes.

        Raises:
            UnfaithfulText: the next sentence must not be shown. Those given back before stay right.
        """
        self._pending += piece
        sentences = []
        while match := _END.search(self._pending):
            sentence, self._pending = self._pending[: match.end()], self._pending[match.end() :]
            sentences += self._checked(sentence)
        if len(self._pending) > MAX_SENTENCE:
            raise UnfaithfulText("a sentence without an end")
        return sentences

    def finish(self, *, cut: bool) -> list[str]:
        """What is left; ``cut`` says that the model did not come to its end: half a sentence is shown only if alone.

        Raises:
            UnfaithfulText: it must not be shown.
        """
        rest, self._pending = self._pending, ""
        if cut and self._said:
            return []
        if cut:
            rest = _OPEN_BRACKET.sub("", rest).rstrip() + "…" if rest.strip() else ""
        return self._checked(rest)

    def _checked(self, sentence: str) -> list[str]:
        text = one_line(_BRACKET.sub(self._title, sentence), 4 * MAX_SENTENCE)
        if not text:
            return []
        if _OPEN_BRACKET.search(text):
            raise UnfaithfulText("a bracket that is not closed")
        so_far = f"{self._said} {text}"
        normal = _normal(so_far)
        if self.outside.named_in(normal, self._without_slate(text), self._allowed):
            raise UnfaithfulText("a title outside the slate")
        if self.claims.false_in(text, (self.request, *self._documents_of(sentence, text))):
            raise UnfaithfulText("a fact that the item does not have")
        if self.language == "ko" and _GRAMMAR & set(words(self._without_slate(text))):
            raise UnfaithfulText("a mixture of languages")
        self.mentioned |= bool(_BRACKET.search(sentence)) or any(allowed in normal for allowed in self._allowed)
        self._said = so_far
        return [text]

    def _documents_of(self, sentence: str, text: str) -> list[str]:
        """The documents of the items that the sentence names; of all where it names none ("They are …")."""
        numbers = {int(digits) for match in _BRACKET.finditer(sentence) for digits in _NUMBER.findall(match.group(1))}
        numbers |= {number for number, title in enumerate(self.titles, 1) if _normal(spoken(title)) in _normal(text)}
        return [text for number, text in enumerate(self.documents, 1) if number in numbers or not numbers]

    def _title(self, match: re.Match[str]) -> str:
        titles = []
        for digits in _NUMBER.findall(match.group(1)):
            if len(digits) > 3 or not 1 <= int(digits) <= len(self.titles):
                raise UnfaithfulText("a number that is not on the list")
            titles.append(_shown(self.titles[int(digits) - 1]))
        return ", ".join(titles)

    def _without_slate(self, text: str) -> str:
        """``text`` without the titles of the slate, which may hold words that are titles elsewhere."""
        for title in sorted((*self.titles, *self.slate), key=len, reverse=True):
            for form in (_shown(title), spoken(title)):
                text = text.replace(form, "·") if form else text
        return text
