"""Data to evaluate on: a folder in the layout of the sample shop, or the official MovieLens 100K folder.

Where ``heldout.csv`` is there, its events are the test: nobody else has seen them. Elsewhere the data is cut down to
its 5-core, and the last event of each user is the test.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from recsys_gateway.catalog.importers.reading import read_interactions, read_items, read_users
from recsys_gateway.catalog.importers.row_error import RowError
from recsys_gateway.catalog.records import Interaction, Item, User
from recsys_gateway.catalog.source import Format, TableSource

from recsys_finetune.evaluation.protocol import Case, Event, Split, k_core, leave_one_out, sequences

Record = TypeVar("Record", Item, User, Interaction)
Optimum = Mapping[str, Mapping[str, float]]


class DatasetError(ValueError):
    """Data that cannot be evaluated on; the message names the file and says why."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """``histories`` by user, oldest first, the test item last; ``asked`` are the users who have one.

    ``catalogue`` holds the ids that are ranked, in a fixed order; ``items`` all there are. ``optimum`` maps a split to
    what the best possible ranking scores, where the generator of the data told it.
    """

    items: Mapping[str, Item]
    users: Mapping[str, User]
    histories: Mapping[str, Sequence[str]]
    asked: frozenset[str]
    catalogue: tuple[str, ...]
    optimum: Optimum

    def cases(self, split: Split) -> list[Case]:
        """The questions of ``split``."""
        return [case for case in leave_one_out(self.histories, split) if case.user in self.asked]


def load_dataset(folder: Path) -> Dataset:
    """The data in ``folder``; events with items that the catalogue does not know are passed over.

    Raises:
        DatasetError: the folder is in neither layout, or a row of it is wrong.
        SourceError: a file is absent or unreadable.
    """
    if (folder / "u.data").is_file():
        return _movielens(folder)
    if (folder / "items.csv").is_file() and (folder / "interactions.csv").is_file():
        return _shop(folder)
    raise DatasetError(
        f"{folder}: neither items.csv and interactions.csv (the layout of the sample shop) nor u.data (MovieLens 100K)"
    )


def _movielens(folder: Path) -> Dataset:
    source = TableSource(uri=str(folder), format=Format.MOVIELENS)
    items = {item.id: item for item in _records(read_items(source))}
    users = {user.id: user for user in _records(read_users(source))}
    return _cored(items, users, _events(read_interactions(source), items))


def _shop(folder: Path) -> Dataset:
    items = {item.id: item for item in _records(read_items(TableSource(uri=str(folder / "items.csv"))))}
    users: dict[str, User] = {}
    if (folder / "users.csv").is_file():
        users = {user.id: user for user in _records(read_users(TableSource(uri=str(folder / "users.csv"))))}
    events = _events(read_interactions(TableSource(uri=str(folder / "interactions.csv"))), items)
    if not (folder / "heldout.csv").is_file():
        return _cored(items, users, events)
    histories = sequences(events)
    held_out = _events(read_interactions(TableSource(uri=str(folder / "heldout.csv"))), items)
    tests = {event.user: event.item for event in held_out}
    for user, item in tests.items():
        histories.setdefault(user, []).append(item)
    return Dataset(items, users, histories, frozenset(tests), tuple(items), _optimum(folder))


def _cored(items: Mapping[str, Item], users: Mapping[str, User], events: list[Event]) -> Dataset:
    histories = sequences(k_core(events))
    catalogue = tuple(dict.fromkeys(item for history in histories.values() for item in history))
    return Dataset(items, users, histories, frozenset(histories), catalogue, {})


def _records(rows: Iterable[Record | RowError]) -> Iterator[Record]:
    for row in rows:
        if isinstance(row, RowError):
            raise DatasetError(str(row))
        yield row


def _events(rows: Iterable[Interaction | RowError], items: Mapping[str, Item]) -> list[Event]:
    events = (Event(row.user_id, row.item_id, row.timestamp) for row in _records(rows))
    return [event for event in events if event.item in items]


def _optimum(folder: Path) -> Optimum:
    path = folder / "report.json"
    if not path.is_file():
        return {}
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return {
            split.value: {name: float(report[split.value]["optimum"][name]) for name in ("recall_at_10", "ndcg_at_10")}
            for split in Split
        }
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: not the report of a generated shop: {error!r}") from None
