"""etcd, API server, controller manager, scheduler and kwok as child processes on 127.0.0.1."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from controlplane.binaries import Binaries
from controlplane.certificates import Certificates
from controlplane.cluster import Cluster, Kubectl, KubectlFailed, as_list, write_kubeconfig
from controlplane.component import Component
from controlplane.nodes import nodes
from recsys_operator.local.ports import free_ports

HERE = Path(__file__).parent
START_SECONDS = 60.0
BACK_SECONDS = 90.0
"""An API server that lost etcd for 45 s was seen to need 29 s after its return."""


class NotReady(Exception):
    """The control plane did not come up; the message holds the end of a log."""


class ControlPlane(Cluster):
    """A cluster of its own in ``folder``: keys, data and logs. Use it as a context manager, or start and stop it."""

    def __init__(self, binaries: Binaries, folder: Path) -> None:
        self.binaries = binaries
        self.logs = folder / "logs"
        self.audit_log = folder / "audit.jsonl"
        self._certificates = Certificates(folder / "certificates")
        self._port, self._etcd_port = free_ports(2)
        self.url = f"https://127.0.0.1:{self._port}"
        super().__init__(Kubectl(binaries["kubectl"], folder / "admin.kubeconfig", folder / "kubectl-cache"), folder)
        self.etcd = self._component("etcd", _etcd(folder / "etcd", self._etcd_url))
        self.apiserver = self._component("kube-apiserver", self._apiserver_flags(), _RARELY_COLLECTED)
        self.controller_manager = self._component("kube-controller-manager", self._controller_manager_flags())
        self.scheduler = self._component("kube-scheduler", [*self._client("scheduler"), *_ALONE])
        self.kwok = self._component("kwok", [*self._client("kwok"), *_KWOK, f"--config={folder / 'stages.yaml'}"])

    @property
    def components(self) -> tuple[Component, ...]:
        """In the order of their start."""
        return (self.etcd, self.apiserver, self.controller_manager, self.scheduler, self.kwok)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Return when nodes are ready and pods can be made. Whatever fails ends what was started."""
        try:
            self._prepare()
            self.etcd.start()
            self.apiserver.start()
            self.wait_until_ready(START_SECONDS)
            # Started earlier, these meet an API server without its roles, and back off for longer than was won.
            for component in (self.controller_manager, self.scheduler, self.kwok):
                component.start()
            self.kubectl("apply", "--server-side", "--filename=-", given=as_list(nodes()))
            self.kubectl("apply", "--server-side", f"--filename={HERE / 'storage.yaml'}")
            self._wait(self._usable, "nodes and the default service account", START_SECONDS)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all, what stands on the API server first."""
        for component in reversed(self.components[2:]):
            component.ask_to_stop()
        for component in reversed(self.components):
            component.stop()

    def restart_controllers(self) -> None:
        """Start what watches the API server anew: after a minute without it, watches lag 90 s and more behind."""
        followers = (self.controller_manager, self.scheduler, self.kwok)
        for component in followers:
            component.ask_to_stop()
        for component in followers:
            component.restart()

    def ready(self) -> bool:
        """Whether the API server says that it serves."""
        context = ssl.create_default_context(cafile=str(self._certificates.authority))
        context.load_cert_chain(self._certificates.certificate("admin"), self._certificates.key("admin"))
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=5, context=context)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == http.HTTPStatus.OK
            except (OSError, http.client.HTTPException):
                return False

    def wait_until_ready(self, seconds: float = BACK_SECONDS) -> None:
        self._wait(self.ready, "the API server", seconds)

    def _prepare(self) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        (self.folder / "etcd").mkdir(mode=0o700, exist_ok=True)
        self._certificates.make()
        for name, path in [("admin", self.kubeconfig), *((n, self._kubeconfig(n)) for n in _CLIENTS)]:
            files = {
                "client-certificate": str(self._certificates.certificate(name)),
                "client-key": str(self._certificates.key(name)),
            }
            write_kubeconfig(path, self.url, self._certificates.authority, files)
        stages = sorted((HERE / "stages").glob("*.yaml"))
        (self.folder / "stages.yaml").write_text("\n---\n".join(stage.read_text() for stage in stages))

    def _wait(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            failures = [failure for component in self.components if (failure := component.failure())]
            if failures:
                raise NotReady("\n".join(failures))
            if time.monotonic() > deadline:
                raise NotReady(f"{what}: not ready within {seconds:g} s; logs in {self.logs}")
            time.sleep(0.05)

    def _usable(self) -> bool:
        try:
            self.kubectl("get", "serviceaccount", "default", "--namespace=default")
            self.kubectl("wait", "node", "--all", "--for=condition=Ready", f"--timeout={START_SECONDS:g}s")
        except KubectlFailed:
            return False
        return True

    @property
    def _etcd_url(self) -> str:
        return f"http://127.0.0.1:{self._etcd_port}"

    def _component(self, program: str, flags: list[str], environment: Mapping[str, str] = {}) -> Component:
        return Component(program, [str(self.binaries[program]), *flags], self.logs / f"{program}.log", environment)

    def _kubeconfig(self, client: str) -> Path:
        return self.folder / f"{client}.kubeconfig"

    def _client(self, client: str) -> list[str]:
        return [f"--kubeconfig={self._kubeconfig(client)}"]

    def _apiserver_flags(self) -> list[str]:
        keys = self._certificates
        return [
            f"--etcd-servers={self._etcd_url}",
            f"--secure-port={self._port}",
            f"--tls-cert-file={keys.certificate('apiserver')}",
            f"--tls-private-key-file={keys.key('apiserver')}",
            f"--client-ca-file={keys.authority}",
            f"--service-account-signing-key-file={keys.key('service-accounts')}",
            f"--service-account-key-file={keys.folder / 'service-accounts.pub'}",
            f"--cert-dir={keys.folder}",
            f"--audit-policy-file={HERE / 'audit.yaml'}",
            f"--audit-log-path={self.audit_log}",
            *_APISERVER,
        ]

    def _controller_manager_flags(self) -> list[str]:
        keys = self._certificates
        return [
            *self._client("controller-manager"),
            f"--service-account-private-key-file={keys.key('service-accounts')}",
            f"--root-ca-file={keys.authority}",
            *_CONTROLLER_MANAGER,
            *_ALONE,
        ]


_CLIENTS = ("controller-manager", "scheduler", "kwok")
_RARELY_COLLECTED = {"GOGC": "400", "GOMEMLIMIT": "640MiB"}
"""Memory for CPU, of which there is less: a fifth of what the API server uses in its start."""
_ALONE = ["--leader-elect=false", "--secure-port=0"]
_APISERVER = [
    "--bind-address=127.0.0.1",
    "--advertise-address=127.0.0.1",
    "--endpoint-reconciler-type=none",
    "--service-account-issuer=https://kubernetes.default.svc",
    "--authorization-mode=Node,RBAC",
    "--service-cluster-ip-range=10.0.0.0/16",
    "--allow-privileged=true",
]
_CONTROLLER_MANAGER = [
    "--use-service-account-credentials=true",
    # Endpoints are the old form of EndpointSlices, which nobody here reads: a tenth of all writes.
    "--controllers=*,-endpoints-controller,-endpointslice-mirroring-controller",
    # With the defaults (20 and 30) the start takes 5 s more.
    "--kube-api-qps=500",
    "--kube-api-burst=1000",
    # No node is lost, whether or not kwok is there: it renews no leases.
    "--node-monitor-grace-period=8760h",
]
_KWOK = [
    "--manage-all-nodes=true",
    "--node-ip=10.89.0.1",
    "--cidr=10.88.0.0/16",
    # No leases: a kwok that is started again would wait for up to 40 s until those of the one before have run out.
    "--node-lease-duration-seconds=0",
    "--v=WARN",  # else a line for every lease and every pod
]


def _etcd(data: Path, url: str) -> list[str]:
    return [
        f"--data-dir={data}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        "--listen-peer-urls=http://127.0.0.1:0",
        "--log-level=warn",
        # A killed process loses nothing that the kernel has; only a machine that loses power would.
        "--unsafe-no-fsync",
        # An election of one, sooner than by default; quicker ticks cost more CPU than they win time.
        "--heartbeat-interval=50",
        "--election-timeout=250",
    ]
