"""Asks a running system the same kinds of questions for a long time and watches memory and errors.

PYTHONPATH=tests python tests/bench/soak.py --minutes 60 starts a system of its own, prints a line a minute, and exits
1 where an answer failed, was degraded, or where a process's memory grew by more than a tenth over the second half of
the time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from pathlib import Path

from conftest import RECSYS
from fake_engine.process import free_port
from test_recommendation_stages import QUESTIONS

GROWTH = 1.10


def resident_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * 4096 / 1e6


def process_ids(data: Path) -> dict[str, int]:
    status = subprocess.run(
        [RECSYS, "status", "--json", "--data-dir", data], check=True, capture_output=True, text=True, timeout=30
    )
    return {process["name"]: process["pid"] for process in json.loads(status.stdout)["processes"]}


def ask(url: str, question: str, user: int) -> bool:
    body = json.dumps({"query": question, "user_id": str(user)}).encode()
    request = urllib.request.Request(f"{url}/v1/recommendations", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            missing = {(entry["stage"], entry["reason"]) for entry in json.load(response)["degraded"]}
            return missing <= {("narrate", "unfaithful")}
    except (urllib.error.URLError, TimeoutError):
        return False


def soak(url: str, data: Path, minutes: float) -> int:
    end, memory, failed, asked = time.monotonic() + 60 * minutes, defaultdict(list), 0, 0
    next_line = time.monotonic()
    for question, user in zip(itertools.cycle(QUESTIONS), itertools.cycle(range(1, 1001)), strict=False):
        if time.monotonic() >= end:
            break
        asked, failed = asked + 1, failed + (not ask(url, question, user))
        if time.monotonic() >= next_line:
            next_line += 60
            for name, pid in process_ids(data).items():
                memory[name].append(resident_megabytes(pid))
            print(
                f"asked {asked} failed {failed}",
                {name: round(values[-1]) for name, values in memory.items()},
                flush=True,
            )
    grown = {name: values for name, values in memory.items() if values[-1] > GROWTH * values[len(values) // 2]}
    print(f"asked {asked}, failed {failed}, grown: {sorted(grown) or 'none'}")
    return int(bool(failed or grown))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        data, port = Path(folder), free_port()
        subprocess.run([RECSYS, "up", "--detach", "--port", str(port), "--data-dir", data], check=True, timeout=300)
        try:
            return soak(f"http://127.0.0.1:{port}", data, minutes)
        finally:
            subprocess.run([RECSYS, "down", "--data-dir", data], check=True, timeout=60)


if __name__ == "__main__":
    sys.exit(main())
