"""Keys and tokens from files: taken at the start, and taken up when the file changes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from fake_engine.process import FakeEngineProcess
from recsys_gateway import credentials
from recsys_gateway.catalog.store import CatalogStore
from recsys_gateway.config import VectorStore
from recsys_gateway.credentials import secret, watch_secret
from serving_harness import ask, chat, serving_config, serving_gateway, until


def test_a_file_goes_before_the_environment_and_nothing_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "from the environment")
    (tmp_path / "key").write_text("from the file\n")
    assert secret("KEY", tmp_path / "key") == "from the file"
    assert secret("KEY", None) == "from the environment"
    assert secret("OTHER", None) is None
    assert secret("KEY", tmp_path / "absent") is None


async def test_each_new_content_is_told_once_and_a_file_that_is_away_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "POLL_SECONDS", 0.01)
    file, told = tmp_path / "key", list[str]()
    watching = asyncio.create_task(watch_secret(file, told.append))
    try:
        file.write_text("first")
        await until(lambda: told == ["first"], "the first key")
        file.unlink()
        await asyncio.to_thread(file.write_text, "another-key")
        await until(lambda: told == ["first", "another-key"], "the second key")
    finally:
        watching.cancel()


async def test_an_engines_key_changes_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("first")

    def key() -> str | None:
        headers = engine.control()["requests"][-1]["headers"]
        found: str | None = headers.get("authorization")
        return found

    with FakeEngineProcess() as engine:
        config = serving_config([engine], model={"apiKeyFile": str(file)})
        with serving_gateway(tmp_path, config) as gateway:
            async with aiohttp.ClientSession() as session:
                assert (await ask(session, gateway, chat(1)))[0] == 200
                assert key() == "Bearer first"
                file.write_text("another-key")
                async with asyncio.timeout(10):
                    while key() != "Bearer another-key":
                        assert (await ask(session, gateway, chat(1)))[0] == 200
        assert "another-key" not in gateway.log.read_text()


async def test_a_vector_stores_new_token_is_used_from_the_next_call_on(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    config = {"uri": "http://127.0.0.1:1", "tokenFile": str(file), "timeoutSeconds": 0.2}
    store = CatalogStore(VectorStore.model_validate(config))
    before = store._client
    store.use_token("first")
    assert store._client is before
    store.use_token("another-key")
    assert store._client is not before
    await store.close()
