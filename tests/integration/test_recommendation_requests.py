"""POST /v1/recommendations: what is wrong with a request is named, and nothing else happens."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator

import pytest
from answering_gateway import Running

pytestmark = pytest.mark.asyncio(loop_scope="module")


BAD = [
    ({"k": 0}, 422, "k"),
    ({"k": 101}, 422, "k"),
    ({"k": 10_000}, 422, "k"),
    ({"k": 2.5}, 422, "k"),
    ({"k": "5"}, 422, "k"),
    ({"k": True}, 422, "k"),
    ({"k": 10**400}, 422, "k"),
    ({"query": "x" * 10_001}, 422, "query"),
    ({"query": "x" * 100_000}, 422, "query"),
    ({"query": None}, 422, "query"),
    ({"query": ["jacket"]}, 422, "query"),
    ({"user_id": ""}, 422, "user_id"),
    ({"user_id": "u" * 257}, 422, "user_id"),
    ({"user_id": 17}, 422, "user_id"),
    ({"temperature": -1}, 422, "temperature"),
    ({"top_p": 0}, 422, "top_p"),
    ({"top_k": 0}, 422, "top_k"),
    ({"seed": -1}, 422, "seed"),
    ({"seed": 2**63}, 422, "seed"),
    ({"mode": "Magic"}, 422, "mode"),
    ({"language": "english"}, 422, "language"),
    ({"diversity": {"lambda": 2}}, 422, "diversity.lambda"),
    ({"diversity": {"lambda": 0.5, "target_ild": 0.5}}, 422, "diversity"),
    ({"history": ["x"] * 101}, 422, "history"),
    ({"narrate": "yes"}, 422, "narrate"),
    ({"qurey": "jacket"}, 422, "qurey"),
    ({"filters": []}, 422, "filters"),
    ({"filters": {str(n): 1 for n in range(40)}}, 422, "filters"),
    ([], 422, "body"),
    ("jacket", 422, "body"),
    (None, 422, "body"),
]


@pytest.mark.parametrize(("body", "status", "path"), BAD)
async def test_a_field_that_is_wrong_is_named(gateway: Running, body: object, status: int, path: str) -> None:
    got, problem = await gateway.ask(body)
    assert (got, problem["status"], problem["code"]) == (status, status, "validation")
    assert path in [error["path"] for error in problem["errors"]]
    assert len(json.dumps(problem)) < 2000


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"colour_of_magic": 8}, "there are: brand, categories"),
        ({"price": "cheap"}, "filters.price"),
        ({"price": {"near": 5}}, "near"),
        ({"price": {"lte": None}}, "filters.price"),
        ({"price": 10**400}, "filters.price"),
        ({"price": [1]}, "filters.price"),
        ({"price": {"lte": 2**53 + 1}}, "2^53"),
        ({"brand": {"gte": "a"}}, "filters.brand"),
        ({"title": "x" * 5000}, "filters.title"),
    ],
)
async def test_a_filter_that_cannot_work_says_what_would(
    gateway: Running, filters: dict[str, object], says: str
) -> None:
    status, problem = await gateway.ask({"query": "jacket", "filters": filters})
    assert (status, problem["code"]) == (400, "invalid_filter")
    assert says in problem["detail"]


RAW = [
    (b"", "application/json", {400, 422}),
    (b"{", "application/json", {400}),
    (b"\xff\xfe", "application/json", {400}),
    (b'{"query": "\xff"}', "application/json; charset=utf-8", {400}),
    (b'{"query": "a"', "application/json", {400}),
    (b"[" * 100_000, "application/json", {400}),
    (b'{"temperature": NaN}', "application/json", {400, 422}),
    (b'{"filters": {"price": NaN}}', "application/json", {400}),
    (b'{"filters": {"price": 1e999}}', "application/json", {400}),
    (b'{"k": ' + b"9" * 10_000 + b"}", "application/json", {400}),
    (b'{"query": "\\ud800"}', "application/json", {422}),
    (b'{"\\ud800": 1}', "application/json", {422}),
    (b'{"user_id": "\\ud800"}', "application/json", {422}),
    (b'{"filters": {"\\ud800": 1}}', "application/json", {400, 422}),
    (b'{"filters": {"brand": "\\ud800"}}', "application/json", {400, 422}),
    (b'{"history": ["\\ud800"]}', "application/json", {422}),
    (b"query=jacket", "application/x-www-form-urlencoded", {415}),
    (b'{"query": "jacket"}', "text/plain", {415}),
    (b'{"query": "jacket"}', "application/jsonx", {415}),
    (b'{"query": "' + b"x" * (1 << 20) + b'"}', "application/json", {413}),
]


@pytest.mark.parametrize(("body", "kind", "statuses"), RAW)
async def test_what_is_no_request_is_a_problem(gateway: Running, body: bytes, kind: str, statuses: set[int]) -> None:
    headers = {"content-type": kind, "x-request-id": "mine-1"}
    file = io.BytesIO(body)
    async with gateway.http.post(f"{gateway.url}/v1/recommendations", data=file, headers=headers) as response:
        problem = await response.json(content_type=None)
        assert response.status in statuses, problem
        assert response.content_type == "application/problem+json"
        assert response.headers["x-request-id"] == "mine-1"
        assert problem["status"] == response.status
        if response.status == 415:
            assert problem["code"] == "unsupported_media_type"
        if response.status == 400 and b"filters" not in body:
            assert problem["code"] == "invalid_json"


async def test_a_media_type_of_json_with_a_suffix_is_json(gateway: Running) -> None:
    headers = {"content-type": "application/vnd.shop+json"}
    async with gateway.http.post(f"{gateway.url}/v1/recommendations", data=b"{}", headers=headers) as response:
        assert response.status == 200


async def test_a_body_without_a_stated_length_is_bounded_too(gateway: Running) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    headers = {"content-type": "application/json"}
    async with gateway.http.post(f"{gateway.url}/v1/recommendations", data=endless(), headers=headers) as response:
        assert response.status == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/recommendations", 405),
        ("DELETE", "/healthz", 405),
        ("GET", "/docs", 404),
    ],
)
async def test_unknown_routes_and_methods_are_problems(gateway: Running, method: str, path: str, status: int) -> None:
    async with gateway.http.request(method, gateway.url + path) as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"


@pytest.mark.parametrize("header", ["0", "-1", "soon", "nan", "inf", "1e9", "5_0", "9" * 20, "."])
async def test_a_timeout_that_is_none_is_refused(gateway: Running, header: str) -> None:
    status, problem = await gateway.ask(headers={"x-request-timeout": header})
    assert (status, problem["code"]) == (400, "bad_header")


async def test_openapi_has_the_route_with_examples(gateway: Running) -> None:
    async with gateway.http.get(gateway.url + "/openapi.json") as response:
        document = await response.json()
    assert document["components"]["schemas"]["RecommendationRequest"]["examples"]
    assert document["components"]["schemas"]["RecommendationAnswer"]["examples"]
    assert "$defs" not in json.dumps(document)
    assert {"200", "400", "422", "503"} <= set(document["paths"]["/v1/recommendations"]["post"]["responses"])
