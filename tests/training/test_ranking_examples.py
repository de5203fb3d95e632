"""What the tuned model is trained on: situations, prompts, lists, and the chances at each place."""

from __future__ import annotations

import json

import numpy as np
import pytest
from recsys_finetune.language_model.tokenizer import train_tokenizer
from recsys_finetune.ranking.catalogue import TrainingCatalogue
from recsys_finetune.ranking.rank_examples import ExampleWriter, answer, rank_prompt_builder
from recsys_finetune.ranking.rank_training import ExampleSource, Form, rank_batch
from recsys_finetune.ranking.requests import CatalogueRequests
from recsys_finetune.ranking.shop_requests import relevance
from recsys_finetune.ranking.situations import Mix, Situation, SituationSampler, preferred_order
from recsys_finetune.ranking.teacher import Teacher
from recsys_finetune.shop.queries import Wish
from recsys_gateway.catalog.records import Item, User
from recsys_gateway.config import RankingMode
from recsys_gateway.recommend.prompt import item_token

KINDS = ("tent", "pan", "boot", "lamp")
ITEMS = tuple(
    Item(f"{KINDS[n % 4].upper()}-{n:02d}", f"Acme {n} {KINDS[n % 4]}", categories=(KINDS[n % 4],), in_stock=n != 39)
    for n in range(40)
)
HISTORIES = {f"u{n}": tuple(ITEMS[(n * 3 + step * 5) % 39].id for step in range(8)) for n in range(30)}
USERS = {f"u{n}": User(f"u{n}", {"age": 20 + n}) for n in range(30)}
CATALOGUE = TrainingCatalogue(ITEMS, USERS, HISTORIES)
TEACHER = Teacher.fit(CATALOGUE, history_length=10)
SAMPLER = SituationSampler.of(CATALOGUE, TEACHER, CatalogueRequests.of(ITEMS).write, Mix())
TOKENIZER = train_tokenizer([item.title for item in ITEMS], 400, [item_token(item.id) for item in ITEMS])
WRITER = ExampleWriter.of(TOKENIZER, ITEMS, USERS)


@pytest.fixture(params=range(20))
def situation(request: pytest.FixtureRequest) -> Situation:
    return SAMPLER.draw(np.random.default_rng(request.param))


def test_candidates_are_distinct_and_their_chances_sum_to_one(situation: Situation) -> None:
    assert len(set(situation.candidates.tolist())) == len(situation.candidates) <= 20
    assert situation.likelihood.sum() == pytest.approx(1)


def test_a_sold_out_item_is_no_candidate_and_an_old_one_only_if_it_was_bought_again(situation: Situation) -> None:
    assert 39 not in situation.candidates
    assert len(set(situation.candidates) & set(situation.history)) <= 1


def test_the_same_seed_draws_the_same_situation() -> None:
    first, second = (SAMPLER.draw(np.random.default_rng(7)) for _ in range(2))
    assert first.request == second.request
    assert (first.candidates == second.candidates).all()


def test_the_prompt_is_the_gateways_and_the_answer_lists_the_best_first(situation: Situation) -> None:
    order = preferred_order(situation.likelihood, np.random.default_rng(0), noise=0)
    example = WRITER.write(situation, order, budget=512, with_texts=True)
    text = TOKENIZER.decode(list(example.ids), skip_special_tokens=False)
    prompt, said = text.split("<|assistant|>")
    assert "Candidates:\n" in prompt
    assert prompt.startswith("<|bos|><|system|>You rank items")
    listed = json.loads(said.removesuffix("<|eos|>"))["items"]
    best = ITEMS[situation.candidates[int(np.argmax(situation.likelihood))]]
    assert listed[0] == item_token(best.id)
    assert len(listed) == len(set(listed)) == min(10, len(situation.candidates))


def test_what_was_said_has_no_chance_any_more(situation: Situation) -> None:
    order = preferred_order(situation.likelihood, np.random.default_rng(0), noise=0)
    example = WRITER.write(situation, order, budget=512, with_texts=False)
    gone: set[int] = set()
    for choice in example.choices:
        chances = dict(zip(choice.tokens.tolist(), choice.weights.tolist(), strict=True))
        assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
        assert all(chances[token] == 0 for token in gone)
        gone.add(example.ids[choice.position])


@pytest.mark.parametrize("form", list(Form))
def test_letters_are_pointed_at_the_items_behind_them(situation: Situation, form: Form) -> None:
    if form is Form.COMPACT:
        example = WRITER.write_compact_letter(situation, seed=5)
    else:
        example = WRITER.write_letter(situation, 10_000, seed=5, with_texts=form is Form.WHOLE)
    assert example.pointed is not None
    assert sorted(example.pointed.items) == sorted(WRITER.token_ids[situation.candidates])
    assert [example.ids[place] for place in example.pointed.places] == example.pointed.items.tolist()
    for mark, place in zip(WRITER.letters, example.pointed.places, strict=False):
        assert example.ids[place - len(mark) : place] == mark
    best = int(np.argmax(example.choices[0].weights))
    assert example.pointed.items[best] == WRITER.token_ids[situation.candidates[int(np.argmax(situation.unplaced))]]


