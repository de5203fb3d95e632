"""What the base model learns: every answer is true of its prompt, and the checker would notice if it were not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_finetune.narration.checking import judge
from recsys_finetune.narration.facts import Speakable
from recsys_finetune.narration.pairs import Pair, narration_prompt, phrases_for, random_pair
from recsys_finetune.narration.phrasing import load_phrases
from recsys_finetune.narration.worlds import Worlds, load_words, signature
from recsys_finetune.shop.assortment import load_assortment
from recsys_gateway.catalog.records import Item

WORLDS = Worlds(load_assortment(), load_words())

JACKET = Item(
    id="JKT-001",
    title="Ridgeline Storm Rain Jacket",
    categories=("Jackets", "Hiking"),
    attributes={
        "feature": "waterproof lightweight",
        "use": "hiking",
        "material": "ripstop nylon",
        "brand": "Ridgeline",
    },
)
FILM = Item(id="1", title="Night and Wolf (1994)", categories=("Drama", "Film-Noir", "War"))


def pair(seed: int) -> Pair:
    return random_pair(WORLDS, np.random.default_rng(seed))


def judged(answer: str, request: str = "a light jacket", *, stopped: bool = True) -> tuple[bool, bool, bool, bool]:
    prompt = narration_prompt(request, [JACKET, FILM])
    verdict = judge(answer, stopped=stopped, items=prompt.items, phrases=phrases_for(prompt.language))
    return verdict.ended, verdict.numbered, verdict.grammatical, verdict.true


@given(st.integers(0, 2**32))
def test_every_answer_is_true_and_made_of_the_phrases(seed: int) -> None:
    made = pair(seed)
    verdict = judge(made.answer, stopped=True, items=made.prompt.items, phrases=phrases_for(made.prompt.language))
    assert verdict.ended
    assert verdict.numbered
    assert verdict.grammatical
    assert verdict.true


def test_the_same_seed_gives_the_same_pair() -> None:
    assert pair(7) == pair(7)


def test_the_prompt_is_the_gateways_own() -> None:
    prompt = narration_prompt("something for hiking", [JACKET])
    assert prompt.messages[-1].content == (
        "Request: something for hiking\nLanguage: en\nItems:\n"
        "[1] Ridgeline Storm Rain Jacket | Jackets, Hiking | hiking, waterproof lightweight, ripstop nylon"
    )


def test_there_are_many_phrasings_in_both_languages() -> None:
    english, korean = load_phrases()["en"], load_phrases()["ko"]
    assert len(english.lead) + len(english.follow_one) + len(english.follow_two) >= 40
    assert len(korean.lead) + len(korean.follow_one) + len(korean.follow_two) >= 15


def test_a_language_without_phrases_is_answered_in_english() -> None:
    assert phrases_for("de") is phrases_for("en")


@pytest.mark.parametrize("seed", range(20))
def test_held_out_products_are_never_drawn(seed: int) -> None:
    drawn = WORLDS.shop_item(np.random.default_rng(seed))
    careful = Worlds(WORLDS.assortment, WORLDS.words, frozenset({signature(drawn)}))
    assert signature(careful.shop_item(np.random.default_rng(seed))) != signature(drawn)


def test_a_brand_that_the_title_shows_is_not_said_again() -> None:
    plain = Item(id="1", title="Ridgeline Hat", attributes={"brand": "Ridgeline", "feature": "warm"})
    items = narration_prompt("", [plain]).items
    said = {phrases_for("en").say(items, np.random.default_rng(seed)) for seed in range(20)}
    assert not any("Ridgeline" in answer for answer in said)


def test_what_was_asked_counts_only_as_a_whole_word() -> None:
    def asked(request: str) -> Speakable:
        return narration_prompt(request, [JACKET]).items[0]

    assert asked("I go hiking").asked == ("hiking",)
    assert asked("two hikingsticks").asked == ()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("I would start with [1] from Jackets and Hiking: waterproof and lightweight, made for hiking.", (True,) * 4),
        ("I would start with [1] from Jackets. You could also try [2] from Drama and War.", (True,) * 4),
        # The fact of another item, a made-up one, and the category of another item.
        ("I would start with [2], waterproof.", (True, False, True, False)),
        ("I would start with [1]: in titanium.", (True, True, False, False)),
        ("I would start with [1], in titanium.", (True, True, True, False)),
        ("I would start with [1] from Drama.", (True, True, True, False)),
        # A fact worded as another class, and one that the item has not.
        ("I would start with [1], made by ripstop nylon.", (True, True, True, False)),
        ("If climbing matters to you, I would start with [1] from Jackets.", (True, True, True, False)),
        # Numbers that are not there, and sentences that are none.
        ("I would start with [3].", (True, False, True, False)),
        ("I would start with [1] from", (False, True, False, False)),
        ("", (False, False, False, False)),
    ],
)
def test_the_checker(answer: str, expected: tuple[bool, bool, bool, bool]) -> None:
    assert judged(answer) == expected


def test_an_answer_that_was_cut_has_not_ended() -> None:
    assert judged("I would start with [1].", stopped=False)[0] is False
