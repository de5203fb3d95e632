"""What this project uses of pymilvus; it is imported nowhere else (see ``without_pandas``)."""

from __future__ import annotations

from recsys_gateway.catalog.without_pandas import without_pandas

with without_pandas():
    from pymilvus import (
        AnnSearchRequest,
        AsyncMilvusClient,
        DataType,
        Function,
        FunctionType,
        MilvusClient,
        RRFRanker,
    )
    from pymilvus.client.types import Status
    from pymilvus.exceptions import ErrorCode, MilvusException, ParamError

__all__ = [
    "AnnSearchRequest",
    "AsyncMilvusClient",
    "DataType",
    "ErrorCode",
    "Function",
    "FunctionType",
    "MilvusClient",
    "MilvusException",
    "ParamError",
    "RRFRanker",
    "Status",
]
