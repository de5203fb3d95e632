"""Milvus Lite's server: ``python -m recsys_operator.local.milvus_process server --data-dir …``."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder

from recsys_gateway.catalog.without_pandas import without_pandas


class _NoPandas(MetaPathFinder):
    """pyarrow, which Milvus Lite stores with, looks for pandas at its first array, and goes without where none is."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is left out", name=fullname)


def main() -> None:
    """Milvus Lite's own command line."""
    with without_pandas():
        from milvus_lite import cmdline  # type: ignore[import-untyped]  # it has no types
    sys.meta_path.insert(0, _NoPandas())
    sys.exit(cmdline.main())


if __name__ == "__main__":
    main()
