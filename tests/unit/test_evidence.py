"""Why an item fits: evidence by arm, and from where on it confirms."""

from __future__ import annotations

import numpy as np
import pytest
from recsys_gateway.catalog.records import Item
from recsys_gateway.catalog.rows import StoredItem
from recsys_gateway.recommend.evidence import confirming, evidence, mean_direction, thresholds
from recsys_gateway.recommend.stages import Arm, Signals


def vector(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


JACKET = StoredItem(Item("J1", "Rain Jacket", "for hiking"), vector(0.6, 0.8), vector(0, 2), 0.25)
NEW = StoredItem(Item("N1", "Tent"), vector(1, 0), None, 0.0)


def test_each_arm_that_was_searched_has_its_number() -> None:
    signals = Signals(vector(1, 0), ("hikes", "rainy", "tent", "jacket"), vector(0, 1), popular=True)
    assert evidence(JACKET, signals) == pytest.approx(
        {Arm.TEXT: 0.6, Arm.KEYWORDS: 0.75, Arm.HISTORY: 2.0, Arm.POPULAR: 0.25}
    )


def test_arms_without_a_signal_are_absent_and_so_is_the_history_of_a_new_item() -> None:
    assert evidence(JACKET, Signals()) == {}
    assert evidence(NEW, Signals(user_vector=vector(0, 1))) == {}


def test_what_is_at_least_the_mean_confirms_and_nothing_confirms_with_zero() -> None:
    limits = thresholds([{Arm.TEXT: 0.2, Arm.KEYWORDS: 0.0}, {Arm.TEXT: 0.4, Arm.KEYWORDS: 0.0}])
    assert confirming({Arm.TEXT: 0.3, Arm.KEYWORDS: 0.0}, limits) == (Arm.TEXT,)
    assert confirming({Arm.TEXT: 0.29}, limits) == ()


def test_the_mean_direction_has_length_one_unless_vectors_cancel_out() -> None:
    assert mean_direction([vector(2, 0), vector(0, 2)]) == pytest.approx(vector(2**-0.5, 2**-0.5))
    assert mean_direction([vector(1, 0), vector(-1, 0)]) is None
    assert mean_direction([]) is None
