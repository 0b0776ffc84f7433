"""A server of the house, as a process: start, stop, errors, limits, ids, logs."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

APP = """
import asyncio
import os
import sys
from pathlib import Path
from fastapi import FastAPI
from starlette.requests import Request
from cohelix import web
from cohelix.core.errors import NotPermitted, Damaged

def make() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None)
    web.install(app, service="node")

    @app.get("/slow")
    async def slow() -> dict[str, int]:
        await asyncio.sleep(2)
        return {"worker": os.getpid()}

    @app.get("/end")
    async def end() -> None:
        os.kill(os.getpid(), 9)

    @app.get("/double/{number}")
    async def double(number: int) -> dict[str, int]:
        return {"twice": 2 * number}

    @app.get("/refused")
    async def refused() -> None:
        raise NotPermitted("the purpose does not fit")

    @app.get("/broken")
    async def broken() -> None:
        raise ValueError("secret-inside-22-50313359-G-A")

    @app.post("/echo")
    async def echo(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    return app

if __name__ == "__main__":
    tls = web.Tls(Path(sys.argv[2]), Path(sys.argv[3])) if len(sys.argv) > 3 else None
    web.serve(make, "127.0.0.1", int(sys.argv[1]), tls=tls, workers=int(sys.argv[2]) if len(sys.argv) == 3 else 1)
"""


class Running:
    """A served process, its address and what it wrote."""

    def __init__(self, script: Path, *more: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(script), "0", *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.url = line.removeprefix("ready ").strip() if line.startswith("ready ") else ""

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=15)
        return self.process.returncode, out, err


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "served.py"
    path.write_text(APP)
    return path


@pytest.fixture
def running(script: Path) -> Iterator[Running]:
    server = Running(script)
    yield server
    if server.process.poll() is None:
        server.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ready_is_said_once_and_a_signal_ends_cleanly(running: Running, number: signal.Signals) -> None:
    assert running.url.startswith("http://127.0.0.1:")
    assert httpx.get(running.url + "/healthz").json() == {"status": "ok"}
    assert httpx.head(running.url + "/healthz").status_code == 200  # what load balancers ask with
    assert httpx.get(running.url + "/readyz").json() == {"status": "ready"}
    status, rest, err = running.stop(number)
    assert (status, rest) == (0, "")
    assert "Traceback" not in err


def test_a_busy_server_sheds_what_it_cannot_take_and_recovers(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COHELIX_REQUESTS_RUNNING_MAX", "3")
    server = Running(script)
    with ThreadPoolExecutor(12) as askers:
        answers = list(askers.map(lambda _: httpx.get(server.url + "/slow", timeout=20), range(12)))
        shed = [answer for answer in answers if answer.status_code == 503]
        assert [answer.status_code for answer in answers].count(200) == 3
        assert len(shed) == 9
        assert {answer.headers["retry-after"] for answer in shed} == {"1"}
        assert shed[0].json()["type"].endswith("/problems/overloaded")
        # Who watches the server is answered while it is busy, and everybody when it no longer is.
        busy = [askers.submit(httpx.get, server.url + "/slow", timeout=20) for _ in range(3)]
        while "cohelix_requests_running 4.0" not in (figures := httpx.get(server.url + "/metrics").text):
            assert "cohelix_requests_running" in figures
        assert httpx.get(server.url + "/readyz").status_code == 200
        assert [one.result().status_code for one in busy] == [200] * 3
    assert httpx.get(server.url + "/double/4").json() == {"twice": 8}
    assert server.stop()[0] == 0


def test_workers_share_the_port_and_their_figures_and_are_replaced(script: Path) -> None:
    server = Running(script, "2")
    with ThreadPoolExecutor(16) as askers:
        answers = list(askers.map(lambda _: httpx.get(server.url + "/slow", timeout=20).json()["worker"], range(16)))
    assert len(set(answers)) == 2
    assert server.process.pid not in answers
    told = httpx.get(server.url + "/metrics").text
    assert 'cohelix_requests_total{method="GET",route="/slow",service="node",status="200"} 16.0' in told
    with pytest.raises(httpx.HTTPError):
        httpx.get(server.url + "/end")
    ended = time.monotonic()
    with ThreadPoolExecutor(16) as askers:
        while len(set(askers.map(lambda _: httpx.get(server.url + "/slow", timeout=20).json()["worker"], range(16)))) < 2:
            assert time.monotonic() - ended < 60
    status, rest, err = server.stop()
    assert (status, rest) == (0, "")
    assert "Traceback" not in err


def test_a_taken_port_is_a_conflict_and_not_a_crash(script: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        result = subprocess.run(
            [sys.executable, str(script), str(other.getsockname()[1])], capture_output=True, text=True, timeout=30, check=False
        )
    assert result.returncode != 0
    assert "give another --port" in result.stderr
    assert "ready" not in result.stdout


def test_errors_are_problem_documents(running: Running) -> None:
    refused = httpx.get(running.url + "/refused")
    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"
    body = refused.json()
    assert body["type"].endswith("/problems/not-permitted")
    assert body["type"].startswith("https://")
    assert body["detail"] == "the purpose does not fit"
    assert body["requestId"] == refused.headers["x-request-id"]

    malformed = httpx.get(running.url + "/double/two")
    assert (malformed.status_code, malformed.json()["type"].rsplit("/", 1)[1]) == (400, "bad-question")
    assert "number" in malformed.json()["errors"][0]
    missing = httpx.get(running.url + "/nowhere")
    assert (missing.status_code, missing.json()["type"].rsplit("/", 1)[1]) == (404, "not-found")
    method = httpx.delete(running.url + "/double/2")
    assert (method.status_code, method.json()["type"].rsplit("/", 1)[1]) == (405, "method-not-allowed")


def test_an_unexpected_error_tells_nothing_and_is_logged(running: Running) -> None:
    broken = httpx.get(running.url + "/broken")
    assert broken.status_code == 500
    assert "secret" not in broken.text
    assert "ValueError" not in broken.text
    assert broken.json()["type"].endswith("/problems/internal-error")
    assert httpx.get(running.url + "/double/2").json() == {"twice": 4}
    _, _, err = running.stop()
    lines = [json.loads(line) for line in err.splitlines()]
    (failure,) = [line for line in lines if line["event"] == "request failed"]
    assert failure["request_id"] == broken.headers["x-request-id"]
    assert failure["error"] == "ValueError"


def test_request_ids_are_echoed_when_sane(running: Running) -> None:
    url = running.url + "/double/1"
    assert httpx.get(url, headers={"X-Request-ID": "trace-0123.abc"}).headers["x-request-id"] == "trace-0123.abc"
    for foul in ("short", "a" * 65, "a name with spaces", "<script>aaaa"):
        answered = httpx.get(url, headers={"X-Request-ID": foul})
        assert answered.headers["x-request-id"] != foul
        assert len(answered.headers["x-request-id"]) == 16


def test_logs_name_the_route_and_never_the_question(running: Running) -> None:
    httpx.get(running.url + "/double/50313359", params={"alternateBases": "GATTACA"})
    _, _, err = running.stop()
    lines = [json.loads(line) for line in err.splitlines()]
    (line,) = [line for line in lines if line["event"] == "request"]
    assert line["route"] == "/double/{number}"
    assert (line["status"], line["method"], line["service"]) == (200, "GET", "node")
    assert line["ms"] > 0
    assert "GATTACA" not in err
    assert "50313359" not in err


def test_bodies_have_a_limit_announced_or_not(running: Running) -> None:
    assert httpx.post(running.url + "/echo", content=b"x" * 1000).json() == {"bytes": 1000}
    announced = httpx.post(running.url + "/echo", content=b"x" * 2_000_000)
    assert (announced.status_code, announced.json()["type"].rsplit("/", 1)[1]) == (413, "too-large")

    def pieces() -> Iterator[bytes]:
        for _ in range(30):
            yield b"x" * 65_536

    chunked = httpx.post(running.url + "/echo", content=pieces())
    assert (chunked.status_code, chunked.json()["type"].rsplit("/", 1)[1]) == (413, "too-large")
    assert httpx.get(running.url + "/healthz").status_code == 200


def test_security_headers_and_metrics(running: Running) -> None:
    answered = httpx.get(running.url + "/double/1")
    assert answered.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answered.headers["content-security-policy"]
    assert answered.headers["cache-control"] == "no-store"
    assert "server" not in answered.headers
    metrics = httpx.get(running.url + "/metrics").text
    assert 'cohelix_requests_total{method="GET",route="/double/{number}",service="node",status="200"} 1.0' in metrics
    assert "cohelix_request_seconds_bucket" in metrics


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def test_tls_is_a_setting(script: Path, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    server = Running(script, str(certificate), str(key))
    assert server.url.startswith("https://127.0.0.1:")
    trusting = ssl.create_default_context(cafile=str(certificate))
    assert httpx.get(server.url + "/healthz", verify=trusting).json() == {"status": "ok"}
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url + "/healthz")
    assert server.stop()[0] == 0
