"""What the children of a system depend on besides its spec: facts of the cluster, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recsys_gateway.config import Role

from recsys_operator.api.status import CanaryStage
from recsys_operator.components.manifest import ApiKind


@dataclass(frozen=True, slots=True)
class Observed:
    """``apis``: the optional kinds that the cluster serves.

    ``canaries``: the stage of a role's canary; absent: its trial begins.
    ``autoscaled``: names of Deployments whose scale another field manager holds.
    ``digests``: by ``ConfigMap/NAME``, of users' objects that pods read at their start; absent: not there (yet).
    """

    apis: frozenset[ApiKind] = frozenset()
    canaries: Mapping[Role, CanaryStage] = field(default_factory=dict)
    autoscaled: frozenset[str] = frozenset()
    digests: Mapping[str, str] = field(default_factory=dict)
