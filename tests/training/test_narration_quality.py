"""The committed base model, served by llama.cpp, on products and phrasings that its training never saw."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from recsys_finetune.language_model.engine import running_engine
from recsys_finetune.narration.making import training_worlds
from recsys_finetune.narration.pairs import narration_prompt
from recsys_finetune.narration.quality import Narrated, film_prompts, held_out_prompts, narrate_all, shares
from recsys_finetune.shop.queries import held_out_products
from recsys_gateway.catalog.records import Item

SAMPLES = Path(str(files("recsys_operator"))) / "samples"
ATTRIBUTES = ("feature", "use", "material", "brand", "colour", "kind")


@pytest.fixture(scope="module")
def shop() -> list[Item]:
    with (SAMPLES / "shop" / "items.csv").open(encoding="utf-8", newline="") as file:
        return [
            Item(
                id=row["id"],
                title=row["title"],
                description=row["description"],
                categories=tuple(row["categories"].split("|")),
                price=float(row["price"]),
                attributes={name: row[name] for name in ATTRIBUTES},
            )
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def held_out(shop: list[Item]) -> list[Item]:
    unseen = held_out_products(shop)
    return [item for item in shop if item.id in unseen]


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with running_engine(SAMPLES / "models" / "base.gguf") as url:
        yield url


def failures(narrated: list[Narrated]) -> str:
    return "\n\n".join(
        f"{each.prompt.messages[-1].content}\n=> {each.answer}" for each in narrated if not each.verdict.true
    )


def test_it_speaks_truly_of_held_out_products(engine: str, held_out: list[Item]) -> None:
    narrated = narrate_all(engine, held_out_prompts(held_out, 30, np.random.default_rng(5), korean=False), slots=1)
    passed = shares(narrated)
    assert passed["ended"] == passed["numbered"] == 1.0, failures(narrated)
    assert passed["grammatical"] >= 0.95, failures(narrated)
    assert passed["true"] >= 0.9, failures(narrated)


def test_it_answers_in_korean(engine: str, held_out: list[Item]) -> None:
    narrated = narrate_all(engine, held_out_prompts(held_out, 10, np.random.default_rng(6), korean=True), slots=1)
    assert sum("상품" in each.answer for each in narrated) == len(narrated)
    # Its Korean facts are weak (report.json says how weak): the gateway checks them and has a template.
    passed = shares(narrated)
    assert passed["ended"] == passed["numbered"] == 1.0, failures(narrated)


def test_it_speaks_of_films_by_their_genres(engine: str, shop: list[Item]) -> None:
    narrated = narrate_all(engine, film_prompts(training_worlds(shop), 8, np.random.default_rng(7)), slots=1)
    assert shares(narrated)["true"] >= 0.75, failures(narrated)


@pytest.mark.parametrize("request_text", ["", "🎁🎁🎁", "x" * 5_000, "'; DROP TABLE items; --"])
def test_strange_requests_still_get_a_sentence(engine: str, held_out: list[Item], request_text: str) -> None:
    (narrated,) = narrate_all(engine, [narration_prompt(request_text, held_out[:3])], slots=1)
    assert narrated.verdict.ended
    assert narrated.verdict.numbered


def test_the_same_prompt_gets_the_same_answer(engine: str, held_out: list[Item]) -> None:
    prompt = narration_prompt("something for hiking", held_out[:3])
    first, second = narrate_all(engine, [prompt, prompt], slots=1)
    assert first.answer == second.answer
