"""The teacher of the tuned model: chances from counts."""

from __future__ import annotations

import numpy as np
import pytest
from recsys_finetune.ranking.catalogue import (
    TrainingCatalogue,
    UnsuitableCatalogueError,
    dataset_of,
    training_catalogue,
)
from recsys_finetune.ranking.item_statistics import COMPONENTS, ItemStatistics, likeness
from recsys_finetune.ranking.teacher import Teacher, mixture_weights, trait_bins
from recsys_finetune.ranking.warm_start import item_token_vectors
from recsys_gateway.catalog.records import Interaction, Item, User

ITEMS = tuple(Item(f"i{n}", f"Item {n}", categories=("even" if n % 2 == 0 else "odd",)) for n in range(8))
CYCLE = {f"u{n}": tuple(f"i{(n + step) % 8}" for step in range(5)) for n in range(16)}
USERS = {f"u{n}": User(f"u{n}", {"age": 20 + n, "gender": "F" if n < 8 else "M"}) for n in range(16)}
CATALOGUE = TrainingCatalogue(ITEMS, USERS, CYCLE)


def events(histories: dict[str, tuple[str, ...]]) -> list[Interaction]:
    return [
        Interaction(f"{user}-{place}", user, item, timestamp=place)
        for user, history in histories.items()
        for place, item in enumerate(history)
    ]


def test_what_always_follows_is_the_most_likely() -> None:
    teacher = Teacher.fit(CATALOGUE, history_length=10)
    for last in range(8):
        assert int(np.argmax(teacher.probabilities([last], None))) == (last + 1) % 8


def test_chances_sum_to_one_with_and_without_history_and_user() -> None:
    teacher = Teacher.fit(CATALOGUE, history_length=10)
    for history in ([], [3], [1, 2, 3]):
        for user in (None, "u3", "nobody"):
            assert teacher.probabilities(history, user).sum() == pytest.approx(1, abs=1e-5)


def test_chances_along_a_history_are_those_of_each_beginning() -> None:
    teacher = Teacher.fit(CATALOGUE, history_length=10)
    history = np.array([0, 1, 2, 5])
    along = teacher.along(history, "u3")
    for length in range(5):
        assert along[length] == pytest.approx(teacher.probabilities(history[:length], "u3"), abs=1e-6)


TENTS = [frozenset({"tent", "green"}), frozenset({"tent", "red"}), frozenset({"pan", "red"})]


def test_an_item_that_was_bought_already_is_unlikely_again() -> None:
    statistics = ItemStatistics.count([np.array([0, 0, 0, 1])], [frozenset()], likeness(TENTS))
    after = statistics.components(np.array([0]), frozenset())
    assert (after[:, 0] < 0.1).all()
    assert after.shape == (len(COMPONENTS), 3)


def test_likeness_is_of_content() -> None:
    near = likeness(TENTS)
    assert near[0, 1] > near[0, 2]
    assert near.sum(axis=1) == pytest.approx(1)


def test_mixture_weights_go_to_the_component_that_foretells() -> None:
    rng = np.random.default_rng(0)
    good, bad = rng.uniform(0.5, 1, 200), rng.uniform(0, 0.1, 200)
    weights = mixture_weights(np.stack([good, bad], axis=1))
    assert weights[0] > 0.95
    assert weights.sum() == pytest.approx(1)


def test_numbers_are_binned_and_words_are_kept() -> None:
    bins = trait_bins(USERS)
    assert ("gender", "F") in bins["u0"]
    assert ("age", 0) in bins["u0"]
    assert ("age", 3) in bins["u15"]


def test_warm_vectors_say_what_follows() -> None:
    vectors = item_token_vectors(Teacher.fit(CATALOGUE, history_length=10), width=32)
    follows, leads = vectors[:, :16], vectors[:, 16:]
    assert [int(row.argmax()) for row in leads @ follows.T] == [(item + 1) % 8 for item in range(8)]


def test_validation_and_test_items_are_not_learnt_from() -> None:
    data = dataset_of(ITEMS, USERS.values(), events(CYCLE))
    assert training_catalogue(data).histories["u0"] == CYCLE["u0"][:3]


def test_events_with_unknown_items_are_passed_over() -> None:
    data = dataset_of(ITEMS, (), [*events(CYCLE), Interaction("x", "u0", "unknown", timestamp=9)])
    assert tuple(data.histories["u0"]) == CYCLE["u0"]


@pytest.mark.parametrize(
    ("items", "histories", "said"),
    [
        (ITEMS[:1], {"u": ("i0",) * 6}, "1 items"),
        (ITEMS, {"u": ("i0", "i1")}, "four interactions"),
        ([Item(str(n), "x") for n in range(6_001)], {"u": ("1", "2", "3", "4")}, "up to 6000"),
    ],
)
def test_a_catalogue_that_cannot_be_learnt_says_why(items, histories, said: str) -> None:
    with pytest.raises(UnsuitableCatalogueError, match=said):
        training_catalogue(dataset_of(items, (), events(histories)))
