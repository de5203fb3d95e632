"""Text -> buckets: like words share buckets, and no text is too strange or too long."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.catalog.subword_hashing import SubwordHashing, dump_hashing, load_hashing, words

HASHING = SubwordHashing(buckets=16_384)


def shared(one: str, other: str) -> float:
    """Share of the buckets of ``one`` that ``other`` has too."""
    left, right = set(HASHING.ids(one)), set(HASHING.ids(other))
    return len(left & right) / len(left)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Star Wars (1977)", ["star", "wars", "1977"]),
        ("Children's CAFÉ", ["childrens", "cafe"]),
        ("tent 🏕️ 20€", ["tent", "🏕", "20", "€"]),
        ("rain-jacket, light!", ["rain", "jacket", "light"]),
        ("…?!", []),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert list(words(text)) == expected


def test_a_bucket_is_a_crc_of_the_marked_word() -> None:
    # "<ab>" is 4 letters: itself, then its runs of 3. The values pin the format of models that were trained on it.
    assert SubwordHashing(buckets=1_000).ids("ab") == [978, 761, 942]


def test_case_accents_and_apostrophes_change_nothing() -> None:
    assert HASHING.ids("Amélie's TENT") == HASHING.ids("amelies tent")


def test_inflections_and_typing_errors_share_buckets_and_other_words_do_not() -> None:
    assert shared("jacket", "jackets") > 0.6
    assert shared("waterproof", "watreproof") > 0.25
    assert shared("jacket", "coffee") == 0


def test_a_korean_word_with_a_particle_shares_most_buckets_with_the_bare_one() -> None:
    assert shared("재킷", "재킷이") > 0.5
    assert shared("재킷", "커피") == 0


def test_a_text_without_words_has_the_bucket_of_the_empty_word() -> None:
    assert HASHING.ids("") == HASHING.ids(" .,!\x00") == HASHING.ids("\u200b")
    assert len(HASHING.ids("")) == 1


def test_one_long_word_does_not_crowd_out_the_rest() -> None:
    assert set(HASHING.ids("tent")) <= set(HASHING.ids("x" * 500 + " tent"))


@given(st.text(max_size=300))
def test_any_text_gives_some_buckets_and_none_is_padding(text: str) -> None:
    ids = HASHING.ids(text)
    assert 1 <= len(ids) <= HASHING.max_tokens
    assert all(1 <= index < HASHING.buckets for index in ids)
    assert ids == HASHING.ids(text)


@given(st.text(alphabet=st.characters(codec=None), max_size=50))
def test_lone_surrogates_are_no_error(text: str) -> None:
    assert HASHING.ids(text + "\ud800")


@given(st.text(max_size=20), st.integers(1, 50))
def test_the_bound_holds(text: str, bound: int) -> None:
    assert len(SubwordHashing(buckets=64, max_tokens=bound).ids(text * 50)) <= bound


def test_it_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "hashing.json"
    path.write_text(dump_hashing(HASHING))
    assert load_hashing(path) == HASHING


@pytest.mark.parametrize(
    "document", [[], {}, {"buckets": "many"}, {"buckets": 8, "seed": 1}, {"buckets": 1}, {"buckets": 8, "min_n": 6}]
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, document: object) -> None:
    path = tmp_path / "hashing.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"buckets|whole number"):
        load_hashing(path)
