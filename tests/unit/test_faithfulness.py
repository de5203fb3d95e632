"""The narration speaks of the slate only; brackets become titles wherever the stream is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.catalog.records import Item
from recsys_gateway.recommend.claims import Claims
from recsys_gateway.recommend.faithfulness import CheckedText, Outside, UnfaithfulText, spoken

TITLES = ["Fjord Rain Jacket", "Trail Cap"]
OTHERS = ["Desert Tent", "Heat (1995)", "Usual Suspects, The (1995)", "Fjord Rain", "To Die For (1995)"]


def checked(request: str = "", slate: tuple[str, ...] = ()) -> CheckedText:
    return CheckedText(TITLES, Outside.of(OTHERS, [*TITLES, *slate], request), slate)


def whole(text: str, cuts: list[int], machine: CheckedText | None = None) -> list[str]:
    machine = machine or checked()
    places = [0, *sorted(cuts), len(text)]
    sentences = []
    for start, end in pairwise(places):
        sentences += machine.feed(text[start:end])
    return sentences + machine.finish(cut=False)


GOOD = "Take [1] for rainy days. With [ 2 ], or [1, 2] together, you are set! It costs 3.50 at most"
GOOD_SENTENCES = [
    "Take Fjord Rain Jacket for rainy days.",
    "With Trail Cap, or Fjord Rain Jacket, Trail Cap together, you are set!",
    "It costs 3.50 at most",
]


@given(st.lists(st.integers(0, len(GOOD)), max_size=20))
def test_wherever_it_is_cut_the_sentences_are_the_same(cuts: list[int]) -> None:
    machine = checked()
    assert whole(GOOD, cuts, machine) == GOOD_SENTENCES
    assert machine.mentioned


@pytest.mark.parametrize(
    "text",
    [
        "Take [3].",
        "Take [0].",
        "Take [1, 9].",
        "Take [99999999999999999999].",
        "Take the desert tent.",
        "Watch The Usual Suspects.",
        "You will like Heat too.",
        "To Die For is better.",
        "Take [1",
        "x" * 2000,
        "The Usual. Suspects are not caught by a full stop",
    ],
)
@given(st.lists(st.integers(0, 60), max_size=5))
def test_what_is_not_on_the_list_is_never_shown(text: str, cuts: list[int]) -> None:
    machine = checked()
    shown: list[str] = []

    def say() -> None:
        for start, end in pairwise([0, *sorted(cuts), len(text)]):
            shown.extend(machine.feed(text[start:end]))
        machine.finish(cut=False)

    with pytest.raises(UnfaithfulText):
        say()
    assert shown in ([], ["The Usual."])
    assert not machine.mentioned


@pytest.mark.parametrize(
    "text",
    [
        "Heat is no problem with [1].",
        "In the heat, take [2].",
        "The fjord rain jacket is the one.",
        "Rain is coming.",
        "[1] is a jacket to die for.",
    ],
)
def test_plain_words_are_no_titles(text: str) -> None:
    assert len(whole(text, [])) == 1


def test_titles_of_the_slate_may_be_written_out_and_so_may_what_the_request_names() -> None:
    machine = checked("something like Desert Tent", ("Wool Hat",))
    assert whole("If you like Desert Tent, the Wool Hat fits.", [], machine)
    assert machine.mentioned


def test_half_a_sentence_is_shown_only_where_there_is_nothing_else() -> None:
    machine = checked()
    assert machine.feed("Take [1]. And also the") == ["Take Fjord Rain Jacket."]
    assert machine.finish(cut=True) == []
    alone = checked()
    assert alone.feed("Take [1] and [") == []
    assert alone.finish(cut=True) == ["Take Fjord Rain Jacket and…"]


def test_nothing_of_the_slate_is_noticed() -> None:
    machine = checked()
    assert whole("Have a nice day.", [], machine) == ["Have a nice day."]
    assert not machine.mentioned


@given(st.text(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_any_text_is_shown_clean_or_refused(text: str, cuts: list[int]) -> None:
    try:
        sentences = whole(text, [min(cut, len(text)) for cut in cuts])
    except UnfaithfulText:
        return
    assert all(sentence == " ".join(sentence.split()) and "<" not in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("Usual Suspects, The (1995)", "The Usual Suspects"),
        ("Up", "Up"),
        ("1984 (1984)", "1984"),
        ("Tent, 2P", "Tent, 2P"),
    ],
)
def test_titles_as_one_says_them(title: str, said: str) -> None:
    assert spoken(title) == said


def test_a_fact_of_another_item_is_not_said() -> None:
    tent = Item("1", TITLES[0], categories=("Tents",))
    sock = Item("2", "Sock", attributes={"material": "merino wool"})
    text = CheckedText([tent.title], Outside(), documents=[tent.document], claims=Claims.of([tent, sock]))
    assert text.feed("[1] is a tent. ") == [f"{tent.title} is a tent."]
    with pytest.raises(UnfaithfulText, match="a fact that the item does not have"):
        text.feed("It comes in merino wool. ")


def test_a_korean_sentence_has_no_english_grammar() -> None:
    text = CheckedText(["Lamp of the North"], Outside(), language="ko")
    assert text.feed("[1] 상품을 추천합니다: waterproof 특징. ") == [
        "Lamp of the North 상품을 추천합니다: waterproof 특징."
    ]
    with pytest.raises(UnfaithfulText, match="a mixture of languages"):
        text.feed("무엇보다 you would be [1] 상품. ")
