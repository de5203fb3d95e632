"""Folders of both layouts, and what is wrong with those that are neither."""

from __future__ import annotations

import json

import pytest
from recsys_finetune.evaluation.candidates import CollaborativeCandidates
from recsys_finetune.evaluation.datasets import DatasetError, load_dataset
from recsys_finetune.evaluation.models import UnknownModelError, find_model
from recsys_finetune.evaluation.protocol import Case, Split

ITEMS = "id,title,in_stock\na,Lamp,true\nb,Tent,true\nc,Mug,true\nd,Mat,false\n"
EVENTS = "id,user_id,item_id,type,timestamp\n"


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "items.csv").write_text(ITEMS)
    (tmp_path / "users.csv").write_text("id,age\nu,30\nv,40\n")
    (tmp_path / "interactions.csv").write_text(
        EVENTS + "1,u,b,purchase,2\n2,u,a,purchase,1\n3,v,a,purchase,1\n4,u,gone,purchase,9\n"
    )
    (tmp_path / "heldout.csv").write_text(EVENTS + "5,u,c,purchase,3\n")
    return tmp_path


def test_held_out_events_are_the_test_and_only_their_users_are_asked(shop):
    data = load_dataset(shop)
    assert data.cases(Split.TEST) == [Case("u", ("a", "b"), "c")]
    assert data.cases(Split.VALIDATION) == [Case("u", ("a",), "b")]
    assert data.catalogue == ("a", "b", "c", "d")
    assert data.users["u"].traits == {"age": 30}


def test_the_optimum_is_read_from_the_report(shop):
    figures = {"optimum": {"recall_at_10": 0.5, "ndcg_at_10": 0.3}}
    (shop / "report.json").write_text(json.dumps({"test": figures, "validation": figures}))
    assert load_dataset(shop).optimum["test"] == {"recall_at_10": 0.5, "ndcg_at_10": 0.3}


@pytest.mark.parametrize("text", ["{}", "[]", "no json", '{"test": {"optimum": 3}}'])
def test_a_report_of_something_else_is_named(shop, text):
    (shop / "report.json").write_text(text)
    with pytest.raises(DatasetError, match=r"report\.json"):
        load_dataset(shop)


def test_a_bad_row_is_named_by_file_and_line(shop):
    (shop / "interactions.csv").write_text(EVENTS + "1,u,,purchase,2\n")
    with pytest.raises(DatasetError, match=r"interactions\.csv:2: item_id"):
        load_dataset(shop)


def test_without_held_out_events_the_core_of_five_is_left(tmp_path):
    (tmp_path / "items.csv").write_text(ITEMS + "e,Cup,true\n")
    rows = [f"{user}{item},{user},{item},purchase,{n}" for user in "vwxyz" for n, item in enumerate("abced")]
    (tmp_path / "interactions.csv").write_text(EVENTS + "\n".join([*rows, "u1,u,a,purchase,1"]) + "\n")
    data = load_dataset(tmp_path)
    assert data.asked == set("vwxyz")
    assert data.cases(Split.TEST)[0] == Case("v", tuple("abce"), "d")


def test_a_movielens_folder_is_known_by_its_files(tmp_path):
    genres = "|".join("1" if n == 1 else "0" for n in range(2))
    (tmp_path / "u.genre").write_text("unknown|0\nDrama|1\n")
    (tmp_path / "u.item").write_text("".join(f"{n}|Film {n} (1995)|||x|{genres}\n" for n in range(1, 6)))
    (tmp_path / "u.user").write_text("".join(f"{n}|24|M|writer|1\n" for n in range(1, 6)))
    (tmp_path / "u.data").write_text("".join(f"{u}\t{i}\t3\t{i // 2}\n" for u in range(1, 6) for i in (2, 1, 3, 5, 4)))
    data = load_dataset(tmp_path)
    assert data.histories["1"] == ["1", "2", "3", "5", "4"]
    assert data.items["1"].categories == ("Drama",)


def test_another_folder_is_refused_with_what_is_needed(tmp_path):
    with pytest.raises(DatasetError, match=r"items\.csv.*u\.data"):
        load_dataset(tmp_path)


def test_a_model_that_is_not_there_is_refused_with_what_may_be_named(shop):
    with pytest.raises(UnknownModelError, match=r"popularity, markov.*model\.gguf"):
        find_model("markow", load_dataset(shop), shop / "tuned.gguf")


def test_candidates_follow_what_was_bought_after_and_leave_out_seen_and_sold_out():
    histories = {str(n): ("a", "d", "b") if n % 2 else ("a", "b", "c") for n in range(12)}
    found = CollaborativeCandidates.fit(histories, list("abcd"), sold_out=["d"])
    assert found.retrieve(["a"], 4) == ["b", "c"]
    assert found.retrieve([], 2) == ["a", "b"]
