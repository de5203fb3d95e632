"""What the tuned model learns from: items, users, and the purchases that may be learnt from. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from recsys_gateway.catalog.records import Interaction, Item, User

from recsys_finetune.evaluation.datasets import Dataset
from recsys_finetune.evaluation.protocol import Event, k_core, sequences, training_histories

MOST_ITEMS = 6_000
"""The teacher's matrices are dense: at this size one of them takes 144 MB."""


class UnsuitableCatalogueError(ValueError):
    """A catalogue that a tuned model cannot be trained for here; the message says what was found and what is needed."""


@dataclass(frozen=True, slots=True)
class TrainingCatalogue:
    """Items in the order of their row numbers; ``histories`` by user id, oldest first, without what is held out."""

    items: tuple[Item, ...]
    users: Mapping[str, User]
    histories: Mapping[str, tuple[str, ...]]

    @property
    def rows(self) -> dict[str, int]:
        """Item id -> row number."""
        return {item.id: row for row, item in enumerate(self.items)}


def dataset_of(items: Iterable[Item], users: Iterable[User], interactions: Iterable[Interaction]) -> Dataset:
    """The data as the protocol wants it: the 5-core where there is one, else all; every item can be ranked.

    Events with unknown items are passed over.
    """
    known = {item.id: item for item in items}
    events = [Event(event.user_id, event.item_id, event.timestamp) for event in interactions if event.item_id in known]
    histories = sequences(k_core(events) or events)
    return Dataset(known, {user.id: user for user in users}, histories, frozenset(histories), tuple(known), {})


def training_catalogue(data: Dataset) -> TrainingCatalogue:
    """The part of ``data`` to learn from: every history without its validation and its test item.

    Raises:
        UnsuitableCatalogueError: too few items or events to learn from, or more items than fit.
    """
    histories = training_histories(data.histories)
    if len(data.items) < 2 or not any(len(history) > 1 for history in histories.values()):
        raise UnsuitableCatalogueError(
            f"{len(data.items)} items and {sum(map(len, data.histories.values()))} interactions with them: a tuned "
            "model needs at least two items, and a user with four interactions or more (two of them are held out)"
        )
    if len(data.items) > MOST_ITEMS:
        raise UnsuitableCatalogueError(
            f"{len(data.items)} items: a small tuned model is trained for up to {MOST_ITEMS}; "
            "name a model of your own in spec.models.tuned.model.uri instead"
        )
    return TrainingCatalogue(tuple(data.items.values()), data.users, histories)
