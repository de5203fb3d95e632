"""The newcomer's path, as typed: up, ask, status, logs, load, a process that dies, down. One start for all of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from recsys_operator.local.ports import free_ports
from recsys_operator.local.uris import samples_folder

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "manifests" / "examples" / "quickstart.yaml"
CATALOGUE = {line.split(",")[0] for line in (samples_folder() / "shop" / "items.csv").read_text().splitlines()[1:]}
LISTEN = "0A"
LOCALHOST = {"0100007F", "0000000000000000FFFF00000100007F"}  # as /proc/net writes 127.0.0.1, plain and in IPv6
QUESTION = "a light jacket for rainy hikes"


@dataclass(frozen=True)
class Shop:
    """A running sample shop."""

    data: Path
    url: str

    def recsys(self, *arguments: str, code: int = 0, data: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "recsys_operator.cli", *arguments, "--data-dir", str(data or self.data)]
        environment = {name: value for name, value in os.environ.items() if name != "RECSYS_URL"}
        result = subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment, check=False)
        assert result.returncode == code, result.stdout + result.stderr
        return result

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.recsys("status", "--json").stdout)
        return state

    def process(self, name: str) -> dict[str, Any]:
        return next(process for process in self.state()["processes"] if process["name"] == name)

    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer of the gateway itself."""
        sent, headers = json.dumps(body).encode(), {"content-type": "application/json"}
        request = urllib.request.Request(f"{self.url}/v1/recommendations", data=sent, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def ask(self, *arguments: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.recsys("ask", *arguments, "--json").stdout)
        return answer


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.1)


def missing(answer: dict[str, Any]) -> set[str]:
    """The stages that an answer had to do without."""
    # The sample base model may say what the catalogue does not: then a template speaks, and nothing is missing.
    return {each["stage"] for each in answer["degraded"] if each["reason"] != "unfaithful"}


