"""`recsys operator run`: one process, of which one replica acts. Everything that a cluster needs is wired here."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import kopf
from aiohttp import web
from recsys_gateway.telemetry import JsonLines

from recsys_operator.components.desired import desired, notes, read_config_maps
from recsys_operator.handlers import Listeners, configure, registry
from recsys_operator.leader import Leader
from recsys_operator.operator_metrics import Metrics
from recsys_operator.reconcile.child_cache import ChildCache
from recsys_operator.reconcile.cluster_api import SERVICE_ACCOUNT, ApiRefused, ApiUnavailable, ClusterApi, connect
from recsys_operator.reconcile.gateway_counters import LOOK_SECONDS, CanaryWatch
from recsys_operator.reconcile.observe import ServedApis
from recsys_operator.reconcile.reconciler import Components, Reconciler
from recsys_operator.reconcile.sweep import Sweeper
from recsys_operator.reconcile.workers import Workers

_log = logging.getLogger(__name__)

KOPF_AGAIN_SECONDS = 1.0
"""After kopf ended though nobody asked it to: an error in a watch that it takes for fatal."""
KINDS_SECONDS = 5.0
"""Between two looks at which kinds the cluster serves."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """``namespaces`` empty: all of them. ``lease_namespace`` None: the pod's own."""

    namespaces: Sequence[str] = ()
    port: int = 8081
    lease_namespace: str | None = None
    canary_seconds: float = LOOK_SECONDS


class LeaseLost(Exception):
    """Another replica may act now; this one must not."""


def run(options: RunOptions) -> int:
    """The exit status: 0 after SIGTERM, 1 where the lease was lost."""
    configure_logging()
    try:
        asyncio.run(serve(options))
    except LeaseLost:
        return 1
    return 0


def configure_logging() -> None:
    """One JSON object a line on standard error; libraries speak from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("recsys_operator").setLevel(logging.INFO)
    for noisy in ("kopf._core.reactor.observation", "kopf._core.reactor.running"):
        logging.getLogger(noisy).setLevel(logging.ERROR)  # kinds that the cluster lacks, ends that are meant


async def serve(options: RunOptions) -> None:
    """Until SIGTERM or SIGINT."""
    metrics, stop = Metrics(), asyncio.Event()
    _stop_by_signal(stop)
    identity = f"{socket.gethostname()}-{uuid4().hex[:8]}"
    async with await connect(metrics) as api, _listening(metrics, options.port):
        leader = Leader(api, options.lease_namespace or _own_namespace(), identity)
        api.may_write = leader.may_write
        if not await _unless_stopped(leader.acquire(), stop):
            return
        metrics.is_leader.set(1)
        try:
            await _lead(options, api, metrics, leader, stop)
        finally:
            metrics.is_leader.set(0)
            await leader.give_back()


async def _lead(options: RunOptions, api: ClusterApi, metrics: Metrics, leader: Leader, stop: asyncio.Event) -> None:
    """Acts until it is told to stop or the lease is lost; then nothing is written any more."""
    acting = asyncio.create_task(_act(options, api, metrics, stop), name="act")
    holding = asyncio.create_task(leader.hold(), name="hold the lease")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait((acting, holding, stopping), return_when=asyncio.FIRST_COMPLETED)
        if acting.done():
            acting.result()
        if holding.done():
            raise LeaseLost
    finally:
        for task in (acting, stopping, holding):
            task.cancel()
        await asyncio.gather(acting, stopping, holding, return_exceptions=True)


def _stop_by_signal(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _act(options: RunOptions, api: ClusterApi, metrics: Metrics, stop: asyncio.Event) -> None:
    cache = ChildCache()
    apis = ServedApis(api)
    components = Components(desired, notes, read_config_maps)
    reconciler = Reconciler(api, cache, metrics, components, apis, CanaryWatch(options.canary_seconds))
    workers = Workers(reconciler)
    metrics.read_queue_depth(workers.depth)
    sweeper = Sweeper(api, cache, workers.mark, options.namespaces or ("",))
    listeners = Listeners(workers.mark, workers.mark_calmly, reconciler.wrote, sweeper.ask)
    handlers = registry(cache, reconciler.references, listeners)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(workers.run(), name="workers")
            tasks.create_task(sweeper.run(), name="sweeper")
            tasks.create_task(_watch(handlers, options.namespaces, apis, stop), name="watches")
    finally:
        await reconciler.close()


async def _watch(
    handlers: kopf.OperatorRegistry, namespaces: Sequence[str], apis: ServedApis, stop: asyncio.Event
) -> None:
    """kopf, begun anew whenever it gives up or the cluster serves other kinds than before."""
    while True:
        try:
            await apis.refresh()
            await _watch_these_kinds(handlers, namespaces, apis, stop)
        except ApiUnavailable as error:
            _log.warning("the API server is away", extra={"error": str(error)})
        except Exception as error:
            _log.exception("the watches failed; they begin anew", extra={"error": str(error)})
        await asyncio.sleep(KOPF_AGAIN_SECONDS)


async def _watch_these_kinds(
    handlers: kopf.OperatorRegistry, namespaces: Sequence[str], apis: ServedApis, stop: asyncio.Event
) -> None:
    """Returns when the cluster serves other kinds.

    kopf's own scanning is off: it looks when a definition changes, which may be before the kind is served, and then
    not again; and it needs a right over the whole cluster.
    """
    settings, ready, other_kinds = kopf.OperatorSettings(), asyncio.Event(), asyncio.Event()
    configure(settings)
    beside = [
        asyncio.create_task(_take_signals_back(ready, stop), name="signals"),
        asyncio.create_task(_until_other_kinds(apis, other_kinds), name="kinds"),
    ]
    try:
        await kopf.operator(
            registry=handlers,
            settings=settings,
            clusterwide=not namespaces,
            namespaces=list(namespaces),
            ready_flag=ready,
            stop_flag=other_kinds,
        )
        if not other_kinds.is_set():
            _log.info("the watches were told to end")
            stop.set()  # the signal came while kopf still had the signals
    finally:
        for task in beside:
            task.cancel()


async def _until_other_kinds(apis: ServedApis, changed: asyncio.Event) -> None:
    while True:
        await asyncio.sleep(KINDS_SECONDS)
        with suppress(ApiUnavailable, ApiRefused):
            if await apis.refresh():
                _log.info("the cluster serves other kinds", extra={"kinds": sorted(kind.kind for kind in apis.kinds)})
                changed.set()


async def _take_signals_back(ready: asyncio.Event, stop: asyncio.Event) -> None:
    """kopf takes the process's signals when it starts: it would end itself and leave the rest running."""
    await ready.wait()
    _stop_by_signal(stop)


class _listening:  # noqa: N801 (reads as a verb where it is used)
    """/healthz and /metrics, for standby replicas too."""

    def __init__(self, metrics: Metrics, port: int) -> None:
        self._metrics = metrics
        self._port = port
        app = web.Application()
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/metrics", self._text)
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, host=None, port=self._port).start()

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _text(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": self._metrics.content_type})


async def _unless_stopped(work: Coroutine[None, None, None], stop: asyncio.Event) -> bool:
    """Whether ``work`` ended before ``stop`` was set."""
    task = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
    is_done = task.done()
    task.cancel()
    stopping.cancel()
    await asyncio.gather(task, stopping, return_exceptions=True)
    return is_done


def _own_namespace() -> str:
    file: Path = SERVICE_ACCOUNT / "namespace"
    if file.exists():
        return file.read_text(encoding="utf-8").strip()
    return os.environ.get("POD_NAMESPACE", "default")
