"""All of a local system killed at once, again and again, while it loads and is written to: what it had acknowledged is
there after the next start, and nothing is there twice. RECSYS_KILLS says how often (20 are asked for)."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
import yaml
from integration.conftest import MilvusLite
from recsys_gateway.catalog import schema
from recsys_gateway.catalog.writing import CatalogWriter
from recsys_operator.local.ports import free_ports
from recsys_operator.local.state import DataDirectory, LocalState

QUICKSTART = Path(__file__).parents[2] / "manifests" / "examples" / "quickstart.yaml"
ROUNDS = int(os.environ.get("RECSYS_KILLS", "1"))
ITEMS, EVENTS = 40, 8_000
"""Rows that the tables grow by in a round: a load of some seconds."""
MOST_SECONDS = 4.0
"""Until the kill: every second time from the first write on, else from when the load has rows in Milvus, too."""
HISTORY = 100

pytestmark = pytest.mark.timeout(180 * (ROUNDS + 1))


@dataclass
class Told:
    """What was acknowledged: ids of events, and of each item the last version. ``sent`` may be there, too."""

    events: set[str] = field(default_factory=set)
    sent: set[str] = field(default_factory=set)
    items: dict[str, tuple[int, int]] = field(default_factory=dict)
    of_table: int = 0


class System:
    """`recsys up` on a catalogue of files that grow."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._tables: dict[str, list[str]] = {"items": ["id,title"], "events": ["id,user_id,item_id,timestamp"]}
        document = yaml.safe_load(QUICKSTART.read_text())
        document["spec"]["catalog"] = {
            "items": {"uri": f"file://{folder}/items.csv", "format": "csv"},
            "interactions": {"uri": f"file://{folder}/events.csv", "format": "csv"},
        }
        self.file = folder / "system.yaml"
        self.file.write_text(yaml.safe_dump(document))

    def grow(self, turn: int) -> None:
        self._tables["items"] += [f"T-{turn}-{n},Thing {n} of turn {turn}" for n in range(ITEMS)]
        # Events of earlier turns stay without their rows.
        self._tables["events"][1:] = [
            f"t-{turn}-{n},u{n % 500},T-{turn}-{n % ITEMS},{turn * EVENTS + n}" for n in range(EVENTS)
        ]
        for name, lines in self._tables.items():
            (self.folder / f"{name}.csv").write_text("\n".join(lines) + "\n")

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "recsys_operator.cli", *arguments, "--data-dir", str(self.data)]

    def up(self) -> None:
        port = self.url.rpartition(":")[2]
        done = subprocess.run(
            self.command("up", "-f", str(self.file), "--port", port, "--detach"),
            capture_output=True,
            text=True,
            timeout=170,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def state(self) -> LocalState:
        state = DataDirectory(self.data).running_state()
        assert state is not None
        return state

    def kill(self, *others: int) -> None:
        """SIGKILL for the supervisor and all that it started, and for ``others``."""
        state = self.state()
        pids = [state.pid, *(process.pid for process in state.processes), *others]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while any(_runs(pid) for pid in pids):
            assert time.monotonic() < deadline, "a killed process goes on"
            time.sleep(0.02)


class Loading:
    """`recsys load` under way, and how many rows it has acknowledged."""

    def __init__(self, system: System) -> None:
        command = system.command("load", "-f", str(system.file))
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._rows = [0]
        self._some = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_until_it_acknowledges(self) -> None:
        assert self._some.wait(150), "the load acknowledges nothing"

    def acknowledged(self) -> int:
        """Once the process has ended."""
        self.process.wait()
        self._reader.join()
        return self._rows[-1]

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                if line.startswith("acknowledged"):
                    self._rows.append(int(line.split()[1]))
                    self._some.set()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_was_acknowledged_is_there_after_each_kill_and_nothing_is_twice(tmp_path: Path) -> None:
    system, told, draw = System(tmp_path), Told(), random.Random(11)
    system.grow(0)
    system.up()
    try:
        for turn in range(1, ROUNDS + 1):
            system.grow(turn)
            loading, writing = Loading(system), threading.Thread(target=_write, args=(system.url, turn, told))
            writing.start()
            if turn % 2:
                loading.wait_until_it_acknowledges()
            moment = draw.uniform(0.0, MOST_SECONDS)
            time.sleep(moment)  # the moment is what is drawn: there is no condition to wait for
            system.kill(loading.process.pid)
            writing.join()
            told.of_table = loading.acknowledged()
            print(f"turn {turn}: killed after {moment:.1f} s, {told.of_table} rows loaded, {len(told.events)} events")
            _check_before_the_next_start(system, turn, told)
            system.up()
            _check(system, turn, told)
    finally:
        subprocess.run(system.command("down"), capture_output=True, timeout=60)


def _write(url: str, turn: int, told: Told) -> None:
    """Write until the connection breaks, and note what was acknowledged."""
    with requests.Session() as http, contextlib.suppress(requests.RequestException):
        for number in range(1_000_000):
            keys = [f"w-{turn}-{number}-{each}" for each in range(5)]
            events = [
                {
                    "id": key,
                    "user_id": f"writer-{turn}",
                    "item_id": f"W-{number}-{each}",
                    "type": "view",
                    "timestamp": number * 5 + each,
                }
                for each, key in enumerate(keys)
            ]
            told.sent.update(keys)
            if http.post(f"{url}/v1/events", json={"events": events}, timeout=60).status_code == 200:
                told.events.update(keys)
            title = {"title": f"Of turn {turn} {number}"}
            key = f"K-{number % 20}"
            if http.put(f"{url}/v1/items/{key}", json=title, timeout=60).status_code in (200, 201):
                told.items[key] = (turn, number)


def _check_before_the_next_start(system: System, turn: int, told: Told) -> None:
    """What Milvus alone still has: the next start loads the tables again."""
    milvus = MilvusLite(system.data / "milvus")
    try:
        milvus.start()
        with CatalogWriter(milvus.config) as writer:
            for name in (schema.INTERACTIONS, schema.ITEMS):
                writer.load(name)
            ids = [row["id"] for row in writer.all_rows(schema.INTERACTIONS, [])]
            titles = {row["id"]: row["title"] for row in writer.all_rows(schema.ITEMS, ["title"])}
    finally:
        milvus.kill()
    assert told.events <= set(ids), f"{len(told.events - set(ids))} acknowledged events are lost"
    assert max(Counter(ids).values()) == 1
    loaded = sum(key.startswith(f"t-{turn}-") for key in ids)
    assert loaded >= min(told.of_table, EVENTS), f"{loaded} of {told.of_table} acknowledged rows are there"
    for key, version in told.items.items():
        assert tuple(map(int, titles[key].split()[-2:])) >= version, (key, version, titles[key])


def _check(system: System, turn: int, told: Told) -> None:
    """After a start that has loaded: all of the tables and of what was written, once, and so counted."""
    store = system.state().vector_store
    assert store is not None
    with CatalogWriter(store) as writer:
        events = list(writer.all_rows(schema.INTERACTIONS, ["user_id", "item_id"]))
        counts = {row["id"]: row["events"] for row in writer.all_rows(schema.STATISTICS, ["events"])}
        users = {row["id"]: row for row in writer.all_rows(schema.USERS, ["history"])}
        items = [row["id"] for row in writer.all_rows(schema.ITEMS, [])]
    ids = [row["id"] for row in events]
    assert len(ids) == len(set(ids))
    assert len(items) == len(set(items))
    table = {f"t-{each}-{n}" for each in range(turn + 1) for n in range(EVENTS)}
    assert table | told.events <= set(ids) <= table | told.sent
    assert {f"T-{each}-{n}" for each in range(turn + 1) for n in range(ITEMS)} | told.items.keys() <= set(items)
    assert counts == Counter(row["item_id"] for row in events)
    for user, count in Counter(row["user_id"] for row in events).items():
        history = [tuple(event) for event in users[user]["history"]]
        assert len(history) == len(set(history)) == min(count, HISTORY), user
    for key, version in told.items.items():
        title = requests.get(f"{system.url}/v1/items/{key}", timeout=30).json()["title"]
        assert tuple(map(int, title.split()[-2:])) >= version