def processes_of(data: Path) -> list[str]:
    """The command lines that name the data directory, zombies apart."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(data) in line:
            found.append(line)
    return found


def alive(pids: list[int]) -> list[int]:
    def runs(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    return [pid for pid in pids if runs(pid)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    (port,) = free_ports(1)
    running = Shop(tmp_path_factory.mktemp("shop") / "data", f"http://127.0.0.1:{port}")
    started = running.recsys("up", "--port", str(port), "--detach")
    assert f"Serving on {running.url}" in started.stdout
    yield running
    running.recsys("down")


def test_up_says_what_runs_and_that_the_models_are_samples(shop: Shop) -> None:
    said = (shop.data / "logs" / "up.log").read_text()
    assert "On one machine llama.cpp runs the models, in place of TGI." in said
    assert "Sample models: tuned, base." in said
    assert "catalogue: 366 items, 1,000 users, 19,665 events" in said
    status = shop.recsys("status").stdout
    assert "tuned model: sample-tuned (sample model)" in status
    assert "base model: sample-base (sample model)" in status


def test_everything_runs_and_listens_on_this_machine_alone(shop: Shop) -> None:
    processes = shop.state()["processes"]
    assert [process["name"] for process in processes] == ["milvus", "engine-tuned", "engine-base", "gateway"]
    assert {process["status"] for process in processes} == {"ready"}
    ports = {process["port"] for process in processes}
    listening = {
        tuple(address.split(":"))
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for _, address, _, state, *_ in map(str.split, Path(table).read_text().splitlines()[1:])
        if state == LISTEN
    }
    assert {host for host, port in listening if int(port, 16) in ports} <= LOCALHOST


def test_no_process_has_torch_or_pandas(shop: Shop) -> None:
    for process in shop.state()["processes"]:
        loaded = Path(f"/proc/{process['pid']}/maps").read_text()
        assert "libtorch" not in loaded
        assert "/pandas/" not in loaded


def test_a_question_is_answered_from_the_catalogue_within_five_seconds(shop: Shop) -> None:
    begin = time.monotonic()
    answer = shop.ask(QUESTION, "--user", "17")
    assert time.monotonic() - begin < 5
    assert len(answer["items"]) == 10
    assert {item["id"] for item in answer["items"]} <= CATALOGUE
    assert answer["answer"]
    # The sample base model says something of an item that the catalogue does not, now and then; a template stands in.
    assert {(each["stage"], each["reason"]) for each in answer["degraded"]} <= {("narrate", "unfaithful")}
    assert answer["tokens"]["saved"] > 0


def test_the_json_is_the_body_of_the_gateway(shop: Shop) -> None:
    direct = shop.post({"query": QUESTION, "user_id": "17", "k": 3, "seed": 7})
    asked = shop.ask(QUESTION, "--user", "17", "-k", "3")
    assert asked.keys() == direct.keys()
    assert len(direct["items"]) == len(asked["items"]) == 3


@pytest.mark.parametrize("query", [QUESTION, ""])
@pytest.mark.parametrize("mode", ["ToolCall", "Verbalizer", "ItemTokens"])
def test_the_sample_model_ranks_in_every_mode(shop: Shop, mode: str, query: str) -> None:
    answer = shop.post({"query": query, "user_id": "17", "mode": mode, "seed": 7})
    assert len(answer["items"]) == 10
    assert {item["id"] for item in answer["items"]} <= CATALOGUE
    assert any("tuned" in item["confirmed_by"] for item in answer["items"])
    assert missing(answer) == set()
    spent = answer["tokens"]["by_stage"]["rank"]
    assert 0 < spent["prompt"] < answer["tokens"]["plain_prompt"]
    assert (spent["completion"] == 1) is (mode != "ToolCall")
    assert mode != "ItemTokens" or spent["prompt"] <= answer["tokens"]["plain_prompt"] / 4


def test_an_answer_for_people(shop: Shop) -> None:
    shown = " ".join(shop.recsys("ask", QUESTION, "-k", "3", "--filter", "price=..100").stdout.split())
    assert "saved against the plain prompt" in shown
    assert "diversity (ILD)" in shown
    assert "(sample models: tuned, base)" in shown


def test_filters_hold(shop: Shop) -> None:
    answer = shop.ask("something for the kitchen", "--filter", "price=10..40", "-k", "5")
    assert answer["items"]
    assert all(10 <= item["price"] <= 40 for item in answer["items"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("x", "-k", "0"), "k"),
        (("x", "-k", "10000"), "k"),
        (("x", "--filter", "no_such_field=1"), "no_such_field"),
    ],
)
def test_a_refusal_is_one_line(shop: Shop, arguments: tuple[str, ...], told: str) -> None:
    refused = shop.recsys("ask", *arguments, code=1)
    assert told in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("query", ["", "비 오는 날 등산용 재킷", "🧥🌧️", "a\x00b\x1b[31m", "jacket " * 1400])
def test_odd_questions_get_items_of_the_catalogue(shop: Shop, query: str) -> None:
    answer = shop.post({"query": query, "user_id": "nobody"})
    assert {item["id"] for item in answer["items"]} <= CATALOGUE
    assert answer["items"]


def test_a_second_up_says_so(shop: Shop) -> None:
    pid = shop.state()["pid"]
    refused = shop.recsys("up", "--port", str(free_ports(1)[0]), code=1)
    assert f"recsys already runs here (pid {pid}, {shop.url})" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert "already runs here" in shop.recsys("up", "--detach", code=1).stderr


def test_a_port_in_use_starts_nothing(shop: Shop, tmp_path: Path) -> None:
    port = shop.url.rpartition(":")[2]
    refused = shop.recsys("up", "--port", port, code=1, data=tmp_path / "other")
    assert refused.stderr.startswith(f"another program has port {port}; choose another: ")
    assert len(refused.stderr.splitlines()) == 1
    assert processes_of(tmp_path / "other") == []


def test_loading_again_changes_nothing(shop: Shop) -> None:
    said = shop.recsys("load", "-f", str(QUICKSTART)).stdout
    assert "366 items (unchanged), 1000 users (unchanged)" in said
    assert "acknowledged" not in said


def test_logs_of_each_process(shop: Shop) -> None:
    assert "listening" in shop.recsys("logs", "gateway").stdout
    assert "engine-base" in shop.recsys("logs").stdout
    refused = shop.recsys("logs", "nothing", code=1)
    assert "no log called nothing; there are " in refused.stderr


def test_a_base_engine_that_is_stopped_is_missed(shop: Shop) -> None:
    pid = shop.process("engine-base")["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        answer = shop.ask(QUESTION)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert answer["items"]
    assert answer["answer"]
    assert [(entry["stage"], entry["reason"]) for entry in answer["degraded"]] == [("narrate", "timeout")]
    until(lambda: missing(shop.ask(QUESTION, "--user", "17")) == set(), "it speaks again")


def test_a_base_engine_that_dies_is_started_again(shop: Shop) -> None:
    before = shop.process("engine-base")
    os.kill(before["pid"], signal.SIGKILL)
    assert shop.ask(QUESTION)["items"]
    until(lambda: shop.process("engine-base")["status"] == "ready", "engine-base is ready again")
    after = shop.process("engine-base")
    assert (after["restarts"], after["lastExit"]) == (before["restarts"] + 1, -signal.SIGKILL)
    assert "signal SIGKILL" in shop.recsys("status").stdout


def test_a_vector_store_that_dies_comes_back_with_the_catalogue(shop: Shop) -> None:
    os.kill(shop.process("milvus")["pid"], signal.SIGKILL)
    answer = shop.ask(QUESTION, "--user", "17")
    assert {item["id"] for item in answer["items"]} <= CATALOGUE
    until(lambda: shop.process("milvus")["status"] == "ready", "milvus is ready again")
    until(lambda: missing(shop.ask(QUESTION, "--user", "17")) == set(), "the catalogue is searched again")
    assert shop.process("milvus")["restarts"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_killed_supervisor_leaves_nothing_and_the_next_up_works(shop: Shop) -> None:
    state = shop.state()
    children = [process["pid"] for process in state["processes"]]
    os.kill(state["pid"], signal.SIGKILL)
    until(lambda: alive(children) == [], "the children are gone", 10)
    assert "Nothing runs in" in shop.recsys("status", code=1).stderr
    shop.recsys("up", "--port", shop.url.rpartition(":")[2], "--detach")
    assert "catalogue: 366 items" in (shop.data / "logs" / "up.log").read_text()
    assert shop.ask(QUESTION)["items"]


def test_down_leaves_no_process(shop: Shop) -> None:
    pids = [process["pid"] for process in shop.state()["processes"]]
    assert shop.recsys("down").stdout == f"Stopped quickstart ({shop.url}).\n"
    assert alive(pids) == []
    until(lambda: processes_of(shop.data) == [], "no process names the data directory", 5)
    assert shop.recsys("down").stdout == f"Nothing runs in {shop.data}.\n"
    assert "start it with: recsys up" in shop.recsys("ask", QUESTION, code=1).stderr


def test_ctrl_c_in_the_foreground_stops_everything(shop: Shop) -> None:
    """After ``down``: the same data directory, in the foreground, with a question."""
    port = shop.url.rpartition(":")[2]
    command = [sys.executable, "-m", "recsys_operator.cli", "up", "--port", port, "--data-dir", str(shop.data)]
    with subprocess.Popen([*command, "--ask", QUESTION], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C stops it." in line:
                break
        assert any(item in said for item in CATALOGUE), said
        pids = [child["pid"] for child in shop.state()["processes"]]
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert time.monotonic() - begin < 12
        assert "Stopped." in process.stdout.read()
    assert alive(pids) == []
