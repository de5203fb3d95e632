"""``recsys evaluate`` against engines and gateways over HTTP: the sample model for real, the bad ones as fakes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from recsys_finetune.commands.evaluate import evaluate
from recsys_finetune.evaluation.candidates import CollaborativeCandidates
from recsys_finetune.evaluation.datasets import load_dataset
from recsys_finetune.evaluation.protocol import Case, Split, training_histories
from recsys_finetune.evaluation.running_gateway import GatewayRefusedError, ask_gateway
from recsys_finetune.evaluation.tuned_model import PromptTokens, TunedModel
from recsys_gateway.config import RankingMode
from typer.testing import CliRunner

Answer = Callable[[str, dict], tuple[int, object]]


def samples() -> Path:
    spec = find_spec("recsys_operator")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "samples"


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    """A server that answers each POST with what ``answer(path, body)`` gives."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, said = answer(self.path, body)
            payload = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_):
            """Quiet."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


@pytest.fixture(scope="module")
def shop():
    return load_dataset(samples() / "shop")


@pytest.fixture(scope="module")
def candidates(shop):
    return CollaborativeCandidates.fit(training_histories(shop.histories), shop.catalogue)


def run(*arguments: str):
    app = typer.Typer()
    app.command()(evaluate)
    return CliRunner().invoke(app, list(arguments))


def completion(content: str) -> dict:
    return {"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]}


def engine(content: Callable[[dict], str]) -> Answer:
    """An engine that says ``content`` of the chat's body. A word is a token; ids among the texts come back as such."""

    def answer(path: str, body: dict) -> tuple[int, object]:
        if path == "/tokenize":
            parts = [[part] if isinstance(part, int) else [7] * len(part.split()) for part in body["content"]]
            return 200, {"tokens": [token for part in parts for token in part]}
        return 200, completion(content(body))

    return answer


def test_the_model_s_list_comes_before_the_rest_of_the_candidates(shop, candidates):
    """The engine turns the candidates of the schema round and names its first three."""

    def last_three(body):
        tokens = body["response_format"]["schema"]["properties"]["items"]["items"]["enum"]
        return json.dumps({"items": tokens[:-4:-1]})

    cases = shop.cases(Split.TEST)[:5]
    moved = []
    with server(engine(last_three)) as url:
        model = TunedModel(url, 2, shop.items, shop.users, candidates)
        answers = model.answer(cases, lambda: moved.append(1))
    assert answers.failed == 0
    assert len(moved) == len(cases)
    for case, ranked in zip(cases, answers.lists, strict=True):
        found = candidates.retrieve(case.history, 20)
        assert ranked == [*found[:-4:-1], *found[:-3]]


def test_an_engine_that_answers_free_text_leaves_the_order_of_retrieval_and_is_counted(shop, candidates):
    cases = shop.cases(Split.TEST)[:3]
    with server(engine(lambda _: "I would take a tent.")) as url:
        answers = TunedModel(url, 1, shop.items, shop.users, candidates).answer(cases, lambda: None)
    assert answers.failed == 3
    assert answers.lists == [candidates.retrieve(case.history, 20) for case in cases]


def test_a_gateway_gets_the_history_and_its_list_is_taken_without_what_was_seen():
    asked = []

    def gateway(path, body):
        asked.append((path, body))
        degraded = [{"stage": "rank", "reason": "timeout", "detail": ""}] if body["user_id"] == "v" else []
        tokens = {"plain_prompt": 900, "by_stage": {"rank": {"prompt": 90, "completion": 10}}}
        return 200, {"items": [{"id": "b"}, {"id": "a"}], "degraded": degraded, "tokens": tokens}

    cases = [Case("u", ("a",), "b"), Case("v", (), "b")]
    with server(gateway) as url:
        answers = ask_gateway(url + "/", None, cases, lambda: None)
        ask_gateway(url, RankingMode.ITEM_TOKENS, cases[:1], lambda: None)
    assert answers.lists == [["b"], ["b", "a"]]
    assert answers.failed == 1
    assert answers.tokens == PromptTokens(90, 10, 900)
    assert asked.pop()[1]["mode"] == "ItemTokens"
    path, body = min(asked, key=lambda each: each[1]["user_id"])
    assert path == "/v1/recommendations"
    assert body == {"query": "", "user_id": "u", "history": ["a"], "k": 20, "narrate": False, "exclude_seen": True}


