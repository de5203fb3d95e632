"""Pods, gateways and clients on one simulated clock. The dispatchers are the gateway's own; the rest is made up."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from random import Random

from recsys_gateway.config import Admission, Balancing
from recsys_gateway.serving.balancing.pod import PodSpec

from simulation.clock import Clock
from simulation.gateways import Record, SimulatedGateway
from simulation.pods import SimulatedPod
from simulation.traces import Arrival

SETTLING_SECONDS = 120.0
"""After the last arrival, so that every call comes to its end."""


class Happening(StrEnum):
    DIE = "die"
    REVIVE = "revive"
    FREEZE = "freeze"
    THAW = "thaw"
    SPEED = "speed"  # value: the new speed
    SCRAPES_FAIL = "scrapes_fail"  # of all pods, in all gateways
    SCRAPES_WORK = "scrapes_work"


@dataclass(frozen=True, slots=True)
class Event:
    at: float
    what: Happening
    pod: int = 0
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """``speeds`` are the pods' true ones; ``weights`` what the configuration says of them, by default the truth."""

    speeds: tuple[float, ...]
    arrivals: tuple[Arrival, ...]
    weights: tuple[float, ...] | None = None
    scrape_seconds: float | None = 0.5
    gateways: int = 1
    with_steps: bool = True
    events: tuple[Event, ...] = ()
    seconds: float = 60.0


class World:
    """The parts of a scenario, put together and not yet started."""

    def __init__(self, scenario: Scenario, balancing: Balancing, admission: Admission, seed: int) -> None:
        self.clock = Clock()
        self.scenario = scenario
        self.pods = [SimulatedPod(self.clock, f"http://pod-{n}", speed) for n, speed in enumerate(scenario.speeds)]
        weights = scenario.weights or scenario.speeds
        specs = [PodSpec(pod.url, f"pool-{n}", weights[n], pod.slots) for n, pod in enumerate(self.pods)]
        settings = balancing.model_copy(update={"replicas": scenario.gateways})
        self.gateways = [
            SimulatedGateway(self.clock, self.pods, specs, admission, settings, Random(f"policy {seed} {n}"))
            for n in range(scenario.gateways)
        ]
        if scenario.scrape_seconds is not None:
            for n, gateway in enumerate(self.gateways):
                gateway.watch(
                    scenario.scrape_seconds,
                    scenario.seconds,
                    Random(f"scrapes {seed} {n}"),
                    with_steps=scenario.with_steps,
                )
        for event in scenario.events:
            self.clock.at(event.at, partial(self.happen, event))

    def happen(self, event: Event) -> None:
        pod = self.pods[event.pod]
        match event.what:
            case Happening.DIE:
                pod.die()
            case Happening.REVIVE:
                pod.revive()
            case Happening.FREEZE:
                pod.freeze()
            case Happening.THAW:
                pod.thaw()
            case Happening.SPEED:
                pod.set_speed(event.value)
            case Happening.SCRAPES_FAIL | Happening.SCRAPES_WORK:
                for gateway in self.gateways:
                    gateway.scraping = event.what is Happening.SCRAPES_WORK

    @property
    def at_rest(self) -> bool:
        """Whether every counter of every gateway is zero."""
        return all(
            gateway.dispatcher.in_flight == 0
            and gateway.dispatcher.waiting == 0
            and all(pod.in_flight == 0 for pod in gateway.dispatcher.pods.values())
            for gateway in self.gateways
        )


def simulate(scenario: Scenario, balancing: Balancing, admission: Admission, seed: int) -> list[Record]:
    """What becomes of each arrival, in their order.

    Raises:
        AssertionError: a counter of a gateway is not zero after the last call.
    """
    world = World(scenario, balancing, admission, seed)
    routing, records = Random(f"routing {seed}"), list[Record]()
    for arrival in scenario.arrivals:
        gateway = routing.choice(world.gateways)
        world.clock.at(arrival.at, lambda gateway=gateway, arrival=arrival: records.append(gateway.serve(arrival)))
    world.clock.run(scenario.seconds + SETTLING_SECONDS)
    assert world.at_rest
    return records
