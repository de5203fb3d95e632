"""The routers that are compared, each as well configured as is known, as processes of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml
from fake_engine.process import FakeEngineProcess, free_port, wait_until_listening

LEAST_IN_FLIGHT = "least-in-flight"
"""nginx without a cap: what a router does that knows nothing but its own counts. The baseline of the first row."""
NAMES = ("ours", LEAST_IN_FLIGHT, "nginx-capped", "haproxy", "haproxy-capped")


def available() -> list[str]:
    """The routers that this machine has."""
    programs = {"ours": sys.executable, LEAST_IN_FLIGHT: "nginx", "nginx-capped": "nginx"}
    return [
        name for name in NAMES if shutil.which(programs.get(name, "haproxy")) or _sbin(programs.get(name, "haproxy"))
    ]


def _sbin(program: str) -> str | None:
    return shutil.which(program, path="/usr/sbin:/usr/local/sbin:/usr/bin")


@contextmanager
def router(name: str, pods: Sequence[FakeEngineProcess], folder: Path) -> Iterator[tuple[str, int]]:
    """A router before ``pods``: its address, and the id of its (working) process."""
    port = free_port()
    command = {
        "ours": lambda: _ours(pods, folder, port),
        LEAST_IN_FLIGHT: lambda: _nginx(pods, folder, port, capped=False),
        "nginx-capped": lambda: _nginx(pods, folder, port, capped=True),
        "haproxy": lambda: _haproxy(pods, folder, port, capped=False),
        "haproxy-capped": lambda: _haproxy(pods, folder, port, capped=True),
    }[name]()
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until_listening(port, process)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def gateway_config(pods: Sequence[FakeEngineProcess], keys: Path | None = None) -> dict[str, object]:
    """One pool a pod: the pools' weights are the pods' speeds, as a user would state them."""
    pools = [
        {"name": f"pool-{n}", "weight": pod.speed, "slots": pod.slots, "endpoints": [{"url": pod.url}]}
        for n, pod in enumerate(pods)
    ]
    config: dict[str, object] = {"models": [{"name": "fake", "role": "base", "engine": "TGI", "pools": pools}]}
    return config | ({"auth": {"keysDirectory": str(keys)}} if keys else {})


def _ours(pods: Sequence[FakeEngineProcess], folder: Path, port: int) -> list[str]:
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(gateway_config(pods)))
    return [sys.executable, "-m", "recsys_gateway.main", "--config", str(file), "--port", str(port)]


def _nginx(pods: Sequence[FakeEngineProcess], folder: Path, port: int, *, capped: bool) -> list[str]:
    """Connections to pods are kept; with a cap a pod gets its slots and no more, and the rest is a 502 at once."""
    cap = f" max_conns={pods[0].slots}" if capped else ""
    servers = "\n".join(f"server 127.0.0.1:{pod.port}{cap} max_fails=1 fail_timeout=1s;" for pod in pods)
    file = folder / f"nginx-{capped}.conf"
    file.write_text(f"""
daemon off; worker_processes 1; pid {folder}/nginx-{capped}.pid; error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream pods {{ zone pods 64k; least_conn; {servers} keepalive 256; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      proxy_pass http://pods; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 120s; proxy_connect_timeout 2s;
      proxy_next_upstream error timeout http_502 http_503 non_idempotent;
    }}
  }}
}}
""")
    return [str(_sbin("nginx")), "-c", str(file), "-p", str(folder)]


def _haproxy(pods: Sequence[FakeEngineProcess], folder: Path, port: int, *, capped: bool) -> list[str]:
    """leastconn by the pods' speeds; with a cap calls wait in haproxy's own queue until a pod has a free slot."""
    cap = f" maxconn {pods[0].slots}" if capped else ""
    servers = "\n".join(
        f"  server s{n} 127.0.0.1:{pod.port} weight {round(pod.speed * 100)}{cap} check inter 500ms fall 2 rise 1"
        for n, pod in enumerate(pods)
    )
    file = folder / f"haproxy-{capped}.cfg"
    file.write_text(f"""
global
  maxconn 8192
  nbthread 1
defaults
  mode http
  timeout connect 2s
  timeout client 120s
  timeout server 120s
  timeout queue 60s
  retries 3
  retry-on conn-failure empty-response response-timeout 503
  option redispatch
  option abortonclose
  option http-keep-alive
frontend all
  bind 127.0.0.1:{port}
  default_backend pods
backend pods
  balance leastconn
  http-reuse always
  option httpchk GET /health
{servers}
""")
    return [str(_sbin("haproxy")), "-db", "-f", str(file)]
