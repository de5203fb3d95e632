"""Milvus Lite's process of `recsys up`, beyond what the catalogue's tests ask of it."""

from __future__ import annotations

import time

import grpc
import pytest

from .conftest import MilvusLite

PING_SECONDS = 6
"""pymilvus asks every 10 s. A server by gRPC's own rules ends the connection at the third ping or the fourth."""


@pytest.mark.timeout(90)
def test_a_client_that_is_idle_keeps_its_connection(server_to_be_emptied: MilvusLite) -> None:
    options = [
        ("grpc.keepalive_time_ms", PING_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    states: list[grpc.ChannelConnectivity] = []
    with grpc.insecure_channel(f"127.0.0.1:{server_to_be_emptied.port}", options) as channel:
        channel.subscribe(states.append, try_to_connect=True)
        grpc.channel_ready_future(channel).result(20)
        time.sleep(5 * PING_SECONDS)  # that a connection does not end has no event to wait for
        assert states[-1] is grpc.ChannelConnectivity.READY
        assert states.count(grpc.ChannelConnectivity.READY) == 1