@pytest.mark.parametrize(
    ("answer", "said"), [((503, {"title": "no capacity"}), "503.*no capacity"), ((200, {"hello": 1}), "not that of")]
)
def test_a_gateway_that_refuses_is_named(answer, said):
    with server(lambda *_: answer) as url, pytest.raises(GatewayRefusedError, match=said):
        ask_gateway(url, None, [Case("u", ("a",), "b")], lambda: None)


def test_baselines_side_by_side_as_json_and_their_predictions(tmp_path):
    result = run("--data", "sample", "--model", "popularity", "--model", "markov", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [model["model"] for model in report["models"]] == ["popularity", "markov"]
    known = json.loads((samples() / "shop" / "report.json").read_text())["test"]
    assert report["optimum"] == known["optimum"]
    for model in report["models"]:
        assert model["ndcg_at_10"] == known[model["model"]]["ndcg_at_10"]
    out = tmp_path / "lists.jsonl"
    assert run("--data", "sample", "--model", "markov", "--predictions", str(out)).exit_code == 0
    assert len(out.read_text().splitlines()) == report["users"] == 1000


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--data", "sample", "--model", "markow"), 1, "popularity, markov"),
        (("--data", "nowhere", "--model", "markov"), 1, "nowhere: neither items.csv"),
        (("--data", "sample", "--model", "http://127.0.0.1:9"), 1, "127.0.0.1:9"),
        (("--data", "sample"), 2, "--model"),
        (("--data", "sample", "--model", "markov", "--split", "train"), 2, "validation"),
        (("--data", "sample", "--model", "markov", "--model", "popularity", "--predictions", "x"), 2, "--predictions"),
        (("--data", "sample", "--model", "sample", "--modes", "--predictions", "x"), 2, "--predictions"),
        (("--data", "sample", "--model", "sample", "--mode", "Magic"), 2, "--mode"),
    ],
)
def test_errors_are_one_line_and_say_what_to_do(arguments, code, said):
    result = run(*arguments)
    assert result.exit_code == code
    assert said in result.stderr
    if code == 1:
        assert len(result.stderr.strip().splitlines()) == 1


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"not a model")
    result = run("--data", "sample", "--model", str(tmp_path))
    assert result.exit_code == 1
    assert "is no GGUF file" in result.stderr


@pytest.mark.timeout(900)
def test_the_sample_model_is_ahead_of_popularity_on_held_out_purchases(tmp_path):
    """Run for real on every eighth customer; the others' purchases are learnt from all the same.

    The file is in the order of time: its first rows would be the customers who stopped buying early.
    """
    for name in ("items.csv", "users.csv", "interactions.csv", "report.json"):
        (tmp_path / name).write_bytes((samples() / "shop" / name).read_bytes())
    header, *rows = (samples() / "shop" / "heldout.csv").read_text().splitlines(keepends=True)
    (tmp_path / "heldout.csv").write_text("".join([header, *rows[::8]]))
    arguments = ("--data", str(tmp_path), "--model", "popularity", "--model", "sample", "--mode", "ToolCall", "--json")
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    popularity, tuned = report["models"]
    assert report["users"] == 125
    assert (tuned["mode"], tuned["note"]) == ("ToolCall", "the sample tuned model of recsys")
    assert tuned["failed"] == tuned["out_of_catalogue"] == 0
    assert tuned["ndcg_at_10"] > popularity["ndcg_at_10"]
    assert tuned["share_of_optimum"] == pytest.approx(tuned["ndcg_at_10"] / report["optimum"]["ndcg_at_10"], abs=1e-3)
    assert 0 < tuned["tokens_of_plain_prompt"] < 1
    assert 0 < tuned["latency_ms"]["median"] <= tuned["latency_ms"]["p95"]
