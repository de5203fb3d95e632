"""Certificates of one control plane: a CA, the API server's, one for each client, and the key of service accounts."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

DAYS = "30"
CLIENTS = {
    "admin": "/O=system:masters/CN=admin",
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "kwok": "/O=system:masters/CN=kwok",
}
AUTHORITY = """\
[req]
distinguished_name = subject
x509_extensions = authority
prompt = no
[subject]
CN = recsys-test-authority
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
"""
LEAF = "keyUsage=critical,digitalSignature\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
SERVED_NAMES = "IP:127.0.0.1,IP:10.0.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
SERVER = f"{LEAF}extendedKeyUsage=serverAuth\nsubjectAltName={SERVED_NAMES}\n"
CLIENT = f"{LEAF}extendedKeyUsage=clientAuth\n"


class NoOpenssl(Exception):
    """There is no openssl on this machine."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of ``folder``; ``make`` writes them."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def make(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "ca.cnf").write_text(AUTHORITY)
        self._make_key("ca")
        self._openssl("req", "-x509", "-new", "-key", "ca.key", "-config", "ca.cnf", "-days", DAYS, "-out", "ca.crt")
        self._sign("apiserver", "/CN=kube-apiserver", SERVER)
        for name, subject in CLIENTS.items():
            self._sign(name, subject, CLIENT)
        self._make_key("service-accounts")
        self._openssl("ec", "-in", "service-accounts.key", "-pubout", "-out", "service-accounts.pub")

    def _make_key(self, name: str) -> None:
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")

    def _sign(self, name: str, subject: str, extensions: str) -> None:
        self._make_key(name)
        (self.folder / f"{name}.ext").write_text(extensions)
        request = ("-new", "-key", f"{name}.key", "-subj", subject, "-config", "ca.cnf", "-out", f"{name}.csr")
        self._openssl("req", *request)
        signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", DAYS, "-extfile", f"{name}.ext")
        self._openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.crt")

    def _openssl(self, *arguments: str) -> None:
        program = shutil.which("openssl")
        if program is None:
            raise NoOpenssl("openssl is not on the PATH: the control plane's certificates are made with it; install it")
        done = subprocess.run([program, *arguments], cwd=self.folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"openssl {' '.join(arguments)} failed: {done.stderr}")
