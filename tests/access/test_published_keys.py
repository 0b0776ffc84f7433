"""Keys of issuers come over TLS whose certificate is of the authority that the settings name, and of no other."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from joserfc.jwk import ECKey

from cohelix.access.keys import KeyRing, fetching
from cohelix.access.trust import Trusted, TrustList
from validation.certificates import Authority

_ISSUER = "https://broker.example"


@contextmanager
def _publishing(folder: Path, document: object) -> Iterator[str]:
    """The address of a server with a certificate of a private authority, `ca.pem`, where one document is at every path."""
    Authority(folder, "ca").sign(folder / "tls.pem", folder / "tls.key", "issuer")

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is told."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Who does not believe the certificate goes away: that is what is tried here."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.pem", folder / "tls.key")
    with Server(("127.0.0.1", 0), Answer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_keys_come_over_tls_of_a_private_authority_and_of_no_other(tmp_path: Path) -> None:
    Authority(tmp_path, "other")
    (tmp_path / "garbage.pem").write_text("no certificate")
    key = {**ECKey.generate_key("P-256").as_dict(private=False), "kid": "k1", "use": "sig", "alg": "ES256"}
    with _publishing(tmp_path, {"keys": [key]}) as address:

        def known(private: dict[str, str], own: str = "") -> bool:
            trust = TrustList.of([Trusted(issuer=_ISSUER, role="broker", jwks=f"{address}/jwks", tls_ca=own)])
            ring = KeyRing(trust, fetch=fetching(tmp_path, trust, private))
            ring.make_ready([(_ISSUER, "k1")])
            return ring.keys().get((_ISSUER, "k1")) is not None

        assert known({}, own="ca.pem"), "named by the list of trust itself"
        assert known({f"{address}/broker": "ca.pem"}), "named for the issuer, or for the hub, at that server"
        assert known({f"{address}/broker": "other.pem"}, own="ca.pem"), "the list's own goes first"
        assert not known({}), "the system knows no such authority"
        assert not known({"https://127.0.0.1:1": "ca.pem"}), "the authority of another server is not believed here"
        for wrong in ("other.pem", "missing.pem", "garbage.pem"):
            assert not known({address: wrong})
            assert not known({address: "ca.pem"}, own=wrong)
