"""Where the time of `POST /v1/recommendations` goes on the sample shop, by the answer's own `timings_ms`.

make bench            starts the system, asks 200 questions one after another, prints the table
"""

from __future__ import annotations

import itertools
import json
import statistics
import urllib.request
from collections import defaultdict

QUESTIONS = [
    "a light jacket for rainy hikes",
    "something to cook with on a camping trip",
    "warm gloves for winter",
    "a gift for a coffee lover",
    "running shoes for muddy trails",
    "a quiet lamp for reading at night",
    "headphones for the train",
    "",
]
WARM_UP, ASKED = 16, 200
LLM_STAGES = ("rank", "narrate")


def ask(url: str, question: str, user: int) -> dict[str, float]:
    body = json.dumps({"query": question, "user_id": str(user), "k": 10}).encode()
    request = urllib.request.Request(f"{url}/v1/recommendations", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        answer = json.load(response)
    assert {(entry["stage"], entry["reason"]) for entry in answer["degraded"]} <= {("narrate", "unfaithful")}
    return dict(answer["timings_ms"])


def test_the_two_llm_calls_are_the_larger_part(gateway_url: str) -> None:
    questions = itertools.cycle(QUESTIONS)
    for user in range(1, WARM_UP + 1):
        ask(gateway_url, next(questions), user)
    timings: dict[str, list[float]] = defaultdict(list)
    for user in range(1, ASKED + 1):
        for stage, milliseconds in ask(gateway_url, next(questions), user).items():
            timings[stage].append(milliseconds)
    outside = [
        total - sum(timings[stage][index] for stage in LLM_STAGES) for index, total in enumerate(timings["total"])
    ]
    timings["all but the two LLM calls"] = outside
    print(f"\n| stage | median ms | p95 ms |\n|---|---|---|  ({ASKED} questions)")
    for stage, values in timings.items():
        print(f"| {stage} | {statistics.median(values):.1f} | {statistics.quantiles(values, n=20)[-1]:.1f} |")
    assert statistics.median(outside) < statistics.median(timings["total"]) / 2
