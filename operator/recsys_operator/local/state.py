"""What runs in a data directory: ``state.json``, written by the supervisor, and ``lock``, held while it lives."""

from __future__ import annotations

import fcntl
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Self

from pydantic import ValidationError
from recsys_gateway.config import Role, VectorStore
from recsys_gateway.document import Frozen

from recsys_operator.local.catalog_job import Progressed
from recsys_operator.program import program


class ProcessStatus(StrEnum):
    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    STOPPED = "stopped"


class ProcessState(Frozen):
    """One process. ``last_exit`` is the code that its last run ended with (negative: the signal)."""

    name: str
    status: ProcessStatus
    pid: int | None = None
    port: int | None = None
    restarts: int = 0
    last_exit: int | None = None


class RunningModel(Frozen):
    role: Role
    name: str
    sample: bool


class LocalState(Frozen):
    """``phase`` is what goes on now, in words; ``ready`` says that questions are answered; ``error`` ended the start.

    ``catalog`` is how far its loading is, ``catalog_loaded`` what came of it, ``catalog_skipped`` the bad rows
    that were left out; ``notes`` are lines for the user, ``example`` a question that suits the catalogue.
    """

    pid: int
    system: str
    url: str
    vector_store: VectorStore | None = None
    phase: str = "starting"
    ready: bool = False
    error: str | None = None
    catalog: Progressed | None = None
    catalog_loaded: str | None = None
    catalog_skipped: tuple[str, ...] = ()
    models: tuple[RunningModel, ...] = ()
    notes: tuple[str, ...] = ()
    example: str = ""
    processes: tuple[ProcessState, ...] = ()


class DataDirectoryError(RuntimeError):
    """The data directory cannot be used; the message says why."""


class AlreadyRunningError(DataDirectoryError):
    """Another supervisor holds the data directory."""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """The files of one local system."""

    path: Path

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def milvus(self) -> Path:
        return self.path / "milvus"

    @property
    def gateway_config(self) -> Path:
        return self.path / "gateway.yaml"

    @property
    def _state(self) -> Path:
        return self.path / "state.json"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def write(self, state: LocalState) -> None:
        """Replace the state in one step: a reader sees the old one or the new one."""
        temporary = self._state.with_suffix(".tmp")
        temporary.write_text(state.model_dump_json(by_alias=True, indent=2), encoding="utf-8")
        temporary.replace(self._state)

    def last_state(self) -> LocalState | None:
        """What the last supervisor wrote, alive or not; None where nothing readable is."""
        try:
            return LocalState.model_validate_json(self._state.read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValidationError):
            return None

    def running_state(self) -> LocalState | None:
        """The state of the supervisor that holds the lock now; None where none does."""
        if not self.is_locked():
            return None
        return self.last_state()

    def is_locked(self) -> bool:
        try:
            with self.lock.open("rb") as file:
                return not _try_lock(file)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def clear(self) -> None:
        self._state.unlink(missing_ok=True)


class Lock:
    """The lock of a data directory, held from entry to exit; the kernel frees it when the process dies."""

    def __init__(self, directory: DataDirectory) -> None:
        self._directory = directory
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """
        Raises:
            AlreadyRunningError: somebody else holds it; the message has pid and address.
            DataDirectoryError: it cannot be made or written.
        """
        path = self._directory.path
        try:
            self._directory.logs.mkdir(parents=True, exist_ok=True)
            self._file = self._directory.lock.open("ab")
        except OSError as error:
            raise DataDirectoryError(f"{path}: cannot be used as the data directory: {error.strerror}") from None
        if not _try_lock(self._file):
            self._file.close()
            state = self._directory.last_state()
            who = f"pid {state.pid}, {state.url}" if state else "it is just starting"
            raise AlreadyRunningError(f"{path}: recsys already runs here ({who}); stop it with: {program()} down")
        self._directory.clear()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
