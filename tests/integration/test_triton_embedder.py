"""The embedder on a real Triton: the same vectors as in this process, and what becomes of it when Triton fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from recsys_gateway.catalog.embedders import TextEmbedder, load_embedder
from recsys_gateway.catalog.embedding import Embedder, EmbedderError
from recsys_gateway.config import TritonEmbedder
from recsys_gateway.recommend import embedder_loader
from recsys_gateway.recommend.embedder_loader import EmbedderLoader
from running_gateway import EMBEDDER
from serving_harness import until
from triton_server import TritonProcess, running_triton

TEXTS = ["a light jacket", "", "방수 재킷", "\ud800", "rain " * 20_000, *(f"thing {n}" for n in range(40))]


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonProcess]:
    with running_triton(tmp_path_factory.mktemp("triton"), EMBEDDER / "model.onnx") as server:
        yield server


def config(url: str, **more: object) -> TritonEmbedder:
    return TritonEmbedder.model_validate({"type": "Triton", "url": url, "path": EMBEDDER, "timeoutSeconds": 5, **more})


def test_triton_gives_the_vectors_that_the_same_model_gives_here(triton: TritonProcess) -> None:
    there, here = load_embedder(config(triton.url)), Embedder.load(EMBEDDER)
    assert there.dimension == here.dimension
    texts = [text for text in TEXTS if text.strip()]  # without a letter a text is sent as a dash
    assert np.abs(there.embed(texts) - here.embed([text[:8_000] for text in texts])).max() < 1e-5
    assert np.isfinite(there.embed(TEXTS)).all()


async def test_calls_may_come_from_several_threads(triton: TritonProcess) -> None:
    embedder = load_embedder(config(triton.url))
    texts = [f"text {n}" for n in range(24)]
    several = await asyncio.gather(*(asyncio.to_thread(embedder.embed, [text]) for text in texts))
    assert np.abs(np.concatenate(several) - embedder.embed(texts)).max() < 1e-5


def test_a_model_that_is_not_there_is_told(triton: TritonProcess) -> None:
    with pytest.raises(EmbedderError, match=r"model missing: .*unknown model"):
        load_embedder(config(triton.url, model="missing"))


def test_a_server_that_is_not_there_is_told_within_the_time(triton: TritonProcess) -> None:
    with pytest.raises(EmbedderError, match=r"Triton at 127\.0\.0\.1:1, model embedder"):
        load_embedder(config("http://127.0.0.1:1", timeoutSeconds=1))


def fails(embedder: TextEmbedder) -> bool:
    try:
        embedder.embed(["a jacket"])
    except EmbedderError:
        return True
    return False


async def test_a_model_that_died_is_noticed_and_taken_up_again(
    triton: TritonProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Triton says that it is ready all the while: only a text that is sent through shows it."""
    monkeypatch.setattr(embedder_loader, "RETRY_SECONDS", 0.2)
    loader = EmbedderLoader(config(triton.url))
    watching = asyncio.create_task(loader.run())
    try:
        await until(lambda: not loader.problem, "it is well", 30)
        assert loader.embedder is not None
        triton.kill_model()
        await until(partial(fails, loader.embedder), "a text shows that the model is dead", 30)
        assert loader.problem
        triton.stop()
        await asyncio.to_thread(triton.start)
        await until(lambda: not loader.problem, "it is well again", 30)
        assert len(await asyncio.to_thread(loader.embedder.embed, ["a jacket"])) == 1
    finally:
        watching.cancel()
