"""The application: routes, errors and the envelope around them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from recsys_gateway.api import items, operations, problems, recommendations, users, web_page
from recsys_gateway.api.api_keys import Authenticated, KeyRing
from recsys_gateway.api.envelope import Envelope, Gate
from recsys_gateway.api.openai_front import OpenAiFront
from recsys_gateway.api.openai_paths import document_openai
from recsys_gateway.api.runtime import Runtime, check
from recsys_gateway.config import Cors, GatewayConfig
from recsys_gateway.telemetry import Metrics
from recsys_gateway.tracing import Tracer

GC_ALLOCATIONS = 50_000
"""Between two looks at what is young; Python's own default is 700."""


class Application(NamedTuple):
    """``entry`` is what a server serves; ``api`` is the part of it that FastAPI knows."""

    entry: ASGIApp
    api: FastAPI


def create_app(config: GatewayConfig, file: Path | None = None) -> Application:
    """The gateway for ``config``. Its parts are opened when the server starts, and closed when it ends.

    ``file`` is watched for changes where it is given. Interactive pages (/docs) are off: they would load scripts from
    elsewhere. OpenAI's routes are answered before FastAPI is reached: its own layers cost as much as a relay.

    Raises:
        ConfigurationError: the configuration cannot run.
    """
    check(config)
    metrics, tracer = Metrics(), Tracer(config.tracing)
    gate = Gate()
    keys = KeyRing(config.auth) if config.auth else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        runtime = Runtime(config, metrics, tracer, gate, keys, file)
        app.state.runtime = runtime
        runtime.start()
        _spare_what_stays()
        try:
            yield
        finally:
            await runtime.close()
            await asyncio.to_thread(tracer.close)

    app = FastAPI(
        title="recsys gateway",
        version="0.1.0",
        description="Recommendations over your own catalogue, ranked and narrated by your own models.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(recommendations.router)
    app.include_router(items.router)
    app.include_router(users.router)
    app.include_router(operations.router)
    app.include_router(web_page.router)
    problems.install(app)
    document_openai(app)
    entry: ASGIApp = OpenAiFront(app)
    if keys:
        entry = Authenticated(entry, keys)
    if config.cors:
        entry = _across_origins(entry, config.cors)
    return Application(Envelope(entry, metrics, tracer, gate), app)


def _across_origins(entry: ASGIApp, cors: Cors) -> ASGIApp:
    """Outside of the keys: a browser asks for permission without one."""
    return CORSMiddleware(
        entry,
        allow_origins=cors.allow_origins,
        allow_methods=("GET", "POST", "PUT", "DELETE"),
        allow_headers=("authorization", "content-type", "x-request-id", "x-request-timeout", "x-priority"),
        expose_headers=("x-request-id", "retry-after"),
        max_age=cors.max_age_seconds,
    )


def _spare_what_stays() -> None:
    """Modules and routes live to the end: the garbage collector need not walk over them again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)
