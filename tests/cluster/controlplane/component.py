"""One program of the control plane as a child process: it can be killed, stopped and started again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from recsys_operator.local.spawning import die_with, exit_text

STOP_SECONDS = 10.0


class Component:
    """``argv`` runs with its output in ``log``, which every start continues. It dies with this process."""

    def __init__(self, name: str, argv: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        self._environment = {**os.environ, **(environment or {})}
        self._argv = list(argv)
        self._process: subprocess.Popen[bytes] | None = None
        self._is_wanted = False

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    def start(self) -> None:
        self._is_wanted = True
        if self.running:
            return
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                preexec_fn=die_with(os.getpid()),
                process_group=0,  # Ctrl-C is for whoever started the control plane
            )

    def ask_to_stop(self) -> None:
        self._is_wanted = False
        if self._process is not None and self.running:
            self._process.terminate()

    def stop(self) -> None:
        """End it in order; killed where it does not end by itself."""
        self.ask_to_stop()
        if self._process is not None:
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it at once (kill -9)."""
        self._is_wanted = False
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()

    def cpu_seconds(self) -> float:
        """Used since its start, in user and system mode."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def failure(self) -> str | None:
        """Why it ended though nobody ended it, with the end of its log; None where it did not."""
        if self._process is None or not self._is_wanted or self._process.poll() is None:
            return None
        tail = self.log.read_text(errors="replace")[-1500:]
        return f"{self.name} ended with {exit_text(self._process.returncode)}; end of {self.log}:\n{tail}"
