"""Namespaces of tests."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

from controlplane.cluster import Kubectl

GIVEN = "RECSYS_TEST_KUBECONFIG"
"""Names a cluster to use instead of one that the tests start."""

_numbers = itertools.count(1)


@contextmanager
def new_namespace(kubectl: Kubectl, name: str | None = None) -> Iterator[str]:
    """Another one, by a name of its own where none is given. In a cluster that goes on it ends, and what is in it.

    In one that ends with the tests it stays: to end even an empty one costs the control plane a second, as its
    controllers look for things of each kind in it.
    """
    name = name or f"test-{os.getpid()}-{next(_numbers)}"
    kubectl("create", "namespace", name)
    try:
        yield name
    finally:
        if GIVEN in os.environ:
            kubectl("delete", "namespace", name, "--wait=false")
