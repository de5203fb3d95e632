"""A control plane to play with: ``python -m controlplane``, or ``make cluster``. Ctrl-C ends it."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from controlplane.binaries import NoBinaries, binaries
from controlplane.certificates import NoOpenssl
from controlplane.control_plane import ControlPlane, NotReady
from controlplane.go_toolchain import NoGo


def main() -> int:
    """Build what is not there, start, print how to use it, and serve until Ctrl-C."""
    arguments = _arguments()
    try:
        programs = binaries(_report)
        if arguments.build_only:
            _report(f"the programs are in {programs.folder}")
            return 0
        with tempfile.TemporaryDirectory(prefix="recsys-cluster-") as scratch:
            _serve(ControlPlane(programs, arguments.folder or Path(scratch)))
    except (NoBinaries, NoGo, NoOpenssl, NotReady) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="controlplane", description=main.__doc__)
    parser.add_argument("--build-only", action="store_true", help="build the programs, start nothing")
    parser.add_argument("--folder", type=Path, help="for keys, data and logs, and kept (default: one that is not)")
    return parser.parse_args()


def _serve(plane: ControlPlane) -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    started = time.monotonic()
    with plane:
        _report(f"ready after {time.monotonic() - started:.1f} s; logs in {plane.logs}. In another shell:\n")
        print(f"export KUBECONFIG={plane.kubeconfig}")
        print(f"export PATH={plane.binaries.folder}:$PATH\n", flush=True)
        _report("nodes, pods and volumes are simulated, the rest is Kubernetes itself. Ctrl-C ends it.")
        while not ended.wait(1.0):
            for component in plane.components:
                if failure := component.failure():
                    raise NotReady(failure)


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
