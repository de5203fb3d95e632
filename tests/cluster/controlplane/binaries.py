"""The programs of the control plane: those of KUBEBUILDER_ASSETS, or built once from pinned Go modules and cached."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from controlplane.go_toolchain import go_command
from recsys_operator.local.spawning import die_with

KUBERNETES = "1.36.4"
MODULE = Path(__file__).with_name("tools")
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kwok")
"""What a control plane is made of. The module builds helm and kubeconform besides."""
REPORT_SECONDS = 20.0

Report = Callable[[str], None]


class NoBinaries(Exception):
    """The programs are not there and could not be built; the message says why."""


@dataclass(frozen=True, slots=True)
class Binaries:
    folder: Path

    def __getitem__(self, program: str) -> Path:
        return self.folder / program


def binaries(report: Report) -> Binaries:
    """The programs; built now, which takes minutes, where nobody built this version before."""
    given = os.environ.get("KUBEBUILDER_ASSETS")
    if given:
        return _given(Path(given))
    folder = cache_folder() / _version()
    if not folder.exists():
        with _only_one_build(report):
            if not folder.exists():  # the build that was waited for may have been this one
                _build(folder, report)
    return Binaries(folder)


def cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "recsys" / "controlplane"


def _given(folder: Path) -> Binaries:
    missing = [name for name in PROGRAMS if not (folder / name).is_file()]
    if missing:
        raise NoBinaries(f"KUBEBUILDER_ASSETS={folder} lacks {', '.join(missing)}: add them, or unset it to build all")
    return Binaries(folder)


def _flags() -> list[str]:
    major, minor, _ = KUBERNETES.split(".")
    told = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor}
    stamps = [
        f"-X {package}.{name}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for name, value in told.items()
    ]
    return ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", " ".join(["-s", "-w", *stamps])]


def _version() -> str:
    """Name of the folder of this version: another pin, flag or kind of machine gives another."""
    parts = [(MODULE / name).read_bytes() for name in ("go.mod", "go.sum")]
    parts.append(repr([*_flags(), sys.platform, platform.machine()]).encode())
    return f"{KUBERNETES}-{hashlib.sha256(b''.join(parts)).hexdigest()[:12]}"


@contextlib.contextmanager
def _only_one_build(report: Report) -> Iterator[None]:
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another build of the control plane is running: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(folder: Path, report: Report) -> None:
    """Build into a folder beside, and rename that at the end: nobody takes a half-built one for whole.

    The caches of Go (4 GB) lie in that folder too: an interrupted build goes on from them, a finished one drops them.
    """
    work = folder.with_name(f"{folder.name}.building")
    output = work / "bin"
    environment = {
        **os.environ,
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
        "GOFLAGS": "-modcacherw",
        "GOCACHE": str(work / "build-cache"),
        "GOMODCACHE": str(work / "module-cache"),
    }
    output.mkdir(parents=True, exist_ok=True)
    go = go_command(cache_folder(), report)
    report(f"building the control plane (Kubernetes {KUBERNETES}) into {folder}: once, 8 minutes and more on two cores")
    _compile(go, output, environment, report)
    (output / "server").rename(output / "etcd")
    output.rename(folder)
    shutil.rmtree(work, ignore_errors=True)


def _compile(go: Path, output: Path, environment: dict[str, str], report: Report) -> None:
    started = time.monotonic()
    packages = subprocess.run(
        [go, "list", "-mod=readonly", "-deps", "tool"], cwd=MODULE, env=environment, capture_output=True, text=True
    )
    if packages.returncode != 0:
        raise NoBinaries(f"go could not fetch the modules of the control plane:\n{packages.stderr[-2000:]}")
    total = len(packages.stdout.splitlines())
    command = [str(go), "build", "-v", *_flags(), "-o", f"{output}/", "tool"]
    told, done = started, 0
    lines: list[str] = []
    # It dies with this process, which holds the lock: else two builds could run in one folder.
    ends_with_us = die_with(os.getpid())
    with subprocess.Popen(
        command, cwd=MODULE, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=ends_with_us
    ) as process:
        for line in process.stderr or ():
            lines = [*lines[-20:], line]
            done += 1
            if time.monotonic() - told > REPORT_SECONDS:
                told = time.monotonic()
                report(f"  {done} of {total} packages, {told - started:.0f} s")
    if process.returncode != 0:
        raise NoBinaries(f"go build failed in {MODULE}:\n{''.join(lines)}")
    report(f"  built in {time.monotonic() - started:.0f} s")
