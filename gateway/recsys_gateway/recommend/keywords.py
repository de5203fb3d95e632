"""Stage 1: the key terms of the query and its language, without a model."""

from __future__ import annotations

import re

from recsys_gateway.recommend.inflection import WORD, stem
from recsys_gateway.recommend.stages import Keywords
from recsys_gateway.recommend.vocabulary import Vocabulary

MAX_TERMS = 8
MAX_TERM_CHARACTERS = 40
READ_CHARACTERS = 4_000
"""What of a very long query is read: its beginning says what it is about."""

_ENGLISH = """
    a about above after again all also am an and any anyone anything are as at be because been before being best
    between both but buy by can can't cannot could did do does doing don't each few find for from further get give go
    goes going good got had has have having he help her here hers him his how i i'd i'll i'm i've if in into is isn't
    it it's its just kind let like looking love made make may me might more most much my myself need needs new no nor
    not now of off on once one only or other our out over own perfect please really recommend recommendation
    recommendations same see shall she should show so some someone something sort such suggest suggestion suggestions
    than that that's the their them then there these they thing things this those through to too try under up us use
    used using very want wanted wants was we well were what when where which while who whom why will wish with would
    you your yours
"""
_KOREAN = """
    것 거 게 그 그리고 나 나는 내 너 더 때 또 및 수 이 이런 저 저는 제 좀 줘 주세요 추천 추천해 추천해줘 추천해주세요
    찾아줘 찾는 찾고 있는 있어 있나요 싶어 싶어요 원해 원해요 하는 한 할 해줘 해주세요 위한 어떤 무엇
    뭐 을 를 은 는 가 와 과 도
"""
STOPWORDS = frozenset(_ENGLISH.split()) | frozenset(_KOREAN.split())
_PARTICLE_LINES = """
    에서는 에서 에게 으로 까지 부터 하고 이나 을 를 은 는 이 가 에 의 로 와 과 도 용
"""
_PARTICLES = tuple(_PARTICLE_LINES.split())

_SCRIPTS = (
    ("ko", re.compile(r"[\uac00-\ud7a3\u1100-\u11ff\u3130-\u318f]")),
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("zh", re.compile(r"[\u4e00-\u9fff]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
)
_LETTER = re.compile(r"[^\W\d_]")
_SHARE_OF_SCRIPT = 0.2


def language_of(text: str) -> str:
    """ISO 639-1, by script alone: the first of ko, ja, zh, ru with a fifth of the letters; else en.

    A fifth, since a syllable or a sign says more than a letter.

    Korean comes first, since it borrows signs of others and not the other way round; Japanese before Chinese likewise.
    """
    letters = len(_LETTER.findall(text))
    return next(
        (name for name, script in _SCRIPTS if letters and len(script.findall(text)) >= _SHARE_OF_SCRIPT * letters), "en"
    )


def extract(query: str, vocabulary: Vocabulary | None = None, limit: int = MAX_TERMS) -> Keywords:
    """Up to ``limit`` terms of ``query``, most telling first.

    Stopwords go, and inflections of one word count once, as they were first written. What tells most is what is
    rare in ``vocabulary``; without one, the longer word. Ties keep the order of the query.
    """
    read = query[:READ_CHARACTERS]
    language = language_of(read)
    terms: dict[str, str] = {}
    for match in WORD.findall(read):
        word = match.casefold().replace("’", "'")
        if word not in STOPWORDS and len(word) <= MAX_TERM_CHARACTERS:
            term = _without_particle(word) if language == "ko" else word.removesuffix("'s")
            if term not in STOPWORDS and _says_something(term):
                terms.setdefault(stem(term), term)
    ranked = sorted(terms, key=lambda stemmed: -_weight(stemmed, vocabulary))
    return Keywords(tuple(terms[stemmed] for stemmed in ranked[:limit]), language)


def _weight(stemmed: str, vocabulary: Vocabulary | None) -> float:
    return vocabulary.rarity(stemmed) if vocabulary and vocabulary.documents else float(len(stemmed))


def _says_something(term: str) -> bool:
    """A single Latin letter says nothing; a digit or a Han or Hangul syllable may."""
    return bool(term) and (len(term) > 1 or not term.isascii() or term.isdigit())


def _without_particle(word: str) -> str:
    """A Korean word without its particle, where at least two syllables stay."""
    particle = next((end for end in _PARTICLES if word.endswith(end) and len(word) >= len(end) + 2), "")
    return word.removesuffix(particle)
