"""Milvus Lite's server: ``python -m recsys_operator.local.milvus_process --data-dir … --port …``."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.abc import MetaPathFinder
from pathlib import Path

import grpc
from recsys_gateway.catalog.without_pandas import without_pandas

LARGEST_MESSAGE_BYTES = 256 * 2**20  # as in Milvus Lite's own server

# What a real Milvus allows. Left to gRPC's own rules, this server hangs up on a client that was idle for half a
# minute: pymilvus asks every 10 s whether the server is still there.
KEEPALIVE_ENFORCEMENT = (
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)


class _NoPandas(MetaPathFinder):
    """pyarrow, which Milvus Lite stores with, looks for pandas at its first array, and goes without where none is."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is left out", name=fullname)


def serve(data: Path, host: str, port: int) -> None:
    """Answer Milvus's protocol from the folder ``data``, which no other process may have open, until SIGINT."""
    with without_pandas():
        from milvus_lite.adapter.grpc.servicer import MilvusServicer  # type: ignore[import-untyped]  # it has no types
        from milvus_lite.db import MilvusLite  # type: ignore[import-untyped]
        from pymilvus.grpc_gen import milvus_pb2_grpc
    sys.meta_path.insert(0, _NoPandas())
    database = MilvusLite(str(data))
    server = grpc.server(
        # Concurrent writers corrupt its log.
        ThreadPoolExecutor(max_workers=1),
        options=[
            ("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES),
            ("grpc.max_send_message_length", LARGEST_MESSAGE_BYTES),
            *KEEPALIVE_ENFORCEMENT,
        ],
    )
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(MilvusServicer(database), server)
    server.add_insecure_port(f"{host}:{port}")
    server.start()
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(grace=5).wait()
        database.close()


def main() -> None:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    serve(options.data_dir, options.host, options.port)


if __name__ == "__main__":
    main()
