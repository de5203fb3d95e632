"""Key terms and language of a query."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.recommend.inflection import stem, stems
from recsys_gateway.recommend.keywords import MAX_TERMS, extract, language_of
from recsys_gateway.recommend.vocabulary import Vocabulary


def test_stopwords_go_and_the_longer_word_comes_first() -> None:
    assert extract("I am looking for a light jacket for rainy hikes, please").terms == (
        "jacket",
        "light",
        "rainy",
        "hikes",
    )


def test_what_is_rare_in_the_catalogue_tells_most() -> None:
    vocabulary = Vocabulary.of(["a jacket for hiking", "a rain jacket", "a jacket", "light jacket"])
    assert extract("light jacket hikes", vocabulary).terms == ("light", "hikes", "jacket")


def test_inflections_of_one_word_count_once_as_first_written() -> None:
    assert extract("hikes hiking hiked hike").terms == ("hikes",)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hikes", "hiking"),
        ("jacket", "jackets"),
        ("rain", "rainy"),
        ("run", "running"),
        ("dress", "dresses"),
        ("battery", "batteries"),
        ("party", "parties"),
    ],
)
def test_inflections_share_a_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize(("one", "other"), [("jacket", "pocket"), ("battery", "bat"), ("glass", "glove")])
def test_different_words_do_not(one: str, other: str) -> None:
    assert stem(one) != stem(other)


def test_korean_words_lose_their_particles() -> None:
    found = extract("비 오는 날 등산용 가벼운 재킷을 추천해줘")
    assert found.language == "ko"
    assert {"재킷", "등산", "가벼운"} <= set(found.terms)
    assert "추천해줘" not in found.terms


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", "en"),
        ("👟👟", "en"),
        ("Bücher", "en"),
        ("재킷 jacket", "ko"),
        ("雨の日の靴", "ja"),
        ("雨衣", "zh"),
        ("куртка", "ru"),
    ],
)
def test_language_by_script(text: str, language: str) -> None:
    assert language_of(text) == language


@given(st.text(max_size=300))
def test_any_text_gives_few_distinct_terms_that_are_words_of_it(text: str) -> None:
    terms = extract(text).terms
    assert len(terms) <= MAX_TERMS
    assert len({stem(term) for term in terms}) == len(terms)
    assert all(term and term == term.casefold() and not term.isspace() for term in terms)


def test_a_search_asks_for_the_forms_that_the_catalogue_writes() -> None:
    vocabulary = Vocabulary.of(["hiking boots", "boots for hiking", "a hike"])
    assert vocabulary.expand(["hikes", "tent"]) == ["hikes", "hiking", "hike", "tent"]


def test_stems_of_a_document() -> None:
    assert stems("Hiking Jackets, rain-ready") == {stem("hike"), "jacket", "rain", stem("ready")}
