"""What holds for all tests: how hypothesis judges, and which tests keep together where several workers share them."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# With a channel to Milvus open, gRPC's handler in a forked child can abort it before its exec (grpc/grpc#43055).
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

settings.register_profile("recsys", deadline=None)  # results, not the speed of a machine that others use too
settings.load_profile("recsys")


class FilesAndClusters(LoadFileScheduling):
    """A file's tests stay together, as it shares processes; and so do the files of a folder under ``tests/cluster``.

    Those share a control plane, which takes seconds to start, and on which two operators would undo each other.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return file.rpartition("/")[0] if file.startswith("tests/cluster/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    return FilesAndClusters(config, log) if config.getvalue("dist") == "loadfile" else None
