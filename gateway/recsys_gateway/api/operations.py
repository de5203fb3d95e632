"""What operators of the gateway ask: is it alive, can it answer, how is it doing."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from recsys_gateway.api.runtime import Runtime

router = APIRouter()


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """200 while the process can answer at all."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "No answer can be given yet."}})
async def readyz(request: Request) -> JSONResponse:
    """200 once an answer can be given, degraded or not; the body says how each part is doing."""
    runtime: Runtime = request.app.state.runtime
    ready, parts = await runtime.readiness()
    return JSONResponse(
        {"ready": ready, "parts": parts}, 200 if ready else 503, None if ready else {"retry-after": "1"}
    )


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    runtime: Runtime = request.app.state.runtime
    return Response(generate_latest(runtime.metrics.registry), media_type=CONTENT_TYPE_LATEST)
