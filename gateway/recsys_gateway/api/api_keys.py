"""API keys from files, and the gate before every route under ``/v1``.

A file's name is the tenant, its content the key. Files are read again when they change: a key is added, replaced or
taken away without a restart. Only digests are kept, and no key gets into a log.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from recsys_gateway.api.openai_errors import OPENAI_PATHS, ApiError
from recsys_gateway.api.problems import Problem
from recsys_gateway.api.request_terms import header
from recsys_gateway.config import Auth
from recsys_gateway.document import ConfigurationError

RELOAD_SECONDS = 1.0
GUARDED = "/v1/"
CHALLENGE = {"www-authenticate": "Bearer"}
MISSING = "an API key is needed: Authorization: Bearer KEY"
WRONG = "this API key is not known"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tenant:
    name: str
    admin: bool = False


class KeyRing:
    """The keys of both directories."""

    def __init__(self, auth: Auth) -> None:
        """Raises ConfigurationError: a directory cannot be read."""
        self._auth = auth
        self._tenants = self._read()
        if not self._tenants:
            log.warning("no API key in %s: every call is refused until there is one", auth.keys_directory)

    def tenant(self, authorization: str) -> Tenant | None:
        """Whose key the header holds; None where it is nobody's."""
        scheme, _, key = authorization.partition(" ")
        return self._tenants.get(_digest(key.strip().encode("latin-1"))) if scheme.lower() == "bearer" else None

    async def watch(self) -> None:
        """Read the files again, again and again; what cannot be read leaves the keys as they were."""
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            try:
                tenants = await asyncio.to_thread(self._read)
            except ConfigurationError as error:
                log.error("API keys cannot be read, the last ones stay: %s", error)  # noqa: TRY400  no traceback: a file
                continue
            if tenants != self._tenants:
                log.info("API keys changed", extra={"tenants": len(tenants)})
                self._tenants = tenants

    def _read(self) -> dict[bytes, Tenant]:
        tenants = _keys_in(self._auth.keys_directory, admin=False)
        if self._auth.admin_keys_directory:
            tenants |= _keys_in(self._auth.admin_keys_directory, admin=True)
        return tenants


def _keys_in(directory: Path, *, admin: bool) -> dict[bytes, Tenant]:
    """Hidden entries are left out: Kubernetes keeps the versions of a mounted secret under such names."""
    try:
        files = [path for path in sorted(directory.iterdir()) if not path.name.startswith(".") and path.is_file()]
        keys = {path.name: path.read_bytes().strip() for path in files}
    except OSError as error:
        raise ConfigurationError(f"auth: {directory}: {error.strerror}") from None
    return {_digest(key): Tenant(name, admin) for name, key in keys.items() if key}


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


class Authenticated:
    """Pure ASGI. Puts the tenant into the request's state; without a key ring everybody is the same tenant."""

    def __init__(self, app: ASGIApp, keys: KeyRing) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(GUARDED):
            given = header(scope["headers"], b"authorization")
            tenant = self._keys.tenant(given) if given else None
            if tenant is None:
                await self._refuse(scope, receive, send, WRONG if given else MISSING)
                return
            scope["state"]["tenant"] = tenant
        await self._app(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, detail: str) -> None:
        if scope["path"].startswith(OPENAI_PATHS):
            error = ApiError(401, "invalid_request_error", "invalid_api_key", detail, headers=CHALLENGE)
            await error.send(send)
            return
        await Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, headers=CHALLENGE).response()(
            scope, receive, send
        )
