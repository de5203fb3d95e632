"""Join a user's certificates to the public ones: ``python -m recsys_operator.pods.join_certificates SOURCE TARGET``.

SSL_CERT_FILE replaces the public certificates, while a resource's ``caConfigMapRef`` is meant beside them.
"""

from __future__ import annotations

import argparse
import ssl
import sys
from pathlib import Path

from recsys_operator.pods.termination import FAILED, give_up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="PEM file with the user's certificates")
    parser.add_argument("target", type=Path, help="PEM file to write")
    arguments = parser.parse_args()
    try:
        arguments.target.write_text(joined(arguments.source), encoding="ascii")
    except (OSError, ssl.SSLError, ValueError) as error:
        sys.exit(give_up(f"{arguments.source}: no PEM certificates can be read from it: {error}", FAILED))


def joined(source: Path) -> str:
    """PEM text of the public certificates and of those in ``source``.

    Raises:
        OSError: the file cannot be read.
        ssl.SSLError: it holds no certificate.
    """
    store = ssl.create_default_context()
    store.load_verify_locations(cafile=source)
    certificates = store.get_ca_certs(binary_form=True)
    return "".join(ssl.DER_cert_to_PEM_cert(certificate) for certificate in certificates)


if __name__ == "__main__":
    main()
