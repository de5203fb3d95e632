"""A typed client of the gateway: ``Client`` blocks, ``AsyncClient`` (aiohttp, of ``recsys-gateway[serve]``) does not.

from recsys_gateway.client import Client
answer = Client("http://127.0.0.1:8080").recommend("a light jacket", user_id="17")
"""

from recsys_gateway.client.blocking import Client
from recsys_gateway.client.calls import GatewayError, GatewayUnreachable
from recsys_gateway.client.concurrent import AsyncClient

__all__ = ["AsyncClient", "Client", "GatewayError", "GatewayUnreachable"]
