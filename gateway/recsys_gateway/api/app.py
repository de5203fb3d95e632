"""The application: routes, errors and the envelope around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from recsys_gateway.api import operations, problems, recommendations
from recsys_gateway.api.envelope import Envelope
from recsys_gateway.api.runtime import Runtime, check
from recsys_gateway.config import GatewayConfig
from recsys_gateway.telemetry import Metrics


def create_app(config: GatewayConfig) -> FastAPI:
    """The gateway for ``config``. Its parts are opened when the server starts, and closed when it ends.

    Interactive pages (/docs) are off: they would load scripts from elsewhere.

    Raises:
        ConfigurationError: the configuration cannot run.
    """
    check(config)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        runtime = Runtime(config, metrics)
        app.state.runtime = runtime
        runtime.start()
        try:
            yield
        finally:
            await runtime.close()

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
    app.add_middleware(Envelope, metrics=metrics)
    return app