def test_a_batch_tells_what_its_letters_mean() -> None:
    drawn = [SAMPLER.draw(np.random.default_rng(seed)) for seed in range(3)]
    letters = [WRITER.write_letter(situation, 400, seed=1, with_texts=True) for situation in drawn]
    batch = rank_batch([WRITER.write_item(drawn[0], 400), *letters], padding=2)
    assert len(batch.pointed.choices) == sum(len(example.choices) for example in letters)
    rows = batch.places[batch.pointed.choices] // batch.ids.shape[1]
    shown = batch.shown[batch.pointed.choices]
    assert (batch.ids[rows[:, None], batch.pointed.at][shown] == batch.pointed.items[shown]).all()


def test_a_source_draws_what_its_blend_says() -> None:
    source = ExampleSource(SAMPLER, WRITER, (400,), np.random.default_rng(1))
    draw = source.drawing({(RankingMode.VERBALIZER, Form.COMPACT): 1.0, (RankingMode.ITEM_TOKENS, Form.WHOLE): 1.0})
    letters = [draw().pointed is not None for _ in range(40)]
    assert 10 < sum(letters) < 30


def test_a_compact_example_has_no_text_but_the_same_choices(situation: Situation) -> None:
    order = preferred_order(situation.likelihood, np.random.default_rng(0), noise=0)
    compact, whole = (
        WRITER.write_compact(situation, order),
        WRITER.write(situation, order, budget=10_000, with_texts=True),
    )
    assert len(compact.ids) < 45
    said = [[example.ids[choice.position] for choice in example.choices] for example in (compact, whole)]
    assert said[0] == said[1]


def test_a_batch_puts_each_label_before_what_it_foretells() -> None:
    examples = [
        WRITER.write_compact(drawn, preferred_order(drawn.likelihood, np.random.default_rng(1), noise=0))
        for drawn in (SAMPLER.draw(np.random.default_rng(seed)) for seed in range(4))
    ]
    batch = rank_batch(examples, padding=2)
    flat = batch.ids.flatten()
    place = 0
    for example in examples:
        for choice in example.choices:
            assert int(flat[batch.places[place] + 1]) == example.ids[choice.position]
            assert batch.weights[place].sum().item() == pytest.approx(1, abs=1e-5)
            assert int(batch.shown[place].sum()) == len(choice.tokens)
            place += 1
    assert place == len(batch.places)


def test_a_small_budget_shows_fewer_candidates_and_lists_only_those() -> None:
    situation = SAMPLER.draw(np.random.default_rng(3))
    example = WRITER.write(situation, range(len(situation.candidates)), budget=90, with_texts=True)
    shown = {token for choice in example.choices for token in choice.tokens.tolist()}
    assert 0 < len(shown) < len(situation.candidates)
    assert {example.ids[choice.position] for choice in example.choices} <= shown


def test_a_request_is_met_by_the_item_that_it_was_written_from() -> None:
    write = CatalogueRequests.of(ITEMS).write
    rng = np.random.default_rng(0)
    for row in range(len(ITEMS)):
        request = write(row, rng)
        assert request.text
        assert request.relevance[row] == 1
        assert request.relevance.min() < 1


def test_the_wish_of_a_shop_customer_counts_half_for_the_right_kind_alone() -> None:
    wish = Wish("a light tent", "TENT-00", kinds=frozenset({"tent"}), features=frozenset({"light"}))
    light = Item("a", "a", attributes={"kind": "tent", "feature": "light sturdy", "use": "camping"})
    heavy = Item("b", "b", attributes={"kind": "tent", "feature": "heavy", "use": "camping"})
    pan = Item("c", "c", attributes={"kind": "pan", "feature": "light", "use": "cooking"})
    assert [relevance(item, wish) for item in (light, heavy, pan)] == [1.0, 0.5, 0.0]


def test_the_answer_is_json_as_the_gateway_reads_it() -> None:
    assert answer(["<A>", "<재킷>"]) == '{"items": ["<A>", "<재킷>"]}'


def test_the_builder_shows_every_candidate_it_is_given() -> None:
    prompt = rank_prompt_builder(USERS["u1"], ITEMS[:2], "a tent", ITEMS[5:15], 10_000).build(len)
    assert list(prompt.tokens.values()) == [item.id for item in ITEMS[5:15]]
    assert "Request: a tent" in prompt.messages[1].content
