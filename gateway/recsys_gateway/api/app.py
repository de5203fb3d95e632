"""The application: routes, errors and the envelope around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from recsys_gateway.api import operations, problems, recommendations
from recsys_gateway.api.api_keys import Authenticated, KeyRing
from recsys_gateway.api.envelope import Envelope, Gate
from recsys_gateway.api.openai_front import OpenAiFront
from recsys_gateway.api.openai_paths import document_openai
from recsys_gateway.api.runtime import Runtime, check
from recsys_gateway.config import GatewayConfig
from recsys_gateway.telemetry import Metrics
from recsys_gateway.tracing import Tracer


def create_app(config: GatewayConfig, file: Path | None = None) -> FastAPI:
    """The gateway for ``config``. Its parts are opened when the server starts, and closed when it ends.

    ``file`` is watched for changes where it is given. Interactive pages (/docs) are off: they
    would load scripts from elsewhere.

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
    app.include_router(operations.router)
    problems.install(app)
    document_openai(app)
    app.add_middleware(OpenAiFront)
    if keys:
        app.add_middleware(Authenticated, keys=keys)
    app.add_middleware(Envelope, metrics=metrics, tracer=tracer, gate=gate)
    return app
