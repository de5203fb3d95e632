"""POST /v1/recommendations while engines fail, invent, hang or break off, and while clients leave."""

from __future__ import annotations

import asyncio
import json

import pytest
from answering_gateway import JACKET, Running, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_what_the_tuned_model_invents_is_dropped_and_counted(gateway: Running) -> None:
    gone = next(row["id"] for row in gateway.products.values() if row["in_stock"] == "false")
    gateway.tuned.rank = lambda tokens: json.dumps({"items": ["<GHOST-1>", f"<{gone}>", tokens[0], tokens[0], "<NO>"]})
    answer = await gateway.good({**JACKET, "user_id": None})
    assert answer["rejected"] == {"unknown": 2, "out_of_stock": 1, "duplicate": 1}
    assert len(answer["items"]) == 5
    assert answer["degraded"] == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("I would go for the jacket with the hood.", "invalid_answer"),
        ("", "invalid_answer"),
        ('{"items": []}', "invalid_answer"),
        ('{"tool": "recommend"}', "invalid_answer"),
    ],
)
async def test_free_text_instead_of_the_schema_degrades(gateway: Running, said: str, reason: str) -> None:
    gateway.tuned.rank = lambda _tokens: said
    answer = await gateway.good()
    assert [(each["stage"], each["reason"]) for each in answer["degraded"]] == [("rank", reason)]
    assert len(answer["items"]) == 5


@pytest.mark.parametrize(
    ("status", "reason"), [(500, "unavailable"), (503, "overloaded"), (429, "overloaded"), (400, "refused")]
)
@pytest.mark.parametrize("role", ["tuned", "base"])
async def test_an_engine_that_answers_with_an_error_degrades(
    gateway: Running, role: str, status: int, reason: str
) -> None:
    getattr(gateway, role).status = status
    answer = await gateway.good()
    stage = {"tuned": "rank", "base": "narrate"}[role]
    assert [(each["stage"], each["reason"]) for each in answer["degraded"]] == [(stage, reason)]
    assert len(answer["items"]) == 5
    assert answer["answer"]


async def test_an_engine_that_hangs_is_waited_for_only_so_long(gateway: Running) -> None:
    gateway.tuned.hangs = gateway.base.hangs = True
    answer = await gateway.good(headers={"x-request-timeout": "1.5"})
    assert [(each["stage"], each["reason"]) for each in answer["degraded"]] == [
        ("rank", "timeout"),
        ("narrate", "timeout"),
    ]
    assert answer["timings_ms"]["total"] < 1600
    assert answer["answer"].startswith("Recommended for you: ")
    await until(lambda: (gateway.tuned.aborted, gateway.base.aborted) == (1, 1))


@pytest.mark.parametrize("cut", [0, 1, 8])
async def test_a_stream_that_breaks_off_is_finished_by_the_gateway(gateway: Running, cut: int) -> None:
    gateway.base.cut_after = cut
    answer = await gateway.good()
    assert [(each["stage"], each["reason"]) for each in answer["degraded"]] == [("narrate", "unavailable")]
    assert answer["items"][0]["title"] in answer["answer"]


@pytest.mark.parametrize("story", ["Take [7].", "Nice weather today.", "", "[", "Take [1"])
async def test_a_story_that_is_not_about_the_list_is_replaced(gateway: Running, story: str) -> None:
    gateway.base.story = story
    answer = await gateway.good()
    assert [each["stage"] for each in answer["degraded"]] == ["narrate"]
    assert "[" not in answer["answer"]
    assert answer["items"][0]["title"] in answer["answer"]


async def test_a_story_about_another_product_never_reaches_the_client(gateway: Running) -> None:
    slate = {item["id"] for item in (await gateway.good())["items"]}
    other = next(
        row["title"] for row in gateway.products.values() if row["id"] not in slate and row["in_stock"] == "true"
    )
    gateway.base.story = f"Take [1]. Better still, the {other.lower()} is great."
    answer = await gateway.good()
    assert [each["reason"] for each in answer["degraded"]] == ["unfaithful"]
    assert other.lower() not in answer["answer"].lower()
    assert answer["answer"].startswith("Take ")


async def test_a_client_that_leaves_aborts_the_engine(gateway: Running) -> None:
    gateway.tuned.hangs = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await gateway.ask()
    await until(lambda: gateway.tuned.aborted == 1)


async def test_a_client_that_leaves_a_stream_aborts_the_engine(gateway: Running) -> None:
    gateway.base.hangs = True
    async with gateway.http.post(f"{gateway.url}/v1/recommendations", json={**JACKET, "stream": True}) as response:
        assert (await response.content.readline()) == b"event: items\n"
        response.close()
    await until(lambda: gateway.base.aborted == 1)


async def test_engines_that_are_down_and_come_back(gateway: Running) -> None:
    port = int(gateway.tuned.url.rsplit(":", 1)[1])
    await gateway.tuned.stop()
    answer = await gateway.good()
    assert {(each["stage"], each["reason"]) for each in answer["degraded"]} >= {("rank", "unavailable")}
    assert len(answer["items"]) == 5
    await gateway.tuned.start(port)
    assert (await gateway.good())["degraded"] == []
