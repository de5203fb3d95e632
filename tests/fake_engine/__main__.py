"""``python -m fake_engine --port 9001``: one pod, until it is ended."""

from __future__ import annotations

import argparse
import asyncio

import uvloop

from fake_engine.connection import Connection
from fake_engine.engine import Engine
from fake_engine.generation import Dialect
from fake_engine.slots import Slots
from fake_engine.tgi import Tgi
from fake_engine.vllm import Vllm

_DIALECTS: dict[str, type[Tgi] | type[Vllm]] = {"tgi": Tgi, "vllm": Vllm}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fake_engine", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dialect", choices=sorted(_DIALECTS), default="tgi")
    parser.add_argument("--model", default="example/tiny-llama")
    parser.add_argument("--slots", type=int, default=8, help="sequences at once")
    parser.add_argument("--token-ms", type=float, default=5, help="of one token at speed 1; 0 answers at once")
    parser.add_argument("--speed", type=float, default=1)
    parser.add_argument("--max-concurrent", type=int, help="running and waiting; default: tgi 128, vllm no bound")
    return parser.parse_args()


async def serve(given: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    kind = _DIALECTS[given.dialect]
    limit = kind.default_limit if given.max_concurrent is None else given.max_concurrent
    dialect: Dialect = kind(given.model, limit)
    slots = Slots(loop, given.slots, given.token_ms / 1000, speed=given.speed, keeps_aborted=dialect.keeps_aborted)
    engine = Engine(slots, given.slots, dialect, limit)
    server = await loop.create_server(lambda: Connection(engine.handle), given.host, given.port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(arguments()))
