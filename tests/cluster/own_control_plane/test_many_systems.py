"""Many resources at once: how long the operator works on them, and that it rests afterwards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest
from controlplane.audit import Write, writes
from controlplane.control_plane import ControlPlane
from installed_operator import home_name, installed_operator, quickstart
from recsys_operator.install import NAME
from running_operator import RunningOperator
from waiting import wait_for

APPLY_SECONDS = 30.0
MEMORY_BYTES = 150_000_000
QUIET_SECONDS = 5.0
REQUESTS = "recsys_operator_api_requests_total"
HOME = home_name()
USER = f"system:serviceaccount:{HOME}:{NAME}"


@pytest.fixture(scope="module")
def operator(own_control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOperator]:
    with installed_operator(own_control_plane, tmp_path_factory.mktemp("operator"), HOME) as running:
        yield running


def requests(operator: RunningOperator) -> str:
    """How many requests the operator made, by verb and kind, the most frequent first."""
    series = operator.metrics().items()
    counts = Counter({name[name.index("{") :]: int(n) for name, n in series if name.startswith(REQUESTS)})
    return "\n".join(f"{count:6} {labels}" for labels, count in counts.most_common(12))


def written(plane: ControlPlane, since: float) -> list[Write]:
    """The operator's writes, the renewals of its lease aside."""
    return [one for one in writes(plane.audit_log, USER) if one.at >= since and one.resource != "leases"]


@pytest.mark.timeout(600)
def test_many_at_once_are_done_soon_and_rest_in_peace(
    own_control_plane: ControlPlane, operator: RunningOperator, is_soak: bool
) -> None:
    plane, count, rest = own_control_plane, (50 if is_soak else 12), (60.0 if is_soak else 10.0)
    plane.kubectl("create", "namespace", "many")
    systems = [quickstart(f"shop-{n}") for n in range(count)]
    parts = (operator, *plane.components)
    before = {part.name: part.cpu_seconds() for part in parts}
    started = time.time()
    plane.kubectl.apply(*systems, namespace="many")
    plane.kubectl("wait", "recsys", "--all", "-n", "many", "--for=condition=Ready", "--timeout=300s", seconds=310)
    ready = time.time()

    def is_quiet() -> bool:
        return not written(plane, time.time() - QUIET_SECONDS)

    wait_for(is_quiet, "the operator's rest", 60)
    children = [one for one in written(plane, started) if one.resource not in ("recommendersystems", "events")]
    last = max(one.at for one in children) - started
    used = ", ".join(f"{part.name} {part.cpu_seconds() - before[part.name]:.1f}" for part in parts)
    print(
        f"\n{count} systems, {len(children)} applies: the last after {last:.1f} s; Ready after {ready - started:.1f} s"
    )
    print(f"seconds of CPU: {used}\n{requests(operator)}")
    at_rest = time.time()
    time.sleep(rest)  # the absence of writes has no event to wait for
    assert written(plane, at_rest) == []
    print(f"resident {operator.resident_bytes() / 1e6:.0f} MB, {rest:g} s at rest without a write")
    assert operator.resident_bytes() < MEMORY_BYTES
    if is_soak:
        assert last < APPLY_SECONDS
