"""What a killed Milvus Lite may leave behind, put right before it starts again."""

from __future__ import annotations

from pathlib import Path


def discard_index_files(folder: Path) -> None:
    """Remove the index files below ``folder``, a data directory of Milvus Lite that is not running.

    Milvus Lite does not write them in one step: a kill -9 in the middle leaves one cut off, and then the collection
    cannot be loaded ("No data left in file"). They hold nothing of their own: it builds them again from its segments.
    """
    for path in folder.glob("collections/*/partitions/*/indexes/*.*idx"):
        path.unlink(missing_ok=True)
