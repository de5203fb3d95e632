"""The state file and the lock of a data directory, and how long a dead process waits."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_operator.local.backoff import CAP_SECONDS, FIRST_SECONDS, RAN_WELL_SECONDS, next_delay
from recsys_operator.local.logs import log_files, tail
from recsys_operator.local.ports import PortInUseError, free_ports, held, require_free
from recsys_operator.local.state import (
    AlreadyRunningError,
    DataDirectory,
    LocalState,
    Lock,
    ProcessState,
    ProcessStatus,
)

STATE = LocalState(
    pid=1,
    system="shop",
    url="http://127.0.0.1:8080",
    processes=(ProcessState(name="milvus", status=ProcessStatus.BACKOFF, last_exit=-9, restarts=2),),
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    assert directory.last_state() is None
    directory.write(STATE)
    assert directory.last_state() == STATE
    assert json.loads((tmp_path / "state.json").read_text())["processes"][0]["lastExit"] == -9
    directory.clear()
    assert directory.last_state() is None


def test_a_state_that_nobody_understands_is_no_state(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    assert DataDirectory(tmp_path).last_state() is None


def test_a_state_counts_while_its_lock_is_held(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    with Lock(directory):
        directory.write(STATE)
        assert directory.running_state() == STATE
    assert directory.running_state() is None
    assert directory.last_state() == STATE


def test_a_second_lock_says_who_holds_the_first(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    with Lock(directory):
        directory.write(STATE)
        with pytest.raises(AlreadyRunningError, match=r"pid 1, http://127\.0\.0\.1:8080.*recsys down"), Lock(directory):
            pass
        assert directory.running_state() == STATE


def test_a_new_lock_starts_without_the_old_state(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.write(STATE)
    with Lock(directory):
        assert directory.last_state() is None


def test_a_folder_that_is_not_there_runs_nothing(tmp_path: Path) -> None:
    assert DataDirectory(tmp_path / "absent").running_state() is None
    assert not (tmp_path / "absent").exists()


def test_delays_double_up_to_the_cap() -> None:
    delays: list[float] = []
    for _ in range(9):
        delays.append(next_delay(delays[-1] if delays else None, ran_seconds=0.1))
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_good_run_starts_over() -> None:
    assert next_delay(16, RAN_WELL_SECONDS) == FIRST_SECONDS


@given(st.floats(FIRST_SECONDS, CAP_SECONDS), st.floats(0, 1e6))
def test_a_delay_is_never_outside_its_bounds(previous: float, ran: float) -> None:
    assert FIRST_SECONDS <= next_delay(previous, ran) <= CAP_SECONDS


def test_a_port_in_use_is_told() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"another program has port {port}"):
            require_free("127.0.0.1", port)
    require_free("127.0.0.1", port)


def test_a_held_port_is_in_use_until_it_is_let_go() -> None:
    (port,) = free_ports(1)
    with held("127.0.0.1", port) as holder:
        with pytest.raises(PortInUseError, match=f"another program has port {port}"):
            require_free("127.0.0.1", port)
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(("127.0.0.1", port))
        holder.close()
        require_free("127.0.0.1", port)


def test_a_port_whose_last_connections_are_closing_down_can_be_used() -> None:
    (port,) = free_ports(1)
    with socket.socket() as server, socket.socket() as client:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        client.connect(("127.0.0.1", port))
        server.accept()[0].close()  # The side that closes first waits.
    with held("127.0.0.1", port):
        require_free("127.0.0.1", port)


def test_free_ports_are_free_and_different() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        require_free("127.0.0.1", port)
        # Above, the kernel gives ports to whoever asks for any.
        assert port < 32_768


def test_the_ports_of_two_systems_are_chosen_by_chance() -> None:
    assert free_ports(5) != free_ports(5)


def test_the_latest_lines_of_each_log(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("1\n2\n3\n")
    (tmp_path / "b.log").write_text("x\n")
    assert list(tail(log_files(tmp_path, None), 2)) == [("a", "2"), ("a", "3"), ("b", "x")]
    assert list(tail(log_files(tmp_path, "b"), 2)) == [("b", "x")]
    with pytest.raises(FileNotFoundError, match="no log called c; there are a, b"):
        log_files(tmp_path, "c")
    with pytest.raises(FileNotFoundError, match="no logs yet"):
        log_files(tmp_path / "absent", None)
