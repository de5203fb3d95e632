"""`recsys up` from the first process to the last: start, load, serve until a signal, stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from recsys_operator.local.catalog_job import BadRowError, CatalogEvent, CatalogJob, Progressed, catalog_child
from recsys_operator.local.health import wait_for_parts
from recsys_operator.local.plan import LocalPlan
from recsys_operator.local.state import DataDirectory, LocalState, ProcessState
from recsys_operator.local.supervisor import Supervisor
from recsys_operator.program import program

PARTS_SECONDS = 20.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class LocalRun:
    """One life of a local system. ``shown`` gets every new state, ``when_ready`` runs once, in a thread.

    ``free_port`` lets go of the gateway's port just before the gateway starts.
    """

    plan: LocalPlan
    directory: DataDirectory
    state: LocalState
    shown: Callable[[LocalState], None]
    free_port: Callable[[], None]
    when_ready: Callable[[LocalState], None]
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Return after a signal has stopped everything.

        Raises:
            StartError, CatalogError: it did not come up; everything is stopped all the same.
        """
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._stop.set)
        supervisor = Supervisor(self._processes_changed)
        stopped = asyncio.create_task(self._stop.wait())
        life = asyncio.create_task(self._live(supervisor))
        try:
            await asyncio.wait({life, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if life.done():
                life.result()
            self._update(phase="stopping", ready=False)
        finally:
            for task in (life, stopped):
                task.cancel()
            await asyncio.gather(life, stopped, return_exceptions=True)
            await supervisor.stop()

    async def _live(self, supervisor: Supervisor) -> None:
        self._update(phase="starting the models and the vector store")
        async with catalog_child(self.directory.log("catalog")) as child:
            await supervisor.start(self.plan.backing)
            self._update(phase="loading the catalogue")
            try:
                finished = await child.load(self._job(), self._loading)
            except BadRowError as error:
                raise error.with_hint(f"{program()} up") from None
        self._update(phase="starting the gateway", catalog_loaded=finished.totals, catalog_skipped=finished.skipped)
        write_config(self.plan, self.directory.gateway_config)
        self.free_port()
        await supervisor.start([self.plan.gateway])
        await wait_for_parts(self.plan.url, PARTS_SECONDS)
        self._update(phase="ready", ready=True)
        await asyncio.to_thread(self.when_ready, self.state)
        await self._stop.wait()

    def _job(self) -> CatalogJob:
        config = self.plan.config
        assert config.vector_store is not None, "every plan has both"  # noqa: S101 for the types
        assert config.embedder is not None, "every plan has both"  # noqa: S101 for the types
        return CatalogJob(
            source=self.plan.catalog,
            vector_store=config.vector_store,
            embedder=config.embedder,
            on_error=self.plan.on_error,
        )

    def _loading(self, event: CatalogEvent) -> None:
        if isinstance(event, Progressed):
            self._update(catalog=event)

    def _processes_changed(self, processes: tuple[ProcessState, ...]) -> None:
        self._update(processes=processes)

    def _update(self, **changes: object) -> None:
        self.state = self.state.model_copy(update=changes)
        self.directory.write(self.state)
        self.shown(self.state)


def write_config(plan: LocalPlan, path: Path) -> None:
    """The gateway's configuration, as YAML in the resource's own spelling."""
    document = plan.config.model_dump(mode="json", by_alias=True, exclude_none=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    temporary.replace(path)
