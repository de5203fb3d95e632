"""What the Milvus at hand can do, by the version that it tells. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RELEASE = re.compile(r"v?(\d+)\.(\d+)")
_LITE = "milvus_lite"


@dataclass(frozen=True, slots=True)
class EngineFeatures:
    """``lite``: Milvus Lite, which flushes cheaply and scans slowly.

    ``keywords``: sparse vectors that it computes from texts (BM25). ``several_vectors``: more than one vector in a row,
    and searches over all of them. ``nullable``: values that are not there.
    """

    lite: bool
    keywords: bool
    several_vectors: bool
    nullable: bool

    @property
    def missing(self) -> str:
        """What searches go without here; empty: nothing."""
        absent = []
        if not self.keywords:
            absent.append("key words (sparse vectors computed from texts)")
        if not self.several_vectors:
            absent.append("what customers took after what (a second vector in a row)")
        return f"this Milvus cannot search {', nor '.join(absent)}" if absent else ""


ALL_FEATURES = EngineFeatures(lite=True, keywords=True, several_vectors=True, nullable=True)


def features_of(version: str) -> EngineFeatures:
    """Milvus 2.4 brought several vectors, 2.5 BM25 and null. A version that cannot be read is taken for a new one."""
    if version.startswith(_LITE):
        return ALL_FEATURES
    release = _RELEASE.match(version)
    number = (int(release.group(1)), int(release.group(2))) if release else (99, 0)
    return EngineFeatures(
        lite=False, keywords=number >= (2, 5), several_vectors=number >= (2, 4), nullable=number >= (2, 5)
    )
