"""What engines' metrics mean: TGI's as captured, the others' as their own sources print them."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.config import EngineType
from recsys_gateway.engines.load_metrics import LoadMetrics, LoadSample
from recsys_gateway.engines.registry import dialect_of

SHARED = os.environ.get("RECSYS_SHARED")
CAPTURES = Path(SHARED or "/nonexistent") / "contracts" / "tgi"


def load(engine: EngineType) -> LoadMetrics:
    found = dialect_of(engine).load
    assert found is not None
    return found


TGI_SATURATED = """\
# TYPE tgi_batch_inference_count counter
tgi_batch_inference_count{method="prefill"} 4
tgi_batch_inference_count{method="decode"} 57

# TYPE tgi_queue_size gauge
tgi_queue_size 4

# TYPE tgi_batch_current_max_tokens gauge
tgi_batch_current_max_tokens 860

# TYPE tgi_batch_current_size gauge
tgi_batch_current_size 4
"""


def test_tgi() -> None:
    reading = load(EngineType.TGI).read(TGI_SATURATED, token_budget=1024)
    assert reading.sample == LoadSample(queued=4, running=4, kv_use=860 / 1024, steps=57)
    assert reading.missing == ()


def test_tgi_without_a_budget_does_not_say_how_full_it_is() -> None:
    assert load(EngineType.TGI).read(TGI_SATURATED, None).sample.kv_use is None


def test_tgi_before_its_first_request_shows_nothing_and_has_nothing_to_do() -> None:
    reading = load(EngineType.TGI).read("", None)
    assert (reading.sample, reading.missing) == (LoadSample(0, 0), ())


def test_a_renamed_series_is_missing() -> None:
    reading = load(EngineType.TGI).read(TGI_SATURATED.replace("tgi_queue_size", "tgi_queue_length"), None)
    assert reading.missing == ("tgi_queue_size",)
    assert reading.sample.running == 4


def test_vllm_sums_its_engines_and_averages_their_caches() -> None:
    """As prometheus_client prints the gauges of vllm/v1/metrics/loggers.py: a row for each engine of the process."""
    text = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
vllm:num_requests_waiting{engine="1",model_name="m"} 0.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.5
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.1
"""
    assert load(EngineType.VLLM).read(text, None).sample == LoadSample(queued=1, running=5, kv_use=0.3)
    older = text.replace("kv_cache_usage_perc", "gpu_cache_usage_perc")
    assert load(EngineType.VLLM).read(older, None).sample.kv_use == pytest.approx(0.3)


def test_sglang() -> None:
    text = """\
sglang:num_running_reqs{engine_type="unified",model_name="m",tp_rank="0"} 7.0
sglang:num_queue_reqs{engine_type="unified",model_name="m",tp_rank="0"} 2.0
sglang:token_usage{engine_type="unified",model_name="m",tp_rank="0"} 0.25
"""
    assert load(EngineType.SGLANG).read(text, None).sample == LoadSample(queued=2, running=7, kv_use=0.25)


def test_llama_cpp() -> None:
    text = """\
# TYPE llamacpp:n_decode_total counter
llamacpp:n_decode_total 12
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 1
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 3
"""
    assert load(EngineType.LLAMA_CPP).read(text, None).sample == LoadSample(queued=3, running=1, steps=12)


def test_series_of_a_prometheus_server_mean_the_same() -> None:
    series = [
        ("tgi_queue_size", {"instance": "a:80"}, 4.0),
        ("tgi_batch_current_size", {"instance": "a:80"}, 4.0),
        ("tgi_batch_inference_count", {"method": "prefill"}, 4.0),
        ("tgi_batch_inference_count", {"method": "decode"}, 57.0),
    ]
    assert load(EngineType.TGI).read_series(series, None).sample == LoadSample(queued=4, running=4, steps=57)


LINES = st.one_of(
    st.text(max_size=60),
    st.builds(
        "{}{} {}".format,
        st.sampled_from(["tgi_queue_size", "tgi_batch_current_size", "tgi_batch_current_max_tokens"]),
        st.sampled_from(["", "{}", '{a="b"}', '{a="}"}', "{"]),
        st.one_of(st.floats().map(str), st.integers().map(str), st.text(max_size=8)),
    ),
)


@given(st.lists(LINES, max_size=8).map("\n".join), st.none() | st.integers(1, 10**9))
def test_no_text_breaks_it_and_no_number_is_negative_or_endless(text: str, budget: int | None) -> None:
    for engine in (EngineType.TGI, EngineType.VLLM, EngineType.LLAMA_CPP):
        sample = load(engine).read(text, budget).sample
        values = [sample.queued, sample.running, sample.kv_use or 0.0, sample.steps or 0.0]
        assert all(math.isfinite(value) and value >= 0 for value in values)
        assert (sample.kv_use or 0.0) <= 1


@pytest.mark.skipif(SHARED is None, reason="RECSYS_SHARED does not name the folder of the captured exchanges")
@pytest.mark.parametrize(
    ("name", "queued", "running"),
    [
        ("016-metrics-idle-fresh", 0, 0),
        ("470-metrics-idle-after", 0, 0),
        ("500-metrics-idle-after-one", 0, 0),
        ("500-metrics-saturated", 4, 4),
    ],
)
def test_the_captured_texts_of_tgi(name: str, queued: int, running: int) -> None:
    text = (CAPTURES / f"{name}.http").read_text().partition("<<< response")[2].partition("\n\n")[2]
    reading = load(EngineType.TGI).read(text, None)
    assert (reading.sample.queued, reading.sample.running, reading.missing) == (queued, running, ())


@pytest.mark.skipif(SHARED is None, reason="RECSYS_SHARED does not name the folder of the captured exchanges")
def test_every_series_that_is_read_is_one_that_tgi_has_shown() -> None:
    shown = set(re.findall(r"^(tgi_\w+)", (CAPTURES / "metrics-names.txt").read_text(), re.MULTILINE))
    assert set(load(EngineType.TGI).names) <= shown


@pytest.mark.skipif(SHARED is None, reason="RECSYS_SHARED does not name the folder of the captured exchanges")
@pytest.mark.parametrize("kind", ["chat", "completions", "generate", "root"])
def test_the_captured_overloads_of_tgi(kind: str) -> None:
    tgi = dialect_of(EngineType.TGI)
    for name in (f"500-overload-{kind}", f"500-overload-{kind}-stream"):
        answer = (CAPTURES / f"{name}.http").read_text().partition("<<< response\n")[2]
        head, _, body = answer.partition("\n\n")
        assert tgi.overloaded(int(head.split()[1]), body), name
